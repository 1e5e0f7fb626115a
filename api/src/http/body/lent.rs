//! The body of a request, lent to the operation. If the operation does not read it to its end, the connection gets it back: with
//! HTTP/1 it has to read the rest, or the connection cannot be used for another request and the response has to say so.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// How long to wait for the rest of a small body, so that its connection can be used again.
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// A body that is given back when it is dropped unread.
pub struct LentBody {
    /// `None`: it was read to its end.
    body: Option<Incoming>,
    lent: Arc<Lent>,
}

#[derive(Default)]
struct Lent {
    /// The unread body, once it was given back.
    back: Mutex<Option<Incoming>>,
    /// Whether the operation waits for the client to send more of it, or waited for that when it was cancelled.
    is_awaited: AtomicBool,
}

/// Receives the body when the [`LentBody`] is dropped unread.
pub struct BodyReturn(Arc<Lent>);

/// Lends a body, and returns where it is given back.
#[must_use]
pub fn lend(body: Incoming) -> (LentBody, BodyReturn) {
    let lent = Arc::default();
    (LentBody { body: Some(body), lent: Arc::clone(&lent) }, BodyReturn(lent))
}

impl Body for LentBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let poll = Pin::new(body).poll_frame(cx);
        self.lent.is_awaited.store(poll.is_pending(), Ordering::Relaxed);
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

impl Drop for LentBody {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            *self.lent.back.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

impl BodyReturn {
    /// Whether a request that timed out was waiting for its client to send the body.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.is_awaited.load(Ordering::Relaxed)
    }

    /// Whether a part of the body is still unread after the operation. If at most `small` bytes are left, they are read and
    /// discarded, if they arrive in time.
    pub async fn is_left(self, small: u64) -> bool {
        let left = self.0.back.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        !tokio::time::timeout(DRAIN_TIME, rest).await.unwrap_or(false)
    }
}
