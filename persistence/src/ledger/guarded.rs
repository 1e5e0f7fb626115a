//! Counting by guarding: one statement writes what known keys become, where they still are what is known. Nothing is read
//! before, and there is no transaction around it; a key for which the guard failed is left to [`super::locked`].
//!
//! With our own clock (SQLite, where this process is the only one that counts) every known key can be counted so, and one
//! that has nothing left is refused without asking. On PostgreSQL the time is the database's, which is not known before the
//! statement: keys that go by time are left.

use std::collections::HashMap;

use domain::{clock::Timestamp, verdict::Spent};
use sea_orm::{ConnectionTrait, DbBackend, prelude::Uuid};

use super::{Ask, Batch, Ledger, Lost, answer, assignments, state::Served};
use crate::{clocks::DATABASE_TIME, convert, outage::Failure, set::Set};

/// The uses of a key, with what comes of them if the guard holds.
struct Guess {
    id: Uuid,
    asks: Vec<Ask>,
    before: super::State,
    served: Served,
}

impl Ledger {
    /// Counts and answers the uses of known keys. Gives the others back.
    pub(super) async fn count_guarded(&mut self, batch: Batch) -> Result<Batch, Lost> {
        let now = self.clock.as_ref().map(|clock| clock.now());
        let mut rest = Batch::new();
        let mut guesses = Vec::new();
        for (id, asks) in batch {
            let known = self.known.get(&id).filter(|known| asks.iter().all(|ask| known.is_of(ask)));
            let Some(before) = known.copied().filter(|known| now.is_some() || !known.goes_by_time()) else {
                rest.insert(id, asks);
                continue;
            };
            let served = before.serve(&asks, now.unwrap_or(Timestamp::from_millis(0)));
            if served.admitted > 0 {
                guesses.push(Guess { id, asks, before, served });
            } else if now.is_some() {
                answer(asks, served.answers);
            } else {
                rest.insert(id, asks);
            }
        }
        if guesses.is_empty() {
            return Ok(rest);
        }
        match self.in_time(|| self.write(&guesses, now)).await {
            Ok(written) => {
                for Guess { id, asks, served, .. } in guesses {
                    if let Some(at) = written.get(&id) {
                        self.known.put(id, served.after);
                        answer(asks, served.answers.into_iter().map(|spent| counted_at(spent, *at)).collect());
                    } else {
                        self.known.pop(&id);
                        rest.insert(id, asks);
                    }
                }
            }
            Err(failure) => {
                for guess in &guesses {
                    self.known.pop(&guess.id);
                }
                let asks = guesses.into_iter().flat_map(|guess| guess.asks);
                return Err(Lost { failure, asks: asks.chain(rest.into_values().flatten()).collect() });
            }
        }
        Ok(rest)
    }

    /// One statement. Answers the keys for which the guard held, each with when it was written.
    async fn write(&self, guesses: &[Guess], now: Option<Timestamp>) -> Result<HashMap<Uuid, Timestamp>, Failure> {
        let backend = self.pools.ledger.get_database_backend();
        let column = |value: &dyn Fn(&Guess) -> Option<i64>| guesses.iter().map(value).collect::<Vec<_>>();
        let after = |value: fn(&domain::quota::Quota) -> Option<i64>| column(&|guess| value(&guess.served.after.quota));
        let before = |value: fn(&domain::quota::Quota) -> Option<i64>| column(&|guess| value(&guess.before.quota));
        let remaining: fn(&domain::quota::Quota) -> Option<i64> = |quota| quota.remaining.map(convert::number);
        let refilled: fn(&domain::quota::Quota) -> Option<i64> = |quota| quota.last_refill_at.map(Timestamp::millis);
        let start: fn(&domain::quota::Quota) -> Option<i64> = |quota| quota.window_start.map(Timestamp::millis);
        let count: fn(&domain::quota::Quota) -> Option<i64> = |quota| Some(convert::number(quota.window_count));
        let set = Set::new(
            guesses.iter().map(|guess| guess.id).collect(),
            vec![
                ("remaining", after(remaining)),
                ("last_refill_at", after(refilled)),
                ("window_start", after(start)),
                ("window_count", after(count)),
                ("was_remaining", before(remaining)),
                ("was_refilled", before(refilled)),
                ("was_start", before(start)),
                ("was_count", before(count)),
                ("version", column(&|guess| Some(guess.before.version))),
                ("requests", column(&|guess| Some(convert::number(guess.before.requests)))),
                ("admitted", column(&|guess| Some(convert::number(guess.served.admitted)))),
                ("now", column(&|_| now.map(Timestamp::millis))),
            ],
        );
        let clock = match (backend, now) {
            (DbBackend::Postgres, None) => DATABASE_TIME,
            _ => "s.now",
        };
        let guard = format!(
            "AND api_keys.version = s.version AND enabled AND (expires_at IS NULL OR expires_at > {clock}) \
             AND request_count = s.requests AND api_keys.remaining IS NOT DISTINCT FROM s.was_remaining \
             AND api_keys.last_refill_at IS NOT DISTINCT FROM s.was_refilled \
             AND api_keys.window_start IS NOT DISTINCT FROM s.was_start AND api_keys.window_count = s.was_count"
        );
        // Not the last use that is stored: a clock that was wrong may have left one that is to come.
        let returning = match now {
            None => format!("RETURNING api_keys.id AS id, {clock} AS at"),
            Some(_) => "RETURNING api_keys.id AS id".to_owned(),
        };
        let rows =
            self.pools.ledger.query_all_raw(set.update(backend, &assignments(clock), &guard, &returning)).await?;
        self.pools.confirm_commit()?;
        let written = rows.iter().map(|row| {
            let at = now.map_or_else(|| row.try_get("", "at").map(Timestamp::from_millis), Ok)?;
            Ok((row.try_get("", "id")?, at))
        });
        written.collect()
    }
}

/// The answer with the time that the database took.
fn counted_at(spent: Spent, at: Timestamp) -> Spent {
    match spent {
        Spent::Admitted { quota, request_count, at: _ } => Spent::Admitted { quota, request_count, at },
        other => other,
    }
}
