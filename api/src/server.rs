//! Accepts connections, and shuts all of them down.
//!
//! This is an own accept loop on hyper, because the server of poem has no limit of connections, no time limit for a request's
//! head, delays small responses (Nagle's algorithm), and on shutdown closes keep-alive connections that have sent a part of a
//! head.

pub mod answer;
pub mod connection;
pub mod pipeline;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use poem::{Endpoint, web::LocalAddr};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::server::{
    connection::{
        signal,
        slots::{ConnectionLimits, Slots},
        tls,
    },
    pipeline::Pipeline,
};

/// The pause after an error of `accept`.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The minimum time between two log lines about errors of `accept`.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Serves until `stop` is cancelled, then accepts no further connections, and returns when the running requests have ended. When
/// `abort` is cancelled, all connections are closed at once. With `acceptor`, connections use TLS.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    pipeline: Pipeline<E>,
    acceptor: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let pipeline = Arc::new(pipeline);
    let time = limits.client_timeout;
    let slots = Arc::new(Slots::new(limits));
    let connections = TaskTracker::new();
    let mut tick = interval(slots.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut errors = AcceptErrors::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {
                slots.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let slot = slots.assign(peer.ip());
                let (acceptor, pipeline, stop) = (acceptor.clone(), pipeline.clone(), stop.clone());
                let connection = async move {
                    let local = stream.local_addr().map_or_else(|_| LocalAddr::default(), |at| LocalAddr(at.into()));
                    if let Some(stream) = tls::open(acceptor, stream, &slot.activity, &stop).await {
                        connection::serve(stream, local, peer, slot, pipeline, stop, time).await;
                    }
                };
                let abort = abort.clone();
                connections.spawn(async move {
                    // Polled only when it is cancelled, not with each wake-up of the connection.
                    let mut abort = signal(abort.cancelled_owned());
                    tokio::select! {
                        biased;
                        () = connection => {}
                        _ = abort.next() => {}
                    }
                });
            }
            // The client has disconnected before it was accepted.
            Err(error) if is_client_error(&error) => {}
            // For example, there is no free file descriptor. Without a pause this would be a busy loop.
            Err(error) => {
                slots.close_idle();
                errors.log(&error);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    loop {
        tokio::select! {
            () = connections.wait() => break,
            _ = tick.tick() => slots.sweep(),
        }
    }
}

fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// Errors of `accept`, which are logged at a limited rate.
#[derive(Default)]
struct AcceptErrors {
    last_logged: Option<Instant>,
    suppressed: u64,
}

impl AcceptErrors {
    fn log(&mut self, error: &io::Error) {
        if let Some(suppressed) = self.count(Instant::now()) {
            tracing::warn!(target: "claviger", %error, suppressed, "accepting connections failed");
        }
    }

    /// The number of errors that were not logged since the last one that was. `None`: this error is not logged either.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.last_logged.is_some_and(|last_logged| now.duration_since(last_logged) < LOG_INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last_logged = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_accept_errors_are_logged_rarely() {
        let (mut errors, begin) = (AcceptErrors::default(), Instant::now());
        let logged: Vec<u64> =
            (0..1_000).filter_map(|n| errors.count(begin + Duration::from_millis(100) * n)).collect();
        assert_eq!(logged, [0, 99, 99, 99, 99, 99, 99, 99, 99, 99]);
    }
}
