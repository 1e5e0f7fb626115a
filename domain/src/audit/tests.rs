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
