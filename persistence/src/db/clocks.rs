//! The clocks of this process and of PostgreSQL: which of them decides that a row may be removed, and how far they differ.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering},
};

use domain::{
    Outage,
    clock::{Clock, Timestamp},
};
use sea_orm::{
    ConnectionTrait, DbErr,
    sea_query::{Expr, SimpleExpr},
};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        connect::Pools,
        dialect::{self, DATABASE_TIME},
        retry,
    },
    workers::Workers,
};

/// From one comparison of the clocks to the next.
const COMPARE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// A difference of more than this many milliseconds is logged as a warning.
const WARN_SKEW_MS: u64 = 5_000;

/// A node whose clock differs by more than this many milliseconds is not ready, and purges nothing: a minute.
const MAX_SKEW_MS: u64 = 60_000;

/// The clocks of a process and of its database.
#[derive(Clone)]
pub(crate) struct Clocks {
    node: Arc<dyn Clock>,
    /// Whether the database has a clock and it decides: on PostgreSQL, except in tests that set the time.
    has_database_clock: bool,
    skew: Arc<Skew>,
}

/// The difference between the clocks at the last comparison.
#[derive(Debug, Default)]
struct Skew {
    /// Milliseconds by which the node's clock is ahead of the database's; negative: behind.
    millis: AtomicI64,
    /// The level of the last log line: 0 none, 1 warning, 2 error.
    logged: AtomicU8,
}

impl Clocks {
    pub(crate) fn new(node: Arc<dyn Clock>, has_database_clock: bool) -> Self {
        Self { node, has_database_clock, skew: Arc::default() }
    }

    /// Starts the worker that compares the clocks every ten seconds, if the database has one.
    pub(crate) fn spawn(&self, pools: &Pools, workers: &Workers) {
        if self.has_database_clock {
            workers.spawn(self.clone().watch(pools.clone(), workers.stop.clone()));
        }
    }

    async fn watch(self, pools: Pools, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(COMPARE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let compare = async { Ok(self.compare(&pools.verification).await?) };
            if let Err(failure) = retry::in_time(pools.timeout, compare).await {
                tracing::debug!(target: "claviger", error = %Outage::from(failure), "comparing the clocks failed");
            }
        }
    }

    /// The time by this process's clock.
    pub(crate) fn node_now(&self) -> Timestamp {
        self.node.now()
    }

    /// The time by the clock that decides what may be removed: the database's if it has one, else this process's.
    pub(crate) async fn retention_now<C: ConnectionTrait>(&self, db: &C) -> Result<Timestamp, DbErr> {
        if self.has_database_clock { database_now(db).await } else { Ok(self.node.now()) }
    }

    /// An expression for statements that remove older rows: `at`, the time by this process's clock, or PostgreSQL's time if that is
    /// earlier, minus `minus` milliseconds. So a node whose clock is ahead removes nothing early.
    pub(crate) fn no_later_than_database(&self, at: Timestamp, minus: i64) -> SimpleExpr {
        let at = at.plus_millis(-minus).millis();
        if self.has_database_clock {
            // A subquery is evaluated once for the statement, so that an index can be used.
            Expr::cust_with_values(format!("LEAST($1, (SELECT {DATABASE_TIME} - {minus}))"), [at])
        } else {
            Expr::value(at)
        }
    }

    /// The time at which the retention period of a row begins: the database's if it has a clock, else `at`.
    pub(crate) fn database_time_or(&self, at: Timestamp) -> SimpleExpr {
        if self.has_database_clock { Expr::cust(DATABASE_TIME) } else { Expr::value(at.millis()) }
    }

    /// Seconds by which this process's clock was ahead of the database's at the last comparison; negative: behind.
    pub(crate) fn skew_seconds(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let millis = self.skew.millis.load(Ordering::Relaxed) as f64;
        millis / 1_000.0
    }

    /// Whether the clocks were more than a minute apart at the last comparison.
    pub(crate) fn are_far_apart(&self) -> bool {
        self.skew.millis.load(Ordering::Relaxed).unsigned_abs() > MAX_SKEW_MS
    }

    /// Compares the clocks, and logs if the level of the difference has changed.
    pub(crate) async fn compare<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if !self.has_database_clock {
            return Ok(());
        }
        let before = self.node.now();
        let database_time = database_now(db).await?;
        let after = self.node.now();
        let millis = difference(before, database_time, after);
        self.skew.millis.store(millis, Ordering::Relaxed);
        let distance = millis.unsigned_abs();
        let level = u8::from(distance > WARN_SKEW_MS) + u8::from(distance > MAX_SKEW_MS);
        if self.skew.logged.swap(level, Ordering::Relaxed) == level {
            return Ok(());
        }
        match level {
            0 => tracing::info!(target: "claviger", millis, "the clocks of this node and of the database agree again"),
            1 => tracing::warn!(
                target: "claviger", millis,
                "the clock of this node differs from the database's; synchronize it (NTP)"
            ),
            _ => tracing::error!(
                target: "claviger", millis,
                "the clock of this node differs from the database's by more than a minute: the node is not ready and purges \
                 nothing until the clocks agree; synchronize it (NTP)"
            ),
        }
        Ok(())
    }
}

async fn database_now<C: ConnectionTrait>(db: &C) -> Result<Timestamp, DbErr> {
    Ok(Timestamp::from_millis(dialect::database_time(db).await?))
}

/// Milliseconds by which a clock that read `before` and `after` is ahead (negative: behind) of the database's, which read
/// `database_time` in between. A difference that the time between the two readings can explain counts as 0.
fn difference(before: Timestamp, database_time: Timestamp, after: Timestamp) -> i64 {
    if database_time < before {
        before.millis().saturating_sub(database_time.millis())
    } else if after < database_time {
        after.millis().saturating_sub(database_time.millis())
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_skew_excludes_the_duration_of_the_query() {
        let at = Timestamp::from_millis;
        assert_eq!(difference(at(100), at(150), at(200)), 0);
        assert_eq!(difference(at(100), at(70), at(200)), 30, "ahead");
        assert_eq!(difference(at(100), at(270), at(200)), -70, "behind");
    }
}
