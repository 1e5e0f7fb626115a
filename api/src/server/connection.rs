//! Serves one connection, and closes it.
pub mod activity;
pub mod slots;
pub mod tls;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint,
    http::{
        HeaderValue, Version,
        header::{CONNECTION, HeaderMap},
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use crate::server::{
    answer::PacedBody,
    connection::{
        activity::{Activity, End},
        slots::Slot,
        tls::Stream,
    },
    pipeline::{ConnectionInfo, Pipeline},
};

/// The maximum size of a request's head with HTTP/1, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The maximum size of a request's head with HTTP/2, in bytes after decompression. Lower, because many requests arrive at once.
const MAX_HTTP2_HEAD_BYTES: u32 = 16 * 1024;

/// The maximum number of concurrent requests of one HTTP/2 connection. Clients delay others, or open another connection.
const MAX_STREAMS: u32 = 100;

/// The maximum size of unread request bodies of an HTTP/2 connection, in bytes: of one request, and of all together.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024;

/// The number of requests that a client may reset before they were accepted, and that may be reset because of protocol errors,
/// before its HTTP/2 connection is closed.
const MAX_RESETS: usize = 20;
const MAX_ERRORS: usize = 100;

/// The maximum time and number of bytes for reading an unread body after the response, so that the client can read the response
/// before the connection is closed.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Serves a connection until the client closes it, `slot` is needed for another one, a time limit is reached, or `stop` is
/// cancelled. `client_timeout`: how long a client may take to send a request's head.
pub async fn serve<E: Endpoint + 'static>(
    stream: Stream,
    local: LocalAddr,
    peer: SocketAddr,
    slot: Slot,
    pipeline: Arc<Pipeline<E>>,
    stop: CancellationToken,
    client_timeout: Duration,
) {
    let is_reserved = slot.is_reserved;
    let scheme = if matches!(stream, Stream::Right(_)) { Scheme::HTTPS } else { Scheme::HTTP };
    let info =
        Arc::new(ConnectionInfo { local, remote: RemoteAddr(peer.into()), peer: peer.ip(), is_reserved, scheme });
    let activity = &slot.activity;
    let io = TokioIo::new(TrackedStream { stream, activity: activity.clone(), is_shut: false, linger: None });
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let begun = activity.begin();
        let (pipeline, info, activity) = (pipeline.clone(), info.clone(), activity.clone());
        async move {
            let version = request.version();
            let (mut response, is_body_left) = pipeline.respond(request, &info).await;
            begun.answered();
            let is_http2 = version == Version::HTTP_2;
            if is_body_left && !is_http2 {
                activity.leave_body();
                close(response.headers_mut());
            }
            if info.is_reserved {
                activity.end(End::Graceful);
                if !is_http2 {
                    close(response.headers_mut());
                }
            }
            Ok::<_, Infallible>(response.map(|body| PacedBody::new(body, begun, is_http2)))
        }
    });
    let builder = builder(client_timeout);
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    // Errors are ignored: the client has disconnected or does not speak HTTP, and got a response if that was possible.
    let (mut ended, mut stopped) = (signal(activity.ended()), signal(stop.cancelled()));
    tokio::select! {
        biased;
        _ = serving.as_mut() => return,
        _ = ended.next() => {}
        _ = stopped.next() => {}
    }
    // The graceful shutdown of hyper closes an idle keep-alive connection at once, even if a part of a request's head was read. A
    // request whose first byte was read should get a response, so wait for the rest of its head.
    let mut too_long = std::pin::pin!(tokio::time::sleep(client_timeout));
    while activity.has_begun() && activity.requested_end() < End::Now {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = activity.completed() => {}
            () = activity.ended() => {}
            () = too_long.as_mut() => break,
        }
    }
    // From now on `slots` closes the connection if it stays idle: an HTTP/2 client may never acknowledge the ping of the graceful
    // shutdown.
    activity.end(End::Graceful);
    serving.as_mut().graceful_shutdown();
    while activity.requested_end() < End::Now {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = activity.ended() => {}
        }
    }
}

fn builder(client_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Write head and body together: a response is small, so copying it is cheaper than a second write.
    builder
        .http1()
        .writev(false)
        .timer(TokioTimer::new())
        .header_read_timeout(client_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(client_timeout)
        .max_header_list_size(MAX_HTTP2_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS);
    builder
}

/// Announces in the response that the connection is closed after it.
fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, const { HeaderValue::from_static("close") });
}

/// A stream of one item that polls `future` only if it was woken itself, not on each wake-up of the task.
pub fn signal<F: Future<Output = ()>>(future: F) -> FuturesUnordered<F> {
    std::iter::once(future).collect()
}

/// The stream of a connection, which records in `activity` what is received and sent.
struct TrackedStream {
    stream: Stream,
    activity: Arc<Activity>,
    is_shut: bool,
    /// The time limit, and the remaining number of bytes, for reading an unread body. `None`: that has not begun.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl TrackedStream {
    /// Reads and discards what the client still sends, up to the limits. Closing a connection with unread bytes would reset it,
    /// and the client could lose the response.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (end, left) = self.linger.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER_TIME)), LINGER_BYTES));
        let mut scratch = [0; 8_192];
        while *left > 0 && end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            match buffer.filled().len() {
                count if count > 0 && read.is_ok() => *left = left.saturating_sub(count),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.received(&buffer.filled()[before..]);
        }
        poll
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record_write(bytes.len(), &poll);
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        if self.activity.has_left_body() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.record_write(slices.iter().map(|slice| slice.len()).sum(), &poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl TrackedStream {
    fn record_write(&self, offered: usize, poll: &Poll<io::Result<usize>>) {
        match poll {
            Poll::Pending => self.activity.sent(offered, None),
            Poll::Ready(Ok(taken)) => self.activity.sent(offered, Some(*taken)),
            // The connection has failed; it will be closed.
            Poll::Ready(Err(_)) => {}
        }
    }
}
