//! Sends the body of a response in small parts: so the buffers of the protocol hold only one part of a large response, and a
//! client that does not receive it is detected.

use std::{
    error, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};

use crate::server::{
    connection::activity::{RequestInProgress, TransferRate, WaitingPart},
    pipeline::ResponseBody,
};

/// The maximum size of a part, in bytes.
const MAX_PART_BYTES: usize = 16 * 1024;

type Error = Box<dyn error::Error + Send + Sync>;

/// The body of a response, in parts.
pub struct PacedBody {
    body: ResponseBody,
    /// The rest of the last chunk of `body`.
    rest: Bytes,
    request: RequestInProgress,
    is_http2: bool,
    /// The transfer rate. `None`: no part was sent yet, or the body has only one.
    pace: Option<TransferRate>,
}

impl PacedBody {
    /// The body of the response to `request`.
    #[must_use]
    pub fn new(body: ResponseBody, request: RequestInProgress, is_http2: bool) -> Self {
        Self { body, rest: Bytes::new(), request, is_http2, pace: None }
    }

    fn part(&mut self) -> Result<Frame<Part>, Error> {
        let is_last = self.rest.len() <= MAX_PART_BYTES;
        let bytes = if is_last { std::mem::take(&mut self.rest) } else { self.rest.split_to(MAX_PART_BYTES) };
        if !(is_last && self.body.is_end_stream() && self.pace.is_none()) {
            let pace = self.pace.get_or_insert_with(|| self.request.pace());
            if !self.request.is_fast_enough(pace, bytes.len()) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads the response too slowly").into());
            }
        }
        // HTTP/1 copies a part into its write buffer at once; a client that does not receive it is detected when it is written.
        let waiting = self.is_http2.then(|| self.request.part());
        Ok(Frame::data(Part { bytes, _waiting: waiting }))
    }
}

impl Body for PacedBody {
    type Data = Part;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Part>, Error>>> {
        let this = &mut *self;
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => this.rest = bytes,
                    Err(frame) => return Poll::Ready(Some(Ok(frame.map_data(|_| Part::default())))),
                },
            }
        }
        Poll::Ready(Some(this.part()))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A part of a response.
#[derive(Default)]
pub struct Part {
    bytes: Bytes,
    _waiting: Option<WaitingPart>,
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
