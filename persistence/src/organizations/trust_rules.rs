//! Trust rules: tokens of identity providers that are exchanged for short-lived tokens.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    cooperation::Pace,
    error::Capped,
    id::{OrganizationId, TrustRuleId},
    organizations::{
        organization::Organization,
        trust_rule::{MAX_TRUST_RULES, TrustRule},
    },
    ports::{ChangeLock, TrustRules},
};
use sea_orm::{
    ActiveValue::NotSet,
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::{
    database::Database,
    db::{
        MAX_ROWS_PER_STATEMENT,
        error::{DbFailure, or_not_found},
    },
    organizations::{self, lock, unless_taken},
    rows::{
        convert,
        entity::{
            organization,
            trust_rule::{self, Column},
        },
    },
};

#[async_trait]
impl TrustRules for Database {
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<TrustRuleId>,
        limit: u64,
    ) -> Result<Vec<TrustRule>, Outage> {
        let rows = rules_of(organization)
            .apply_if(after, |find, after| find.filter(Column::Id.gt(after.uuid())))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(DbFailure::from)?;
        Ok(rules(&rows).await?)
    }

    async fn find(&self, organization: OrganizationId, rule: TrustRuleId) -> Result<Option<TrustRule>, Outage> {
        let row = rules_of(organization).filter(Column::Id.eq(rule.uuid())).one(&self.pools.read);
        let row = row.await.map_err(DbFailure::from)?;
        Ok(row.as_ref().map(convert::trust_rule).transpose().map_err(DbFailure::from)?)
    }

    async fn find_enabled(
        &self,
        organization: OrganizationId,
        issuer: &str,
        only: Option<TrustRuleId>,
    ) -> Result<Vec<TrustRule>, Outage> {
        let rows = rules_of(organization)
            .filter(Column::Enabled.eq(true))
            .filter(Column::Issuer.eq(issuer))
            .apply_if(only, |find, only| find.filter(Column::Id.eq(only.uuid())))
            .order_by_asc(Column::Id)
            .limit(MAX_TRUST_RULES)
            .all(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        Ok(rules(&rows).await?)
    }

    async fn find_active(&self, rule: TrustRuleId) -> Result<Option<(TrustRule, Organization)>, Outage> {
        let db = &self.pools.verification;
        let find = async {
            let this = trust_rule::Entity::find_by_id(rule.uuid()).filter(Column::Enabled.eq(true));
            let Some(row) = this.one(db).await? else { return Ok(None) };
            let rule = convert::trust_rule(&row)?;
            let organization = organizations::find(db, rule.organization).await?;
            let active = organization.filter(|organization| organization.suspended_at.is_none());
            Ok::<_, DbFailure>(active.map(|organization| (rule, organization)))
        };
        Ok(find.await?)
    }

    async fn active_generations(&self, rules: Vec<TrustRuleId>) -> Result<Vec<(TrustRuleId, u64)>, Outage> {
        let mut found = Vec::with_capacity(rules.len());
        for rules in rules.chunks(MAX_ROWS_PER_STATEMENT) {
            let column = |column| Expr::col((organization::Entity, column));
            let is_active = Query::select()
                .expr(Expr::value(1))
                .from(organization::Entity)
                .and_where(column(organization::Column::Id).equals((trust_rule::Entity, Column::OrganizationId)))
                .and_where(column(organization::Column::SuspendedAt).is_null())
                .and_where(column(organization::Column::DeletedAt).is_null())
                .to_owned();
            let rows: Vec<(Uuid, i64)> = trust_rule::Entity::find()
                .select_only()
                .columns([Column::Id, Column::Generation])
                .filter(Column::Id.is_in(rules.iter().map(|rule| rule.uuid())))
                .filter(Column::Enabled.eq(true))
                .filter(Expr::exists(is_active))
                .into_tuple()
                .all(&self.pools.verification)
                .await
                .map_err(DbFailure::from)?;
            for (id, generation) in rows {
                let generation = convert::count(generation).ok_or(convert::broken("trust_rules", "generation", id));
                found.push((TrustRuleId::from_uuid(id), generation.map_err(DbFailure::from)?));
            }
        }
        Ok(found)
    }

    async fn create(&self, rule: &TrustRule, context: &AuditContext) -> Result<(), Error> {
        let (caps, rule, context) = (self.caps, rule.clone(), context.clone());
        let create = self.transaction(move |transaction, changed| {
            let (rule, context) = (rule.clone(), context.clone());
            Box::pin(async move {
                let organization_row = lock(transaction, rule.organization).await?;
                let count = rules_of(rule.organization).count(transaction).await?;
                caps.require_room(&organization_row, Capped::TrustRules, count)?;
                let row = convert::trust_rule_row(&rule);
                trust_rule::Entity::insert(row).exec_without_returning(transaction).await?;
                changed.log.record_within(&context, &[rule.id.uuid()], caps.changes);
                changed.log.record_idempotency_key(&context);
                Ok(())
            })
        });
        Ok(unless_taken(create.await, Error::NameTaken)?)
    }

    async fn lock_for_change(&self, organization: OrganizationId, rule: TrustRuleId) -> Result<ChangeLock, Error> {
        Ok(Box::new(self.turns.take(organization, rule.uuid()).await?))
    }

    async fn update(&self, rule: &TrustRule, seen: u64, context: &AuditContext) -> Result<bool, Error> {
        let (max_changes, rule, context) = (self.caps.changes, rule.clone(), context.clone());
        let update = self.transaction(move |transaction, changed| {
            let (rule, context) = (rule.clone(), context.clone());
            Box::pin(async move {
                lock(transaction, rule.organization).await?;
                let row = trust_rule::ActiveModel { id: NotSet, ..convert::trust_rule_row(&rule) };
                let updated = trust_rule::Entity::update_many().set(row).filter(Column::Id.eq(rule.id.uuid()));
                let updated = updated.filter(Column::Version.eq(convert::number(seen))).exec(transaction).await?;
                if updated.rows_affected == 0 {
                    return require_rule(transaction, &rule).await.map(|()| false);
                }
                changed.log.record_within(&context, &[rule.id.uuid()], max_changes);
                Ok(true)
            })
        });
        Ok(unless_taken(update.await, Error::NameTaken)?)
    }

    async fn delete(&self, seen: &TrustRule, context: &AuditContext) -> Result<bool, Error> {
        let (rule, context) = (seen.clone(), context.clone());
        let delete = self.transaction(move |transaction, changed| {
            let (rule, context) = (rule.clone(), context.clone());
            Box::pin(async move {
                lock(transaction, rule.organization).await?;
                let this = trust_rule::Entity::delete_by_id(rule.id.uuid());
                let deleted = this.filter(Column::Version.eq(convert::number(rule.version))).exec(transaction).await?;
                if deleted.rows_affected == 0 {
                    return require_rule(transaction, &rule).await.map(|()| false);
                }
                changed.log.record(&context, &[rule.id.uuid()]);
                Ok(true)
            })
        });
        Ok(delete.await?)
    }
}

/// Requires that the organization has this rule, in any version.
async fn require_rule<C: sea_orm::ConnectionTrait>(db: &C, rule: &TrustRule) -> Result<(), DbFailure> {
    or_not_found(rules_of(rule.organization).filter(Column::Id.eq(rule.id.uuid())).one(db).await?).map(drop)
}

/// A query of the trust rules of an organization.
fn rules_of(organization: OrganizationId) -> Select<trust_rule::Entity> {
    trust_rule::Entity::find().filter(Column::OrganizationId.eq(organization.uuid()))
}

async fn rules(rows: &[trust_rule::Model]) -> Result<Vec<TrustRule>, DbFailure> {
    let (mut rules, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in rows {
        pace.worked(row.permissions.len() + row.claims.len()).await;
        rules.push(convert::trust_rule(row)?);
    }
    Ok(rules)
}
