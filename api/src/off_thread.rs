//! Work that is too long for a thread that answers others.

use std::{future::pending, panic::resume_unwind};

/// What `work` answers. If there is much of it, a thread of its own does it.
pub async fn run<T: Send + 'static>(is_much: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if !is_much {
        return work();
    }
    match tokio::task::spawn_blocking(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(answer) => answer,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and this future with it.
        Err(Err(_)) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn much_work_is_done_elsewhere() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(run(false, thread).await, here);
        assert_ne!(run(true, thread).await, here);
    }
}
