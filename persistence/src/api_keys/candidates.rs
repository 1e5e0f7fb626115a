//! The keys that can match a filter, by an index. If they are few, a list reads them instead of all keys of the organization.

use domain::{
    clock::Timestamp,
    id::OrganizationId,
    keys::{
        key_scope::KeyScope,
        list::{Filter, Order, OwnerFilter, SecretStart, SortField},
    },
    permissions::Permission,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect, QueryTrait, Statement,
    prelude::Uuid,
    sea_query::{Expr, IntoCondition, SelectStatement},
};

use crate::{
    api_keys::filter::contains_permission,
    db::{
        candidates::{are_few, ids, union},
        dialect::Dialect,
        error::DbFailure,
    },
    rows::{
        entity::{api_key, api_key_permission_set, api_key_secret, imported_secret, permission_set},
        scope::{deleted_in_scope, in_scope},
    },
};

/// The most different lists of permissions in an organization that are read to find those with a permission.
const MAX_LISTS: usize = 1_000;

/// The most lists by which keys are looked up: a statement with them has few bytes.
const MAX_LISTS_OF_FILTER: usize = 50;

/// The condition of the index `api_keys_by_permissions`.
const HAS_PERMISSIONS_INDEX: &str = "deleted_at IS NULL AND permissions >= ''";

/// What is looked up before a list is read, so that its statement looks up less for each key.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// Whether few secrets begin as those that are searched for.
    pub(crate) has_few_starts: bool,
    /// How the lists of permissions begin that have the permission of the filter. `None`: they are not known, or too many.
    pub(crate) lists: Option<Vec<String>>,
    /// The permission sets with the permission of the filter.
    pub(crate) sets: Vec<Uuid>,
    /// Whether few keys have these sets.
    pub(crate) has_few_holders: bool,
    /// A query of the only keys that can match, if they are few.
    pub(crate) candidates: Option<SelectStatement>,
}

impl Lookups {
    /// Looks up what a filter needs. `order`: that of the list; `None`: there is none.
    pub(crate) async fn of<C: ConnectionTrait>(
        db: &C,
        scope: KeyScope,
        filter: &Filter,
        order: Option<Order>,
    ) -> Result<Self, DbFailure> {
        let (dialect, organization) = (Dialect::of(db), scope.organization);
        let mut lookups = Self::default();
        let searched = filter.search.as_ref().and_then(|search| search.secret_start.as_ref());
        if let Some(start) = filter.secret_start.as_ref().or(searched) {
            let queries = [used_with_start(start, dialect), imported_with_start(organization, start, dialect)];
            lookups.has_few_starts = are_few(db, &queries).await?;
        }
        if let Some(permission) = &filter.permission {
            lookups.sets = sets_with(db, organization, permission).await?;
            lookups.has_few_holders = are_few(db, &[holders(lookups.sets.iter().copied())]).await?;
            if !filter.is_deleted {
                lookups.lists = lists_with(db, organization, permission).await?;
            }
        }
        for queries in queries(scope, filter, order, &lookups, dialect) {
            if are_few(db, &queries).await? {
                lookups.candidates = Some(union(queries));
                break;
            }
        }
        Ok(lookups)
    }
}

/// For each condition of a filter that has an index: queries that together have all keys which can match it.
fn queries(
    scope: KeyScope,
    filter: &Filter,
    order: Option<Order>,
    lookups: &Lookups,
    dialect: Dialect,
) -> Vec<Vec<SelectStatement>> {
    let live = |which: Condition| keys(in_scope(scope).add(which));
    let of_organization = |which: Condition| {
        keys(Condition::all().add(api_key::Column::OrganizationId.eq(scope.organization.uuid())).add(which))
    };
    let mut all = Vec::new();
    all.extend(filter.id.map(|id| vec![of_organization(api_key::Column::Id.eq(id.uuid()).into_condition())]));
    if filter.is_deleted {
        all.push(vec![keys(deleted_in_scope(scope))]);
    } else {
        // In the order of creation a page is read from these indexes directly.
        if order.is_some_and(|order| order.by != SortField::CreatedAt) {
            let user = match filter.owner {
                Some(OwnerFilter::User(user)) => Some(user),
                _ => scope.user,
            };
            all.extend(user.map(|user| vec![live(api_key::Column::UserId.eq(user.uuid()).into_condition())]));
            let external_id = filter.external_id.as_ref();
            let created_before = filter.created_before;
            all.extend(
                created_before
                    .map(|before| vec![live(api_key::Column::CreatedAt.lt(before.millis()).into_condition())]),
            );
            all.extend(external_id.map(|id| vec![live(api_key::Column::ExternalId.eq(id.as_str()).into_condition())]));
        }
        // The conditions of the indexes.
        if filter.enabled == Some(false) {
            all.push(vec![of_organization(Expr::cust("NOT enabled AND deleted_at IS NULL").into_condition())]);
        }
        if filter.can_manage == Some(false) {
            all.push(vec![of_organization(Expr::cust("NOT can_manage AND deleted_at IS NULL").into_condition())]);
        }
        if filter.exhausted == Some(true) && dialect == Dialect::Sqlite {
            all.push(vec![of_organization(Expr::cust("remaining = 0 AND deleted_at IS NULL").into_condition())]);
        }
        if order.is_none_or(|order| order.by != SortField::ExpiresAt) {
            let expired = filter.expired.filter(|(is_expired, _)| *is_expired);
            let before = expired.map(|(_, now)| now.plus_millis(1)).into_iter().chain(filter.expires_before).min();
            // By the column: PostgreSQL knows how many rows have which values, but not of the expression that lists are sorted by.
            let ends_before = |before: Timestamp| api_key::Column::ExpiresAt.lt(before.millis()).into_condition();
            all.extend(before.map(|before| vec![live(ends_before(before))]));
        }
    }
    if let Some((true, now)) = filter.rotating {
        all.push(vec![rotating(now)]);
    }
    all.extend(filter.permission_set.map(|set| vec![holders([set.uuid()])]));
    if let Some(start) = &filter.secret_start {
        all.push(vec![
            of_organization(dialect.is_start_of("start", start.as_str())),
            used_with_start(start, dialect),
            imported_with_start(scope.organization, start, dialect),
        ]);
    }
    let own = match (&lookups.lists, &filter.permission) {
        (Some(lists), _) => {
            let begins = Expr::cust(dialect.permissions_start()).is_in(lists.iter().map(String::as_str));
            Some(Expr::cust(HAS_PERMISSIONS_INDEX).into_condition().add(begins))
        }
        // The permission `*`, which only the permission itself contains.
        (None, Some(permission)) if permission.holders().len() == 1 => {
            Some(dialect.contains_all("permissions").into_condition())
        }
        (None, _) => None,
    };
    all.extend(own.map(|own| vec![of_organization(own), holders(lookups.sets.iter().copied())]));
    all
}

/// The keys with `which`.
fn keys(which: Condition) -> SelectStatement {
    ids::<api_key::Entity>(api_key::Column::Id, which).into_query()
}

/// The keys with a previous secret that is valid, of all organizations.
fn rotating(now: Timestamp) -> SelectStatement {
    let is_valid = api_key_secret::Column::ExpiresAt.gt(now.millis());
    ids::<api_key_secret::Entity>(api_key_secret::Column::ApiKeyId, is_valid.into_condition()).into_query()
}

/// The keys that have any of these sets.
pub(crate) fn holders(sets: impl IntoIterator<Item = Uuid>) -> SelectStatement {
    let of_sets = api_key_permission_set::Column::PermissionSetId.is_in(sets);
    ids::<api_key_permission_set::Entity>(api_key_permission_set::Column::ApiKeyId, of_sets.into_condition())
        .into_query()
}

/// The keys of all organizations of which a secret in use, or that was in use, begins so.
pub(crate) fn used_with_start(start: &SecretStart, dialect: Dialect) -> SelectStatement {
    let begins = dialect.is_start_of("start", start.as_str());
    ids::<api_key_secret::Entity>(api_key_secret::Column::ApiKeyId, begins).into_query()
}

/// The keys of an organization of which an imported secret begins so.
pub(crate) fn imported_with_start(
    organization: OrganizationId,
    start: &SecretStart,
    dialect: Dialect,
) -> SelectStatement {
    let of_it = imported_secret::Column::OrganizationId.eq(organization.uuid());
    let begins = dialect.is_start_of("start", start.as_str());
    ids::<imported_secret::Entity>(imported_secret::Column::ApiKeyId, begins.add(of_it)).into_query()
}

/// How the lists of permissions of an organization's keys begin that have a permission, or may have it after the beginning that is in
/// the index. Most keys have one of few lists. Each is found by one step in the index, whatever the number of keys. `None`: there are
/// too many.
async fn lists_with<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    permission: &Permission,
) -> Result<Option<Vec<String>>, DbFailure> {
    let dialect = Dialect::of(db);
    let (start, parameter) = (dialect.permissions_start(), dialect.first_parameter());
    let of_organization = format!("FROM api_keys WHERE organization_id = {parameter} AND {HAS_PERMISSIONS_INDEX}");
    let sql = format!(
        "WITH RECURSIVE lists AS ( \
             SELECT list FROM (SELECT {start} AS list {of_organization} ORDER BY {start} LIMIT 1) AS first_list \
             UNION ALL \
             SELECT (SELECT {start} {of_organization} AND {start} > lists.list ORDER BY {start} LIMIT 1) \
             FROM lists WHERE lists.list IS NOT NULL \
         ) SELECT list FROM lists WHERE list IS NOT NULL LIMIT {}",
        MAX_LISTS + 1
    );
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [organization.uuid().into()]);
    let rows = db.query_all_raw(statement).await?;
    if rows.len() > MAX_LISTS {
        return Ok(None);
    }
    let holders: Vec<String> = permission.holders().iter().map(|holder| format!(" {} ", holder.flat())).collect();
    let mut with = Vec::new();
    for row in rows {
        let list: String = row.try_get_by_index(0)?;
        let spaced = format!(" {list} ");
        if list.len() >= Dialect::PERMISSIONS_START_LENGTH || holders.iter().any(|holder| spaced.contains(holder)) {
            with.push(list);
        }
    }
    Ok((with.len() <= MAX_LISTS_OF_FILTER).then_some(with))
}

/// The permission sets of an organization that contain a permission. Their number is bounded.
async fn sets_with<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    permission: &Permission,
) -> Result<Vec<Uuid>, DbFailure> {
    let sets = permission_set::Entity::find()
        .select_only()
        .column(permission_set::Column::Id)
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .filter(permission_set::Column::DeletedAt.is_null())
        .filter(contains_permission("permission_sets", permission, Dialect::of(db)))
        .into_tuple();
    Ok(sets.all(db).await?)
}

/// The keys of an organization that a list in an order without an index has to sort.
pub(crate) fn sorted(scope: KeyScope, filter: &Filter) -> SelectStatement {
    let known = if filter.is_deleted { deleted_in_scope(scope) } else { in_scope(scope) };
    let user = filter.owner.and_then(|owner| match owner {
        OwnerFilter::User(user) => Some(api_key::Column::UserId.eq(user.uuid())),
        OwnerFilter::Organization => None,
    });
    let external_id = filter.external_id.as_ref().map(|id| api_key::Column::ExternalId.eq(id.as_str()));
    keys(known.add_option(user).add_option(external_id))
}
