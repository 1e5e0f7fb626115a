//! The last member who may do everything stays.

use std::collections::HashMap;

use domain::{
    Error,
    id::{OrganizationId, SetId},
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait, prelude::Uuid};

use crate::{
    convert,
    entity::{membership, membership_permission_set, permission_set},
    outage::Failure,
};

/// The sets that members have, in the order of their ids; of all members, or of these.
pub(crate) async fn sets_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    users: Option<Vec<Uuid>>,
) -> Result<HashMap<Uuid, Vec<SetId>>, Failure> {
    let rows = membership_permission_set::Entity::find()
        .filter(membership_permission_set::Column::OrganizationId.eq(organization.uuid()))
        .apply_if(users, |find, users| find.filter(membership_permission_set::Column::UserId.is_in(users)))
        .order_by_asc(membership_permission_set::Column::PermissionSetId)
        .all(db)
        .await?;
    let mut sets: HashMap<Uuid, Vec<SetId>> = HashMap::new();
    for row in rows {
        sets.entry(row.user_id).or_default().push(SetId::from_uuid(row.permission_set_id));
    }
    Ok(sets)
}

/// Whether some member may do everything. The organization's row is locked.
pub(crate) async fn has_admin<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<bool, Failure> {
    let here = membership::Column::OrganizationId.eq(organization.uuid());
    let rows = membership::Entity::find().filter(here).all(db).await?;
    let here = permission_set::Column::OrganizationId.eq(organization.uuid());
    let named = permission_set::Entity::find().filter(here).all(db).await?;
    let mut all = Vec::new();
    for set in &named {
        if convert::permissions(&set.permissions, "permission_sets", set.id)?.is_all() {
            all.push(SetId::from_uuid(set.id));
        }
    }
    let sets = sets_of(db, organization, None).await?;
    for row in rows {
        let has_all = sets.get(&row.user_id).is_some_and(|sets| sets.iter().any(|set| all.contains(set)));
        // `*:*` is in no two sets together that is in neither of them: only a wildcard on both sides includes it.
        let own = convert::permissions(&row.permissions, "memberships", row.user_id)?;
        if has_all || own.is_all() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Undoes a change after which nobody would be left who may do everything, where there was somebody.
pub(crate) async fn keep_admin<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    had_admin: bool,
) -> Result<(), Failure> {
    if had_admin && !has_admin(db, organization).await? { Err(Failure::Refused(Error::LastAdmin)) } else { Ok(()) }
}
