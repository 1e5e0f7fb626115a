//! The key policies that apply to keys with a permission set.

use std::sync::Arc;

use domain::{
    id::{OrganizationId, SetId},
    keys::{
        key_scope::KeyScope,
        policy::{KeyPolicy, PolicySource},
    },
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Query, SelectStatement},
};

use crate::{
    db::error::DbFailure,
    organizations::{self, permission_sets},
    rows::{
        entity::{api_key, api_key_permission_set},
        scope::in_scope,
    },
};

/// The policies that apply to keys with this set, besides its own: that of the organization, and those of other sets that such keys
/// have.
pub(crate) async fn beside<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Vec<(PolicySource, Arc<KeyPolicy>)>, DbFailure> {
    let mut policies = Vec::new();
    if let Some(policy) = organizations::find(db, organization).await?.and_then(|found| found.key_policy) {
        policies.push((PolicySource::Organization, policy));
    }
    for other in permission_sets::with_policies(db, organization).await? {
        if other.id != set && has_key_with_sets(db, organization, &[set, other.id], false).await? {
            policies.extend(other.key_policy.map(|policy| (PolicySource::Set(other.id), policy)));
        }
    }
    Ok(policies)
}

/// Whether a key has all of these sets and, with `without_addresses`, no IP allowlist.
pub(crate) async fn has_key_with_sets<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &[SetId],
    without_addresses: bool,
) -> Result<bool, DbFailure> {
    let key = sets
        .iter()
        .fold(api_key::Entity::find(), |find, set| find.filter(api_key::Column::Id.in_subquery(keys_with(*set))))
        .select_only()
        .column(api_key::Column::Id)
        .filter(in_scope(KeyScope::whole(organization)))
        .filter(Condition::all().add_option(without_addresses.then(|| api_key::Column::AllowedAddresses.is_null())))
        .limit(1)
        .into_tuple::<Uuid>()
        .one(db)
        .await?;
    Ok(key.is_some())
}

/// The ids of the keys that have a set.
fn keys_with(set: SetId) -> SelectStatement {
    Query::select()
        .column(api_key_permission_set::Column::ApiKeyId)
        .from(api_key_permission_set::Entity)
        .and_where(Expr::col(api_key_permission_set::Column::PermissionSetId).eq(set.uuid()))
        .to_owned()
}
