//! One connection: how it is served, and how it ends.

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
    },
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    activity::{Activity, End},
    answer::Answer,
    edge::{Edge, Ends},
    places::Place,
};

/// The most bytes of a request's head with HTTP/1.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most bytes of a request's head with HTTP/2, where a few bytes sent can stand for many, and many requests come at once.
const MAX_HTTP2_HEAD_BYTES: u32 = 16 * 1024;

/// Requests that one HTTP/2 connection may have at once. Clients wait with further ones, or open another connection.
const MAX_STREAMS: u32 = 100;

/// Bytes of request bodies that one HTTP/2 connection may have sent before they are read: for one request, and for all.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Requests that a client may take back before we have looked at them, and that we may refuse for mistakes, before its HTTP/2
/// connection ends.
const MAX_RESETS: usize = 20;
const MAX_ERRORS: usize = 100;

/// How long, and for how many bytes, a body that nobody reads is taken in after the answer, so that its sender gets to read
/// the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Serves a connection until it ends, by itself, or because its place is needed, or after `stop`.
pub async fn serve<E: Endpoint + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    edge: Arc<Edge<E>>,
    stop: CancellationToken,
    time: Duration,
) {
    // Answers are small and complete: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_or_else(|_| LocalAddr::default(), |local| LocalAddr(local.into()));
    let is_reserved = place.is_reserved;
    let ends = Arc::new(Ends { local, remote: RemoteAddr(peer.into()), peer: peer.ip(), is_reserved });
    let activity = &place.activity;
    let io = TokioIo::new(Listening { stream, activity: activity.clone(), is_shut: false, linger: None });
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let begun = activity.begin();
        let (edge, ends, activity) = (edge.clone(), ends.clone(), activity.clone());
        async move {
            let version = request.version();
            let (mut response, is_body_left) = edge.respond(request, &ends).await;
            begun.answered();
            let is_http2 = version == Version::HTTP_2;
            if is_body_left && !is_http2 {
                activity.leave_body();
                close(response.headers_mut());
            }
            if ends.is_reserved {
                activity.end(End::Graceful);
                if !is_http2 {
                    close(response.headers_mut());
                }
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, begun, is_http2)))
        }
    });
    let builder = builder(time);
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    // An error here is a client that went away or does not speak HTTP; it was answered as far as that was possible.
    let (mut ended, mut stopped) = (signal(activity.ended()), signal(stop.cancelled()));
    tokio::select! {
        biased;
        _ = serving.as_mut() => return,
        _ = ended.next() => {}
        _ = stopped.next() => {}
    }
    // hyper closes a kept-alive connection between requests at once, also in the middle of a head. A request whose first
    // byte has been read is to be answered, so the rest of its head is waited for.
    let mut too_long = std::pin::pin!(tokio::time::sleep(time));
    while activity.has_begun() && activity.told() < End::Now {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = activity.completed() => {}
            () = activity.ended() => {}
            () = too_long.as_mut() => break,
        }
    }
    serving.as_mut().graceful_shutdown();
    while activity.told() < End::Now {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = activity.ended() => {}
        }
    }
}

fn builder(time: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Head and body in one write: an answer is small, and two pieces cost more than copying it.
    builder.http1().writev(false).timer(TokioTimer::new()).header_read_timeout(time).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(time)
        .max_header_list_size(MAX_HTTP2_HEAD_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS);
    builder
}

/// Says that no further request will be answered on this connection.
fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, const { HeaderValue::from_static("close") });
}

/// A future that, after the first time, is polled only when it was woken itself, whatever else the task is woken for.
pub fn signal<F: Future<Output = ()>>(future: F) -> FuturesUnordered<F> {
    std::iter::once(future).collect()
}

/// A connection that notes what comes in and what goes out.
struct Listening {
    stream: TcpStream,
    activity: Arc<Activity>,
    is_shut: bool,
    /// Until when, and for how many more bytes, what still comes in is taken in.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Listening {
    /// Takes in, for a short time, what the client still sends. A connection that is closed with unread bytes is reset, and
    /// the answer may be lost with it.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (end, left) = self.linger.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
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

impl AsyncRead for Listening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.received(&buffer.filled()[before..]);
        }
        poll
    }
}

impl AsyncWrite for Listening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(bytes.len(), &poll);
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
        self.note(slices.iter().map(|slice| slice.len()).sum(), &poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Listening {
    fn note(&self, offered: usize, poll: &Poll<io::Result<usize>>) {
        match poll {
            Poll::Pending => self.activity.sent(offered, None),
            Poll::Ready(Ok(taken)) => self.activity.sent(offered, Some(*taken)),
            // The connection is over.
            Poll::Ready(Err(_)) => {}
        }
    }
}
