//! The last member who may do everything stays.

use std::collections::HashMap;

use domain::{
    Error,
    id::{OrganizationId, SetId},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, prelude::Uuid,
    sea_query::Expr,
};

use crate::{
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
    // The database looks through the texts: there may be megabytes of them. `*:*` is in no two sets together that is in neither
    // of them, because only a wildcard on both sides includes it.
    let everything = || Expr::cust("' ' || permissions || ' ' LIKE '% * %'");
    let sets: Vec<Uuid> = permission_set::Entity::find()
        .select_only()
        .column(permission_set::Column::Id)
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .filter(everything())
        .into_tuple()
        .all(db)
        .await?;
    if !sets.is_empty() {
        let with_one = membership_permission_set::Column::PermissionSetId.is_in(sets);
        if membership_permission_set::Entity::find().filter(with_one).one(db).await?.is_some() {
            return Ok(true);
        }
    }
    let own: Option<Uuid> = membership::Entity::find()
        .select_only()
        .column(membership::Column::UserId)
        .filter(membership::Column::OrganizationId.eq(organization.uuid()))
        .filter(everything())
        .into_tuple()
        .one(db)
        .await?;
    Ok(own.is_some())
}

/// Undoes a change after which nobody would be left who may do everything, where there was somebody.
pub(crate) async fn keep_admin<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    had_admin: bool,
) -> Result<(), Failure> {
    if had_admin && !has_admin(db, organization).await? { Err(Failure::Refused(Error::LastAdmin)) } else { Ok(()) }
}
