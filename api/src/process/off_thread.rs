//! Runs long computations outside of the threads that serve requests.

use std::{future::pending, panic::resume_unwind};

/// Runs `work` and returns its result; on a blocking thread if `is_long`, else on the current one. A panic of `work` continues in
/// the caller.
pub async fn run<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if !is_long {
        return work();
    }
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(answer) => answer,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is shutting down, and drops this future, too.
        Err(Err(_)) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_work_runs_on_another_thread() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(run(false, thread).await, here);
        assert_ne!(run(true, thread).await, here);
    }
}
