//! Token groups: short-lived tokens of one secret or one trust rule with the same permissions, which are revoked together. The table and the claim call
//! them families.
//!
//! Services that check tokens fetch the list of revoked groups every few seconds. The number of groups is bounded, so that one
//! organization cannot make that list very long.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::token::TokenGroup,
    bounds::Bounds,
    clock::Timestamp,
    error::Limited,
    id::{KeyId, TokenGroupId, TrustRuleId},
    permissions::Permissions,
    ports::TokenGroups,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, OnConflict},
};

use crate::{
    database::{Database, batches::first_ids},
    db::{
        MAX_ROWS_PER_STATEMENT,
        error::{DbFailure, or_not_found},
    },
    retention_periods::TOKEN_GROUPS_MS,
    rows::{
        convert,
        entity::token_family::{self, Column},
    },
};

/// `retry_after` in seconds when there are too many groups: by then many of them have expired.
const RETRY_AFTER_SECONDS: u64 = 60;

/// Extends the expiry of a group, but never shortens it.
const LATER_EXPIRY: &str = "CASE WHEN excluded.expires_at > token_families.expires_at \
                         THEN excluded.expires_at ELSE token_families.expires_at END";

#[async_trait]
impl TokenGroups for Database {
    async fn find_or_create(
        &self,
        group: TokenGroup,
        permissions: &Permissions,
        until: Timestamp,
        expired_before: Timestamp,
    ) -> Result<TokenGroupId, Error> {
        let mut flat = permissions.flat();
        flat.sort_unstable();
        let (text, bounds) = (flat.join(" "), self.bounds);
        let find = self.transaction(move |transaction, _| {
            let text = text.clone();
            Box::pin(async move { find_or_create(transaction, group, text, until, expired_before, bounds).await })
        });
        Ok(find.await?)
    }

    async fn live(&self, expired_before: Timestamp) -> Result<Vec<TokenGroup>, Outage> {
        let rows: Vec<convert::TokenGroupColumns> = live(expired_before)
            .select_only()
            .columns([Column::Id, Column::OrganizationId, Column::ApiKeyId, Column::TrustRuleId, Column::SecretHash])
            .into_tuple()
            .all(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        Ok(rows.into_iter().map(convert::token_group).collect::<Result<_, _>>().map_err(DbFailure::from)?)
    }

    async fn find(&self, group: TokenGroupId) -> Result<Option<(TokenGroup, Permissions)>, Outage> {
        let row = token_family::Entity::find_by_id(group.uuid())
            .one(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        let Some(row) = row else { return Ok(None) };
        let permissions = convert::permissions(&row.permissions, "token_families", row.id).map_err(DbFailure::from)?;
        let group = (row.id, row.organization_id, row.api_key_id, row.trust_rule_id, row.secret_hash);
        Ok(Some((convert::token_group(group).map_err(DbFailure::from)?, permissions)))
    }

    async fn revoke(&self, group: TokenGroupId, context: &AuditContext) -> Result<(), Outage> {
        let context = context.clone();
        let revoke = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                let revoked = TokenGroup::revoked_secret(group).bytes().to_vec();
                let update = token_family::Entity::update_many()
                    .col_expr(Column::SecretHash, Expr::value(revoked.clone()))
                    .filter(Column::Id.eq(group.uuid()))
                    .filter(Column::SecretHash.ne(revoked));
                if update.exec(transaction).await?.rows_affected > 0 {
                    changed.log.record(&context, &[group.uuid()]);
                }
                Ok(())
            })
        });
        Ok(revoke.await?)
    }

    async fn permissions(&self, groups: Vec<TokenGroupId>) -> Result<Vec<(TokenGroupId, Permissions)>, Outage> {
        let mut found = Vec::with_capacity(groups.len());
        for groups in groups.chunks(MAX_ROWS_PER_STATEMENT) {
            let rows: Vec<(Uuid, String)> = token_family::Entity::find()
                .select_only()
                .columns([Column::Id, Column::Permissions])
                .filter(Column::Id.is_in(groups.iter().map(|group| group.uuid())))
                .into_tuple()
                .all(&self.pools.verification)
                .await
                .map_err(DbFailure::from)?;
            for (id, text) in rows {
                let permissions = convert::permissions(&text, "token_families", id).map_err(DbFailure::from)?;
                found.push((TokenGroupId::from_uuid(id), permissions));
            }
        }
        Ok(found)
    }
}

fn live(expired_before: Timestamp) -> Select<token_family::Entity> {
    token_family::Entity::find().filter(Column::ExpiresAt.gt(expired_before.millis()))
}

async fn find_or_create<C: ConnectionTrait>(
    db: &C,
    group: TokenGroup,
    permissions: String,
    until: Timestamp,
    expired_before: Timestamp,
    bounds: Bounds,
) -> Result<TokenGroupId, DbFailure> {
    let secret = group.secret.bytes().to_vec();
    let permissions_hash = blake3::hash(permissions.as_bytes()).as_bytes().to_vec();
    let this = Column::SecretHash.eq(secret.clone()).and(Column::PermissionsHash.eq(permissions_hash.clone()));
    if live(expired_before).filter(this.clone()).one(db).await?.is_none() {
        require_room(db, &group, expired_before, bounds).await?;
    }
    let row = token_family::ActiveModel {
        id: Set(group.id.uuid()),
        secret_hash: Set(secret),
        permissions_hash: Set(permissions_hash),
        organization_id: Set(group.organization.uuid()),
        permissions: Set(permissions),
        expires_at: Set(until.millis()),
        api_key_id: Set(group.key.map(KeyId::uuid)),
        trust_rule_id: Set(group.trust_rule.map(TrustRuleId::uuid)),
    };
    let unless_known = OnConflict::columns([Column::SecretHash, Column::PermissionsHash])
        .value(Column::ExpiresAt, Expr::cust(LATER_EXPIRY))
        .to_owned();
    token_family::Entity::insert(row).on_conflict(unless_known).exec_without_returning(db).await?;
    let found = token_family::Entity::find().filter(this).one(db).await?;
    Ok(TokenGroupId::from_uuid(or_not_found(found)?.id))
}

/// Refuses a new group if there are too many. Revoked groups are never left out of the list; instead no tokens are issued.
async fn require_room<C: ConnectionTrait>(
    db: &C,
    group: &TokenGroup,
    expired_before: Timestamp,
    bounds: Bounds,
) -> Result<(), DbFailure> {
    let of_secret = Column::SecretHash.eq(group.secret.bytes().to_vec());
    let of_organization = Column::OrganizationId.eq(group.organization.uuid());
    // A key has two secrets at most. The rest is for revoked groups, which no longer have its secret, and for those of earlier
    // generations of a trust rule.
    let of_holder = of_organization.clone().and(match group.trust_rule {
        Some(rule) => Column::TrustRuleId.eq(rule.uuid()),
        None => Column::ApiKeyId.eq(group.key.map(KeyId::uuid)),
    });
    let has = async |which: Select<token_family::Entity>, count: u64| -> Result<bool, DbFailure> {
        // By an offset, so that no more than `count` rows are read.
        let beyond: Option<Uuid> = which
            .select_only()
            .column(Column::Id)
            .offset(count.saturating_sub(1))
            .limit(1)
            .into_tuple()
            .one(db)
            .await?;
        Ok(beyond.is_some())
    };
    if has(live(expired_before).filter(of_secret), bounds.token_groups_of_secret).await?
        || has(live(expired_before).filter(of_holder), bounds.token_groups_of_secret.saturating_mul(3)).await?
        || has(live(expired_before).filter(of_organization.clone()), bounds.token_groups_of_organization).await?
    {
        return Err(DbFailure::Refused(Error::TooManyTokens));
    }
    let is_crowded = has(live(expired_before), bounds.token_groups).await?;
    if is_crowded
        && (has(live(expired_before).filter(of_organization), bounds.token_groups_when_crowded).await?
            || has(live(expired_before), bounds.token_groups.saturating_mul(2)).await?)
    {
        let error = Error::TooMany { what: Limited::Tokens, retry_after: RETRY_AFTER_SECONDS };
        return Err(DbFailure::Refused(error));
    }
    Ok(())
}

impl Database {
    /// Removes groups whose retention period has passed, in batches. Returns how many.
    pub(crate) async fn remove_ended_token_groups(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let expired = Column::ExpiresAt.lte(now.plus_millis(-TOKEN_GROUPS_MS).millis());
        let batch = async |size| {
            // Still filtered by expiry: one may have been extended meanwhile.
            let remove = token_family::Entity::delete_many().filter(expired.clone());
            let remove =
                remove.filter(Column::Id.in_subquery(first_ids(Column::Id, expired.clone(), Column::ExpiresAt, size)));
            Ok(remove.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_batches(batch).await
    }
}
