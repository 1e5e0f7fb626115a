//! How many deleted keys an organization keeps: as many as it may have keys. The oldest ones make room, because ending a key must
//! never fail.

use domain::{id::OrganizationId, organization::Capped};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType, SimpleExpr},
};

use crate::{
    DefaultCaps,
    entity::{api_key, organization},
    outage::Failure,
};

/// Keys that are removed for good with one deletion, beside as many as it deletes.
const MAX_REMOVED: u64 = 1_000;

/// Counts keys of an organization that were just deleted; part of the transaction, and after it locked its row. Where there are
/// more deleted keys than the organization may have keys, the oldest ones are removed for good.
///
/// Keys that are restored, or gone after their time, are not counted down: where the count reaches the cap, they are counted
/// anew, and some room is made, so that this is seldom.
pub(crate) async fn count<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    deleted: usize,
    caps: DefaultCaps,
) -> Result<(), Failure> {
    let deleted = deleted as u64;
    let count = Expr::col(organization::Column::DeletedKeyCount);
    set(db, organization, count.add(i64::try_from(deleted).unwrap_or(i64::MAX))).await?;
    let Some(row) = organization::Entity::find_by_id(organization.uuid()).one(db).await? else { return Ok(()) };
    let cap = caps.most(&row, Capped::Keys);
    if u64::try_from(row.deleted_key_count).unwrap_or_default() <= cap {
        return Ok(());
    }
    let of_it = api_key::Column::OrganizationId.eq(organization.uuid()).and(api_key::Column::DeletedAt.is_not_null());
    let kept = api_key::Entity::find().filter(of_it.clone()).count(db).await?;
    let surplus = if kept > cap { Ord::min(kept - (cap - cap / 100), deleted + MAX_REMOVED) } else { 0 };
    let oldest: Vec<Uuid> = if surplus == 0 {
        Vec::new()
    } else {
        api_key::Entity::find()
            .select_only()
            .column(api_key::Column::Id)
            .filter(of_it)
            .order_by_asc(api_key::Column::DeletedAt)
            .order_by_asc(api_key::Column::Id)
            .limit(surplus)
            // One that is being restored at this moment waits for the organization's row, which we hold.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_tuple()
            .all(db)
            .await?
    };
    crate::deletion::remove(db, &oldest).await?;
    if !oldest.is_empty() {
        tracing::info!(target: "claviger", org_id = %organization, keys = oldest.len(),
            "the oldest deleted keys were removed: the organization keeps no more than it may have keys");
    }
    let left = kept.saturating_sub(oldest.len() as u64);
    set(db, organization, Expr::value(i64::try_from(left).unwrap_or(i64::MAX))).await
}

async fn set<C: ConnectionTrait>(db: &C, organization: OrganizationId, count: SimpleExpr) -> Result<(), Failure> {
    organization::Entity::update_many()
        .col_expr(organization::Column::DeletedKeyCount, count)
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}
