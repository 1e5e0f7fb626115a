//! Buffers denied attempts, alarms, and actions that may be repeated without limit, so that unauthenticated traffic cannot cause a
//! write for each request. The buffer is written each second. Equal attempts are merged: one event a minute, one an hour for alarms.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{
    Outage,
    audit::{
        Event, EventOutcome,
        context::{Action, Actor, AuditContext, RequestContext},
        reason::{AuditReason, EventDetail},
    },
    clock::Timestamp,
    id::{OrganizationId, SessionId},
    ports::MergedEvent,
};
use sea_orm::prelude::Uuid;
use tokio_util::sync::CancellationToken;

use crate::{audit::AuditStore, database::change_log::event};

/// From one write of the buffer to the next.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Equal attempts are written again after this many milliseconds: a minute, or for alarms an hour.
const DENIAL_PERIOD_MS: u64 = 60_000;
const ALARM_PERIOD_MS: u64 = 3_600_000;

/// Different attempts that are buffered for each organization and outcome. Further ones are counted in one event.
const MAX_DISTINCT: usize = 100;

/// Attempts with the same values are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AttemptKey {
    actor: Actor,
    session: Option<SessionId>,
    action: Action,
    detail: Option<EventDetail>,
    target: Uuid,
}

#[derive(Debug)]
struct PendingAttempts {
    /// The first attempt that is not written.
    context: AuditContext,
    /// Attempts that are not written.
    count: u64,
    written_at: Option<Timestamp>,
}

/// Attempts that are not written yet, and when equal ones were written last.
#[derive(Debug, Default)]
pub(crate) struct DenialBuffer {
    all: Mutex<HashMap<(OrganizationId, EventOutcome), HashMap<AttemptKey, PendingAttempts>>>,
    /// Events whose write has failed.
    unwritten: Mutex<BTreeMap<OrganizationId, Vec<Event>>>,
    /// Held during a write, so that a list of events which waits for it contains what is being written.
    writing: tokio::sync::Mutex<()>,
}

impl DenialBuffer {
    /// Buffers an attempt.
    pub(crate) fn record_merged(&self, attempt: MergedEvent) {
        let MergedEvent { context, outcome, detail, target } = attempt;
        let (organization, at) = (context.organization, context.at);
        let mut all = self.all();
        let of_organization = all.entry((organization, outcome)).or_default();
        let mut attempt_key = AttemptKey {
            actor: context.actor,
            session: context.origin.session,
            action: context.action,
            detail,
            target,
        };
        let mut context = context;
        if of_organization.len() >= MAX_DISTINCT && !of_organization.contains_key(&attempt_key) {
            // A client that tries everything does not displace the attempts of others, and does not fill the log.
            let (actor, action) = (Actor::Unknown, context.action);
            let (detail, target) = (Some(EventDetail::Reason(AuditReason::Others)), organization.uuid());
            attempt_key = AttemptKey { actor, session: None, action, detail, target };
            context =
                AuditContext { organization, actor, action, permission: None, origin: RequestContext::default(), at };
        }
        let gathered = of_organization.entry(attempt_key).or_insert_with(|| PendingAttempts {
            context: context.clone(),
            count: 0,
            written_at: None,
        });
        if gathered.count == 0 {
            gathered.context = context;
        }
        gathered.count += 1;
    }

    /// The events that are due at `now`; with `whole`, all of them.
    fn take(&self, now: Timestamp, whole: bool) -> BTreeMap<OrganizationId, Vec<Event>> {
        let mut due: BTreeMap<OrganizationId, Vec<Event>> = BTreeMap::new();
        self.all().retain(|(organization, outcome), of_organization| {
            let period = if *outcome == EventOutcome::Alarm { ALARM_PERIOD_MS } else { DENIAL_PERIOD_MS };
            of_organization.retain(|attempt_key, gathered| {
                let is_due = gathered.written_at.is_none_or(|written| now.is_after_period(written, period));
                if gathered.count == 0 {
                    return !is_due;
                }
                if is_due || whole {
                    let reason = attempt_key.detail.as_ref().map(|detail| detail.text().to_owned());
                    let event = event(&gathered.context, *outcome, reason, attempt_key.target, gathered.count);
                    due.entry(*organization).or_default().push(event);
                    (gathered.count, gathered.written_at) = (0, Some(now));
                }
                true
            });
            !of_organization.is_empty()
        });
        due
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(OrganizationId, EventOutcome), HashMap<AttemptKey, PendingAttempts>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditStore {
    /// Writes what is due each second until `stop`, and then the rest.
    pub(super) async fn run_denial_writer(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            if let Err(error) = self.write_denials(is_last).await {
                tracing::warn!(target: "claviger", %error, "writing audit events for denied requests failed");
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes the events that are due; with `whole`, all of them. Events whose write fails are written with the next ones.
    pub(crate) async fn write_denials(&self, whole: bool) -> Result<(), Outage> {
        let _turn = self.denials.writing.lock().await;
        let now = self.database.clocks.node_now();
        let unwritten = std::mem::take(&mut *self.denials.unwritten.lock().unwrap_or_else(PoisonError::into_inner));
        let mut due = self.denials.take(now, whole);
        for (organization, events) in unwritten {
            due.entry(organization).or_default().splice(0..0, events);
        }
        let mut failed = None;
        for (organization, events) in due {
            let kept = events.clone();
            let append = self.database.transaction(move |_, changed| {
                changed.log.append(organization, events.clone(), now);
                Box::pin(async { Ok(()) })
            });
            // A failure in the log of one organization does not stop the others.
            if let Err(failure) = append.await {
                failed = Some(failure);
                let mut unwritten = self.denials.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                unwritten.entry(organization).or_default().extend(kept.into_iter().take(3 * MAX_DISTINCT));
            }
        }
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: EventOutcome, n: u128) -> MergedEvent {
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        let (actor, action, origin) = (Actor::Unknown, Action::CreateKey, RequestContext::default());
        let at = Timestamp::from_millis(i64::try_from(n).expect("small"));
        let context = AuditContext { organization, actor, action, permission: None, origin, at };
        MergedEvent { context, outcome, detail: None, target: Uuid::from_u128(2) }
    }

    #[test]
    fn denied_requests_of_one_organization_are_bounded_and_evict_no_others() {
        let buffer = DenialBuffer::default();
        for n in 0..10_000 {
            buffer.record_merged(MergedEvent { target: Uuid::from_u128(n), ..attempt(EventOutcome::Denied, 1) });
        }
        buffer.record_merged(attempt(EventOutcome::Alarm, 1));
        let other = OrganizationId::from_uuid(Uuid::from_u128(9));
        let elsewhere = attempt(EventOutcome::Denied, 1);
        buffer.record_merged(MergedEvent {
            context: AuditContext { organization: other, ..elsewhere.context },
            ..elsewhere
        });
        let mut taken = buffer.take(Timestamp::from_millis(1), false);
        let of_organization = taken.remove(&OrganizationId::from_uuid(Uuid::from_u128(1))).expect("events");
        let refused: Vec<&Event> =
            of_organization.iter().filter(|event| event.outcome == EventOutcome::Denied).collect();
        assert_eq!((refused.len(), of_organization.len()), (MAX_DISTINCT + 1, MAX_DISTINCT + 2));
        assert_eq!(refused.iter().map(|event| event.count).sum::<u64>(), 10_000, "all are counted");
        assert_eq!(taken.get(&other).map(Vec::len), Some(1));
    }

    #[test]
    fn equal_denied_requests_are_merged_per_minute_and_alarms_per_hour() {
        let buffer = DenialBuffer::default();
        let taken = |millis, whole| -> Vec<(i64, EventOutcome, u64)> {
            let events = buffer.take(Timestamp::from_millis(millis), whole).into_values().flatten();
            let mut events: Vec<_> = events.map(|event| (event.at.millis(), event.outcome, event.count)).collect();
            events.sort_unstable_by_key(|event| event.0);
            events
        };
        assert_eq!(taken(0, true), []);
        buffer.record_merged(attempt(EventOutcome::Denied, 1));
        buffer.record_merged(attempt(EventOutcome::Denied, 2));
        buffer.record_merged(attempt(EventOutcome::Alarm, 3));
        assert_eq!(taken(1_000, false), [(1, EventOutcome::Denied, 2), (3, EventOutcome::Alarm, 1)]);
        for n in 4..8 {
            buffer.record_merged(attempt(EventOutcome::Denied, n));
        }
        buffer.record_merged(attempt(EventOutcome::Alarm, 9));
        assert_eq!(taken(60_999, false), [], "the minute has not ended");
        assert_eq!(taken(61_000, false), [(4, EventOutcome::Denied, 4)]);
        assert_eq!(taken(3_600_999, false), [], "nor is the hour");
        assert_eq!(taken(3_601_000, false), [(9, EventOutcome::Alarm, 1)]);
        buffer.record_merged(attempt(EventOutcome::Denied, 10));
        buffer.record_merged(attempt(EventOutcome::Denied, 11));
        assert_eq!(taken(3_601_001, false), [(10, EventOutcome::Denied, 2)]);
        buffer.record_merged(attempt(EventOutcome::Denied, 12));
        assert_eq!(taken(3_601_002, true), [(12, EventOutcome::Denied, 1)], "at the end nothing waits");
        assert_eq!(taken(99_999_999, false), []);
        assert!(buffer.all().is_empty(), "expired entries are removed");
    }
}
