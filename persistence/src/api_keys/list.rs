//! Lists keys: filters, order, and keyset pagination.

use domain::{
    clock::Timestamp,
    id::SetId,
    keys::{
        api_key::ApiKey,
        key_scope::KeyScope,
        list::{Filter, Listing, MAX_COUNTED, Order, OwnerFilter, Search, SecretStart, SortField, SortKey, Start},
    },
    permissions::Permission,
};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, IntoCondition, Query, SelectStatement, SimpleExpr},
};

use crate::{
    api_keys::{load_relations, rows},
    database::Database,
    db::{
        count::count_up_to,
        dialect::{Dialect, explain},
        error::DbFailure,
    },
    organizations::removal::deleted_sets,
    rows::{
        entity::{api_key, api_key_permission_set, api_key_secret, imported_secret, permission_set},
        scope::{deleted_in_scope, in_scope},
    },
};

impl Database {
    pub(crate) async fn list_keys(
        &self,
        scope: KeyScope,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Vec<ApiKey>, DbFailure> {
        let dialect = Dialect::of(&self.pools.read);
        let rows = page(scope, listing, start, limit, dialect).into_model().all(&self.pools.read).await?;
        load_relations(&self.pools.read, rows).await
    }

    /// The number of keys that match a filter, at most [`MAX_COUNTED`] and one.
    pub(crate) async fn count_keys(&self, scope: KeyScope, filter: &Filter) -> Result<u64, DbFailure> {
        let keys = api_key::Entity::find()
            .select_only()
            .column(api_key::Column::Id)
            .filter(condition(scope, filter, None, Dialect::of(&self.pools.read)))
            .into_query();
        count_up_to(&self.pools.read, keys, MAX_COUNTED + 1).await
    }

    /// The database's plan for a page of a list of keys, line by line: which indexes it uses, and whether it sorts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn explain_list(
        &self,
        scope: KeyScope,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Vec<String>, DbErr> {
        let db = &self.pools.read;
        let dialect = Dialect::of(db);
        explain(db, &page(scope, listing, start, limit, dialect).into_query()).await
    }
}

/// A query of one page.
fn page(scope: KeyScope, listing: &Listing, start: Start, limit: u64, dialect: Dialect) -> Select<api_key::Entity> {
    let Listing { filter, order } = listing;
    let mark = mark(*order, dialect);
    let direction = if order.is_descending { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
    let keys = rows()
        .filter(condition(scope, filter, Some(*order), dialect))
        .order_by(mark.clone(), direction.clone())
        .order_by(api_key::Column::Id, direction)
        .limit(limit);
    match start {
        Start::Skip(count) => keys.offset(count),
        Start::After(after) => {
            let position = Expr::tuple([mark.clone(), Expr::col(api_key::Column::Id)]);
            let known = match after.sort_key {
                SortKey::Number(number) => Expr::value(number),
                SortKey::Text(text) => Expr::value(text),
            };
            // SQLite does not look up a pair in an index of an expression, but the expression alone.
            let is_expression = matches!(order.by, SortField::Name | SortField::ExpiresAt);
            let bound = if order.is_descending { mark.lte(known.clone()) } else { mark.gte(known.clone()) };
            let keys = keys.apply_if(is_expression.then_some(bound), QueryFilter::filter);
            let after = Expr::tuple([known, after.id.uuid().into()]);
            keys.filter(if order.is_descending { position.lt(after) } else { position.gt(after) })
        }
    }
}

/// The sort key of a list, as [`Order::position`] computes it.
fn mark(order: Order, dialect: Dialect) -> SimpleExpr {
    let or = |column, none: i64| Expr::col(column).if_null(none);
    match order.by {
        SortField::CreatedAt => Expr::col(api_key::Column::CreatedAt),
        SortField::Name => dialect.lowercase_name(),
        SortField::LastUsedAt => or(api_key::Column::LastRequestAt, Order::NEVER_USED),
        SortField::ExpiresAt => Dialect::expiry_or_never(),
        SortField::RequestCount => Expr::col(api_key::Column::RequestCount),
    }
}

/// The keys in a scope that match a filter. `order`: that of the list; `None`: there is none.
fn condition(scope: KeyScope, filter: &Filter, order: Option<Order>, dialect: Dialect) -> Condition {
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
    known
        .add_option(filter.enabled.map(|enabled| api_key::Column::Enabled.eq(enabled)))
        .add_option(filter.can_manage.map(|can_manage| api_key::Column::CanManage.eq(can_manage)))
        .add_option(expired)
        .add_option(name)
        .add_option(filter.search.as_ref().map(|search| is_found(search, dialect)))
        .add_option(filter.id.map(|id| api_key::Column::Id.eq(id.uuid())))
        .add_option(filter.secret_start.as_ref().map(|start| has_secret_start(start, dialect)))
        .add_option(user)
        .add_option(filter.external_id.as_ref().map(|id| api_key::Column::ExternalId.eq(id.as_str())))
        .add_option(filter.permission.as_ref().map(|permission| has_permission(permission, dialect)))
        .add_option(filter.permission_set.map(has_set))
        .add_option(filter.created_before.map(|before| api_key::Column::CreatedAt.lt(before.millis())))
        .add_option(last_used)
        .add_option(was_used)
        .add_option(filter.expires_before.map(|before| end().lt(before.millis())))
        .add_option(exhausted)
        .add_option(rotating)
        .add(metadata)
}

/// Whether a field of a key has a text that is searched for.
fn is_found(search: &Search, dialect: Dialect) -> Condition {
    let external_id = Expr::col((api_key::Entity, api_key::Column::ExternalId));
    Condition::any()
        .add(dialect.contains(dialect.folded_name(), search.name.as_str().into()))
        .add(dialect.contains(external_id, search.external_id.as_str().into()))
        .add_option(search.id.map(|id| api_key::Column::Id.eq(id.uuid())))
        .add_option(search.secret_start.as_ref().map(|start| has_secret_start(start, dialect)))
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
fn has_secret_start(start: &SecretStart, dialect: Dialect) -> Condition {
    let begins = |column: SimpleExpr| dialect.begins_with(column, start.as_str().into());
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
    Condition::any()
        .add(begins(Expr::col((api_key::Entity, api_key::Column::Start))))
        .add(Expr::exists(used))
        .add(Expr::exists(unused))
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
fn has_permission(permission: &Permission, dialect: Dialect) -> Condition {
    let contains_any = |words: &'static str| {
        let words = Expr::cust(words);
        permission.holders().into_iter().fold(Condition::any(), |any, holder| {
            any.add(dialect.contains(words.clone(), format!(" {} ", holder.flat()).into()))
        })
    };
    let of_set = Query::select()
        .expr(Expr::value(1))
        .from(api_key_permission_set::Entity)
        .inner_join(
            permission_set::Entity,
            Expr::col((permission_set::Entity, permission_set::Column::Id))
                .equals((api_key_permission_set::Entity, api_key_permission_set::Column::PermissionSetId)),
        )
        .and_where(
            Expr::col((api_key_permission_set::Entity, api_key_permission_set::Column::ApiKeyId))
                .equals((api_key::Entity, api_key::Column::Id)),
        )
        .cond_where(contains_any("(' ' || permission_sets.permissions || ' ')"))
        .to_owned();
    Condition::any().add(contains_any("(' ' || api_keys.permissions || ' ')")).add(Expr::exists(of_set))
}
