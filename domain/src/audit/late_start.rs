//! Logs that begin too late: events may be missing from the beginning, which leaves no gap between the remaining
//! events.

use crate::{
    audit::{Front, MAX_UNSIGNED_MS},
    clock::Timestamp,
    id::OrganizationId,
};

/// Why events may be missing from the beginning of a log. A log begins when its organization is created, or after the
/// last event that retention removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateStart {
    /// No event was removed, and the first event is more than ten minutes later than the creation of the organization.
    FirstEvent {
        /// When the organization was created.
        created_at: Timestamp,
        /// When the first event was written.
        first_at: Timestamp,
    },
    /// Events were removed, and the first checkpoint is more than ten minutes later than the signed record of the
    /// removal.
    FirstCheckpoint {
        /// When retention removed the events.
        pruned_at: Timestamp,
        /// When the first checkpoint was signed.
        signed_at: Timestamp,
    },
}

impl LateStart {
    /// Checks whether the first event of an organization (sequence number 1) is too late. The creation time is read
    /// from the organization's id (UUID version 7): unlike its row, nothing in the database can change it. `None`: it
    /// is not too late, or the id has no time.
    #[must_use]
    pub fn of_first_event(organization: OrganizationId, first_at: Timestamp) -> Option<Self> {
        let created_at = organization.created_at()?;
        (first_at.millis_since(created_at) > MAX_UNSIGNED_MS).then_some(Self::FirstEvent { created_at, first_at })
    }

    /// Checks whether the first checkpoint after removed events is too late. `None`: it is not, or no signed record
    /// says that events were removed.
    #[must_use]
    pub fn of_first_checkpoint(front: &Front, signed_at: Timestamp) -> Option<Self> {
        let Front::Pruned(record) = front else { return None };
        let pruned_at = record.at;
        (signed_at.millis_since(pruned_at) > MAX_UNSIGNED_MS).then_some(Self::FirstCheckpoint { pruned_at, signed_at })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_first_event_of_a_log_may_be_ten_minutes_late() {
        let created_at = Timestamp::from_millis(1_795_248_000_250);
        let millis = created_at.millis().unsigned_abs();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &[0xff; 10]).into_uuid();
        let organization = OrganizationId::from_uuid(id);
        assert_eq!(organization.created_at(), Some(created_at));
        let found = |late| LateStart::of_first_event(organization, created_at.plus_millis(late));
        assert_eq!((found(-1), found(0), found(600_000)), (None, None, None));
        let first_at = created_at.plus_millis(600_001);
        assert_eq!(found(600_001), Some(LateStart::FirstEvent { created_at, first_at }));
        let other = OrganizationId::from_uuid(Uuid::from_u128(7));
        assert_eq!(other.created_at(), None, "the id is not of version 7");
        assert_eq!(LateStart::of_first_event(other, first_at), None);
    }
}
