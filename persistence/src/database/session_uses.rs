//! The last uses of sessions, which are written in the background: no request waits for them, and a session that is used often is
//! written once a minute.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::clock::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Uuid, sea_query::Expr};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{connect::Pools, error::DbFailure, retry},
    rows::entity::session,
    workers::Workers,
};

/// From one flush to the next.
const FLUSH_INTERVAL: Duration = Duration::from_millis(700);

/// Uses that are buffered while the database is unavailable. Those of further sessions are dropped.
const MAX_BUFFERED: usize = 100_000;

/// The most sessions in one transaction.
const MAX_SESSIONS: usize = 100;

/// The last uses of sessions that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct SessionUses(Mutex<BTreeMap<Uuid, i64>>);

impl SessionUses {
    /// Notes a use. Of several uses of a session, the latest counts.
    pub(crate) fn add(&self, session: Uuid, at: Timestamp) {
        let mut uses = self.lock();
        if uses.len() < MAX_BUFFERED || uses.contains_key(&session) {
            uses.entry(session).and_modify(|last| *last = at.millis().max(*last)).or_insert(at.millis());
        }
    }

    /// Puts a buffered use into a row that was read.
    pub(crate) fn complete(&self, mut row: session::Model) -> session::Model {
        if let Some(last) = self.lock().get(&row.id) {
            row.last_used_at = row.last_used_at.max(*last);
        }
        row
    }

    /// Starts the worker that writes the uses, and once more when it stops.
    pub(crate) fn spawn(self: &Arc<Self>, pools: &Pools, workers: &Workers) {
        workers.spawn(self.clone().run(pools.clone(), workers.stop.clone()));
    }

    async fn run(self: Arc<Self>, pools: Pools, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            if let Err(failure) = self.flush(&pools).await {
                let error = domain::Outage::from(failure);
                pools.health.observe_outage(&error);
                tracing::warn!(target: "claviger", %error, "writing the last uses of sessions failed; they are kept and retried");
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes all buffered uses. They stay buffered until they are written, so that this process always finds them.
    async fn flush(&self, pools: &Pools) -> Result<(), DbFailure> {
        let uses: Vec<(Uuid, i64)> = self.lock().iter().map(|(session, last)| (*session, *last)).collect();
        for chunk in uses.chunks(MAX_SESSIONS) {
            retry::retry_in_time(pools.timeout, async || {
                // Before the uses are written and not after: no caller waits for them.
                pools.confirm_commit()?;
                let transaction = pools.begin_counting().await?;
                for (session, last) in chunk {
                    // Another node may have written a later use.
                    session::Entity::update_many()
                        .col_expr(session::Column::LastUsedAt, Expr::value(*last))
                        .filter(session::Column::Id.eq(*session))
                        .filter(session::Column::LastUsedAt.lt(*last))
                        .exec(&transaction)
                        .await?;
                }
                Ok(transaction.commit().await?)
            })
            .await?;
            let mut buffered = self.lock();
            for (session, last) in chunk {
                if buffered.get(session) == Some(last) {
                    buffered.remove(session);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
