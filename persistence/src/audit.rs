//! The audit logs. The events of a change are written in its own transaction, at the end of its organization's hash chain.

mod broken;
mod checkpoints;
mod denials;
mod prune;
mod read;

use std::sync::Arc;

pub(crate) use broken::BrokenLogs;
use domain::{
    Error,
    audit::{
        ChainHash, Event, EventOutcome,
        context::{Actor, AuditContext},
    },
    clock::Timestamp,
    error::Limited,
    id::{OrganizationId, SessionId, UserId},
};
pub(crate) use prune::{Pruning, Signer, with_events_before};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{CommonTableExpression, OnConflict, Query, UpdateStatement, WithClause},
};

use crate::{
    audit::denials::DenialBuffer,
    database::Database,
    db::{dialect::Dialect, error::DbFailure},
    rows::{
        convert,
        entity::{audit_chain, audit_event},
    },
};

/// The audit logs, and the buffer of denied attempts. Events of changes are not written here, but in the transactions of the
/// changes.
pub struct AuditStore {
    database: Arc<Database>,
    denials: DenialBuffer,
    broken_logs: BrokenLogs,
}

impl AuditStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, denials: DenialBuffer::default(), broken_logs: BrokenLogs::default() }
    }

    /// The logs that were found changed, as they are found.
    pub(crate) fn broken_logs(&self) -> BrokenLogs {
        self.broken_logs.clone()
    }

    /// Starts the worker that writes denied attempts.
    pub(crate) fn spawn(self: &Arc<Self>) {
        let workers = &self.database.workers;
        workers.spawn(self.clone().run_denial_writer(workers.stop.clone()));
    }
}

/// The most events in one statement. SQLite takes at most 32,766 parameters.
const MAX_EVENTS_PER_STATEMENT: usize = 1_000;

/// Writes an event of `context` for each target; part of the transaction of the change, at its end: other changes of the organization
/// wait from here until the commit. Never rate limited, for changes that take permissions away.
pub(crate) async fn record<C: ConnectionTrait>(
    db: &C,
    context: &AuditContext,
    targets: &[Uuid],
) -> Result<(), DbFailure> {
    record_done(db, context, targets, None, None).await
}

/// As [`record`], for changes that can be repeated without limit: refused with [`Error::TooMany`] if the organization would have
/// made more than `max` changes in this hour. The operator may exceed it.
pub(crate) async fn record_within<C: ConnectionTrait>(
    db: &C,
    context: &AuditContext,
    targets: &[Uuid],
    max: u64,
) -> Result<(), DbFailure> {
    record_done(db, context, targets, None, Some(change_limit(context, max))).await
}

/// As [`record_within`], for a change of the settings of a key: these fields differ.
pub(crate) async fn record_changed_fields<C: ConnectionTrait>(
    db: &C,
    context: &AuditContext,
    target: Uuid,
    fields: &[&str],
    max: u64,
) -> Result<(), DbFailure> {
    record_done(db, context, &[target], Event::reason_of_change(fields), Some(change_limit(context, max))).await
}

/// The operator on the machine may make any number of changes.
fn change_limit(context: &AuditContext, max: u64) -> u64 {
    if context.actor == Actor::Operator { u64::MAX } else { max }
}

async fn record_done<C: ConnectionTrait>(
    db: &C,
    context: &AuditContext,
    targets: &[Uuid],
    reason: Option<String>,
    max: Option<u64>,
) -> Result<(), DbFailure> {
    if targets.is_empty() {
        return Ok(());
    }
    let chain = lock_chain(db, context.organization, context.at).await?;
    let mut hour = HourCounts::of_chain(&chain, context.at);
    hour.changes = hour.changes.saturating_add(targets.len() as u64);
    if max.is_some_and(|max| hour.changes > max) {
        return Err(hour.refuse(Limited::Changes, context.at));
    }
    let events = targets.iter().map(|target| event(context, EventOutcome::Done, reason.clone(), *target, 1)).collect();
    append_to(db, &chain, events, hour, context.at).await
}

/// Counts an idempotency key of an organization, which may use `max_per_hour` in an hour; part of the transaction that executes
/// the request. The outer error is the database's. The inner one means that the organization has used as many: then it is not
/// counted.
pub(crate) async fn count_idempotency_key<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    max_per_hour: u64,
    now: Timestamp,
) -> Result<Result<(), DbFailure>, DbFailure> {
    let chain = lock_chain(db, organization, now).await?;
    let mut hour = HourCounts::of_chain(&chain, now);
    if hour.idempotency_keys >= max_per_hour {
        return Ok(Err(hour.refuse(Limited::IdempotencyKeys, now)));
    }
    hour.idempotency_keys += 1;
    db.execute(&with_hour(organization.uuid(), hour)).await?;
    Ok(Ok(()))
}

/// What an organization has done in one hour. Stored with the end of its chain, because each change locks that row anyway.
#[derive(Clone, Copy, Debug)]
struct HourCounts {
    /// Hours since the Unix epoch.
    number: i64,
    changes: u64,
    idempotency_keys: u64,
    answer_bytes: i64,
}

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

impl HourCounts {
    /// The hour at `now`.
    fn of_chain(chain: &audit_chain::Model, now: Timestamp) -> Self {
        let number = now.millis().div_euclid(HOUR_MS);
        // A node whose clock is a little behind counts in the hour that another node has begun. An hour further in the future, from
        // a clock that was far ahead, is discarded: it would last until then.
        if chain.counted_hour == number || chain.counted_hour == number + 1 {
            let count = |value| convert::count(value).unwrap_or_default();
            let (changes, idempotency_keys) = (count(chain.changes), count(chain.idempotency_keys));
            Self { number: chain.counted_hour, changes, idempotency_keys, answer_bytes: chain.answer_bytes }
        } else {
            Self { number, changes: 0, idempotency_keys: 0, answer_bytes: 0 }
        }
    }

    fn refuse(self, what: Limited, now: Timestamp) -> DbFailure {
        let left = (self.number + 1).saturating_mul(HOUR_MS).saturating_sub(now.millis());
        let retry_after = Ord::max(u64::try_from(left).unwrap_or_default().div_ceil(1_000), 1);
        DbFailure::Refused(Error::TooMany { what, retry_after })
    }
}

/// An event without a sequence number.
fn event(context: &AuditContext, outcome: EventOutcome, reason: Option<String>, target: Uuid, count: u64) -> Event {
    Event {
        organization: context.organization,
        seq: 0,
        at: context.at,
        action: context.action.code().to_owned(),
        outcome,
        reason,
        target,
        actor: context.actor,
        session: context.origin.session,
        permission: context.permission.as_ref().map(ToString::to_string),
        client: context.origin.client.map(|client| client.to_string()),
        request_id: context.origin.request_id.as_deref().map(ToOwned::to_owned),
        count,
    }
}

/// Appends events to the chain of an organization at `now`. Locks the chain until the transaction ends.
async fn append<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    events: Vec<Event>,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let Some(first) = events.first() else { return Ok(()) };
    let chain = lock_chain(db, organization, first.at).await?;
    append_to(db, &chain, events, HourCounts::of_chain(&chain, now), now).await
}

/// Appends events to a chain whose row is locked, and stores what was done in this hour.
async fn append_to<C: ConnectionTrait>(
    db: &C,
    chain: &audit_chain::Model,
    mut events: Vec<Event>,
    hour: HourCounts,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let mut seq = convert::count(chain.end_seq).unwrap_or_default();
    let mut hash = chain_hash(&chain.end_hash, "audit_chains", chain.organization_id)?;
    let at = Ord::max(chain.end_at, now.millis());
    let new_end = |seq, hash: &ChainHash| new_end(chain.organization_id, seq, hash, at, hour);
    let last = events.len().div_ceil(MAX_EVENTS_PER_STATEMENT);
    for (index, events) in events.chunks_mut(MAX_EVENTS_PER_STATEMENT).enumerate() {
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            seq += 1;
            event.seq = seq;
            hash = event.hash(&hash);
            rows.push(row(event, &hash));
        }
        let insert = audit_event::Entity::insert_many(rows);
        if index + 1 < last || !Dialect::of(db).can_insert_in_with() {
            insert.exec_without_returning(db).await?;
            continue;
        }
        // In one round trip with the new end of the chain, because all changes of the organization wait for it.
        let inserted = CommonTableExpression::new().table_name("inserted").query(insert.into_query()).to_owned();
        let with = WithClause::new().cte(inserted).to_owned();
        db.execute(&new_end(seq, &hash).with(with)).await?;
        return Ok(());
    }
    db.execute(&new_end(seq, &hash)).await?;
    Ok(())
}

fn new_end(organization: Uuid, seq: u64, hash: &ChainHash, at: i64, hour: HourCounts) -> UpdateStatement {
    with_hour(organization, hour)
        .value(audit_chain::Column::EndSeq, convert::number(seq))
        .value(audit_chain::Column::EndHash, hash.bytes().to_vec())
        .value(audit_chain::Column::EndAt, at)
        .to_owned()
}

fn with_hour(organization: Uuid, hour: HourCounts) -> UpdateStatement {
    Query::update()
        .table(audit_chain::Entity)
        .value(audit_chain::Column::CountedHour, hour.number)
        .value(audit_chain::Column::Changes, convert::number(hour.changes))
        .value(audit_chain::Column::IdempotencyKeys, convert::number(hour.idempotency_keys))
        .value(audit_chain::Column::AnswerBytes, hour.answer_bytes)
        .and_where(audit_chain::Column::OrganizationId.eq(organization))
        .to_owned()
}

/// The row of the chain, locked. Inserted if there is none.
async fn lock_chain<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    at: Timestamp,
) -> Result<audit_chain::Model, DbFailure> {
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
        checkpoint: Set(None),
        ..audit_chain::ActiveModel::default()
    };
    // Another transaction may insert it at the same moment.
    let unless_exists = OnConflict::column(audit_chain::Column::OrganizationId).do_nothing().to_owned();
    audit_chain::Entity::insert(row).on_conflict(unless_exists).exec_without_returning(db).await?;
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

fn chain_hash(bytes: &[u8], table: &'static str, row: Uuid) -> Result<ChainHash, DbFailure> {
    let bytes = bytes.try_into().map_err(|_| convert::broken(table, "hash", row))?;
    Ok(ChainHash::from_bytes(bytes))
}
