//! Lists the events of an audit log that match a filter, newest first, by the index that fits it.

use domain::{
    audit::EventOutcome,
    id::OrganizationId,
    ports::{EventFilter, Position, StoredEvent},
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, IntoCondition, SelectStatement, SimpleExpr},
};

use super::read::stored;
use crate::{
    audit::AuditStore,
    db::{
        candidates::{among, are_few, ids, union},
        dialect::{Dialect, explain},
        error::DbFailure,
    },
    rows::{
        convert,
        entity::audit_event::{Column, Entity},
    },
};

/// What an index is used for. SQLite has no statistics, and would choose by itself among indexes that seem equal: so all other
/// conditions of a filter are written as expressions that no index has. The order is that of the number of events that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leading {
    Actor,
    Outcome,
    Action,
    None,
}

impl Leading {
    fn of(filter: &EventFilter) -> Self {
        if filter.actor.is_some() {
            Self::Actor
        } else if filter.outcome.is_some_and(|outcome| outcome != EventOutcome::Done) {
            Self::Outcome
        } else if filter.actions.as_ref().is_some_and(|actions| !actions.is_empty()) {
            Self::Action
        } else {
            Self::None
        }
    }

    /// The conditions that are looked up in the index: each event with the leading one has at least one of these.
    fn conditions(self, filter: &EventFilter) -> Vec<Condition> {
        match self {
            Self::Actor => {
                let actor = filter.actor.unwrap_or_default();
                // The indexes have only events with such an actor.
                let of = |column: Column| Condition::all().add(column.is_not_null()).add(column.eq(actor));
                vec![of(Column::ActorKeyId), of(Column::ActorUserId)]
            }
            Self::Outcome => {
                let is_not_done = Expr::cust("outcome <> 'done'");
                let of =
                    |outcome: EventOutcome| Condition::all().add(is_not_done).add(Column::Outcome.eq(outcome.code()));
                filter.outcome.map(of).into_iter().collect()
            }
            Self::Action => {
                let actions = filter.actions.iter().flatten();
                actions.map(|action| Column::Action.eq(action.code()).into_condition()).collect()
            }
            Self::None => vec![Condition::all()],
        }
    }
}

impl AuditStore {
    pub(super) async fn events_from(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, DbFailure> {
        let db = &self.database.pools.read;
        let mut found = Vec::new();
        if !matches!(position, Some(Position::Unchained(_))) {
            let query = self.newest_events(organization, filter, position, limit).await?;
            for row in query.all(db).await? {
                found.push(stored(row)?);
            }
        }
        let rest = limit.saturating_sub(found.len() as u64);
        if rest == 0 {
            return Ok(found);
        }
        // Events without a sequence number are paged by offset: no more of them are written, and row ids are not exposed.
        let seen = if let Some(Position::Unchained(seen)) = position { seen } else { 0 };
        let rows = Entity::find()
            .filter(of_log(organization))
            .filter(Column::Seq.is_null())
            .filter(other_conditions(filter, Leading::None))
            .order_by_desc(Column::Id)
            .offset(seen)
            .limit(rest)
            .all(db)
            .await?;
        for (number, row) in (seen + 1..).zip(rows) {
            found.push(StoredEvent { next: Position::Unchained(number), ..stored(row)? });
        }
        Ok(found)
    }

    /// The database's plan for a page of the list, line by line: which indexes it uses, and whether it sorts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn explain_events(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<String>, domain::Outage> {
        let query = self.newest_events(organization, filter, position, limit).await?.into_query();
        Ok(explain(&self.database.pools.read, &query).await.map_err(DbFailure::from)?)
    }

    /// A query of the newest events with a sequence number before a position.
    async fn newest_events(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Select<Entity>, DbFailure> {
        let dialect = Dialect::of(&self.database.pools.read);
        for candidates in candidates(organization, filter) {
            if are_few(&self.database.pools.read, std::slice::from_ref(&candidates)).await? {
                let events = among(Entity::find(), Column::Id, union(vec![candidates]), dialect);
                return Ok(newest(events.filter(other_conditions(filter, Leading::None)), position, limit));
            }
        }
        let leading = Leading::of(filter);
        let rest = other_conditions(filter, leading).add(of_log(organization));
        let mut conditions = leading.conditions(filter);
        if conditions.len() == 1 {
            return Ok(newest(Entity::find().filter(conditions.remove(0)).filter(rest), position, limit));
        }
        // The newest events with each of the conditions, and of these the newest.
        let newest_of = |condition: Condition| {
            let events = ids(Column::Id, Condition::all().add(condition).add(rest.clone()));
            newest(events, position, limit).into_query()
        };
        let candidates = union(conditions.into_iter().map(newest_of).collect());
        Ok(newest(among(Entity::find(), Column::Id, candidates, dialect), position, limit))
    }
}

/// The conditions of a filter that are not looked up in an index, as expressions that no index has.
fn other_conditions(filter: &EventFilter, leading: Leading) -> Condition {
    let unless = |lead| move |condition: SimpleExpr| (leading != lead).then_some(condition);
    let target = filter.target.map(|target| Expr::col(Column::TargetId).if_null(Uuid::nil()).eq(target));
    let actor = filter.actor.map(|actor| {
        let is = |column: Column| Expr::col(column).if_null(Uuid::nil()).eq(actor);
        is(Column::ActorKeyId).or(is(Column::ActorUserId))
    });
    let done = EventOutcome::Done.code();
    let outcome = filter.outcome.map(|outcome| Expr::col(Column::Outcome).if_null(done).eq(outcome.code()));
    let action = filter
        .actions
        .as_ref()
        .map(|actions| Expr::col(Column::Action).if_null("").is_in(actions.iter().map(|action| action.code())));
    let at = || Expr::col(Column::At).if_null(0);
    Condition::all()
        .add_option(target)
        .add_option(actor.and_then(unless(Leading::Actor)))
        .add_option(outcome.and_then(unless(Leading::Outcome)))
        .add_option(action.and_then(unless(Leading::Action)))
        .add_option(filter.since.map(|since| at().gte(since.millis())))
        .add_option(filter.until.map(|until| at().lt(until.millis())))
}

/// For each condition that an index has in another order than that of the log: a query of the ids of all events with it.
fn candidates(organization: OrganizationId, filter: &EventFilter) -> Vec<SelectStatement> {
    let ids = |which: Condition| ids::<Entity>(Column::Id, of_log(organization).add(which)).into_query();
    let target = filter.target.map(|target| ids(Column::TargetId.eq(target).into_condition()));
    let in_period = Condition::all()
        .add_option(filter.since.map(|since| Column::At.gte(since.millis())))
        .add_option(filter.until.map(|until| Column::At.lt(until.millis())));
    let has_period = filter.since.is_some() || filter.until.is_some();
    target.into_iter().chain(has_period.then(|| ids(in_period))).collect()
}

fn of_log(organization: OrganizationId) -> Condition {
    Column::OrganizationId.eq(organization.uuid()).into_condition()
}

/// The newest of these events before a position in the order of the log.
fn newest(events: Select<Entity>, position: Option<Position>, limit: u64) -> Select<Entity> {
    let in_chain = match position {
        Some(Position::Before(seq)) => Column::Seq.lt(convert::number(seq)),
        _ => Column::Seq.is_not_null(),
    };
    events.filter(in_chain).order_by_desc(Column::Seq).limit(limit)
}
