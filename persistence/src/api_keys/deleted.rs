//! Bounds the number of deleted keys that an organization keeps to its cap of keys. The oldest ones are purged, because deleting a
//! key must never fail.

use domain::{error::Capped, id::OrganizationId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType, Query, SimpleExpr},
};

use crate::{
    db::{count::count_up_to, error::DbFailure},
    rows::entity::{api_key, organization},
    settings::DefaultCaps,
};

/// The most keys that one deletion purges, in addition to as many as it deletes.
const MAX_REMOVED_KEYS: u64 = 1_000;

/// Counts keys of an organization that the transaction has deleted, after it has locked the organization's row. If more deleted keys
/// are counted than the organization may have keys, the oldest ones are purged.
///
/// The count is an upper bound: restored and purged keys are not subtracted. When it exceeds the cap the keys are counted again, and
/// one percent more than necessary is purged, so that this is rare.
pub(crate) async fn count<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    deleted: usize,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    let deleted = deleted as u64;
    let count = Expr::col(organization::Column::DeletedKeyCount);
    set(db, organization, count.add(i64::try_from(deleted).unwrap_or(i64::MAX))).await?;
    let Some(row) = organization::Entity::find_by_id(organization.uuid()).one(db).await? else { return Ok(()) };
    let cap = caps.max(&row, Capped::Keys);
    if u64::try_from(row.deleted_key_count).unwrap_or_default() <= cap {
        return Ok(());
    }
    let of_it = api_key::Column::OrganizationId.eq(organization.uuid()).and(api_key::Column::DeletedAt.is_not_null());
    let removed_at_once = deleted + MAX_REMOVED_KEYS;
    // Up to a bound: if the cap was lowered there may be very many.
    let all = Query::select().column(api_key::Column::Id).from(api_key::Entity).and_where(of_it.clone()).to_owned();
    let kept = count_up_to(db, all, cap.saturating_add(removed_at_once)).await?;
    let surplus = if kept > cap { Ord::min(kept - (cap - cap / 100), removed_at_once) } else { 0 };
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
            // Skips a key that is being restored: that transaction waits for the organization's row, which this one has locked.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_tuple()
            .all(db)
            .await?
    };
    crate::api_keys::delete::remove(db, &oldest).await?;
    if !oldest.is_empty() {
        tracing::info!(target: "claviger", org_id = %organization, keys = oldest.len(),
            "the oldest deleted keys were purged: their number is limited to the organization's maximum of keys");
    }
    // If there are more than were counted, the next deletion counts again and purges more.
    let left = kept.saturating_sub(oldest.len() as u64);
    set(db, organization, Expr::value(i64::try_from(left).unwrap_or(i64::MAX))).await
}

async fn set<C: ConnectionTrait>(db: &C, organization: OrganizationId, count: SimpleExpr) -> Result<(), DbFailure> {
    organization::Entity::update_many()
        .col_expr(organization::Column::DeletedKeyCount, count)
        .filter(organization::Column::Id.eq(organization.uuid()))
        .exec(db)
        .await?;
    Ok(())
}
