//! Which rows of keys are in somebody's reach.

use domain::reach::Reach;
use sea_orm::{ColumnTrait, Condition};

use crate::entity::api_key;

/// The keys in reach: the only way to a key's row, but for the lookup by hash.
pub(crate) fn in_reach(reach: Reach) -> Condition {
    Condition::all().add(of(reach)).add(api_key::Column::DeletedAt.is_null())
}

fn of(reach: Reach) -> Condition {
    let organization = api_key::Column::OrganizationId.eq(reach.organization.uuid());
    let user = reach.user.map(|user| api_key::Column::UserId.eq(user.uuid()));
    Condition::all().add(organization).add_option(user)
}

/// Those that are deleted and not gone yet.
pub(crate) fn deleted_in_reach(reach: Reach) -> Condition {
    Condition::all().add(of(reach)).add(api_key::Column::DeletedAt.is_not_null())
}
