//! Families of short-lived tokens.
//!
//! Whoever checks tokens gets the list of those that are revoked every few seconds, so the number of families bounds what one
//! organization can make all of them get.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    bounds::Bounds,
    clock::Timestamp,
    error::Limited,
    id::{FamilyId, KeyId},
    permission::PermissionSet,
    ports::Families,
    token::Family,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DeleteMany, EntityTrait, QueryFilter, QuerySelect, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Order, Query, SimpleExpr},
};

use crate::{
    Store, api_keys, convert,
    entity::token_family::{self, Column},
    outage::{Failure, there},
};

/// After so many seconds a good part of the families that are live has ended.
const RETRY_AFTER: u64 = 60;

/// A later end stays.
const LATER_END: &str = "CASE WHEN excluded.expires_at > token_families.expires_at \
                         THEN excluded.expires_at ELSE token_families.expires_at END";

/// For how long ended families are kept in any case, in milliseconds: longer than their last tokens are told about.
const KEPT_FOR: i64 = 60 * 60 * 1_000;

#[async_trait]
impl Families for Store {
    async fn join(
        &self,
        family: Family,
        permissions: &PermissionSet,
        until: Timestamp,
        over: Timestamp,
    ) -> Result<FamilyId, Error> {
        let mut flat = permissions.flat();
        flat.sort_unstable();
        let (text, bounds) = (flat.join(" "), self.bounds);
        let join = self.transaction(move |transaction, _| {
            let text = text.clone();
            Box::pin(async move { join(transaction, family, text, until, over, bounds).await })
        });
        Ok(join.await?)
    }

    async fn live(&self, over: Timestamp) -> Result<Vec<Family>, Outage> {
        let rows: Vec<(Uuid, Uuid, Option<Uuid>, Vec<u8>)> = live(over)
            .select_only()
            .columns([Column::Id, Column::OrganizationId, Column::ApiKeyId, Column::SecretHash])
            .into_tuple()
            .all(&self.pools.verification)
            .await
            .map_err(Failure::from)?;
        Ok(rows.into_iter().map(convert::family).collect::<Result<_, _>>().map_err(Failure::from)?)
    }

    async fn permissions(&self, families: Vec<FamilyId>) -> Result<Vec<(FamilyId, PermissionSet)>, Outage> {
        let mut found = Vec::with_capacity(families.len());
        for families in families.chunks(api_keys::ROWS) {
            let rows: Vec<(Uuid, String)> = token_family::Entity::find()
                .select_only()
                .columns([Column::Id, Column::Permissions])
                .filter(Column::Id.is_in(families.iter().map(|family| family.uuid())))
                .into_tuple()
                .all(&self.pools.verification)
                .await
                .map_err(Failure::from)?;
            for (id, text) in rows {
                let permissions = convert::permissions(&text, "token_families", id).map_err(Failure::from)?;
                found.push((FamilyId::from_uuid(id), permissions));
            }
        }
        Ok(found)
    }
}

fn live(over: Timestamp) -> Select<token_family::Entity> {
    token_family::Entity::find().filter(Column::ExpiresAt.gt(over.millis()))
}

async fn join<C: ConnectionTrait>(
    db: &C,
    family: Family,
    permissions: String,
    until: Timestamp,
    over: Timestamp,
    bounds: Bounds,
) -> Result<FamilyId, Failure> {
    let secret = family.secret.bytes().to_vec();
    let permissions_hash = blake3::hash(permissions.as_bytes()).as_bytes().to_vec();
    let this = Column::SecretHash.eq(secret.clone()).and(Column::PermissionsHash.eq(permissions_hash.clone()));
    if live(over).filter(this.clone()).one(db).await?.is_none() {
        require_room(db, &family, over, bounds).await?;
    }
    let row = token_family::ActiveModel {
        id: Set(family.id.uuid()),
        secret_hash: Set(secret),
        permissions_hash: Set(permissions_hash),
        organization_id: Set(family.organization.uuid()),
        permissions: Set(permissions),
        expires_at: Set(until.millis()),
        api_key_id: Set(family.key.map(KeyId::uuid)),
    };
    let unless_known = OnConflict::columns([Column::SecretHash, Column::PermissionsHash])
        .value(Column::ExpiresAt, Expr::cust(LATER_END))
        .to_owned();
    token_family::Entity::insert(row).on_conflict(unless_known).exec_without_returning(db).await?;
    let joined = token_family::Entity::find().filter(this).one(db).await?;
    Ok(FamilyId::from_uuid(there(joined)?.id))
}

/// Refuses a new family where there are very many. What is revoked is never left out of the list: no more tokens are made.
async fn require_room<C: ConnectionTrait>(
    db: &C,
    family: &Family,
    over: Timestamp,
    bounds: Bounds,
) -> Result<(), Failure> {
    let of_secret = Column::SecretHash.eq(family.secret.bytes().to_vec());
    let of_organization = Column::OrganizationId.eq(family.organization.uuid());
    let has = async |which: Select<token_family::Entity>, count: u64| -> Result<bool, Failure> {
        // Whether there is one that so many come before: nothing is counted beyond it.
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
    if has(live(over).filter(of_secret), bounds.families_of_secret).await?
        || has(live(over).filter(of_organization.clone()), bounds.families_of_organization).await?
    {
        return Err(Failure::Refused(Error::TooManyTokens));
    }
    let is_crowded = has(live(over), bounds.families).await?;
    if is_crowded
        && (has(live(over).filter(of_organization), bounds.families_in_a_crowd).await?
            || has(live(over), bounds.families.saturating_mul(2)).await?)
    {
        let refusal = Error::TooMany { what: Limited::Tokens, retry_after: RETRY_AFTER };
        return Err(Failure::Refused(refusal));
    }
    Ok(())
}

impl Store {
    /// Removes families that ended long ago, in pieces. Answers how many those were.
    pub(crate) async fn remove_ended_families(&self, now: Timestamp) -> Result<u64, Failure> {
        let over = Expr::value(now.plus_millis(-KEPT_FOR).millis());
        self.in_pieces(async |size| Ok(ended(over.clone(), size).exec(&self.pools.write).await?.rows_affected)).await
    }
}

/// Removes some families whose last token ended at this moment or before.
fn ended(over: SimpleExpr, most: u64) -> DeleteMany<token_family::Entity> {
    let is_over = token_family::Column::ExpiresAt.into_expr().lte(over);
    let some = Query::select()
        .column(token_family::Column::Id)
        .from(token_family::Entity)
        .and_where(is_over.clone())
        .order_by(token_family::Column::ExpiresAt, Order::Asc)
        .limit(most)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .to_owned();
    // One that goes on meanwhile stays.
    token_family::Entity::delete_many().filter(is_over).filter(token_family::Column::Id.in_subquery(some))
}
