//! Stores signed checkpoints with the audit logs, and counts the stored events of a log.

use std::sync::Arc;

use domain::{
    audit::ChainHead,
    id::OrganizationId,
    ports::{Chain, EventCounts},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, Value,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait},
};

use super::read;
use crate::{
    audit::AuditStore,
    db::{
        dialect::{Dialect, row_values::RowValues},
        error::DbFailure,
    },
    rows::{
        convert,
        entity::{
            audit_chain::{self, Column},
            audit_event,
        },
    },
};

/// The most checkpoints in one transaction: the changes of these organizations wait for it.
const MAX_CHECKPOINTS_PER_TRANSACTION: usize = 20;

/// The stored events of an organization by their position relative to its chain. One statement, so that all counts are of the same
/// snapshot of the database.
const COUNT_EVENTS: &str = "\
    SELECT c.begin_seq, c.end_seq, \
    (SELECT count(*) FROM audit_events e WHERE e.organization_id = c.organization_id \
        AND e.seq > c.begin_seq AND e.seq <= c.end_seq) AS inside, \
    (SELECT count(*) FROM audit_events e WHERE e.organization_id = c.organization_id AND e.seq <= c.begin_seq) AS before_it, \
    (SELECT count(*) FROM audit_events e WHERE e.organization_id = c.organization_id AND e.seq > c.end_seq) AS after_it, \
    (SELECT count(*) FROM audit_events e WHERE e.organization_id = c.organization_id AND e.seq IS NULL) AS unsequenced, \
    (SELECT count(*) FROM audit_events e WHERE e.organization_id = c.organization_id AND e.seq IS NULL AND e.at > \
        (SELECT min(f.at) FROM audit_events f WHERE f.organization_id = c.organization_id AND f.seq = c.begin_seq + 1)) \
        AS unsequenced_late \
    FROM audit_chains c WHERE c.organization_id = $1";

impl AuditStore {
    pub(super) async fn read_chains_without_checkpoint(
        &self,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<Chain>, DbFailure> {
        let after = after.map(|after| Column::OrganizationId.gt(after.uuid()));
        let rows = audit_chain::Entity::find()
            .filter(Expr::col(Column::CheckpointSeq).lt(Expr::col(Column::EndSeq)))
            .filter(Condition::all().add_option(after))
            .order_by_asc(Column::OrganizationId)
            .limit(limit)
            .all(&self.database.pools.read)
            .await?;
        Ok(rows.iter().map(read::chain).collect())
    }

    pub(super) async fn write_checkpoints(&self, signed: Vec<(ChainHead, String)>) -> Result<(), DbFailure> {
        for signed in signed.chunks(MAX_CHECKPOINTS_PER_TRANSACTION) {
            let signed: Arc<[(ChainHead, String)]> = signed.into();
            let write = self.database.transaction(move |transaction, _| {
                let signed = signed.clone();
                Box::pin(async move { Ok(write(transaction, &signed).await?) })
            });
            write.await?;
        }
        Ok(())
    }

    pub(super) async fn count_events_without_seq(&self, organization: OrganizationId) -> Result<u64, DbFailure> {
        let count = audit_event::Entity::find()
            .filter(audit_event::Column::OrganizationId.eq(organization.uuid()))
            .filter(audit_event::Column::Seq.is_null())
            .count(&self.database.pools.read)
            .await?;
        Ok(count)
    }

    pub(super) async fn count_events(&self, organization: OrganizationId) -> Result<Option<EventCounts>, DbFailure> {
        let db = &self.database.pools.read;
        let values = [Value::from(organization.uuid())];
        let statement = Statement::from_sql_and_values(db.get_database_backend(), COUNT_EVENTS, values);
        let Some(row) = db.query_one_raw(statement).await? else { return Ok(None) };
        let number =
            |name: &str| -> Result<u64, DbFailure> { Ok(convert::count(row.try_get("", name)?).unwrap_or_default()) };
        Ok(Some(EventCounts {
            begin: number("begin_seq")?,
            end: number("end_seq")?,
            inside: number("inside")?,
            outside: number("before_it")? + number("after_it")?,
            unsequenced: number("unsequenced")?,
            unsequenced_late: number("unsequenced_late")?,
        }))
    }

    pub(super) async fn find_organizations_without_log(
        &self,
        only: Option<OrganizationId>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<OrganizationId>, DbFailure> {
        let db = &self.database.pools.read;
        let mut values: Vec<Value> = Vec::new();
        let mut conditions = Vec::new();
        for (comparison, id) in [("=", only), (">", after)] {
            if let Some(id) = id {
                values.push(Value::from(id.uuid()));
                conditions.push(format!(" AND o.id {comparison} ${}", values.len()));
            }
        }
        let conditions = conditions.concat();
        let sql = format!(
            "SELECT o.id FROM (SELECT id FROM organizations UNION SELECT organization_id AS id FROM audit_events) o \
             WHERE NOT EXISTS (SELECT 1 FROM audit_chains c WHERE c.organization_id = o.id){conditions} \
             ORDER BY o.id LIMIT {limit}"
        );
        let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        let rows = db.query_all_raw(statement).await?;
        rows.iter().map(|row| Ok(OrganizationId::from_uuid(row.try_get::<Uuid>("", "id")?))).collect()
    }
}

/// Stores checkpoints, unless another node has stored newer ones meanwhile.
async fn write<C: ConnectionTrait>(db: &C, signed: &[(ChainHead, String)]) -> Result<(), DbErr> {
    if !Dialect::of(db).takes_row_values() {
        for (head, text) in signed {
            let seq = convert::number(head.seq);
            audit_chain::Entity::update_many()
                .col_expr(Column::Checkpoint, Expr::value(text.clone()))
                .col_expr(Column::CheckpointSeq, Expr::value(seq))
                .filter(Column::OrganizationId.eq(head.organization.uuid()))
                .filter(Column::CheckpointSeq.lt(seq))
                .exec(db)
                .await?;
        }
        return Ok(());
    }
    let row = |(head, text): &(ChainHead, String)| {
        vec![Value::from(head.organization.uuid()), Value::from(text.clone()), Value::from(convert::number(head.seq))]
    };
    let query = RowValues::new(vec!["id", "checkpoint", "checkpoint_seq"], signed.iter().map(row).collect()).query(1);
    // In the order of the ids, so that two nodes cannot deadlock.
    let sql = format!(
        "WITH v AS ({}), s AS (SELECT v.* FROM v JOIN audit_chains ON organization_id = v.id ORDER BY v.id \
         FOR UPDATE OF audit_chains) UPDATE audit_chains SET checkpoint = s.checkpoint, checkpoint_seq = s.checkpoint_seq \
         FROM s WHERE organization_id = s.id AND audit_chains.checkpoint_seq < s.checkpoint_seq",
        query.sql
    );
    for part in &query.parts {
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, &sql, query.values(part))).await?;
    }
    Ok(())
}
