//! Cooperative scheduling: long computations yield to other tasks of the async runtime.

use std::{future::poll_fn, task::Poll};

/// Bytes of text after which a computation yields: reading or writing them takes less than a millisecond.
const BYTES_PER_YIELD: usize = 64 * 1_024;

/// Yields periodically during a long computation that waits for nothing.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    done: usize,
}

impl Pace {
    /// The bytes of text that take as long to parse as checking one permission.
    const BYTES_PER_PERMISSION: usize = 32;

    /// Counts checks of `permissions` permissions. Yields as [`Pace::worked`].
    pub async fn checked(&mut self, permissions: usize) {
        self.worked(permissions * Self::BYTES_PER_PERMISSION).await;
    }

    /// Counts work on a text of `bytes` bytes, and yields to other tasks on this thread each time that 64 KiB are
    /// reached.
    pub async fn worked(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes);
        if self.done >= BYTES_PER_YIELD {
            self.done = 0;
            yield_now().await;
        }
    }
}

/// Yields once to other tasks on this thread.
pub(crate) async fn yield_now() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn yielding_is_ready_on_the_second_poll() {
        let mut future = pin!(yield_now());
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn long_work_yields_periodically() {
        let mut context = Context::from_waker(Waker::noop());
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert!(pin!(pace.worked(BYTES_PER_YIELD - 1)).poll(&mut context).is_ready());
            assert!(pin!(pace.worked(1)).poll(&mut context).is_pending());
        }
    }
}
