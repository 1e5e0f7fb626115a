//! The clock of this process and PostgreSQL's: which of them decides that a row may be removed, and how far they differ.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering},
};

use domain::{
    Outage,
    clock::{Clock, Timestamp},
};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, Statement,
    sea_query::{Expr, SimpleExpr},
};
use tokio_util::sync::CancellationToken;

use crate::{Store, outage::Failure, retry};

/// PostgreSQL's time in milliseconds.
pub(crate) const DATABASE_TIME: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// How often the clocks are compared.
const COMPARE_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// A difference beyond this many milliseconds is warned about.
const WARN_BEYOND: u64 = 5_000;

/// A node whose clock differs by more than this many milliseconds is not ready, and purges nothing.
const WRONG_BEYOND: u64 = 60_000;

/// The clocks of a process and of its database.
#[derive(Clone)]
pub(crate) struct Clocks {
    node: Arc<dyn Clock>,
    /// Whether the database has a clock that decides: on PostgreSQL, but not in tests that move the time.
    has_database_clock: bool,
    skew: Arc<Skew>,
}

/// How far the clocks differ.
#[derive(Debug, Default)]
struct Skew {
    /// Milliseconds that the node's clock is ahead of the database's; negative: behind.
    millis: AtomicI64,
    /// What was logged last.
    logged: AtomicU8,
}

impl Clocks {
    pub(crate) fn new(node: Arc<dyn Clock>, has_database_clock: bool) -> Self {
        Self { node, has_database_clock, skew: Arc::default() }
    }

    pub(crate) fn has_database_clock(&self) -> bool {
        self.has_database_clock
    }

    /// By this process's clock.
    pub(crate) fn node_now(&self) -> Timestamp {
        self.node.now()
    }

    /// By the clock that decides what may be removed: the database's where it has one.
    pub(crate) async fn retention_now<C: ConnectionTrait>(&self, db: &C) -> Result<Timestamp, DbErr> {
        if self.has_database_clock { database_now(db).await } else { Ok(self.node.now()) }
    }

    /// `at`, which this process's clock said, and on PostgreSQL the time there where that is earlier, minus so many
    /// milliseconds, for a statement that removes what is older. So a node whose clock is ahead removes nothing early.
    pub(crate) fn no_later_than_database(&self, at: Timestamp, minus: i64) -> SimpleExpr {
        let at = at.plus_millis(-minus).millis();
        if self.has_database_clock {
            // As a subquery it is computed once for a statement, and an index can be used.
            Expr::cust_with_values(format!("LEAST($1, (SELECT {DATABASE_TIME} - {minus}))"), [at])
        } else {
            Expr::value(at)
        }
    }

    /// The time of the database for a row whose retention period begins now; `at` where it has no clock.
    pub(crate) fn database_time_or(&self, at: Timestamp) -> SimpleExpr {
        if self.has_database_clock { Expr::cust(DATABASE_TIME) } else { Expr::value(at.millis()) }
    }

    /// Seconds that this process's clock is ahead of the database's, by the last comparison; negative: behind.
    pub(crate) fn skew_seconds(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let millis = self.skew.millis.load(Ordering::Relaxed) as f64;
        millis / 1_000.0
    }

    /// Whether the last comparison found more than a minute between the clocks.
    pub(crate) fn are_far_apart(&self) -> bool {
        self.skew.millis.load(Ordering::Relaxed).unsigned_abs() > WRONG_BEYOND
    }

    /// Compares the clocks, and logs where that changes what is to be said about them.
    async fn compare<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if !self.has_database_clock {
            return Ok(());
        }
        let before = self.node.now();
        let there = database_now(db).await?;
        let after = self.node.now();
        let millis = difference(before, there, after);
        self.skew.millis.store(millis, Ordering::Relaxed);
        let apart = millis.unsigned_abs();
        let level = u8::from(apart > WARN_BEYOND) + u8::from(apart > WRONG_BEYOND);
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
                "the clock of this node differs from the database's by more than a minute: it is not ready and purges \
                 nothing until the clocks agree; synchronize it (NTP)"
            ),
        }
        Ok(())
    }
}

async fn database_now<C: ConnectionTrait>(db: &C) -> Result<Timestamp, DbErr> {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SELECT {DATABASE_TIME}"));
    let row = db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?;
    Ok(Timestamp::from_millis(row.try_get_by_index(0)?))
}

/// How many milliseconds a clock is ahead (negative: behind) that said `before` and `after` around the moment at which another
/// one said `there`. What may be due to the time between the two does not count.
fn difference(before: Timestamp, there: Timestamp, after: Timestamp) -> i64 {
    if there < before {
        before.millis().saturating_sub(there.millis())
    } else if after < there {
        after.millis().saturating_sub(there.millis())
    } else {
        0
    }
}

impl Store {
    /// Whether the clock of this process is within a minute of the database's, compared now. Always, where the database has
    /// none.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_clock_right(&self) -> Result<bool, Outage> {
        self.clocks.compare(&self.pools.verification).await.map_err(Failure::from)?;
        Ok(!self.clocks.are_far_apart())
    }

    /// Compares the clocks until `stop`.
    pub(crate) async fn watch_clock(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(COMPARE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let compare = async { Ok(self.clocks.compare(&self.pools.verification).await?) };
            if let Err(failure) = retry::in_time(self.pools.timeout, compare).await {
                tracing::debug!(target: "claviger", error = %Outage::from(failure), "the clocks could not be compared");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_time_between_does_not_explain_counts() {
        let at = Timestamp::from_millis;
        assert_eq!(difference(at(100), at(150), at(200)), 0);
        assert_eq!(difference(at(100), at(70), at(200)), 30, "ahead");
        assert_eq!(difference(at(100), at(270), at(200)), -70, "behind");
    }
}
