//! Long deletions are done in pieces, each a transaction of its own that holds the writer for milliseconds. On SQLite there is
//! one writer for everybody: between two pieces metered verifies and changes get their turn.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Store, outage::Failure, retry};

/// Rows in the first and largest piece.
pub(crate) const LARGEST: u64 = 500;

/// Rows in the smallest piece, where the database is slow.
const SMALLEST: u64 = 100;

/// A piece that takes longer is followed by a smaller one.
const SLOW: Duration = Duration::from_millis(10);

/// The longest pause between two pieces.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How large the next piece is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    size: u64,
}

impl Pieces {
    pub(crate) const fn new() -> Self {
        Self { size: LARGEST }
    }

    /// Rows in the next piece.
    pub(crate) const fn size(self) -> u64 {
        self.size
    }

    /// After a piece whose statements took so long: adapts the size of the next one, and leaves the writer to the others for as
    /// long as the piece took, unless the process is stopping.
    pub(crate) async fn give_way(&mut self, took: Duration, stop: &CancellationToken) {
        self.adapt(took);
        tokio::select! {
            () = tokio::time::sleep(took.min(LONGEST_PAUSE)) => {}
            () = stop.cancelled() => {}
        }
    }

    fn adapt(&mut self, took: Duration) {
        self.size = if took > SLOW { (self.size / 2).max(SMALLEST) } else { (self.size * 2).min(LARGEST) };
    }
}

impl Store {
    /// Removes rows in pieces, until a piece finds fewer than it may take or the process is stopping. `piece` removes at most
    /// as many rows as it is told, and answers how many those were. Answers how many were removed in all.
    pub(crate) async fn in_pieces<F>(&self, piece: impl Fn(u64) -> F) -> Result<u64, Failure>
    where
        F: Future<Output = Result<u64, Failure>>,
    {
        let (mut pieces, mut removed) = (Pieces::new(), 0);
        while !self.stop.is_cancelled() {
            let (begun, size) = (Instant::now(), pieces.size());
            // A connection that has died silently must not end all purging.
            let count = retry::in_time(self.pools.change_timeout, piece(size)).await;
            let count = count.inspect_err(|failure| self.pools.health.observe(failure))?;
            removed += count;
            if count < size {
                break;
            }
            pieces.give_way(begun.elapsed(), &self.stop).await;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_shrink_while_the_database_is_slow_and_grow_again() {
        let mut pieces = Pieces::new();
        assert_eq!(pieces.size(), LARGEST);
        for _ in 0..10 {
            pieces.adapt(2 * SLOW);
        }
        assert_eq!(pieces.size(), SMALLEST);
        for _ in 0..10 {
            pieces.adapt(SLOW);
        }
        assert_eq!(pieces.size(), LARGEST);
    }
}
