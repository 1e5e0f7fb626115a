//! Connections: how many, for how long, and how they end.
//!
//! The accept loop is ours, on hyper's own server, because the framework's has no limit on connections, no time limit for
//! a request's head, delays small answers (Nagle), and on shutdown closes a kept-alive connection in the middle of a head.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
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
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::edge::{Edge, Ends};

/// How long a client may take to send a request's head, and how long a connection may idle between requests.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Requests that one HTTP/2 connection may have at once.
const MAX_STREAMS: u32 = 250;

/// Serves until `stop`, then waits for the requests that have begun. No new connection is accepted meanwhile. With
/// `abort`, what still runs is cut off.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    edge: Edge<E>,
    max_connections: usize,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let edge = Arc::new(edge);
    let places = Arc::new(Semaphore::new(max_connections));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, edge.clone(), stop.clone());
                let abort = abort.clone();
                connections.spawn(async move {
                    let _place = place;
                    // Asked only when it has something to say, not with every request.
                    let mut abort = signal(abort.cancelled_owned());
                    tokio::select! {
                        biased;
                        () = connection => {}
                        _ = abort.next() => {}
                    }
                });
            }
            // For example: no file descriptor left. Without a pause this would be a busy loop.
            Err(error) => {
                tracing::warn!(target: "claviger", %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A future that, after the first time, is polled only when it was woken itself, whatever else the task is woken for.
fn signal<F: Future<Output = ()>>(future: F) -> FuturesUnordered<F> {
    std::iter::once(future).collect()
}

async fn connection<E: Endpoint + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge<E>>,
    stop: CancellationToken,
) {
    // Answers are small and complete: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_or_else(|_| LocalAddr::default(), |local| LocalAddr(local.into()));
    let ends = Arc::new(Ends { local, remote: RemoteAddr(peer.into()), peer: peer.ip() });
    let head = Arc::new(Head::default());
    let io = TokioIo::new(Listening { stream, head: head.clone() });
    let service = service_fn({
        let head = head.clone();
        move |request: hyper::Request<Incoming>| {
            let open = head.complete();
            let (edge, ends) = (edge.clone(), ends.clone());
            async move {
                let response = edge.respond(request, &ends).await;
                drop(open);
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Head and body in one write: an answer is small, and two pieces cost more than copying it.
    builder
        .http1()
        .writev(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_TIME_LIMIT)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("small"))
        .max_concurrent_streams(MAX_STREAMS);
    let serving = builder.serve_connection(io, service);
    let mut serving = std::pin::pin!(serving);
    // An error here is a client that went away or does not speak HTTP; it was answered as far as that was possible.
    let (mut none_in_time, mut stopped) = (signal(head.none_in_time()), signal(stop.cancelled()));
    tokio::select! {
        biased;
        _ = serving.as_mut() => return,
        _ = none_in_time.next() => return,
        _ = stopped.next() => {}
    }
    // hyper closes a kept-alive connection between requests at once, also in the middle of a head. A request whose first
    // byte has been read is to be answered, so the rest of its head is waited for.
    let mut too_long = std::pin::pin!(tokio::time::sleep(HEAD_TIME_LIMIT));
    while head.has_begun() {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = head.completed.notified() => {}
            () = too_long.as_mut() => break,
        }
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

/// Whether bytes have come in since the last request was answered that do not make a request yet.
#[derive(Default)]
struct Head {
    begun: AtomicBool,
    in_request: AtomicBool,
    /// Whether there was any request on this connection.
    seen: AtomicBool,
    /// Whether it speaks HTTP/2, which has bytes of its own between requests and ends in order by itself.
    is_http2: AtomicBool,
    completed: Notify,
}

impl Head {
    fn received(&self, bytes: &[u8]) {
        // How every HTTP/2 connection begins (RFC 9113 §3.4).
        if bytes.starts_with(b"PRI * HTTP/2") {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        // Bytes during a request are its body.
        if !self.in_request.load(Ordering::Relaxed) && !self.is_http2.load(Ordering::Relaxed) {
            self.begun.store(true, Ordering::Relaxed);
        }
    }

    /// Ends where the first request has not come in time. hyper's own limit begins only after it knows the protocol.
    async fn none_in_time(&self) {
        tokio::time::sleep(HEAD_TIME_LIMIT).await;
        if self.seen.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// A head is complete and its request begins; it ends when the returned value is dropped.
    fn complete(self: &Arc<Self>) -> InRequest {
        self.begun.store(false, Ordering::Relaxed);
        self.seen.store(true, Ordering::Relaxed);
        self.in_request.store(true, Ordering::Relaxed);
        self.completed.notify_one();
        InRequest(self.clone())
    }
}

struct InRequest(Arc<Head>);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.in_request.store(false, Ordering::Relaxed);
    }
}

/// A connection that notes when something comes in.
struct Listening {
    stream: TcpStream,
    head: Arc<Head>,
}

impl AsyncRead for Listening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.head.received(&buffer.filled()[before..]);
        }
        poll
    }
}

impl AsyncWrite for Listening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
