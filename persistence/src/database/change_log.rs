//! What a transaction writes at its end, after everything else: the audit events of its change, at the end of the hash chain of the
//! organization, and the record of its idempotency key.
//!
//! All changes of an organization wait for each other from the lock of its chain to the commit. So the chain is locked last, by the
//! transaction itself ([`crate::database::transaction`]): between the lock and the commit there is one statement, or with hundreds of events
//! as many as [`crate::db::message_size`] divides them into.

pub(crate) mod chain;

use domain::{
    Error,
    audit::{
        Event, EventOutcome,
        context::{Actor, AuditContext, IdempotencyKey},
    },
    clock::Timestamp,
    error::Limited,
    id::OrganizationId,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, prelude::Uuid, sea_query::OnConflict,
};

use self::chain::{HourCounts, append_to, lock_chain};
use crate::{db::error::DbFailure, rows::entity::request};

/// What a transaction writes at its end.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    entries: Vec<Entry>,
    idempotency: Option<Idempotency>,
}

/// Events of one organization.
#[derive(Debug)]
struct Entry {
    organization: OrganizationId,
    events: Vec<Event>,
    /// How many of them count as changes.
    changes: u64,
    /// The most changes that the organization may make in an hour. `None`: any number.
    max: Option<u64>,
    now: Timestamp,
}

/// An idempotency key that is recorded.
#[derive(Debug)]
struct Idempotency {
    organization: OrganizationId,
    key: IdempotencyKey,
    now: Timestamp,
    /// Whether the request is executed without a record if the organization has used as many keys as it may.
    if_room: bool,
}

impl ChangeLog {
    /// Logs an event of `context` for each target. Never rate limited, for changes that take permissions away.
    pub(crate) fn record(&mut self, context: &AuditContext, targets: &[Uuid]) {
        self.record_done(context, targets, None, None);
    }

    /// As [`ChangeLog::record`], for changes that can be repeated without limit: the transaction is refused with
    /// [`Error::TooMany`] if the organization would have made more than `max` changes in this hour. The operator may exceed it.
    pub(crate) fn record_within(&mut self, context: &AuditContext, targets: &[Uuid], max: u64) {
        self.record_done(context, targets, None, change_limit(context, max));
    }

    /// As [`ChangeLog::record_within`], for a change of settings: these fields differ.
    pub(crate) fn record_changed_fields(&mut self, context: &AuditContext, target: Uuid, fields: &[&str], max: u64) {
        let reason = Event::reason_of_change(fields);
        self.record_done(context, &[target], reason.as_deref(), change_limit(context, max));
    }

    fn record_done(&mut self, context: &AuditContext, targets: &[Uuid], reason: Option<&str>, max: Option<u64>) {
        let done = |target: &Uuid| event(context, EventOutcome::Done, reason.map(str::to_owned), *target, 1);
        let (organization, now) = (context.organization, context.at);
        let (events, changes) = (targets.iter().map(done).collect(), targets.len() as u64);
        self.entries.push(Entry { organization, events, changes, max, now });
    }

    /// Logs events that are not those of a change.
    pub(crate) fn append(&mut self, organization: OrganizationId, events: Vec<Event>, now: Timestamp) {
        self.entries.push(Entry { organization, events, changes: 0, max: None, now });
    }

    /// Records that a request with an idempotency key is executed, whether or not it changes anything. Of two equal requests at the
    /// same time one waits for the other, and then fails with [`Error::IdempotentRequestInProgress`]. The transaction is refused with
    /// [`Error::TooMany`] if the organization has used as many idempotency keys in this hour as it may.
    pub(crate) fn record_idempotency_key(&mut self, context: &AuditContext) {
        self.idempotency = Idempotency::of(context, false);
    }

    /// As [`ChangeLog::record_idempotency_key`], for requests that take authority away: if the organization has used as many
    /// idempotency keys as it may, the request is executed without a record. Executing it again does no harm.
    pub(crate) fn record_idempotency_key_if_room(&mut self, context: &AuditContext) {
        self.idempotency = Idempotency::of(context, true);
    }

    /// Writes what is not part of a chain. The chain of the organization is not locked for it.
    pub(crate) async fn prepare<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbFailure> {
        if let Some(idempotency) = &self.idempotency {
            idempotency.insert(db).await?;
        }
        Ok(())
    }

    /// Writes the events; the last statements of the transaction.
    pub(crate) async fn write<C: ConnectionTrait>(mut self, db: &C) -> Result<(), DbFailure> {
        let mut idempotency = self.idempotency.take();
        self.entries.retain(|entry| !entry.events.is_empty());
        let mut entries = self.entries.into_iter().peekable();
        while let Some(Entry { organization, mut events, mut changes, max, now }) = entries.next() {
            let mut limits: Vec<(u64, Option<u64>)> = vec![(changes, max)];
            // Those of the same organization in one statement.
            while let Some(entry) = entries.next_if(|entry| entry.organization == organization) {
                events.extend(entry.events);
                changes += entry.changes;
                limits.push((changes, entry.max));
            }
            let chain = lock_chain(db, organization, now).await?;
            let mut hour = HourCounts::of_chain(&chain, now);
            for (changes, max) in limits {
                if max.is_some_and(|max| hour.changes.saturating_add(changes) > max) {
                    return Err(hour.refuse(Limited::Changes, now));
                }
            }
            hour.changes = hour.changes.saturating_add(changes);
            if let Some(key) = idempotency.take_if(|key| key.organization == organization) {
                key.count(db, &mut hour).await?;
            }
            append_to(db, &chain, events, hour, now).await?;
        }
        if let Some(key) = idempotency {
            let chain = lock_chain(db, key.organization, key.now).await?;
            let mut hour = HourCounts::of_chain(&chain, key.now);
            key.count(db, &mut hour).await?;
            db.execute(&hour.update(chain.organization_id)).await?;
        }
        Ok(())
    }
}

impl Idempotency {
    fn of(context: &AuditContext, if_room: bool) -> Option<Self> {
        let key = context.origin.idempotency_key?;
        Some(Self { organization: context.organization, key, now: context.at, if_room })
    }

    async fn insert<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbFailure> {
        let row = request::ActiveModel {
            scope: Set(self.key.scope.to_vec()),
            body: Set(self.key.body.to_vec()),
            done_at: Set(self.now.millis()),
            answer: Set(None),
            answer_bytes: Set(None),
            organization_id: Set(Some(self.organization.uuid())),
        };
        // An expired record was removed when the request was looked up.
        let unless_known = OnConflict::column(request::Column::Scope).do_nothing().to_owned();
        let inserted = request::Entity::insert(row).on_conflict(unless_known).exec_without_returning(db).await?;
        if inserted == 0 { Err(DbFailure::Refused(Error::IdempotentRequestInProgress)) } else { Ok(()) }
    }

    /// Counts the key, whose record is stored already, or removes the record if the organization has used too many.
    async fn count<C: ConnectionTrait>(&self, db: &C, hour: &mut HourCounts) -> Result<(), DbFailure> {
        if hour.idempotency_keys < self.key.max_per_hour {
            hour.idempotency_keys += 1;
            return Ok(());
        }
        if !self.if_room {
            return Err(hour.refuse(Limited::IdempotencyKeys, self.now));
        }
        let record = request::Column::Scope.eq(self.key.scope.to_vec());
        request::Entity::delete_many().filter(record).exec(db).await?;
        Ok(())
    }
}

/// The operator on the machine may make any number of changes.
fn change_limit(context: &AuditContext, max: u64) -> Option<u64> {
    (context.actor != Actor::Operator).then_some(max)
}

/// An event without a sequence number.
pub(crate) fn event(
    context: &AuditContext,
    outcome: EventOutcome,
    reason: Option<String>,
    target: Uuid,
    count: u64,
) -> Event {
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
