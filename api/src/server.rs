//! Accepting connections, and what happens to all of them.
//!
//! The accept loop is ours, on hyper's own server, because the framework's has no limit on connections, no time limit for
//! a request's head, delays small answers (Nagle), and on shutdown closes a kept-alive connection in the middle of a head.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use poem::Endpoint;
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{self, signal},
    edge::Edge,
    places::{Limits, Places},
};

/// How long to wait before another attempt where no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How often at most to say that connections cannot be accepted.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Serves until `stop`, then waits for the requests that have begun. No new connection is accepted meanwhile. With
/// `abort`, what still runs is cut off.
pub async fn serve<E: Endpoint + 'static>(
    listener: TcpListener,
    edge: Edge<E>,
    limits: Limits,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let edge = Arc::new(edge);
    let time = limits.client_time;
    let places = Arc::new(Places::new(limits));
    let connections = TaskTracker::new();
    let mut tick = interval(places.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {
                places.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = places.take(peer.ip());
                let connection = connection::serve(stream, peer, place, edge.clone(), stop.clone(), time);
                let abort = abort.clone();
                connections.spawn(async move {
                    // Asked only when it has something to say, not with every request.
                    let mut abort = signal(abort.cancelled_owned());
                    tokio::select! {
                        biased;
                        () = connection => {}
                        _ = abort.next() => {}
                    }
                });
            }
            // The client went away before it was accepted: nothing is wrong here.
            Err(error) if is_of_the_client(&error) => {}
            // For example: no file descriptor left. Without a pause this would be a busy loop.
            Err(error) => {
                places.make_any_room();
                trouble.tell(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    loop {
        tokio::select! {
            () = connections.wait() => break,
            _ = tick.tick() => places.sweep(),
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// What keeps us from accepting connections, told now and then.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
    untold: u64,
}

impl Trouble {
    fn tell(&mut self, error: &io::Error) {
        if let Some(untold) = self.count(Instant::now()) {
            tracing::warn!(target: "claviger", %error, untold, "connections cannot be accepted");
        }
    }

    /// How many times were not told since the last one that was. `None`: this one is not told either.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now.duration_since(told) < SAY_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lasting_trouble_is_told_now_and_then() {
        let (mut trouble, begin) = (Trouble::default(), Instant::now());
        let told: Vec<u64> = (0..1_000).filter_map(|n| trouble.count(begin + Duration::from_millis(100) * n)).collect();
        assert_eq!(told, [0, 99, 99, 99, 99, 99, 99, 99, 99, 99]);
    }
}
