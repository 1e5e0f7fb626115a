//! Lists of keys: which ones, in which order, from where on.

use domain::{
    api_key::ApiKey,
    clock::Timestamp,
    listing::{By, Filter, Holder, Listing, Mark, Order, Start},
    permission::Permission,
    reach::Reach,
};
use sea_orm::{
    ColumnTrait, Condition, DbBackend, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, Func, IntoCondition, Query, SelectStatement, SimpleExpr},
};

use crate::{
    Store,
    api_keys::{complete, rows},
    entity::{api_key, api_key_permission_set, api_key_secret, permission_set},
    outage::Failure,
    reach::{deleted_in_reach, in_reach},
};

impl Store {
    pub(crate) async fn list_keys(
        &self,
        reach: Reach,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Vec<ApiKey>, Failure> {
        let backend = self.pools.read.get_database_backend();
        let Listing { filter, order } = listing;
        let mark = mark(*order, backend);
        let direction = if order.is_descending { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
        let keys = rows()
            .filter(condition(reach, filter, backend))
            .order_by(mark.clone(), direction.clone())
            .order_by(api_key::Column::Id, direction)
            .limit(limit);
        let keys = match start {
            Start::Skip(count) => keys.offset(count),
            Start::After(after) => {
                let place = Expr::tuple([mark, Expr::col(api_key::Column::Id)]);
                let known = match after.mark {
                    Mark::Number(number) => Expr::value(number),
                    Mark::Text(text) => Expr::value(text),
                };
                let after = Expr::tuple([known, after.id.uuid().into()]);
                keys.filter(if order.is_descending { place.lt(after) } else { place.gt(after) })
            }
        };
        let rows = keys.into_model().all(&self.pools.read).await?;
        complete(&self.pools.read, rows).await
    }
}

/// What a list is ordered by, as [`Order::position`] computes it.
fn mark(order: Order, backend: DbBackend) -> SimpleExpr {
    let or = |column, none: i64| Expr::col(column).if_null(none);
    match order.by {
        By::CreatedAt => Expr::col(api_key::Column::CreatedAt),
        By::Name => small_name(backend),
        By::LastUsedAt => or(api_key::Column::LastRequestAt, Order::NEVER_USED),
        By::ExpiresAt => or(api_key::Column::ExpiresAt, Order::NEVER_EXPIRES),
        By::RequestCount => Expr::col(api_key::Column::RequestCount),
    }
}

/// The name with small ASCII letters, ordered by bytes: what both databases can do. Of a key without one it is empty.
fn small_name(backend: DbBackend) -> SimpleExpr {
    match backend {
        DbBackend::Postgres => Expr::cust(r#"lower(COALESCE(name, '') COLLATE "C")"#),
        _ => Expr::cust("lower(COALESCE(name, ''))"),
    }
}

fn condition(reach: Reach, filter: &Filter, backend: DbBackend) -> Condition {
    let known = if filter.is_deleted { deleted_in_reach(reach) } else { in_reach(reach) };
    // Not the bare column: SQLite would take the index by expiry, which deletions use, and then sort all that it finds, where
    // the index in the order of the list ends at the first page.
    let end = || Expr::col((api_key::Entity, api_key::Column::ExpiresAt)).if_null(Order::NEVER_EXPIRES);
    let expired = filter.expired.map(
        |(is_expired, now)| {
            if is_expired { end().lte(now.millis()) } else { end().gt(now.millis()) }
        },
    );
    let name =
        filter.name.as_ref().map(|part| contains(small_name(backend), part.to_ascii_lowercase().into(), backend));
    let user = filter.holder.map(|holder| match holder {
        Holder::Organization => api_key::Column::UserId.is_null(),
        Holder::User(user) => api_key::Column::UserId.eq(user.uuid()),
    });
    let last_used = filter.last_used_before.map(|before| {
        let last = api_key::Column::LastRequestAt;
        Condition::any().add(last.is_null()).add(last.lt(before.millis()))
    });
    let was_used = filter.used.map(|is_used| {
        let last = api_key::Column::LastRequestAt;
        if is_used { last.is_not_null() } else { last.is_null() }
    });
    let used_up = filter.used_up.map(|is_used_up| {
        let left = api_key::Column::Remaining;
        if is_used_up { left.eq(0).into_condition() } else { Condition::any().add(left.is_null()).add(left.gt(0)) }
    });
    let rotating = filter.rotating.map(|(is_rotating, now)| {
        // No secret outlives its key.
        let end = Expr::col((api_key::Entity, api_key::Column::ExpiresAt)).if_null(i64::MAX);
        let goes_on = Expr::exists(older_secret(now)).and(end.gt(now.millis()));
        if is_rotating { goes_on } else { goes_on.not() }
    });
    let metadata = filter.metadata.iter().fold(Condition::all(), |all, (name, value)| {
        all.add(match backend {
            // No text of PostgreSQL has a zero character; a stand-in is as good to find the others by.
            DbBackend::Postgres => Expr::cust_with_values(
                "(replace(metadata, '\\u0000', '\\u0001')::json -> $1)::text = $2",
                [name.as_str(), value],
            ),
            _ => Expr::cust_with_values("(metadata -> ?) = ?", [format!("$.\"{}\"", name.as_str()), value.clone()]),
        })
    });
    known
        .add_option(filter.enabled.map(|enabled| api_key::Column::Enabled.eq(enabled)))
        .add_option(expired)
        .add_option(name)
        .add_option(user)
        .add_option(filter.external_id.as_ref().map(|id| api_key::Column::ExternalId.eq(id.as_str())))
        .add_option(filter.permission.as_ref().map(|permission| gives(permission, backend)))
        .add_option(last_used)
        .add_option(was_used)
        .add_option(filter.expires_before.map(|before| end().lt(before.millis())))
        .add_option(used_up)
        .add_option(rotating)
        .add(metadata)
}

/// A secret of a key that is being replaced and still good.
fn older_secret(now: Timestamp) -> SelectStatement {
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

/// Whether a key was given a permission, by itself or by one of its sets.
fn gives(permission: &Permission, backend: DbBackend) -> Condition {
    let holds = |words: &'static str| {
        let words = Expr::cust(words);
        permission.holders().into_iter().fold(Condition::any(), |any, holder| {
            any.add(contains(words.clone(), format!(" {} ", holder.flat()).into(), backend))
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
        .cond_where(holds("(' ' || permission_sets.permissions || ' ')"))
        .to_owned();
    Condition::any().add(holds("(' ' || api_keys.permissions || ' ')")).add(Expr::exists(of_set))
}

/// Whether a text contains another, without wildcards.
fn contains(text: SimpleExpr, part: SimpleExpr, backend: DbBackend) -> SimpleExpr {
    let function = if backend == DbBackend::Postgres { "strpos" } else { "instr" };
    SimpleExpr::from(Func::cust(function).arg(text).arg(part)).gt(0)
}
