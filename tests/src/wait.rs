//! Waiting until a condition is met. A test whose condition is not met fails, and shows the last state.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// The longest time that a test waits for one condition. Even on a loaded machine nothing takes so long, so only a test that
/// hangs reaches it.
pub const MAX_WAIT: Duration = Duration::from_mins(2);

/// Repeats `attempt` until it returns `Ok`. Its `Err` describes the current state.
///
/// # Panics
/// After [`MAX_WAIT`], with the last state.
pub async fn wait_until<T, E: Debug>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut seen = None;
    let attempts = async {
        loop {
            match attempt().await {
                Ok(found) => return found,
                Err(other) => seen = Some(other),
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(MAX_WAIT, attempts).await;
    found.unwrap_or_else(|_| panic!("waited {MAX_WAIT:?} for {what}; seen last: {seen:?}"))
}

/// As [`wait_until`], for code that is not async.
///
/// # Panics
/// After [`MAX_WAIT`], with the last state.
pub fn wait_until_blocking<T, E: Debug>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let began = Instant::now();
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(seen) => assert!(began.elapsed() < MAX_WAIT, "waited {MAX_WAIT:?} for {what}; seen last: {seen:?}"),
        }
        std::thread::yield_now();
    }
}

/// Waits for a future. `what` describes it for the panic.
///
/// # Panics
/// After [`MAX_WAIT`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(MAX_WAIT, future).await.unwrap_or_else(|_| panic!("waited {MAX_WAIT:?} for {what}"))
}

/// Repeats a request until it is refused. The change that refuses it was made at `since`, and must take effect within `bound`.
/// The time when a request was sent counts, not the time of its response, so a loaded machine cannot fail this.
///
/// # Panics
/// A request that was sent later than `bound` after `since` is still granted, or after [`MAX_WAIT`].
pub async fn wait_until_refused(
    what: &str,
    since: Instant,
    bound: Duration,
    mut is_granted: impl AsyncFnMut() -> bool,
) {
    wait_until(what, async || {
        let sent = since.elapsed();
        if !is_granted().await {
            return Ok(());
        }
        assert!(
            sent <= bound,
            "{what}: a request that was sent {sent:?} after the change is granted; bound: {bound:?}"
        );
        Err(sent)
    })
    .await;
}
