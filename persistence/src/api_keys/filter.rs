//! Filters of key lists as conditions on rows.

use domain::{
    clock::Timestamp,
    id::{OrganizationId, SetId},
    keys::{
        key_scope::KeyScope,
        list::{Filter, Order, OwnerFilter, Search, SecretStart, SortField},
    },
    permissions::Permission,
};
use sea_orm::{
    ColumnTrait, Condition, ExprTrait,
    sea_query::{Expr, IntoCondition, Query, SelectStatement, SimpleExpr},
};

use crate::{
    api_keys::candidates::{Lookups, holders, imported_with_start, used_with_start},
    db::dialect::Dialect,
    organizations::removal::deleted_sets,
    rows::{
        entity::{api_key, api_key_permission_set, api_key_secret, imported_secret},
        scope::{deleted_in_scope, in_scope},
    },
};

/// The keys in a scope that match a filter. `order`: that of the list; `None`: there is none.
pub(crate) fn condition(
    scope: KeyScope,
    filter: &Filter,
    order: Option<Order>,
    lookups: &Lookups,
    dialect: Dialect,
) -> Condition {
    let known = if filter.is_deleted { deleted_in_scope(scope) } else { in_scope(scope) };
    // Only a list in this order uses the index by expiry. In any other order SQLite would sort all rows that it finds there, so the
    // expression has a parameter, which no index has: then it uses the index in the order of the list, and stops after the page.
    let end = || match order {
        Some(Order { by: SortField::ExpiresAt, .. }) => Dialect::expiry_or_never(),
        _ => Expr::col((api_key::Entity, api_key::Column::ExpiresAt)).if_null(Order::NEVER_EXPIRES),
    };
    let expired = filter.expired.map(
        |(is_expired, now)| {
            if is_expired { end().lte(now.millis()) } else { end().gt(now.millis()) }
        },
    );
    // The same for times of creation: in another order, SQLite would sort all rows of the range.
    let created_before = filter.created_before.map(|before| match order {
        Some(Order { by, .. }) if by != SortField::CreatedAt => {
            Expr::col((api_key::Entity, api_key::Column::CreatedAt)).if_null(0).lt(before.millis())
        }
        _ => api_key::Column::CreatedAt.lt(before.millis()),
    });
    let name = filter.name.as_ref().map(|part| dialect.contains(dialect.folded_name(), part.as_str().into()));
    let user = filter.owner.map(|holder| match holder {
        OwnerFilter::Organization => api_key::Column::UserId.is_null(),
        OwnerFilter::User(user) => api_key::Column::UserId.eq(user.uuid()),
    });
    let last_used = filter.last_used_before.map(|before| {
        let last = api_key::Column::LastRequestAt;
        Condition::any().add(last.is_null()).add(last.lt(before.millis()))
    });
    let was_used = filter.used.map(|is_used| {
        let last = api_key::Column::LastRequestAt;
        if is_used { last.is_not_null() } else { last.is_null() }
    });
    let exhausted = filter.exhausted.map(|is_exhausted| {
        let left = api_key::Column::Remaining;
        if is_exhausted { left.eq(0).into_condition() } else { Condition::any().add(left.is_null()).add(left.gt(0)) }
    });
    let rotating = filter.rotating.map(|(is_rotating, now)| {
        // A secret is not valid longer than its key.
        let end = Expr::col((api_key::Entity, api_key::Column::ExpiresAt)).if_null(i64::MAX);
        let is_valid = Expr::exists(valid_previous_secret(now)).and(end.gt(now.millis()));
        if is_rotating { is_valid } else { is_valid.not() }
    });
    let metadata = filter
        .metadata
        .iter()
        .fold(Condition::all(), |all, (name, value)| all.add(dialect.metadata_equals(name.as_str(), value)));
    // With nothing but the organization to look up, SQLite would choose any of its indexes, and read the rows in their order: those
    // in the order of creation are next to each other.
    let is_by_use = order.is_none_or(|order| matches!(order.by, SortField::LastUsedAt | SortField::RequestCount));
    let reads_all =
        is_by_use && !filter.is_deleted && scope.user.is_none() && user.is_none() && filter.external_id.is_none();
    known
        .add_option(reads_all.then(|| api_key::Column::CreatedAt.gte(0)))
        .add_option(filter.enabled.map(|enabled| api_key::Column::Enabled.eq(enabled)))
        .add_option(filter.can_manage.map(|can_manage| api_key::Column::CanManage.eq(can_manage)))
        .add_option(expired)
        .add_option(name)
        .add_option(filter.search.as_ref().map(|search| is_found(search, scope.organization, lookups, dialect)))
        .add_option(filter.id.map(|id| api_key::Column::Id.eq(id.uuid())))
        .add_option(
            filter.secret_start.as_ref().map(|start| has_secret_start(start, scope.organization, lookups, dialect)),
        )
        .add_option(user)
        .add_option(filter.external_id.as_ref().map(|id| api_key::Column::ExternalId.eq(id.as_str())))
        .add_option(filter.permission.as_ref().map(|permission| has_permission(permission, lookups, dialect)))
        .add_option(filter.permission_set.map(has_set))
        .add_option(created_before)
        .add_option(last_used)
        .add_option(was_used)
        .add_option(filter.expires_before.map(|before| end().lt(before.millis())))
        .add_option(exhausted)
        .add_option(rotating)
        .add(metadata)
}

/// Whether a field of a key has a text that is searched for.
fn is_found(search: &Search, organization: OrganizationId, lookups: &Lookups, dialect: Dialect) -> Condition {
    let external_id = Expr::col((api_key::Entity, api_key::Column::ExternalId));
    Condition::any()
        .add(dialect.contains(dialect.folded_name(), search.name.as_str().into()))
        .add(dialect.contains(external_id, search.external_id.as_str().into()))
        .add_option(search.id.map(|id| api_key::Column::Id.eq(id.uuid())))
        .add_option(search.secret_start.as_ref().map(|start| has_secret_start(start, organization, lookups, dialect)))
}

/// Whether a key has a permission set that is not deleted.
fn has_set(set: SetId) -> SimpleExpr {
    let attached = Query::select()
        .expr(Expr::value(1))
        .from(api_key_permission_set::Entity)
        .and_where(
            Expr::col((api_key_permission_set::Entity, api_key_permission_set::Column::ApiKeyId))
                .equals((api_key::Entity, api_key::Column::Id)),
        )
        .and_where(api_key_permission_set::Column::PermissionSetId.eq(set.uuid()))
        .and_where(api_key_permission_set::Column::PermissionSetId.not_in_subquery(deleted_sets()))
        .to_owned();
    Expr::exists(attached)
}

/// Whether a secret of a key begins so: the newest one, an earlier one, or one that was imported and not used yet.
fn has_secret_start(
    start: &SecretStart,
    organization: OrganizationId,
    lookups: &Lookups,
    dialect: Dialect,
) -> Condition {
    let begins = |column: SimpleExpr| dialect.begins_with(column, start.as_str().into());
    let newest = Condition::any().add(begins(Expr::col((api_key::Entity, api_key::Column::Start))));
    if lookups.has_few_starts {
        return [used_with_start(start, dialect), imported_with_start(organization, start, dialect)]
            .into_iter()
            .fold(newest, |any, keys| any.add(Expr::col((api_key::Entity, api_key::Column::Id)).in_subquery(keys)));
    }
    let of_key = |column: SimpleExpr| column.equals((api_key::Entity, api_key::Column::Id));
    let used = Query::select()
        .expr(Expr::value(1))
        .from(api_key_secret::Entity)
        .and_where(of_key(Expr::col((api_key_secret::Entity, api_key_secret::Column::ApiKeyId))))
        .and_where(begins(Expr::col((api_key_secret::Entity, api_key_secret::Column::Start))))
        .to_owned();
    let unused = Query::select()
        .expr(Expr::value(1))
        .from(imported_secret::Entity)
        .and_where(of_key(Expr::col((imported_secret::Entity, imported_secret::Column::ApiKeyId))))
        .and_where(begins(Expr::col((imported_secret::Entity, imported_secret::Column::Start))))
        .to_owned();
    newest.add(Expr::exists(used)).add(Expr::exists(unused))
}

/// A previous secret of a key that is still valid.
fn valid_previous_secret(now: Timestamp) -> SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(api_key_secret::Entity)
        .and_where(
            Expr::col((api_key_secret::Entity, api_key_secret::Column::ApiKeyId))
                .equals((api_key::Entity, api_key::Column::Id)),
        )
        .and_where(Expr::col((api_key_secret::Entity, api_key_secret::Column::ExpiresAt)).gt(now.millis()))
        .to_owned()
}

/// Whether a key has a permission, by itself or by one of its permission sets.
fn has_permission(permission: &Permission, lookups: &Lookups, dialect: Dialect) -> Condition {
    let own = Condition::any().add(contains_permission("api_keys", permission, dialect));
    let sets = lookups.sets.iter().copied();
    if lookups.sets.is_empty() {
        own
    } else if lookups.has_few_holders {
        own.add(Expr::col((api_key::Entity, api_key::Column::Id)).in_subquery(holders(sets)))
    } else {
        let attached = Query::select()
            .expr(Expr::value(1))
            .from(api_key_permission_set::Entity)
            .and_where(
                Expr::col((api_key_permission_set::Entity, api_key_permission_set::Column::ApiKeyId))
                    .equals((api_key::Entity, api_key::Column::Id)),
            )
            .and_where(api_key_permission_set::Column::PermissionSetId.is_in(sets))
            .to_owned();
        own.add(Expr::exists(attached))
    }
}

/// Whether the permissions of a row of this table, `api_keys` or `permission_sets`, contain a permission.
pub(crate) fn contains_permission(table: &str, permission: &Permission, dialect: Dialect) -> Condition {
    let permissions = Expr::cust(format!("(' ' || {table}.permissions || ' ')"));
    permission.holders().into_iter().fold(Condition::any(), |any, holder| {
        any.add(dialect.contains(permissions.clone(), format!(" {} ", holder.flat()).into()))
    })
}
