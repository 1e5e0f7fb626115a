//! An organization keeps at least one member with full access (`*:*`), once it has one.

use std::collections::HashMap;

use domain::{
    Error,
    id::{OrganizationId, SetId},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, prelude::Uuid,
    sea_query::Query,
};

use crate::{
    db::{MAX_ROWS_PER_STATEMENT, dialect::Dialect, error::DbFailure},
    organizations::removal::deleted_sets,
    rows::entity::{permission_set, user, user_permission_set},
};

/// The permission sets of these users, in the order of their ids.
pub(crate) async fn sets_of<C: ConnectionTrait>(
    db: &C,
    users: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<SetId>>, DbFailure> {
    let mut sets: HashMap<Uuid, Vec<SetId>> = HashMap::new();
    for users in users.chunks(MAX_ROWS_PER_STATEMENT) {
        let rows = user_permission_set::Entity::find()
            .filter(user_permission_set::Column::UserId.is_in(users.iter().copied()))
            .filter(user_permission_set::Column::PermissionSetId.not_in_subquery(deleted_sets()))
            .order_by_asc(user_permission_set::Column::PermissionSetId)
            .all(db)
            .await?;
        for row in rows {
            sets.entry(row.user_id).or_default().push(SetId::from_uuid(row.permission_set_id));
        }
    }
    Ok(sets)
}

/// Whether a member has `*:*`, alone or by a permission set. The caller has locked the organization's row.
///
/// No combination of permissions grants `*:*` unless one of them is `*:*`. So single rows decide, and a partial index has exactly
/// those rows: the time does not depend on the number of members.
pub(crate) async fn has_admin<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<bool, DbFailure> {
    let dialect = Dialect::of(db);
    // Counted instead of `LIMIT 1`, for which PostgreSQL may choose a scan that reads all rows if there is none.
    let members = user::Entity::find()
        .select_only()
        .column(user::Column::Id)
        .filter(user::Column::OrganizationId.eq(organization.uuid()))
        .filter(dialect.contains_all("users.permissions"));
    if members.count(db).await? > 0 {
        return Ok(true);
    }
    let sets = Query::select()
        .column(permission_set::Column::Id)
        .from(permission_set::Entity)
        .and_where(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .and_where(dialect.contains_all("permission_sets.permissions"))
        .to_owned();
    let members = user_permission_set::Entity::find()
        .select_only()
        .column(user_permission_set::Column::UserId)
        .filter(user_permission_set::Column::PermissionSetId.in_subquery(sets));
    Ok(members.count(db).await? > 0)
}

/// Refuses a change, which the transaction has made already, if the organization had a member with full access and now has none.
pub(crate) async fn keep_admin<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    had_admin: bool,
) -> Result<(), DbFailure> {
    if had_admin && !has_admin(db, organization).await? { Err(DbFailure::Refused(Error::LastAdmin)) } else { Ok(()) }
}
