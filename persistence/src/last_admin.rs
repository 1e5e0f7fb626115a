//! The last member who may do everything stays.

use std::collections::HashMap;

use domain::{
    Error,
    id::{OrganizationId, SetId},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, Query, SimpleExpr},
};

use crate::{
    entity::{membership, membership_permission_set, permission_set},
    outage::Failure,
    removal::deleted_sets,
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
        .filter(membership_permission_set::Column::PermissionSetId.not_in_subquery(deleted_sets()))
        .order_by_asc(membership_permission_set::Column::PermissionSetId)
        .all(db)
        .await?;
    let mut sets: HashMap<Uuid, Vec<SetId>> = HashMap::new();
    for row in rows {
        sets.entry(row.user_id).or_default().push(SetId::from_uuid(row.permission_set_id));
    }
    Ok(sets)
}

/// Whether some member may do everything, by themselves or by one of their sets. The organization's row is locked.
///
/// `*:*` is in no two sets together that is in neither of them: only a wildcard on both sides includes it. So one row decides,
/// and an index has just those rows: the number of members does not matter.
pub(crate) async fn has_admin<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<bool, Failure> {
    let backend = db.get_database_backend();
    // Counted, because a plan that hopes to meet one soon would read all rows where there is none.
    let members = membership::Entity::find()
        .select_only()
        .column(membership::Column::UserId)
        .filter(membership::Column::OrganizationId.eq(organization.uuid()))
        .filter(holds_all("memberships", backend));
    if members.count(db).await? > 0 {
        return Ok(true);
    }
    let sets = Query::select()
        .column(permission_set::Column::Id)
        .from(permission_set::Entity)
        .and_where(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .and_where(holds_all("permission_sets", backend))
        .to_owned();
    let members = membership_permission_set::Entity::find()
        .select_only()
        .column(membership_permission_set::Column::UserId)
        .filter(membership_permission_set::Column::PermissionSetId.in_subquery(sets));
    Ok(members.count(db).await? > 0)
}

/// Whether the permissions of a row hold `*:*`, whose flat form is `*`. Written as in the indexes `…_with_all`, so that these
/// are used.
fn holds_all(table: &str, backend: DbBackend) -> SimpleExpr {
    let find = if backend == DbBackend::Postgres { "strpos" } else { "instr" };
    Expr::cust(format!("{find}(' ' || {table}.permissions || ' ', ' * ') > 0"))
}

/// Undoes a change after which nobody would be left who may do everything, where there was somebody.
pub(crate) async fn keep_admin<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    had_admin: bool,
) -> Result<(), Failure> {
    if had_admin && !has_admin(db, organization).await? { Err(Failure::Refused(Error::LastAdmin)) } else { Ok(()) }
}
