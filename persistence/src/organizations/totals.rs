//! The totals of the whole service. They are computed from the rows of organizations, and the number of members from an index.

use domain::organizations::totals::{MAX_LARGEST, OrganizationSize, ServiceTotals};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, sea_query::Expr,
};

use crate::{
    database::Database,
    db::error::DbFailure,
    rows::{
        convert,
        entity::{organization, user},
    },
};

impl Database {
    pub(crate) async fn service_totals(&self) -> Result<ServiceTotals, DbFailure> {
        let db = &self.pools.read;
        let live = organization::Entity::find().filter(organization::Column::DeletedAt.is_null());
        let (organizations, suspended, keys) = live
            .clone()
            .select_only()
            .column_as(Expr::cust("COUNT(*)"), "organizations")
            .column_as(Expr::cust("COUNT(suspended_at)"), "suspended")
            // The sum of PostgreSQL has a type of its own.
            .column_as(Expr::cust("CAST(COALESCE(SUM(key_count), 0) AS bigint)"), "keys")
            .into_tuple::<(i64, i64, i64)>()
            .one(db)
            .await?
            .unwrap_or_default();
        let deleted = organization::Entity::find()
            .select_only()
            .column(organization::Column::Id)
            .filter(organization::Column::DeletedAt.is_not_null())
            .into_query();
        // A removed user has no organization, and is not counted.
        let members = user::Entity::find()
            .filter(user::Column::OrganizationId.is_not_null())
            .filter(user::Column::OrganizationId.not_in_subquery(deleted))
            .count(db)
            .await?;
        let largest = live
            .order_by_desc(organization::Column::KeyCount)
            .order_by_asc(organization::Column::Id)
            .limit(MAX_LARGEST)
            .all(db)
            .await?;
        let count = |number| convert::count(number).unwrap_or_default();
        let largest = largest
            .iter()
            .map(|row| Ok(OrganizationSize { organization: convert::organization(row)?, keys: count(row.key_count) }));
        Ok(ServiceTotals {
            organizations: count(organizations),
            suspended_organizations: count(suspended),
            keys: count(keys),
            members,
            largest: largest.collect::<Result<_, DbFailure>>()?,
        })
    }
}
