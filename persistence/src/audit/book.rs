//! What was refused, and what must not happen: gathered in memory, so that nobody who knocks makes us write, and written with
//! the next second. Those that are alike are one event a minute, alarms one an hour.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Outage,
    act::{Act, Action, Actor, Origin},
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

/// Different ones of an organization that are kept in mind, of refusals and of alarms each: further ones are told together.
const MOST: usize = 100;

/// The reason of what is told together.
const OTHERS: &str = "others";

/// What makes two alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    actor: Actor,
    session: Option<SessionId>,
    action: Action,
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
    all: Mutex<HashMap<(OrganizationId, Outcome), HashMap<Alike, Gathered>>>,
    /// What could not be written.
    left: Mutex<BTreeMap<OrganizationId, Vec<Event>>>,
    /// One writes at a time, so that what is being written is not told as absent.
    writing: tokio::sync::Mutex<()>,
}

impl Book {
    pub(crate) fn gather(&self, notable: Notable) {
        let Notable { act, outcome, reason, target } = notable;
        let (organization, at) = (act.organization, act.at);
        let mut all = self.all();
        let own = all.entry((organization, outcome)).or_default();
        let mut alike = Alike { actor: act.actor, session: act.origin.session, action: act.action, reason, target };
        let mut act = act;
        if own.len() >= MOST && !own.contains_key(&alike) {
            // Who tries everything does not push out what others did, and fills no log.
            let (actor, action) = (Actor::Unknown, act.action);
            let (reason, target) = (OTHERS.to_owned(), organization.uuid());
            alike = Alike { actor, session: None, action, reason, target };
            act = Act { organization, actor, action, permission: None, origin: Origin::default(), at };
        }
        let gathered = own.entry(alike).or_insert_with(|| Gathered { act: act.clone(), count: 0, written_at: None });
        if gathered.count == 0 {
            gathered.act = act;
        }
        gathered.count += 1;
    }

    /// The events that are due; with `whole`, whatever there is.
    fn take(&self, now: Timestamp, whole: bool) -> BTreeMap<OrganizationId, Vec<Event>> {
        let mut due: BTreeMap<OrganizationId, Vec<Event>> = BTreeMap::new();
        self.all().retain(|(organization, outcome), own| {
            let pause = if *outcome == Outcome::Alarm { ALARMS } else { REFUSALS };
            own.retain(|alike, gathered| {
                let is_over = gathered.written_at.is_none_or(|written| now.is_after_period(written, pause));
                if gathered.count == 0 {
                    return !is_over;
                }
                if is_over || whole {
                    let reason = Some(alike.reason.clone());
                    let event = super::event(&gathered.act, *outcome, reason, alike.target, gathered.count);
                    due.entry(*organization).or_default().push(event);
                    (gathered.count, gathered.written_at) = (0, Some(now));
                }
                true
            });
            !own.is_empty()
        });
        due
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(OrganizationId, Outcome), HashMap<Alike, Gathered>>> {
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

    /// Writes what is due, or with `whole` everything. What cannot be written is tried again with the next.
    pub(crate) async fn write_notables(&self, whole: bool) -> Result<(), Outage> {
        let _turn = self.notables.writing.lock().await;
        let now = self.clocks.node_now();
        let left = std::mem::take(&mut *self.notables.left.lock().unwrap_or_else(PoisonError::into_inner));
        let mut due = self.notables.take(now, whole);
        for (organization, events) in left {
            due.entry(organization).or_default().splice(0..0, events);
        }
        let mut failed = None;
        for (organization, events) in due {
            let kept = events.clone();
            let append = self.transaction(move |transaction, _| {
                let events = events.clone();
                Box::pin(async move { super::append(transaction, organization, events, now).await })
            });
            // One organization's log that cannot be written does not keep the others' from it.
            if let Err(failure) = append.await {
                failed = Some(failure);
                let mut left = self.notables.left.lock().unwrap_or_else(PoisonError::into_inner);
                left.entry(organization).or_default().extend(kept.into_iter().take(2 * MOST));
            }
        }
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notable(outcome: Outcome, n: u128) -> Notable {
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let (actor, action, origin) = (Actor::Unknown, Action::CreateKey, Origin::default());
        let at = Timestamp::from_millis(i64::try_from(n).expect("small"));
        let act = Act { organization, actor, action, permission: None, origin, at };
        Notable { act, outcome, reason: "r".to_owned(), target: Uuid::from_u128(2) }
    }

    #[test]
    fn who_tries_everything_fills_no_log_and_pushes_nobody_out() {
        let book = Book::default();
        for n in 0..10_000 {
            book.gather(Notable { target: Uuid::from_u128(n), ..notable(Outcome::Refused, 1) });
        }
        book.gather(notable(Outcome::Alarm, 1));
        let other = OrganizationId::from_uuid(Uuid::from_u128(9));
        let elsewhere = notable(Outcome::Refused, 1);
        book.gather(Notable { act: Act { organization: other, ..elsewhere.act }, ..elsewhere });
        let mut taken = book.take(Timestamp::from_millis(1), false);
        let own = taken.remove(&OrganizationId::from_uuid(Uuid::from_u128(1))).expect("events");
        let refused: Vec<&Event> = own.iter().filter(|event| event.outcome == Outcome::Refused).collect();
        assert_eq!((refused.len(), own.len()), (MOST + 1, MOST + 2));
        assert_eq!(refused.iter().map(|event| event.count).sum::<u64>(), 10_000, "all are counted");
        assert_eq!(taken.get(&other).map(Vec::len), Some(1));
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
