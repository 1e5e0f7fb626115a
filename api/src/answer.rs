//! The body of an answer on its way to the client, in small parts: so the protocol holds one part of a large answer at a time,
//! and what a client does not take is seen.

use std::{
    error, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Buf, Bytes, Frame, SizeHint};

use crate::{
    activity::{Pace, RequestInProgress, WaitingPart},
    edge::AnswerBody,
};

/// The most bytes of a part.
const PART: usize = 16 * 1024;

type Error = Box<dyn error::Error + Send + Sync>;

/// The body of an answer.
pub struct Answer {
    body: AnswerBody,
    /// What is left of the piece that the body gave last.
    rest: Bytes,
    request: RequestInProgress,
    is_http2: bool,
    /// For a body of several parts.
    pace: Option<Pace>,
}

impl Answer {
    /// The body of the answer to a request.
    #[must_use]
    pub fn new(body: AnswerBody, request: RequestInProgress, is_http2: bool) -> Self {
        Self { body, rest: Bytes::new(), request, is_http2, pace: None }
    }

    fn part(&mut self) -> Result<Frame<Part>, Error> {
        let is_last = self.rest.len() <= PART;
        let bytes = if is_last { std::mem::take(&mut self.rest) } else { self.rest.split_to(PART) };
        if !(is_last && self.body.is_end_stream() && self.pace.is_none()) {
            let pace = self.pace.get_or_insert_with(|| self.request.pace());
            if !self.request.keeps(pace, bytes.len()) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes the answer too slowly").into());
            }
        }
        // HTTP/1 copies a part into its buffer at once; whether that is taken is seen where it is written.
        let waiting = self.is_http2.then(|| self.request.part());
        Ok(Frame::data(Part { bytes, _waiting: waiting }))
    }
}

impl Body for Answer {
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

/// A part of an answer.
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
