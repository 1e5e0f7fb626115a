//! The body of a request on HTTP/1, lent to the operation: where nobody reads it to its end, it comes back, because then the
//! connection cannot be used for another request and the client has to be told.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// How long the rest of a small body is waited for, so that its connection can be used again.
const SHORTLY: Duration = Duration::from_millis(100);

/// A body that comes back.
pub struct Lent {
    /// `None`: read to its end.
    body: Option<Incoming>,
    back: Arc<Mutex<Option<Incoming>>>,
}

/// Where it comes back.
pub struct Back(Arc<Mutex<Option<Incoming>>>);

/// Lends a body.
#[must_use]
pub fn lend(body: Incoming) -> (Lent, Back) {
    let back = Arc::default();
    (Lent { body: Some(body), back: Arc::clone(&back) }, Back(back))
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let poll = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None) = poll {
            self.body = None;
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

impl Back {
    /// Whether a part of the body is left after the operation. The rest of one that declares no more than `small` bytes is
    /// taken in if it is there already.
    pub async fn is_left(self, small: u64) -> bool {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut left) = left else { return false };
        if left.size_hint().upper().is_none_or(|bytes| bytes > small) {
            return true;
        }
        let rest = async {
            while let Some(frame) = left.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        !tokio::time::timeout(SHORTLY, rest).await.unwrap_or(false)
    }
}
