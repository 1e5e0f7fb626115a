//! The end of an organization's hash chain of audit events.

use domain::{
    Error,
    audit::{ChainHash, Event, context::Actor},
    clock::Timestamp,
    error::Limited,
    id::{OrganizationId, SessionId, UserId},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QuerySelect, Statement,
    prelude::Uuid,
    sea_query::{OnConflict, Query, UpdateStatement},
};

use crate::{
    db::{
        bulk_insert::{insert_all, postgres_inserts},
        dialect::Dialect,
        error::DbFailure,
    },
    rows::{
        convert,
        entity::{audit_chain, audit_event},
    },
};

/// What an organization has done in one hour. Stored with the end of its chain, because each change locks that row anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HourCounts {
    /// Hours since the Unix epoch.
    number: i64,
    pub(super) changes: u64,
    pub(super) idempotency_keys: u64,
    answer_bytes: i64,
}

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

impl HourCounts {
    /// The hour at `now`.
    pub(super) fn of_chain(chain: &audit_chain::Model, now: Timestamp) -> Self {
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

    pub(super) fn refuse(self, what: Limited, now: Timestamp) -> DbFailure {
        let left = (self.number + 1).saturating_mul(HOUR_MS).saturating_sub(now.millis());
        let retry_after = Ord::max(u64::try_from(left).unwrap_or_default().div_ceil(1_000), 1);
        DbFailure::Refused(Error::TooMany { what, retry_after })
    }

    /// Stores the counts.
    pub(super) fn update(self, organization: Uuid) -> UpdateStatement {
        Query::update()
            .table(audit_chain::Entity)
            .value(audit_chain::Column::CountedHour, self.number)
            .value(audit_chain::Column::Changes, convert::number(self.changes))
            .value(audit_chain::Column::IdempotencyKeys, convert::number(self.idempotency_keys))
            .value(audit_chain::Column::AnswerBytes, self.answer_bytes)
            .and_where(audit_chain::Column::OrganizationId.eq(organization))
            .to_owned()
    }
}

/// Appends events to a chain whose row is locked, and stores what was done in this hour.
pub(super) async fn append_to<C: ConnectionTrait>(
    db: &C,
    chain: &audit_chain::Model,
    events: Vec<Event>,
    hour: HourCounts,
    now: Timestamp,
) -> Result<(), DbFailure> {
    let mut seq = convert::count(chain.end_seq).unwrap_or_default();
    let mut hash = chain_hash(&chain.end_hash, "audit_chains", chain.organization_id)?;
    let mut rows = Vec::with_capacity(events.len());
    for mut event in events {
        seq += 1;
        event.seq = seq;
        hash = event.hash(&hash);
        rows.push(row(&event, &hash));
    }
    let new_end = hour
        .update(chain.organization_id)
        .value(audit_chain::Column::EndSeq, convert::number(seq))
        .value(audit_chain::Column::EndHash, hash.bytes().to_vec())
        .value(audit_chain::Column::EndAt, Ord::max(chain.end_at, now.millis()))
        .to_owned();
    if !Dialect::of(db).takes_row_values() {
        insert_all(db, rows).await?;
        db.execute(&new_end).await?;
        return Ok(());
    }
    let backend = db.get_database_backend();
    let end = backend.build(&new_end);
    let end_values = end.values.into_iter().flat_map(|values| values.0).collect::<Vec<_>>();
    let inserts = postgres_inserts(&rows, end_values.len() + 1);
    for (index, (insert, values)) in inserts.iter().enumerate() {
        // The other statements have these parameters, too, without using them.
        let values = end_values.iter().chain(values).cloned();
        let is_last = index + 1 == inserts.len();
        // In one round trip with the new end of the chain, because all changes of the organization wait for it.
        let sql = if is_last { format!("WITH inserted AS ({insert}) {}", end.sql) } else { insert.clone() };
        db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// The row of the chain, locked. Inserted if there is none.
pub(super) async fn lock_chain<C: ConnectionTrait>(
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

pub(crate) const KEY: &str = "key";
pub(crate) const USER: &str = "user";
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const UNKNOWN: &str = "unknown";

pub(crate) fn chain_hash(bytes: &[u8], table: &'static str, row: Uuid) -> Result<ChainHash, DbFailure> {
    let bytes = bytes.try_into().map_err(|_| convert::broken(table, "hash", row))?;
    Ok(ChainHash::from_bytes(bytes))
}
