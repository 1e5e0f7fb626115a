//! Audit logs that were found changed. Each is reported in the log of the service once an hour, not with every run that finds it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{audit::IntegrityError, id::OrganizationId};

/// From one report of an audit log to the next.
const REPORT_INTERVAL: Duration = Duration::from_hours(1);

/// An audit log that was not found changed for this time no longer counts: it was repaired or removed. Runs are a minute apart.
const EXPIRES_AFTER: Duration = Duration::from_mins(10);

/// The most audit logs that are kept in memory. Further ones are neither reported nor counted until others are removed.
const MAX_LOGS: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct BrokenLog {
    reported_at: Instant,
    seen_at: Instant,
}

/// The audit logs that were found changed. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokenLogs(Arc<Mutex<HashMap<OrganizationId, BrokenLog>>>);

impl BrokenLogs {
    /// Records that an audit log was found changed, and reports it if an hour has passed since the last report.
    pub(crate) fn report(&self, organization: OrganizationId, broken: IntegrityError) {
        if self.is_due(organization, Instant::now()) {
            tracing::error!(
                target: "claviger", org_id = %organization, %broken,
                "the audit log of an organization was changed in the database; it gets no checkpoints and is not pruned: run \
                 `claviger audit verify`"
            );
        }
    }

    /// The number of audit logs that were found changed in the last ten minutes, at most 1,000.
    pub(crate) fn count(&self) -> usize {
        self.count_at(Instant::now())
    }

    fn count_at(&self, now: Instant) -> usize {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.values().filter(|found| now.duration_since(found.seen_at) < EXPIRES_AFTER).count()
    }

    fn is_due(&self, organization: OrganizationId, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get_mut(&organization) {
            let is_due = now.duration_since(found.reported_at) >= REPORT_INTERVAL;
            found.seen_at = now;
            if is_due {
                found.reported_at = now;
            }
            return is_due;
        }
        if all.len() >= MAX_LOGS {
            all.retain(|_, found| now.duration_since(found.seen_at) < EXPIRES_AFTER);
        }
        let has_room = all.len() < MAX_LOGS;
        if has_room {
            all.insert(organization, BrokenLog { reported_at: now, seen_at: now });
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::Uuid;

    use super::*;

    #[test]
    fn a_broken_log_is_reported_once_an_hour() {
        let (logs, start) = (BrokenLogs::default(), Instant::now());
        let organization = |n| OrganizationId::from_uuid(Uuid::from_u128(n));
        let at = |minutes| start + Duration::from_mins(minutes);
        let named: Vec<u64> = (0..130).filter(|minute| logs.is_due(organization(1), at(*minute))).collect();
        assert_eq!(named, [0, 60, 120]);
        assert!(logs.is_due(organization(2), at(130)), "another log");
        assert_eq!((logs.count_at(at(130)), logs.count_at(at(139)), logs.count_at(at(140))), (2, 1, 0));
    }

    #[test]
    fn the_number_of_reported_broken_logs_is_bounded() {
        let (logs, start) = (BrokenLogs::default(), Instant::now());
        let organization = |n: usize| OrganizationId::from_uuid(Uuid::from_u128(n as u128));
        let named = (0..3 * MAX_LOGS).filter(|n| logs.is_due(organization(*n), start)).count();
        assert_eq!((named, logs.count_at(start)), (MAX_LOGS, MAX_LOGS));
        assert!(logs.is_due(organization(3 * MAX_LOGS), start + EXPIRES_AFTER), "the others no longer count");
    }
}
