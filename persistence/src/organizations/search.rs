//! Pages of organizations in the order of their ids, with a filter by name.

use domain::{id::OrganizationId, validated_string::fold};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use crate::{db::error::DbFailure, rows::entity::organization};

/// How many rows are read at once to compare their names. The folded form of a name is not stored, so a search reads all
/// organizations until its page is full.
const ROWS_AT_ONCE: u64 = 1_000;

/// At most `limit` rows of a query in the order of their ids, beginning after `after`. With `name`, in the form of [`fold`], only
/// those whose name contains it.
pub(crate) async fn page<C: ConnectionTrait>(
    db: &C,
    query: Select<organization::Entity>,
    name: Option<&str>,
    mut after: Option<OrganizationId>,
    limit: u64,
) -> Result<Vec<organization::Model>, DbFailure> {
    let next = |after: Option<OrganizationId>, limit| {
        query
            .clone()
            .apply_if(after, |find, after| find.filter(organization::Column::Id.gt(after.uuid())))
            .order_by_asc(organization::Column::Id)
            .limit(limit)
            .all(db)
    };
    let Some(part) = name else { return Ok(next(after, limit).await?) };
    let max = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let rows = next(after, ROWS_AT_ONCE).await?;
        let is_last = (rows.len() as u64) < ROWS_AT_ONCE;
        after = rows.last().map(|row| OrganizationId::from_uuid(row.id));
        let has_part = |row: &organization::Model| row.name.as_deref().is_some_and(|name| fold(name).contains(part));
        found.extend(rows.into_iter().filter(has_part));
        if is_last || found.len() >= max {
            found.truncate(max);
            return Ok(found);
        }
    }
}
