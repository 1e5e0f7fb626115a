//! What was refused, and what must not happen: gathered in memory, so that nobody who knocks makes us write, and written with
//! the next second. Those that are alike are one event a minute, alarms one an hour.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Outage,
    act::{Act, Action, Actor},
    audit::{Event, Outcome},
    clock::Timestamp,
    id::{OrganizationId, SessionId},
    ports::Notable,
};
use sea_orm::prelude::Uuid;
use tokio_util::sync::CancellationToken;

use crate::Store;

/// From one writing to the next.
const EVERY: Duration = Duration::from_secs(1);

/// The same may be written again after so many milliseconds.
const REFUSALS: u64 = 60_000;
const ALARMS: u64 = 3_600_000;

/// Different ones that are kept in mind; further ones are counted with one line in the log of the service.
const MOST: usize = 10_000;

/// What makes two alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    organization: OrganizationId,
    actor: Actor,
    session: Option<SessionId>,
    action: Action,
    outcome: Outcome,
    reason: String,
    target: Uuid,
}

#[derive(Debug)]
struct Gathered {
    /// The first that is not written.
    act: Act,
    count: u64,
    written_at: Option<Timestamp>,
}

/// What is not written yet, and what was written a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Book {
    all: Mutex<HashMap<Alike, Gathered>>,
    /// One writes at a time, so that what is being written is not told as absent.
    writing: tokio::sync::Mutex<()>,
}

impl Book {
    pub(crate) fn gather(&self, notable: Notable) {
        let Notable { act, outcome, reason, target } = notable;
        let Act { organization, actor, action, .. } = act;
        let alike = Alike { organization, actor, session: act.origin.session, action, outcome, reason, target };
        let mut all = self.all();
        if all.len() >= MOST && !all.contains_key(&alike) {
            tracing::warn!(target: "claviger", action = action.code(), "too much is refused at once to be noted");
            return;
        }
        let gathered = all.entry(alike).or_insert_with(|| Gathered { act: act.clone(), count: 0, written_at: None });
        if gathered.count == 0 {
            gathered.act = act;
        }
        gathered.count += 1;
    }

    /// The events that are due; with `all`, whatever there is.
    fn take(&self, now: Timestamp, whole: bool) -> BTreeMap<OrganizationId, Vec<Event>> {
        let mut due: BTreeMap<OrganizationId, Vec<Event>> = BTreeMap::new();
        self.all().retain(|alike, gathered| {
            let pause = if alike.outcome == Outcome::Alarm { ALARMS } else { REFUSALS };
            let is_over = gathered.written_at.is_none_or(|written| now.millis_since(written) >= pause);
            if gathered.count == 0 {
                return !is_over;
            }
            if is_over || whole {
                let reason = Some(alike.reason.clone());
                let event = super::event(&gathered.act, alike.outcome, reason, alike.target, gathered.count);
                due.entry(alike.organization).or_default().push(event);
                (gathered.count, gathered.written_at) = (0, Some(now));
            }
            true
        });
        due
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Alike, Gathered>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Writes what was gathered until `stop`, and then the rest.
    pub(crate) async fn keep_book(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            if let Err(error) = self.write_notables(is_last).await {
                tracing::warn!(target: "claviger", %error, "what was refused could not be noted");
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes what is due, or with `whole` everything. What cannot be written is lost: it was refused all the same.
    pub(crate) async fn write_notables(&self, whole: bool) -> Result<(), Outage> {
        let _turn = self.notables.writing.lock().await;
        for (organization, events) in self.notables.take(self.clock.now(), whole) {
            let append = self.transaction(move |transaction, _| {
                let events = events.clone();
                Box::pin(async move { super::append(transaction, organization, events).await })
            });
            append.await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::act::Origin;

    use super::*;

    fn notable(outcome: Outcome, n: u128) -> Notable {
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let (actor, action, origin) = (Actor::Unknown, Action::CreateKey, Origin::default());
        let at = Timestamp::from_millis(i64::try_from(n).expect("small"));
        let act = Act { organization, actor, action, permission: None, origin, at };
        Notable { act, outcome, reason: "r".to_owned(), target: Uuid::from_u128(2) }
    }

    #[test]
    fn what_is_alike_is_one_event_a_minute_or_an_hour() {
        let book = Book::default();
        let taken = |millis, whole| -> Vec<(i64, Outcome, u64)> {
            let events = book.take(Timestamp::from_millis(millis), whole).into_values().flatten();
            let mut events: Vec<_> = events.map(|event| (event.at.millis(), event.outcome, event.count)).collect();
            events.sort_unstable_by_key(|event| event.0);
            events
        };
        assert_eq!(taken(0, true), []);
        book.gather(notable(Outcome::Refused, 1));
        book.gather(notable(Outcome::Refused, 2));
        book.gather(notable(Outcome::Alarm, 3));
        assert_eq!(taken(1_000, false), [(1, Outcome::Refused, 2), (3, Outcome::Alarm, 1)]);
        for n in 4..8 {
            book.gather(notable(Outcome::Refused, n));
        }
        book.gather(notable(Outcome::Alarm, 9));
        assert_eq!(taken(60_999, false), [], "the minute is not over");
        assert_eq!(taken(61_000, false), [(4, Outcome::Refused, 4)]);
        assert_eq!(taken(3_600_999, false), [], "nor is the hour");
        assert_eq!(taken(3_601_000, false), [(9, Outcome::Alarm, 1)]);
        book.gather(notable(Outcome::Refused, 10));
        book.gather(notable(Outcome::Refused, 11));
        assert_eq!(taken(3_601_001, false), [(10, Outcome::Refused, 2)]);
        book.gather(notable(Outcome::Refused, 12));
        assert_eq!(taken(3_601_002, true), [(12, Outcome::Refused, 1)], "at the end nothing waits");
        assert_eq!(taken(99_999_999, false), []);
        assert!(book.all().is_empty(), "what is long over is forgotten");
    }
}
