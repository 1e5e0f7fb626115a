//! How fast buffered counts are written, so that verifications do not wait for long.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::usage::UsageBuffer;

/// On SQLite, a transaction whose statements take longer is followed by one with half as many rows, at least [`MIN_ROWS`]: all other
/// writes wait for it. In a large database, rows that are far apart take long.
const SLOW: Duration = Duration::from_millis(10);
const MIN_ROWS: usize = 25;

/// The pause after a transaction is this many times as long as its statements took, so that verifications get the processors.
const PAUSE: u32 = 1;

/// The same on SQLite while uses wait for the ledger. So the ledger has about three quarters of the time of the only writer.
const PAUSE_FOR_LEDGER: u32 = 3;

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// The size of transactions, and the pauses between them.
pub(super) struct Pace<'a> {
    rows: usize,
    max_rows: usize,
    /// What is written. While it is nearly full, there are no pauses.
    buffer: &'a UsageBuffer,
    /// As SQLite has.
    has_one_writer: bool,
    /// Once it is cancelled, there are no pauses and no small transactions.
    stop: &'a CancellationToken,
}

impl<'a> Pace<'a> {
    pub(super) fn new(
        max_rows: usize,
        buffer: &'a UsageBuffer,
        has_one_writer: bool,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { rows: max_rows, max_rows, buffer, has_one_writer, stop }
    }

    /// How many rows the next transaction may write.
    pub(super) fn rows(&self) -> usize {
        if self.stop.is_cancelled() { self.max_rows } else { self.rows }
    }

    /// Carries out a transaction, which returns how long its statements took, and the pause after it.
    pub(super) async fn step<E>(&mut self, transaction: impl Future<Output = Result<Duration, E>>) -> Result<(), E> {
        let took = transaction.await?;
        if self.has_one_writer {
            self.rows = if took > SLOW { (self.rows / 2).max(MIN_ROWS) } else { (self.rows * 2).min(self.max_rows) };
        }
        if self.buffer.is_nearly_full() {
            return Ok(());
        }
        let gives_way = self.has_one_writer && self.buffer.metered.is_any();
        let pause = took * if gives_way { PAUSE_FOR_LEDGER } else { PAUSE };
        self.stop.run_until_cancelled(tokio::time::sleep(pause.min(MAX_PAUSE))).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::clock::Timestamp;
    use sea_orm::prelude::Uuid;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        ledger::WaitingUses,
        usage::{MAX_BUFFERED, UseCount},
    };

    /// Carries out a transaction whose statements take this time. Returns how long the pause is.
    async fn step(pace: &mut Pace<'_>, millis: u64) -> u128 {
        let begin = Instant::now();
        let transaction = std::future::ready(Ok::<_, ()>(Duration::from_millis(millis)));
        pace.step(transaction).await.expect("it succeeds");
        begin.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn counts_give_way_to_uses_that_wait_for_the_ledger() {
        let (metered, stop) = (WaitingUses::default(), CancellationToken::new());
        let buffer = UsageBuffer::new(0, metered.clone());
        let mut pace = Pace::new(100, &buffer, true, &stop);
        let waiting = metered.begin();
        assert_eq!([step(&mut pace, 2).await, step(&mut pace, 1_000).await], [6, 50]);
        let mut several_writers = Pace::new(100, &buffer, false, &stop);
        assert_eq!(step(&mut several_writers, 2).await, 2);
        drop(waiting);
        assert_eq!(step(&mut pace, 2).await, 2);
        stop.cancel();
        assert_eq!(step(&mut pace, 2).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transactions_of_the_only_writer_get_fewer_rows() {
        let (buffer, stop) = (UsageBuffer::default(), CancellationToken::new());
        let mut pace = Pace::new(100, &buffer, true, &stop);
        let mut several_writers = Pace::new(100, &buffer, false, &stop);
        let mut sizes = Vec::new();
        for millis in [11, 11, 11, 2, 2, 11] {
            step(&mut pace, millis).await;
            step(&mut several_writers, millis).await;
            sizes.push(pace.rows());
        }
        assert_eq!(sizes, [50, 25, 25, 50, 100, 50]);
        assert_eq!(several_writers.rows(), 100);
        stop.cancel();
        assert_eq!(pace.rows(), 100, "the process ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearly_full_buffer_is_written_without_pauses() {
        let (buffer, stop) = (UsageBuffer::default(), CancellationToken::new());
        let mut pace = Pace::new(100, &buffer, true, &stop);
        let uses = UseCount { organization: Uuid::nil(), count: 1, last: Timestamp::from_millis(0) };
        let all: Vec<_> = (0..=MAX_BUFFERED / 2).map(|n| (Uuid::from_u128(n as u128), uses)).collect();
        buffer.put_back(&all[1..]);
        assert_eq!(step(&mut pace, 2).await, 2);
        buffer.put_back(&all[..1]);
        assert_eq!(step(&mut pace, 2).await, 0);
    }
}
