//! Every way to change a chain shows.

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
        outcome: Outcome::Done,
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

/// A chain, each event with its hash, and its head.
fn chain(count: u64) -> (Vec<(Event, ChainHash)>, Head) {
    let mut hash = ChainHash::BEGINNING;
    let mut events = Vec::new();
    for seq in 1..=count {
        let event = event(seq);
        hash = event.hash(&hash);
        events.push((event, hash));
    }
    (events, head(count, hash))
}

fn head(seq: u64, hash: ChainHash) -> Head {
    Head { organization: OrganizationId::from_uuid(uuid(1)), seq, hash }
}

fn prove(events: &[(Event, ChainHash)], stored: Head, told: &[Head]) -> Result<(), Break> {
    let mut proof = Proof::after(&head(0, ChainHash::BEGINNING));
    for (event, hash) in events {
        proof.step(event, hash)?;
        told.iter().try_for_each(|told| proof.meets(told))?;
    }
    proof.end(&stored, told.iter().copied())
}

#[test]
fn a_chain_holds_until_somebody_touches_it() {
    let (events, end) = chain(5);
    let told = head(3, events[2].1);
    assert_eq!(prove(&events, end, &[told]), Ok(()));
    let touched = |touch: fn(&mut Vec<(Event, ChainHash)>)| {
        let mut events = events.clone();
        touch(&mut events);
        prove(&events, end, &[told])
    };
    assert_eq!(touched(|events| events[2].0.count = 2), Err(Break::Changed(3)));
    assert_eq!(touched(|events| drop(events.remove(1))), Err(Break::Missing(2)));
    assert_eq!(touched(|events| events.swap(1, 2)), Err(Break::Missing(2)));
    assert_eq!(touched(|events| events.truncate(4)), Err(Break::Head(4)));
    // One who also writes the hashes and the head anew is caught by what was told before.
    let (mut other, _) = chain(0);
    let mut hash = ChainHash::BEGINNING;
    for seq in 1..=5 {
        let event = Event { client: None, ..event(seq) };
        hash = event.hash(&hash);
        other.push((event, hash));
    }
    assert_eq!(prove(&other, head(5, hash), &[]), Ok(()));
    assert_eq!(prove(&other, head(5, hash), &[told]), Err(Break::Told(3)));
    let (cut, end) = chain(2);
    assert_eq!(prove(&cut, end, &[]), Ok(()));
    assert_eq!(prove(&cut, end, &[told]), Err(Break::Told(3)), "the end was cut off");
}

#[test]
fn every_field_counts() {
    let plain = event(1);
    let changed = [
        Event { organization: OrganizationId::from_uuid(uuid(9)), ..plain.clone() },
        Event { seq: 2, ..plain.clone() },
        Event { at: Timestamp::from_millis(1_001), ..plain.clone() },
        Event { action: "api_key.delete".to_owned(), ..plain.clone() },
        Event { outcome: Outcome::Refused, ..plain.clone() },
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
fn the_hash_of_an_event_never_changes() {
    let expected = "d9efa42b1d745b8b5d417e812e83af69f8880ce6e381e3d9ebf45412fc48780d";
    assert_eq!(event(1).hash(&ChainHash::BEGINNING).to_string(), expected);
    assert_eq!(ChainHash::parse(expected).map(|hash| hash.to_string()).as_deref(), Some(expected));
}

#[test]
fn what_went_without_a_record_is_unproven_until_it_would_be_too_old() {
    let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
    let head = |seq| Head { organization, seq, hash: ChainHash::BEGINNING };
    let at = Timestamp::from_millis;
    let kept = 100;
    assert_eq!((Front::Whole.unproven(at(0), kept), Front::Unsigned(7).unproven(at(999), kept)), (None, Some(7)));
    let proven = Front::Whole.pruned_to(head(5), at(10), kept);
    assert_eq!(proven, PruneRecord { start: head(5), at: at(10), unproven: None });
    assert_eq!(Front::Pruned(proven).pruned_to(head(6), at(20), kept).unproven, None);
    let after = Front::Unsigned(7).pruned_to(head(8), at(30), kept);
    assert_eq!(after.unproven, Some(Unproven { seq: 7, since: at(30) }));
    let on = Front::Pruned(after).pruned_to(head(9), at(129), kept);
    assert_eq!((on.unproven, Front::Pruned(on).unproven(at(129), kept)), (after.unproven, Some(7)), "it is carried on");
    assert_eq!(Front::Pruned(on).unproven(at(130), kept), None);
    assert_eq!(Front::Pruned(on).pruned_to(head(10), at(130), kept).unproven, None);
}
