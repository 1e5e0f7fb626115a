//! Long computations in pieces, on whatever runs futures.

use std::{future::poll_fn, task::Poll};

/// Bytes of text after which others get to run: reading or writing them takes less than a millisecond.
const TURN: usize = 64 * 1_024;

/// Work on many values that does not wait for anything, cut into pieces.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    done: usize,
}

impl Pace {
    /// Counts work on a text of so many bytes, and lets other tasks run on this thread when it was enough for a while.
    pub async fn worked(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes);
        if self.done >= TURN {
            self.done = 0;
            let_others_run().await;
        }
    }
}

/// Lets other tasks run on this thread before the caller goes on.
pub(crate) async fn let_others_run() {
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
    fn it_goes_on_after_one_turn() {
        let mut future = pin!(let_others_run());
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert!(future.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn others_run_after_a_piece_of_work() {
        let mut context = Context::from_waker(Waker::noop());
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert!(pin!(pace.worked(TURN - 1)).poll(&mut context).is_ready());
            assert!(pin!(pace.worked(1)).poll(&mut context).is_pending());
        }
    }
}
