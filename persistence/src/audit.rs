//! The log of changes of authority: written in the transaction of the change itself, at the end of its organization's chain.

mod book;
mod prune;
mod read;

pub(crate) use book::Book;
use domain::{
    Error,
    act::{Act, Actor},
    audit::{ChainHash, Event, Outcome},
    bounds::MAX_IDEMPOTENCY_KEYS_PER_HOUR,
    clock::Timestamp,
    error::Limited,
    id::{OrganizationId, SessionId, UserId},
};
pub(crate) use prune::{Pruning, Signer, with_events_before};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{CommonTableExpression, OnConflict, Query, UpdateStatement, WithClause},
};

use crate::{
    convert,
    entity::{audit_chain, audit_event},
    outage::Failure,
    repeats,
};

/// Events in one statement: SQLite takes at most 32,766 parameters.
const ROWS: usize = 1_000;

/// Notes that `act` was done to these; part of its transaction. Comes last in it: other changes of the organization wait for
/// its end. It is never refused: for what takes authority away, and so cannot be done without end.
pub(crate) async fn note<C: ConnectionTrait>(db: &C, act: &Act, targets: &[Uuid]) -> Result<(), Failure> {
    note_done(db, act, targets, None).await
}

/// As [`note`], for changes that can be made again and again: refused with [`Error::TooMany`] where the organization would have
/// made more than `most` in this hour. The operator on the machine may go beyond.
pub(crate) async fn note_within<C: ConnectionTrait>(
    db: &C,
    act: &Act,
    targets: &[Uuid],
    most: u64,
) -> Result<(), Failure> {
    let most = if act.actor == Actor::Operator { u64::MAX } else { most };
    note_done(db, act, targets, Some(most)).await
}

async fn note_done<C: ConnectionTrait>(db: &C, act: &Act, targets: &[Uuid], most: Option<u64>) -> Result<(), Failure> {
    if targets.is_empty() {
        return Ok(());
    }
    let chain = end_of(db, act.organization, act.at).await?;
    let mut hour = Hour::of_chain(&chain, act.at);
    hour.changes = hour.changes.saturating_add(targets.len() as u64);
    if most.is_some_and(|most| hour.changes > most) {
        return Err(hour.refuse(Limited::Changes, act.at));
    }
    if let Some(once) = act.origin.once {
        let is_full = hour.idempotency_keys >= MAX_IDEMPOTENCY_KEYS_PER_HOUR;
        match most {
            Some(_) if is_full => return Err(hour.refuse(Limited::IdempotencyKeys, act.at)),
            // What is never refused does no harm when it is done again.
            None if is_full => {}
            _ => {
                repeats::note(db, act.organization, &once, act.at).await?;
                hour.idempotency_keys += 1;
            }
        }
    }
    let events = targets.iter().map(|target| event(act, Outcome::Done, None, *target, 1)).collect();
    append_to(db, &chain, events, hour, act.at).await
}

/// What an organization has done in an hour, which is kept with the end of its chain: who makes a change has that row anyway.
#[derive(Clone, Copy, Debug)]
struct Hour {
    number: i64,
    changes: u64,
    idempotency_keys: u64,
    answer_bytes: i64,
}

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

impl Hour {
    /// The hour at `now`.
    fn of_chain(chain: &audit_chain::Model, now: Timestamp) -> Self {
        let number = now.millis().div_euclid(HOUR);
        // A node whose clock is a little behind goes on in the hour that has begun. One that is far ahead begins no hour that
        // would last until then.
        if chain.counted_hour == number || chain.counted_hour == number + 1 {
            let count = |value| convert::count(value).unwrap_or_default();
            let (changes, idempotency_keys) = (count(chain.changes), count(chain.idempotency_keys));
            Self { number: chain.counted_hour, changes, idempotency_keys, answer_bytes: chain.answer_bytes }
        } else {
            Self { number, changes: 0, idempotency_keys: 0, answer_bytes: 0 }
        }
    }

    fn refuse(self, what: Limited, now: Timestamp) -> Failure {
        let left = (self.number + 1).saturating_mul(HOUR).saturating_sub(now.millis());
        let retry_after = Ord::max(u64::try_from(left).unwrap_or_default().div_ceil(1_000), 1);
        Failure::Refused(Error::TooMany { what, retry_after })
    }
}

/// An event without its place.
fn event(act: &Act, outcome: Outcome, reason: Option<String>, target: Uuid, count: u64) -> Event {
    Event {
        organization: act.organization,
        seq: 0,
        at: act.at,
        action: act.action.code().to_owned(),
        outcome,
        reason,
        target,
        actor: act.actor,
        session: act.origin.session,
        permission: act.permission.as_ref().map(ToString::to_string),
        client: act.origin.client.map(|client| client.to_string()),
        request_id: act.origin.request_id.as_deref().map(ToOwned::to_owned),
        count,
    }
}

/// Puts events at the end of the chain at `now`; its row is locked until the transaction ends.
async fn append<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    events: Vec<Event>,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some(first) = events.first() else { return Ok(()) };
    let chain = end_of(db, organization, first.at).await?;
    append_to(db, &chain, events, Hour::of_chain(&chain, now), now).await
}

/// Puts events at the end of a chain, whose row is locked, and with them what was done in this hour.
async fn append_to<C: ConnectionTrait>(
    db: &C,
    chain: &audit_chain::Model,
    mut events: Vec<Event>,
    hour: Hour,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut seq = convert::count(chain.end_seq).unwrap_or_default();
    let mut hash = chain_hash(&chain.end_hash, "audit_chains", chain.organization_id)?;
    let at = Ord::max(chain.end_at, now.millis());
    let new_end = |seq, hash: &ChainHash| new_end(chain.organization_id, seq, hash, at, hour);
    let last = events.len().div_ceil(ROWS);
    for (place, events) in events.chunks_mut(ROWS).enumerate() {
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            seq += 1;
            event.seq = seq;
            hash = event.hash(&hash);
            rows.push(row(event, &hash));
        }
        let insert = audit_event::Entity::insert_many(rows);
        if place + 1 < last || db.get_database_backend() != DbBackend::Postgres {
            insert.exec_without_returning(db).await?;
            continue;
        }
        // In one round trip with the new end: all changes of the organization wait for each of them.
        let inserted = CommonTableExpression::new().table_name("inserted").query(insert.into_query()).to_owned();
        let with = WithClause::new().cte(inserted).to_owned();
        db.execute(&new_end(seq, &hash).with(with)).await?;
        return Ok(());
    }
    db.execute(&new_end(seq, &hash)).await?;
    Ok(())
}

fn new_end(organization: Uuid, seq: u64, hash: &ChainHash, at: i64, hour: Hour) -> UpdateStatement {
    Query::update()
        .table(audit_chain::Entity)
        .value(audit_chain::Column::EndSeq, convert::number(seq))
        .value(audit_chain::Column::EndHash, hash.bytes().to_vec())
        .value(audit_chain::Column::EndAt, at)
        .value(audit_chain::Column::CountedHour, hour.number)
        .value(audit_chain::Column::Changes, convert::number(hour.changes))
        .value(audit_chain::Column::IdempotencyKeys, convert::number(hour.idempotency_keys))
        .value(audit_chain::Column::AnswerBytes, hour.answer_bytes)
        .and_where(audit_chain::Column::OrganizationId.eq(organization))
        .to_owned()
}

/// The chain's row, locked; a new one where there is none.
async fn end_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    at: Timestamp,
) -> Result<audit_chain::Model, Failure> {
    let find = || audit_chain::Entity::find_by_id(organization.uuid()).lock_exclusive();
    if let Some(chain) = find().one(db).await? {
        return Ok(chain);
    }
    let beginning = ChainHash::BEGINNING.bytes().to_vec();
    let row = audit_chain::ActiveModel {
        organization_id: Set(organization.uuid()),
        begin_seq: Set(0),
        begin_hash: Set(beginning.clone()),
        begin_at: Set(at.millis()),
        end_seq: Set(0),
        end_hash: Set(beginning),
        end_at: Set(at.millis()),
        prune_record: Set(None),
        ..audit_chain::ActiveModel::default()
    };
    // Two may begin it at once.
    let unless_there = OnConflict::column(audit_chain::Column::OrganizationId).do_nothing().to_owned();
    audit_chain::Entity::insert(row).on_conflict(unless_there).exec_without_returning(db).await?;
    Ok(find().one(db).await?.ok_or_else(|| DbErr::RecordNotFound("audit_chains".to_owned()))?)
}

fn row(event: &Event, hash: &ChainHash) -> audit_event::ActiveModel {
    let (actor, key, user) = match event.actor {
        Actor::Key(key, user) => (KEY, Some(key.uuid()), user.map(UserId::uuid)),
        Actor::User(user) => (USER, None, Some(user.uuid())),
        Actor::Operator => (OPERATOR, None, None),
        Actor::Unknown => (UNKNOWN, None, None),
    };
    audit_event::ActiveModel {
        organization_id: Set(event.organization.uuid()),
        seq: Set(Some(convert::number(event.seq))),
        hash: Set(Some(hash.bytes().to_vec())),
        at: Set(event.at.millis()),
        action: Set(event.action.clone()),
        outcome: Set(Some(event.outcome.code().to_owned())),
        reason: Set(event.reason.clone()),
        target_id: Set(event.target),
        actor: Set(Some(actor.to_owned())),
        actor_key_id: Set(key),
        actor_user_id: Set(user),
        session_id: Set(event.session.map(SessionId::uuid)),
        permission: Set(event.permission.clone()),
        client: Set(event.client.clone()),
        request_id: Set(event.request_id.clone()),
        count: Set(convert::number(event.count)),
        ..audit_event::ActiveModel::default()
    }
}

const KEY: &str = "key";
const USER: &str = "user";
const OPERATOR: &str = "operator";
const UNKNOWN: &str = "unknown";

fn chain_hash(bytes: &[u8], table: &'static str, row: Uuid) -> Result<ChainHash, Failure> {
    let bytes = bytes.try_into().map_err(|_| convert::broken(table, "hash", row))?;
    Ok(ChainHash::from_bytes(bytes))
}
