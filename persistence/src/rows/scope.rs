//! The scope of a caller as a condition on rows of keys.

use domain::keys::key_scope::KeyScope;
use sea_orm::{ColumnTrait, Condition};

use crate::rows::entity::api_key;

/// The keys in scope that are not deleted. Except for the lookup by hash, every query of keys is filtered by this.
pub(crate) fn in_scope(scope: KeyScope) -> Condition {
    Condition::all().add(of(scope)).add(api_key::Column::DeletedAt.is_null())
}

fn of(scope: KeyScope) -> Condition {
    let organization = api_key::Column::OrganizationId.eq(scope.organization.uuid());
    let user = scope.user.map(|user| api_key::Column::UserId.eq(user.uuid()));
    Condition::all().add(organization).add_option(user)
}

/// The deleted keys in scope.
pub(crate) fn deleted_in_scope(scope: KeyScope) -> Condition {
    Condition::all().add(of(scope)).add(api_key::Column::DeletedAt.is_not_null())
}
