//! Reading the log, and what is gathered for it.

use async_trait::async_trait;
use domain::{
    Outage,
    act::Actor,
    audit::{Event, Head, Outcome},
    clock::Timestamp,
    id::{KeyId, OrganizationId, SessionId, UserId},
    ports::{self, Chain, EventFilter, Notable, Position, Stored},
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, prelude::Uuid};

use super::{KEY, OPERATOR, UNKNOWN, USER, chain_hash};
use crate::{
    Store, convert,
    entity::{audit_chain, audit_event},
    outage::Failure,
};

#[async_trait]
impl ports::AuditLog for Store {
    fn gather(&self, notable: Notable) {
        self.notables.gather(notable);
    }

    async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Stored>, Outage> {
        if let Err(error) = self.write_notables(false).await {
            tracing::warn!(target: "claviger", %error, "what was refused could not be noted");
        }
        Ok(self.events_from(organization, filter, position, limit).await?)
    }

    async fn has_log(&self, organization: OrganizationId) -> Result<bool, Outage> {
        Ok(self.chain(organization).await?.is_some())
    }

    async fn chain(&self, organization: OrganizationId) -> Result<Option<Chain>, Outage> {
        let row = audit_chain::Entity::find_by_id(organization.uuid()).one(&self.pools.read).await;
        Ok(row.map_err(Failure::from)?.as_ref().map(chain).transpose()?)
    }

    async fn chains(&self, after: Option<OrganizationId>, limit: u64) -> Result<Vec<Chain>, Outage> {
        let after = after.map(|after| audit_chain::Column::OrganizationId.gt(after.uuid()));
        let rows = audit_chain::Entity::find()
            .filter(Condition::all().add_option(after))
            .order_by_asc(audit_chain::Column::OrganizationId)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        Ok(rows.iter().map(chain).collect::<Result<_, _>>()?)
    }

    async fn events(&self, organization: OrganizationId, seq: u64, limit: u64) -> Result<Vec<Stored>, Outage> {
        let rows = audit_event::Entity::find()
            .filter(audit_event::Column::OrganizationId.eq(organization.uuid()))
            .filter(audit_event::Column::Seq.gt(convert::number(seq)))
            .order_by_asc(audit_event::Column::Seq)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        Ok(rows.into_iter().map(stored_or_changed).collect())
    }

    async fn grown(&self, since: Timestamp) -> Result<Vec<Head>, Outage> {
        let rows = audit_chain::Entity::find()
            .filter(audit_chain::Column::EndAt.gte(since.millis()))
            .order_by_asc(audit_chain::Column::OrganizationId)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        let ends = rows.iter().map(|row| chain(row).map(|chain| chain.end));
        Ok(ends.collect::<Result<_, _>>()?)
    }
}

impl Store {
    async fn events_from(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Stored>, Failure> {
        let mut found = Vec::new();
        if !matches!(position, Some(Position::Unchained(_))) {
            let chained = match position {
                Some(Position::Before(seq)) => audit_event::Column::Seq.lt(convert::number(seq)),
                _ => audit_event::Column::Seq.is_not_null(),
            };
            let rows = audit_event::Entity::find()
                .filter(condition(organization, filter))
                .filter(chained)
                .order_by_desc(audit_event::Column::Seq)
                .limit(limit)
                .all(&self.pools.read)
                .await?;
            for row in rows {
                found.push(stored(row)?);
            }
        }
        let rest = limit.saturating_sub(found.len() as u64);
        if rest == 0 {
            return Ok(found);
        }
        // There are no more of these, so those that were seen are counted: no number of a row is told.
        let seen = if let Some(Position::Unchained(seen)) = position { seen } else { 0 };
        let rows = audit_event::Entity::find()
            .filter(condition(organization, filter))
            .filter(audit_event::Column::Seq.is_null())
            .order_by_desc(audit_event::Column::Id)
            .offset(seen)
            .limit(rest)
            .all(&self.pools.read)
            .await?;
        for (place, row) in (seen + 1..).zip(rows) {
            found.push(Stored { next: Position::Unchained(place), ..stored(row)? });
        }
        Ok(found)
    }
}

fn condition(organization: OrganizationId, filter: &EventFilter) -> Condition {
    let action = filter
        .actions
        .as_ref()
        .map(|actions| audit_event::Column::Action.is_in(actions.iter().map(|action| action.code())));
    let outcome = filter.outcome.map(|outcome| {
        let column = audit_event::Column::Outcome;
        let own = Condition::any().add(column.eq(outcome.code()));
        if outcome == Outcome::Done { own.add(column.is_null()) } else { own }
    });
    let actor = filter.actor.map(|actor| {
        let columns = [audit_event::Column::ActorKeyId, audit_event::Column::ActorUserId];
        columns.into_iter().fold(Condition::any(), |any, column| any.add(column.eq(actor)))
    });
    Condition::all()
        .add(audit_event::Column::OrganizationId.eq(organization.uuid()))
        .add_option(action)
        .add_option(outcome)
        .add_option(actor)
        .add_option(filter.target.map(|target| audit_event::Column::TargetId.eq(target)))
        .add_option(filter.since.map(|since| audit_event::Column::At.gte(since.millis())))
        .add_option(filter.until.map(|until| audit_event::Column::At.lt(until.millis())))
}

pub(super) fn chain(row: &audit_chain::Model) -> Result<Chain, Failure> {
    let head = |seq, hash: &[u8]| {
        Ok::<_, Failure>(Head {
            organization: OrganizationId::from_uuid(row.organization_id),
            seq: convert::count(seq).unwrap_or_default(),
            hash: chain_hash(hash, "audit_chains", row.organization_id)?,
        })
    };
    Ok(Chain {
        begin: head(row.begin_seq, &row.begin_hash)?,
        end: head(row.end_seq, &row.end_hash)?,
        prune_record: row.prune_record.clone(),
    })
}

fn stored(row: audit_event::Model) -> Result<Stored, Failure> {
    let key = row.actor_key_id.map(KeyId::from_uuid);
    let user = row.actor_user_id.map(UserId::from_uuid);
    let actor = match (row.actor.as_deref(), key, user) {
        (Some(KEY) | None, Some(key), user) => Actor::Key(key, user),
        (Some(USER) | None, None, Some(user)) => Actor::User(user),
        (Some(OPERATOR) | None, None, None) => Actor::Operator,
        (Some(UNKNOWN), None, None) => Actor::Unknown,
        _ => return Err(broken(&row, "actor")),
    };
    let outcome = row.outcome.as_deref().map_or(Some(Outcome::Done), Outcome::parse);
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
    Ok(Stored { next: Position::Before(event.seq), event, hash })
}

/// One that no rule allows is one that somebody has changed: it is told as such, not as an outage.
pub(super) fn stored_or_changed(row: audit_event::Model) -> Stored {
    stored(row.clone()).unwrap_or_else(|_| unreadable(row))
}

/// A row that no rule allows, without a hash.
fn unreadable(row: audit_event::Model) -> Stored {
    let event = Event {
        organization: OrganizationId::from_uuid(row.organization_id),
        seq: row.seq.and_then(convert::count).unwrap_or_default(),
        at: Timestamp::from_millis(row.at),
        action: row.action,
        outcome: Outcome::Done,
        reason: None,
        target: row.target_id,
        actor: Actor::Unknown,
        session: None,
        permission: None,
        client: None,
        request_id: None,
        count: 0,
    };
    Stored { next: Position::Before(event.seq), event, hash: None }
}

/// A row whose own number is no UUID is named by its organization.
fn broken(row: &audit_event::Model, column: &'static str) -> Failure {
    let organization: Uuid = row.organization_id;
    convert::broken("audit_events", column, organization).into()
}
