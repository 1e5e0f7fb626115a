//! Optimistic counting: one statement writes the next states of keys whose states are cached, on the condition that their rows
//! still have the cached states. It reads nothing first. A large batch is several statements in one transaction. Keys whose rows have
//! changed are left to [`super::pessimistic`].
//!
//! The database's time decides, which is not known before the statement. The next states are computed for an estimated time, and are
//! written if the database's time is before the end of the window and of the refill interval ([`Quota::unchanged_until`]). Keys are left
//! if a use begins a window or refills, or a request is refused: these results depend on the exact time.
//!
//! [`Quota::unchanged_until`]: domain::keys::quota::Quota::unchanged_until

use std::{collections::HashMap, sync::LazyLock};

use domain::{clock::Timestamp, deny_reason::DenyReason, verify::result::ConsumeOutcome};
use sea_orm::{
    prelude::Uuid,
    sqlx::{self, AssertSqlSafe, Postgres, Row, postgres::PgArguments, query::Query},
};

use super::{RowWriter, connection::LedgerConnection};
use crate::{
    counter_states::State,
    db::{
        dialect::DATABASE_TIME,
        error::{DbFailure, query_error},
        message_size::MAX_PARAMETER_BYTES,
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
    /// The end of the time for which `served` holds: the key expires, or a use begins a window or refills.
    until: Timestamp,
}

impl OptimisticUpdate {
    /// What the requests make of a key with this state. Gives them back if that depends on more than the state.
    fn new(
        id: Uuid,
        requests: Vec<SpendRequest>,
        state: Option<&State>,
        estimated: Option<Timestamp>,
    ) -> Result<Self, Vec<SpendRequest>> {
        let is_current = |state: &&State| requests.iter().all(|request| state.matches_version(request));
        let known = state.filter(is_current).zip(estimated);
        let Some((before, now)) = known else { return Err(requests) };
        let Some(until) = before.quota.unchanged_until(now) else { return Err(requests) };
        let served = before.serve(&requests, now);
        if served.admitted < requests.len() as u64 {
            return Err(requests);
        }
        let until = until.no_later_than(before.expires_at.map(Timestamp::from_millis));
        Ok(Self { id, requests, before: *before, served, until })
    }

    /// Answers the requests, which were counted at this time.
    fn answer(self, at: Timestamp) {
        let Self { requests, before, served, .. } = self;
        let outcome = |outcome| match outcome {
            // The condition was evaluated before the statement waited for the lock of the row.
            _ if before.expires_at.is_some_and(|end| at.millis() >= end) => {
                ConsumeOutcome::Denied(DenyReason::KeyExpired)
            }
            // The use was counted in a window or interval that has ended, or that was begun by a wrong clock. If it were valid now, it
            // would exceed the limit of the next one.
            _ if before.quota.unchanged_until(at).is_none() => ConsumeOutcome::Changed,
            ConsumeOutcome::Admitted { quota, request_count, at: _ } => {
                ConsumeOutcome::Admitted { quota, request_count, at }
            }
            // Does not happen: all requests are admitted.
            refused => refused,
        };
        answer(requests, served.answers.into_iter().map(outcome).collect());
    }
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
        let estimated = now.or_else(|| self.database_clock.estimate());
        let mut rest = RequestsByKey::new();
        let mut updates = Vec::new();
        for (id, requests) in batch {
            match OptimisticUpdate::new(id, requests, states.get(&id), estimated) {
                Ok(update) => updates.push(update),
                Err(requests) => {
                    rest.insert(id, requests);
                }
            }
        }
        if updates.is_empty() {
            return Ok(rest);
        }
        match retry::retry_in_time(self.pools.timeout, || self.write(&updates, now, connection)).await {
            Ok(written) => {
                for update in updates {
                    if let Some(at) = written.get(&update.id) {
                        states.insert(update.id, update.served.after);
                        update.answer(*at);
                    } else {
                        states.remove(&update.id);
                        rest.insert(update.id, update.requests);
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
        let statements: Vec<_> = updates.chunks(MAX_KEYS).map(|updates| UpdateStatement::new(updates, now)).collect();
        let rows = connection.execute(&statements).await?;
        let written = rows.iter().map(|row| Ok((row.try_get(0)?, Timestamp::from_millis(row.try_get(1)?))));
        let written: HashMap<Uuid, Timestamp> = written.collect::<Result<_, sqlx::Error>>().map_err(query_error)?;
        if let Some(at) = written.values().max() {
            self.database_clock.observe(*at);
        }
        Ok(written)
    }
}

/// The SQL of an [`UpdateStatement`]. The rows are updated in the order of the parameters, because the ledger's connections only join
/// row by row (`Plans::RowByRow`). That is the order of the ids, in which all other statements lock them, so that two transactions do
/// not deadlock. The time that is returned is not `last_request_at`: if the clock was wrong before, that may be in the future.
///
/// The limits of a row are those of the known state if `version`, `request_count`, `remaining` and `window_count` are: each use
/// increases `request_count`, and each other change of a limit or counter increases `version`.
static SQL: LazyLock<String> = LazyLock::new(|| {
    let clock = format!("COALESCE($9::bigint, {DATABASE_TIME})");
    format!(
        "UPDATE api_keys SET remaining = ($6::bigint[])[n], request_count = request_count + ($7::bigint[])[n], \
         window_count = CASE WHEN rate_limit_max IS NULL THEN window_count ELSE window_count + ($7::bigint[])[n] END, \
         last_request_at = GREATEST(last_request_at, {clock}) \
         FROM unnest($1::uuid[]) WITH ORDINALITY AS s(id, n) \
         WHERE api_keys.id = s.id AND enabled AND version = ($2::bigint[])[n] AND request_count = ($3::bigint[])[n] \
         AND remaining IS NOT DISTINCT FROM ($4::bigint[])[n] AND window_count = ($5::bigint[])[n] \
         AND {clock} < ($8::bigint[])[n] \
         RETURNING api_keys.id, {clock}"
    )
});

/// The statement that writes the next states of keys, and its parameters. Those with several values have one for each key. They are
/// arrays in the driver's binary format, which take the server less time than JSON.
pub(super) struct UpdateStatement {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    requests: Vec<i64>,
    remaining_before: Vec<Option<i64>>,
    window_count_before: Vec<i64>,
    remaining: Vec<Option<i64>>,
    admitted: Vec<i64>,
    until: Vec<i64>,
    /// `None`: the database's time.
    now: Option<i64>,
}

/// How long a row may take to be written after the condition was evaluated, in milliseconds. Uses that are written after the end of
/// the window are counted twice, so those at its very end are left.
const WRITE_TIME: i64 = 5;

/// The bytes of a key in the parameters of an [`UpdateStatement`]: each value has its length in front.
const BYTES_PER_KEY: usize = (4 + 16) + 7 * (4 + 8);

/// The most keys of an [`UpdateStatement`].
const MAX_KEYS: usize = MAX_PARAMETER_BYTES / BYTES_PER_KEY;

impl UpdateStatement {
    fn new(updates: &[OptimisticUpdate], now: Option<Timestamp>) -> Self {
        let (before, after): (Vec<KeyCounters>, Vec<KeyCounters>) =
            updates.iter().map(|update| (update.before.counters(), update.served.after.counters())).unzip();
        Self {
            ids: updates.iter().map(|update| update.id).collect(),
            versions: before.iter().map(|counters| counters.version).collect(),
            requests: before.iter().map(|counters| counters.request_count).collect(),
            remaining_before: before.iter().map(|counters| counters.remaining).collect(),
            window_count_before: before.iter().map(|counters| counters.window_count).collect(),
            remaining: after.iter().map(|counters| counters.remaining).collect(),
            admitted: updates.iter().map(|update| convert::number(update.served.admitted)).collect(),
            until: updates.iter().map(|update| update.until.plus_millis(-WRITE_TIME).millis()).collect(),
            now: now.map(Timestamp::millis),
        }
    }

    /// The statement with its parameters. Its rows have the id of a key and the time of the write (milliseconds since the Unix epoch).
    pub(super) fn query(&self) -> Query<'_, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(SQL.as_str()))
            .bind(self.ids.as_slice())
            .bind(self.versions.as_slice())
            .bind(self.requests.as_slice())
            .bind(self.remaining_before.as_slice())
            .bind(self.window_count_before.as_slice())
            .bind(self.remaining.as_slice())
            .bind(self.admitted.as_slice())
            .bind(self.until.as_slice())
            .bind(self.now)
    }
}
