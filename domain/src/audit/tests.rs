//! Tests of the hash chain: every change of an event is detected.

use super::*;
use crate::id::{KeyId, UserId};

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn event(seq: u64) -> Event {
    Event {
        organization: OrganizationId::from_uuid(uuid(1)),
        seq,
        at: Timestamp::from_millis(1_000),
        action: "api_key.create".to_owned(),
        outcome: EventOutcome::Done,
        reason: None,
        target: uuid(2),
        actor: Actor::Key(KeyId::from_uuid(uuid(3)), None),
        session: None,
        permission: Some("api_keys:write".to_owned()),
        client: Some("203.0.113.9".to_owned()),
        request_id: Some("r".to_owned()),
        count: 1,
    }
}

/// A chain of events, each with its hash, and the end of the chain.
fn chain(count: u64) -> (Vec<(Event, ChainHash)>, ChainHead) {
    let mut hash = ChainHash::BEGINNING;
    let mut events = Vec::new();
    for seq in 1..=count {
        let event = event(seq);
        hash = event.hash(&hash);
        events.push((event, hash));
    }
    (events, head(count, hash))
}

fn head(seq: u64, hash: ChainHash) -> ChainHead {
    ChainHead { organization: OrganizationId::from_uuid(uuid(1)), seq, hash }
}

fn verify(events: &[(Event, ChainHash)], stored: ChainHead, published: &[ChainHead]) -> Result<(), IntegrityError> {
    let mut verifier = ChainVerifier::after(&head(0, ChainHash::BEGINNING));
    for (event, hash) in events {
        verifier.step(event, hash)?;
        published.iter().try_for_each(|published| verifier.check_checkpoint(published))?;
    }
    verifier.end(&stored, published.iter().copied())
}

#[test]
fn a_chain_is_valid_until_events_are_changed_removed_or_reordered() {
    let (events, end) = chain(5);
    let published = head(3, events[2].1);
    assert_eq!(verify(&events, end, &[published]), Ok(()));
    let verify_changed = |change: fn(&mut Vec<(Event, ChainHash)>)| {
        let mut events = events.clone();
        change(&mut events);
        verify(&events, end, &[published])
    };
    assert_eq!(verify_changed(|events| events[2].0.count = 2), Err(IntegrityError::Changed(3)));
    assert_eq!(verify_changed(|events| drop(events.remove(1))), Err(IntegrityError::Missing(2)));
    assert_eq!(verify_changed(|events| events.swap(1, 2)), Err(IntegrityError::Missing(2)));
    assert_eq!(verify_changed(|events| events.truncate(4)), Err(IntegrityError::EndMismatch(4)));
    // If the hashes and the stored end are recomputed too, the published checkpoint detects the change.
    let (mut other, _) = chain(0);
    let mut hash = ChainHash::BEGINNING;
    for seq in 1..=5 {
        let event = Event { client: None, ..event(seq) };
        hash = event.hash(&hash);
        other.push((event, hash));
    }
    assert_eq!(verify(&other, head(5, hash), &[]), Ok(()));
    assert_eq!(verify(&other, head(5, hash), &[published]), Err(IntegrityError::CheckpointMismatch(3)));
    let (truncated, end) = chain(2);
    assert_eq!(verify(&truncated, end, &[]), Ok(()));
    assert_eq!(
        verify(&truncated, end, &[published]),
        Err(IntegrityError::CheckpointMismatch(3)),
        "the chain was truncated"
    );
}

#[test]
fn the_hash_of_an_event_covers_every_field() {
    let plain = event(1);
    let changed = [
        Event { organization: OrganizationId::from_uuid(uuid(9)), ..plain.clone() },
        Event { seq: 2, ..plain.clone() },
        Event { at: Timestamp::from_millis(1_001), ..plain.clone() },
        Event { action: "api_key.delete".to_owned(), ..plain.clone() },
        Event { outcome: EventOutcome::Denied, ..plain.clone() },
        Event { reason: Some(String::new()), ..plain.clone() },
        Event { target: uuid(9), ..plain.clone() },
        Event { actor: Actor::Key(KeyId::from_uuid(uuid(9)), None), ..plain.clone() },
        Event { actor: Actor::Key(KeyId::from_uuid(uuid(3)), Some(UserId::from_uuid(uuid(4)))), ..plain.clone() },
        Event { actor: Actor::User(UserId::from_uuid(uuid(3))), ..plain.clone() },
        Event { actor: Actor::Operator, ..plain.clone() },
        Event { actor: Actor::Unknown, ..plain.clone() },
        Event { session: Some(SessionId::from_uuid(uuid(5))), ..plain.clone() },
        Event { permission: None, ..plain.clone() },
        Event { client: Some("203.0.113.8".to_owned()), ..plain.clone() },
        Event { request_id: None, ..plain.clone() },
        Event { client: None, request_id: Some("203.0.113.9".to_owned()), ..plain.clone() },
        Event { count: 2, ..plain.clone() },
    ];
    let mut hashes: Vec<String> = changed.iter().map(|event| event.hash(&ChainHash::BEGINNING).to_string()).collect();
    hashes.push(plain.hash(&ChainHash::BEGINNING).to_string());
    hashes.push(plain.hash(&plain.hash(&ChainHash::BEGINNING)).to_string());
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn reasons_of_earlier_versions_are_read_as_the_current_ones_and_hashed_as_stored() {
    let denied = |reason: &str| Event { outcome: EventOutcome::Denied, reason: Some(reason.to_owned()), ..event(1) };
    let (old, new) = (denied("exceeds_grants"), denied("exceeds_permissions"));
    assert_eq!((old.reason_code(), new.reason_code()), (Some("exceeds_permissions"), Some("exceeds_permissions")));
    assert_ne!(old.hash(&ChainHash::BEGINNING), new.hash(&ChainHash::BEGINNING));
    assert_eq!(Event { reason: Some("name".to_owned()), ..event(1) }.reason_code(), None, "a change of a key");
}

#[test]
fn the_stored_reason_of_an_alarm_is_the_secret_unless_it_counts_others() {
    let action = Action::UseExpiredSecret.code().to_owned();
    let alarm = Event { outcome: EventOutcome::Alarm, action, reason: Some("others".to_owned()), ..event(1) };
    assert_eq!((alarm.secret_start(), alarm.reason_code()), (Some("others"), None), "a secret can begin like this");
    let counting = Event { target: alarm.organization.uuid(), ..alarm };
    assert_eq!((counting.secret_start(), counting.reason_code()), (None, Some("others")));
}

#[test]
fn the_hash_of_an_event_is_stable_across_versions() {
    let expected = "d9efa42b1d745b8b5d417e812e83af69f8880ce6e381e3d9ebf45412fc48780d";
    assert_eq!(event(1).hash(&ChainHash::BEGINNING).to_string(), expected);
    assert_eq!(ChainHash::parse(expected).map(|hash| hash.to_string()).as_deref(), Some(expected));
}

#[test]
fn events_missing_without_a_prune_record_are_unproven_until_past_retention() {
    let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
    let head = |seq| ChainHead { organization, seq, hash: ChainHash::BEGINNING };
    let at = Timestamp::from_millis;
    let retention_ms = 100;
    assert_eq!(
        (Front::Whole.unproven(at(0), retention_ms), Front::Unsigned(7).unproven(at(999), retention_ms)),
        (None, Some(7))
    );
    let proven = Front::Whole.pruned_to(head(5), at(10), retention_ms);
    assert_eq!(proven, PruneRecord { start: head(5), at: at(10), unproven: None });
    assert_eq!(Front::Pruned(proven).pruned_to(head(6), at(20), retention_ms).unproven, None);
    let after = Front::Unsigned(7).pruned_to(head(8), at(30), retention_ms);
    assert_eq!(after.unproven, Some(Unproven { seq: 7, since: at(30) }));
    let on = Front::Pruned(after).pruned_to(head(9), at(129), retention_ms);
    assert_eq!(
        (on.unproven, Front::Pruned(on).unproven(at(129), retention_ms)),
        (after.unproven, Some(7)),
        "the unproven start is kept"
    );
    assert_eq!(Front::Pruned(on).unproven(at(130), retention_ms), None);
    assert_eq!(Front::Pruned(on).pruned_to(head(10), at(130), retention_ms).unproven, None);
}
