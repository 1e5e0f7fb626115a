//! Optimistic counting: one statement writes the next states of keys whose states are cached, on the condition that their rows
//! still have the cached states. It reads nothing first. A large batch is several statements in one transaction. Keys whose rows have
//! changed are left to [`super::pessimistic`].
//!
//! The database's time decides, which is not known before the statement: keys with a refill or a rate limit are left. With a
//! clock of this process, which tests use, each key with a cached state can be counted so, and an exhausted one is refused
//! without a statement.

use std::collections::HashMap;

use domain::{clock::Timestamp, deny_reason::DenyReason, verify::result::ConsumeOutcome};
use sea_orm::{
    prelude::Uuid,
    sqlx::{self, Row},
};

use super::{RowWriter, assignments, connection::LedgerConnection};
use crate::{
    counter_states::State,
    db::{
        dialect::{Dialect, bulk_update::BulkUpdate},
        error::{DbFailure, query_error},
        retry,
    },
    ledger::{Failed, RequestsByKey, SpendRequest, answer, state::Served},
    rows::{convert, counter_journal::KeyCounters},
};

/// The requests for a key, and what they make of it if its row has not changed.
struct OptimisticUpdate {
    id: Uuid,
    requests: Vec<SpendRequest>,
    before: State,
    served: Served,
}

impl RowWriter {
    /// Counts and answers the requests for keys with a known state. Returns the others.
    pub(super) async fn count_optimistically(
        &self,
        batch: RequestsByKey,
        states: &mut HashMap<Uuid, State>,
        connection: &LedgerConnection,
    ) -> Result<RequestsByKey, Failed> {
        let now = self.clock.as_ref().map(|clock| clock.now());
        let mut rest = RequestsByKey::new();
        let mut updates = Vec::new();
        for (id, requests) in batch {
            let known = states.get(&id).filter(|state| requests.iter().all(|request| state.matches_version(request)));
            let Some(before) = known.copied().filter(|state| now.is_some() || !state.depends_on_time()) else {
                rest.insert(id, requests);
                continue;
            };
            let served = before.serve(&requests, now.unwrap_or(Timestamp::from_millis(0)));
            if served.admitted > 0 {
                updates.push(OptimisticUpdate { id, requests, before, served });
            } else if now.is_some() {
                answer(requests, served.answers);
            } else {
                rest.insert(id, requests);
            }
        }
        if updates.is_empty() {
            return Ok(rest);
        }
        match retry::retry_in_time(self.pools.timeout, || self.write(&updates, now, connection)).await {
            Ok(written) => {
                for OptimisticUpdate { id, requests, before, served } in updates {
                    if let Some(at) = written.get(&id) {
                        states.insert(id, served.after);
                        // The condition was evaluated before the statement waited for the lock of the row.
                        let is_expired = before.expires_at.is_some_and(|end| at.millis() >= end);
                        if is_expired {
                            let expired = || ConsumeOutcome::Denied(DenyReason::KeyExpired);
                            answer(requests, served.answers.iter().map(|_| expired()).collect());
                            continue;
                        }
                        answer(requests, served.answers.into_iter().map(|outcome| counted_at(outcome, *at)).collect());
                    } else {
                        states.remove(&id);
                        rest.insert(id, requests);
                    }
                }
            }
            Err(failure) => {
                for update in &updates {
                    states.remove(&update.id);
                }
                let requests = updates.into_iter().flat_map(|update| update.requests);
                return Err(Failed { failure, requests: requests.chain(rest.into_values().flatten()).collect() });
            }
        }
        Ok(rest)
    }

    /// Writes the updates, all or none. Returns the keys whose rows had not changed, each with the time of the write.
    async fn write(
        &self,
        updates: &[OptimisticUpdate],
        now: Option<Timestamp>,
        connection: &LedgerConnection,
    ) -> Result<HashMap<Uuid, Timestamp>, DbFailure> {
        let counters =
            |state: fn(&OptimisticUpdate) -> &State| updates.iter().map(|update| state(update).counters()).collect();
        let before: Vec<KeyCounters> = counters(|update| &update.before);
        let after: Vec<KeyCounters> = counters(|update| &update.served.after);
        let column =
            |counters: &[KeyCounters], get: fn(&KeyCounters) -> Option<i64>| counters.iter().map(get).collect();
        let update = BulkUpdate::new(
            updates.iter().map(|update| update.id).collect(),
            vec![
                ("remaining", column(&after, |counters| counters.remaining)),
                ("last_refill_at", column(&after, |counters| counters.last_refill_at)),
                ("window_start", column(&after, |counters| counters.window_start)),
                ("window_count", column(&after, |counters| Some(counters.window_count))),
                ("was_remaining", column(&before, |counters| counters.remaining)),
                ("was_refilled", column(&before, |counters| counters.last_refill_at)),
                ("was_start", column(&before, |counters| counters.window_start)),
                ("was_count", column(&before, |counters| Some(counters.window_count))),
                ("version", column(&before, |counters| Some(counters.version))),
                ("requests", column(&before, |counters| Some(counters.request_count))),
                ("admitted", updates.iter().map(|update| Some(convert::number(update.served.admitted))).collect()),
                ("now", vec![now.map(Timestamp::millis); updates.len()]),
            ],
        );
        let clock = Dialect::of(&self.pools.ledger).ledger_clock(now.is_some());
        let guard = format!(
            "AND api_keys.version = s.version AND enabled AND (expires_at IS NULL OR expires_at > {clock}) \
             AND request_count = s.requests AND api_keys.remaining IS NOT DISTINCT FROM s.was_remaining \
             AND api_keys.last_refill_at IS NOT DISTINCT FROM s.was_refilled \
             AND api_keys.window_start IS NOT DISTINCT FROM s.was_start AND api_keys.window_count = s.was_count"
        );
        // Not `last_request_at`: if the clock was wrong before, that may be in the future.
        let returning = match now {
            None => format!("RETURNING api_keys.id AS id, {clock} AS at"),
            Some(_) => "RETURNING api_keys.id AS id".to_owned(),
        };
        let rows =
            connection.execute(update.updates(&self.pools.ledger, &assignments(clock), &guard, &returning)).await?;
        let written = rows.iter().map(|row| {
            let at = now.map_or_else(|| row.try_get("at").map(Timestamp::from_millis), Ok)?;
            Ok((row.try_get("id")?, at))
        });
        Ok(written.collect::<Result<_, sqlx::Error>>().map_err(query_error)?)
    }
}

/// The outcome with the time of the write.
fn counted_at(outcome: ConsumeOutcome, at: Timestamp) -> ConsumeOutcome {
    match outcome {
        ConsumeOutcome::Admitted { quota, request_count, at: _ } => {
            ConsumeOutcome::Admitted { quota, request_count, at }
        }
        other => other,
    }
}
