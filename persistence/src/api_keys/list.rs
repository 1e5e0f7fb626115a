//! Lists keys: order, and keyset pagination.

use domain::{
    Outage,
    keys::{
        api_key::ApiKey,
        key_scope::KeyScope,
        list::{Filter, Listing, MAX_COUNTED, MAX_SORTED, Order, SortField, SortKey, Start},
    },
};
use sea_orm::{
    EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, SelectStatement, SimpleExpr},
};

use crate::{
    api_keys::{
        candidates::{self, Lookups},
        filter::condition,
        load_relations, rows,
    },
    database::Database,
    db::{
        candidates::among,
        count::count_up_to,
        dialect::{Dialect, explain},
        error::DbFailure,
    },
    rows::entity::api_key,
};

impl Database {
    pub(crate) async fn list_keys(
        &self,
        scope: KeyScope,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Vec<ApiKey>, DbFailure> {
        let query = self.page_of_keys(scope, listing, start, limit).await?;
        let rows = query.into_model().all(&self.pools.read).await?;
        let keys = load_relations(&self.pools.read, rows).await?;
        Ok(keys.into_iter().map(|key| self.counter_states.complete(key)).collect())
    }

    /// Whether the keys of a list can be sorted in its order: by an index, or because they are few enough.
    pub(crate) async fn can_sort_keys(&self, scope: KeyScope, listing: &Listing) -> Result<bool, DbFailure> {
        let (db, Listing { filter, order }) = (&self.pools.read, listing);
        Ok(has_index(*order, filter)
            || Lookups::of(db, scope, filter, Some(*order)).await?.candidates.is_some()
            || count_up_to(db, candidates::sorted(scope, filter), MAX_SORTED + 1).await? <= MAX_SORTED)
    }

    /// The number of keys that match a filter, at most [`MAX_COUNTED`] and one.
    pub(crate) async fn count_keys(&self, scope: KeyScope, filter: &Filter) -> Result<u64, DbFailure> {
        let keys = self.matching_keys(scope, filter).await?;
        count_up_to(&self.pools.read, keys, MAX_COUNTED + 1).await
    }

    /// The database's plans for a page of a list of keys and for counting them, line by line: which indexes it uses, and whether it
    /// sorts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn explain_list(
        &self,
        scope: KeyScope,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<[Vec<String>; 2], Outage> {
        let page = self.page_of_keys(scope, listing, start, limit).await?.into_query();
        let count = self.matching_keys(scope, &listing.filter).await?;
        let explain = async |query: &SelectStatement| explain(&self.pools.read, query).await.map_err(DbFailure::from);
        Ok([explain(&page).await?, explain(&count).await?])
    }

    /// A query of one page.
    async fn page_of_keys(
        &self,
        scope: KeyScope,
        listing: &Listing,
        start: Start,
        limit: u64,
    ) -> Result<Select<api_key::Entity>, DbFailure> {
        let (db, Listing { filter, order }) = (&self.pools.read, listing);
        let (dialect, lookups) = (Dialect::of(db), Lookups::of(db, scope, filter, Some(*order)).await?);
        let which = condition(scope, filter, Some(*order), &lookups, dialect);
        let is_ready = has_index(*order, filter) && matches!(start, Start::After(_) | Start::Skip(0));
        if let Some(candidates) = lookups.candidates {
            return Ok(page(
                among(rows(), api_key::Column::Id, candidates, dialect).filter(which),
                *order,
                start,
                limit,
                dialect,
            ));
        }
        if is_ready {
            return Ok(page(rows().filter(which), *order, start, limit, dialect));
        }
        // First the keys of the page, so that nothing else is read of those that are sorted or skipped.
        let ids = api_key::Entity::find().select_only().column(api_key::Column::Id).filter(which);
        let ids = page(ids, *order, start, limit, dialect).into_query();
        Ok(sorted(rows().filter(Expr::col((api_key::Entity, api_key::Column::Id)).in_subquery(ids)), *order, dialect))
    }

    /// A query of the ids of the keys that match a filter.
    async fn matching_keys(&self, scope: KeyScope, filter: &Filter) -> Result<SelectStatement, DbFailure> {
        let db = &self.pools.read;
        let lookups = Lookups::of(db, scope, filter, None).await?;
        let which = condition(scope, filter, None, &lookups, Dialect::of(db));
        let keys = api_key::Entity::find().select_only().column(api_key::Column::Id);
        let keys = match lookups.candidates {
            Some(candidates) => among(keys, api_key::Column::Id, candidates, Dialect::of(db)),
            None => keys,
        };
        Ok(keys.filter(which).into_query())
    }
}

/// Whether an index has the keys in this order.
fn has_index(order: Order, filter: &Filter) -> bool {
    match order.by {
        SortField::CreatedAt => true,
        // Deleted keys are not in these indexes.
        SortField::Name | SortField::ExpiresAt => !filter.is_deleted,
        SortField::LastUsedAt | SortField::RequestCount => false,
    }
}

fn sorted(keys: Select<api_key::Entity>, order: Order, dialect: Dialect) -> Select<api_key::Entity> {
    let direction = if order.is_descending { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
    keys.order_by(mark(order, dialect), direction.clone()).order_by(api_key::Column::Id, direction)
}

/// The page of these keys that begins at `start`.
fn page(
    keys: Select<api_key::Entity>,
    order: Order,
    start: Start,
    limit: u64,
    dialect: Dialect,
) -> Select<api_key::Entity> {
    let mark = mark(order, dialect);
    let keys = sorted(keys, order, dialect).limit(limit);
    match start {
        Start::Skip(count) => keys.offset(count),
        Start::After(after) => {
            let position = Expr::tuple([mark.clone(), Expr::col((api_key::Entity, api_key::Column::Id))]);
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
