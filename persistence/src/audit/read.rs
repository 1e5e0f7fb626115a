//! Reads the audit logs.

use async_trait::async_trait;
use domain::{
    Outage,
    audit::{ChainHash, ChainHead, Event, EventOutcome, IntegrityError, LateStart, context::Actor},
    clock::Timestamp,
    id::{KeyId, OrganizationId, SessionId, UserId},
    ports::{self, Chain, EventCounts, EventFilter, MergedEvent, Position, StoredEvent},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, prelude::Uuid,
};

use crate::{
    audit::AuditStore,
    database::change_log::chain::{KEY, OPERATOR, UNKNOWN, USER, chain_hash},
    db::error::DbFailure,
    rows::{
        convert,
        entity::{audit_chain, audit_event},
    },
};

#[async_trait]
impl ports::AuditLog for AuditStore {
    fn record_merged(&self, attempt: MergedEvent) {
        self.denials.record_merged(attempt);
    }

    async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Outage> {
        if let Err(error) = self.write_denials(false).await {
            tracing::warn!(target: "claviger", %error, "writing audit events for denied requests failed");
        }
        Ok(self.events_from(organization, filter, position, limit).await?)
    }

    async fn has_log(&self, organization: OrganizationId) -> Result<bool, Outage> {
        Ok(self.chain(organization).await?.is_some())
    }

    async fn chain(&self, organization: OrganizationId) -> Result<Option<Chain>, Outage> {
        let row = audit_chain::Entity::find_by_id(organization.uuid()).one(&self.database.pools.read).await;
        Ok(row.map_err(DbFailure::from)?.as_ref().map(chain))
    }

    async fn chains(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage> {
        let after = after.map(|after| audit_chain::Column::OrganizationId.gt(after.uuid()));
        let rows = audit_chain::Entity::find()
            .filter(Condition::all().add_option(after))
            .order_by_asc(audit_chain::Column::OrganizationId)
            .limit(limit)
            .all(&self.database.pools.read)
            .await
            .map_err(DbFailure::from)?;
        Ok(rows.iter().map(chain).collect())
    }

    async fn events(&self, organization: OrganizationId, seq: u64, limit: u64) -> Result<Vec<StoredEvent>, Outage> {
        let db = &self.database.pools.read;
        let query = audit_event::Entity::find()
            .filter(audit_event::Column::OrganizationId.eq(organization.uuid()))
            .filter(audit_event::Column::Seq.gt(convert::number(seq)))
            .order_by_asc(audit_event::Column::Seq)
            .limit(limit);
        let rows = db.query_all_raw(query.build(db.get_database_backend())).await.map_err(DbFailure::from)?;
        let mut events: Vec<StoredEvent> = Vec::with_capacity(rows.len());
        for row in &rows {
            // SQLite stores values of any type in any column. One unreadable row must not hide the others.
            let event = if let Ok(row) = audit_event::Model::from_query_result(row, "") {
                stored_or_changed(row)
            } else {
                let last = events.last().map_or(seq, |last| last.event.seq);
                let own = row.try_get::<i64>("", "seq").ok().and_then(convert::count);
                unreadable(organization, own.unwrap_or(last + 1))
            };
            events.push(event);
        }
        Ok(events)
    }

    async fn chains_without_checkpoint(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage> {
        Ok(self.read_chains_without_checkpoint(after, limit).await?)
    }

    async fn store_checkpoints(&self, signed: Vec<(ChainHead, String)>) -> Result<(), Outage> {
        Ok(self.write_checkpoints(signed).await?)
    }

    async fn count_unsequenced(&self, organization: OrganizationId) -> Result<u64, Outage> {
        Ok(self.count_events_without_seq(organization).await?)
    }

    async fn account(&self, organization: OrganizationId) -> Result<Option<EventCounts>, Outage> {
        Ok(self.count_events(organization).await?)
    }

    async fn organizations_without_log(
        &self,
        only: Option<OrganizationId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<OrganizationId>, Outage> {
        Ok(self.find_organizations_without_log(only, after, limit).await?)
    }

    fn report_broken(&self, organization: OrganizationId, broken: IntegrityError) {
        self.broken_logs.report(organization, broken);
    }

    fn report_late_start(&self, organization: OrganizationId, late_start: LateStart) {
        let reason = match late_start {
            LateStart::FirstEvent { .. } => "its first event is more than ten minutes later than its organization",
            LateStart::FirstCheckpoint { .. } => {
                "its first checkpoint is more than ten minutes later than the record that retention pruned it"
            }
        };
        tracing::error!(
            target: "claviger", org_id = %organization, reason,
            "events may be missing from the beginning of the audit log of an organization, which gets its first checkpoint now: \
             run `claviger audit verify`"
        );
    }
}

/// The chain of a row. A hash of the wrong length is no error, so that other logs can be read and this one is reported.
pub(super) fn chain(row: &audit_chain::Model) -> Chain {
    let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(ChainHash::from_bytes);
    let (begin, end) = (hash(&row.begin_hash), hash(&row.end_hash));
    let head = |seq, hash: Option<ChainHash>| ChainHead {
        organization: OrganizationId::from_uuid(row.organization_id),
        seq: convert::count(seq).unwrap_or_default(),
        hash: hash.unwrap_or(ChainHash::BEGINNING),
    };
    Chain {
        begin: head(row.begin_seq, begin),
        end: head(row.end_seq, end),
        prune_record: row.prune_record.clone(),
        checkpoint: row.checkpoint.clone(),
        checkpoint_seq: convert::count(row.checkpoint_seq).unwrap_or_default(),
        has_valid_hashes: begin.is_some() && end.is_some(),
    }
}

pub(super) fn stored(row: audit_event::Model) -> Result<StoredEvent, DbFailure> {
    // Only events from before logs were chained may lack these.
    if row.seq.is_some() && (row.actor.is_none() || row.outcome.is_none()) {
        return Err(broken(&row, "actor"));
    }
    let key = row.actor_key_id.map(KeyId::from_uuid);
    let user = row.actor_user_id.map(UserId::from_uuid);
    let actor = match (row.actor.as_deref(), key, user) {
        (Some(KEY) | None, Some(key), user) => Actor::Key(key, user),
        (Some(USER) | None, None, Some(user)) => Actor::User(user),
        (Some(OPERATOR) | None, None, None) => Actor::Operator,
        (Some(UNKNOWN), None, None) => Actor::Unknown,
        _ => return Err(broken(&row, "actor")),
    };
    let outcome = row.outcome.as_deref().map_or(Some(EventOutcome::Done), EventOutcome::parse);
    let outcome = outcome.ok_or_else(|| broken(&row, "outcome"))?;
    let hash = row.hash.as_deref().map(|hash| chain_hash(hash, "audit_events", row.organization_id)).transpose()?;
    let event = Event {
        organization: OrganizationId::from_uuid(row.organization_id),
        seq: row.seq.and_then(convert::count).unwrap_or_default(),
        at: Timestamp::from_millis(row.at),
        outcome,
        target: row.target_id,
        actor,
        session: row.session_id.map(SessionId::from_uuid),
        count: convert::count(row.count).unwrap_or_default(),
        action: row.action,
        reason: row.reason,
        permission: row.permission,
        client: row.client,
        request_id: row.request_id,
    };
    Ok(StoredEvent { next: Position::Before(event.seq), event, hash })
}

/// The event of a row. A row that breaks the domain's rules was changed in the database: it is reported as such, not as an outage.
pub(super) fn stored_or_changed(row: audit_event::Model) -> StoredEvent {
    let (organization, seq) = (OrganizationId::from_uuid(row.organization_id), row.seq.and_then(convert::count));
    stored(row).unwrap_or_else(|_| unreadable(organization, seq.unwrap_or_default()))
}

/// The event of a row that cannot be read: without a hash and without values.
fn unreadable(organization: OrganizationId, seq: u64) -> StoredEvent {
    let event = Event {
        organization,
        seq,
        at: Timestamp::from_millis(0),
        action: String::new(),
        outcome: EventOutcome::Done,
        reason: None,
        target: Uuid::nil(),
        actor: Actor::Unknown,
        session: None,
        permission: None,
        client: None,
        request_id: None,
        count: 0,
    };
    StoredEvent { next: Position::Before(event.seq), event, hash: None }
}

/// The error names the organization, because the row's own id is not a UUID.
fn broken(row: &audit_event::Model, column: &'static str) -> DbFailure {
    let organization: Uuid = row.organization_id;
    convert::broken("audit_events", column, organization).into()
}
