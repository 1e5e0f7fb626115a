//! Stores keys of customers of an organization, who may have a limited number each.

use domain::{
    Error,
    audit::context::AuditContext,
    clock::Timestamp,
    error::Capped,
    id::ExternalId,
    keys::{api_key::ApiKey, key_scope::KeyScope, policy::CheckedPolicies, secret::SecretHash},
};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait, sea_query::SelectStatement,
};

use crate::{
    api_keys::insert,
    database::Database,
    db::{count::count_up_to, dialect::explain, error::DbFailure},
    rows::{
        entity::api_key,
        scope::{deleted_in_scope, in_scope},
    },
};

/// For each key that a customer may have, the number of keys that they may have or have deleted within [`REPLACEMENT_PERIOD_MS`].
const MAX_REPLACEMENTS: u64 = 10;

/// How long a deleted key counts: an hour.
const REPLACEMENT_PERIOD_MS: i64 = 3_600_000;

/// Which keys are those of a customer.
#[derive(Clone)]
struct Customer {
    scope: KeyScope,
    of_it: Condition,
}

impl Customer {
    /// The user of the scope; or if it has none, the customer with this external id.
    fn new(scope: KeyScope, external_id: Option<&ExternalId>) -> Self {
        let external_id = external_id.filter(|_| scope.user.is_none());
        let external_id = external_id.map(|id| api_key::Column::ExternalId.eq(id.as_str()));
        Self { scope, of_it: Condition::all().add(api_key::Column::CanManage.eq(false)).add_option(external_id) }
    }

    /// Their keys that are not deleted.
    fn live(&self) -> SelectStatement {
        ids(in_scope(self.scope).add(self.of_it.clone()))
    }

    /// Their keys that were deleted after `since`.
    fn deleted(&self, since: Timestamp) -> SelectStatement {
        let lately = api_key::Column::DeletedAt.gt(since.millis());
        ids(deleted_in_scope(self.scope).add(lately).add(self.of_it.clone()))
    }
}

fn ids(of: Condition) -> SelectStatement {
    api_key::Entity::find().select_only().column(api_key::Column::Id).filter(of).into_query()
}

impl Database {
    /// Stores a key of a customer, unless they would have more than `max_keys`, or with those that were deleted within the last
    /// hour more than ten times as many: a deleted key is kept for the retention period, and each change counts for its
    /// organization.
    pub(crate) async fn create_key_for_customer(
        &self,
        (key, secret): (ApiKey, SecretHash),
        max_keys: u64,
        checked: Option<CheckedPolicies>,
        context: AuditContext,
    ) -> Result<(), DbFailure> {
        let caps = self.caps;
        let scope = KeyScope { organization: key.organization, user: key.user };
        let customer = Customer::new(scope, key.settings.external_id.as_ref());
        let create = self.transaction(move |transaction, changed| {
            let (keys, context, customer) = ([(key.clone(), secret)], context.clone(), customer.clone());
            let checked = checked.clone();
            Box::pin(async move {
                insert(transaction, changed, &keys, checked.as_ref(), &context, caps).await?;
                // Storing a key has locked the organization's row until the commit: another key of the customer is either counted
                // here, or is stored after this one and counts it.
                let live = count_up_to(transaction, customer.live(), max_keys + 1).await?;
                if live > max_keys {
                    return Err(DbFailure::Refused(Error::CapReached(Capped::PortalKeys)));
                }
                let since = context.at.plus_millis(-REPLACEMENT_PERIOD_MS);
                let max_deleted = max_keys * MAX_REPLACEMENTS - live;
                if count_up_to(transaction, customer.deleted(since), max_deleted + 1).await? > max_deleted {
                    return Err(DbFailure::Refused(Error::CapReached(Capped::PortalKeysOfHour)));
                }
                Ok(())
            })
        });
        create.await
    }

    /// The database's plan for counting the keys of a customer of an organization that were deleted lately, line by line: which
    /// indexes it uses.
    ///
    /// # Errors
    /// The database failed.
    pub async fn explain_deleted_keys_of(
        &self,
        scope: KeyScope,
        external_id: Option<&ExternalId>,
        since: Timestamp,
    ) -> Result<Vec<String>, DbErr> {
        explain(&self.pools.read, &Customer::new(scope, external_id).deleted(since)).await
    }
}
