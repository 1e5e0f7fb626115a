//! Keeps PostgreSQL's statistics of tables that grow fast up to date. Its own worker for that, autovacuum, looks at a table once a
//! minute at most, and may be off. Until then the server plans lists of a new database as if the tables were still empty.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{connect::Pools, dialect::Dialect, error::DbFailure, retry},
    workers::Workers,
};

/// From one look at the tables to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// Makes the nodes take turns.
const TRY_LOCK: &str = "SELECT pg_try_advisory_xact_lock(7161747672652102) AS has_turn";

/// The tables of the service that have at least doubled since their statistics were computed, and that this user may analyze. Those
/// with fewer than a thousand changes are small enough for any plan.
const GROWN: &str = "SELECT quote_ident(c.relname) AS name FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid \
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('api_keys')) \
    AND s.n_mod_since_analyze > greatest(1000, c.reltuples) AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1";

/// Starts the worker on PostgreSQL.
pub(crate) fn spawn(pools: &Pools, workers: &Workers) {
    if Dialect::of(&pools.write).is_shared() {
        workers.spawn(run(pools.clone(), workers.stop.clone()));
    }
}

async fn run(pools: Pools, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let update = retry::in_time(pools.change_timeout, update(&pools));
        tokio::select! {
            outcome = update => if let Err(failure) = outcome {
                let error = domain::Outage::from(failure);
                tracing::debug!(target: "claviger", %error, "updating the statistics of grown tables failed; it is retried");
            },
            () = stop.cancelled() => return,
        }
    }
}

/// Computes the statistics of all tables that have grown, unless another node does. Returns how many.
pub(crate) async fn update(pools: &Pools) -> Result<usize, DbFailure> {
    if !Dialect::of(&pools.write).is_shared() {
        return Ok(0);
    }
    let transaction = pools.begin().await?;
    let query = |sql| Statement::from_string(DbBackend::Postgres, sql);
    let has_turn = transaction.query_one_raw(query(TRY_LOCK)).await?;
    if !has_turn.map_or(Ok(false), |row| row.try_get("", "has_turn"))? {
        return Ok(0);
    }
    let grown = transaction.query_all_raw(query(GROWN)).await?;
    for row in &grown {
        let name: String = row.try_get("", "name")?;
        transaction.execute_unprepared(&format!("ANALYZE {name}")).await?;
    }
    transaction.commit().await?;
    Ok(grown.len())
}
