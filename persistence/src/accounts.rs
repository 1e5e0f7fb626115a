//! Sign-up, the platform organization, and the organization and user of a key.

use async_trait::async_trait;
use domain::{
    Outage,
    audit::context::AuditContext,
    id::{Identity, OrganizationId, UserId},
    keys::{api_key::ApiKey, secret::SecretHash},
    organizations::{
        organization::{Organization, OrganizationKind},
        user::User,
    },
    permissions::Permissions,
    ports::{Accounts, JoinedBy, KeyDefaults, NewUser, Profile, SignedUp},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, prelude::Uuid};

use crate::{
    api_keys,
    database::Database,
    db::error::DbFailure,
    organizations::{self, external_identities, last_admin::sets_of, members, permission_sets},
    rows::{
        convert,
        entity::{organization, user},
    },
};

#[async_trait]
impl Accounts for Database {
    async fn sign_up(&self, signed_up: &SignedUp, secret: &SecretHash, context: &AuditContext) -> Result<bool, Outage> {
        let (caps, context) = (self.caps, context.clone());
        let user = convert::user_row(&signed_up.user);
        let organization = convert::organization_row(&signed_up.organization);
        let key = [(signed_up.key.clone(), *secret)];
        let sign_up = self.transaction(move |transaction, changed| {
            let (user, organization) = (user.clone(), organization.clone());
            let (key, context) = (key.clone(), context.clone());
            Box::pin(async move {
                organization::Entity::insert(organization).exec_without_returning(transaction).await?;
                user::Entity::insert(user).exec_without_returning(transaction).await?;
                api_keys::insert(transaction, changed, &key, None, &context, caps).await
            })
        });
        unless_conflict(sign_up.await)
    }

    async fn sign_up_person(
        &self,
        organization: &Organization,
        user: &User,
        identity: &Identity,
        context: &AuditContext,
    ) -> Result<bool, Outage> {
        let (max_changes, context) = (self.caps.changes, context.clone());
        let organization = convert::organization_row(organization);
        let new = NewUser { user: user.clone(), identity: Some(identity.clone()), joined_by: JoinedBy::SignUp };
        let (row, identity) = (convert::user_row(user), identity.clone());
        let sign_up = self.transaction(move |transaction, changed| {
            let (organization, row, new) = (organization.clone(), row.clone(), new.clone());
            let (identity, context) = (identity.clone(), context.clone());
            Box::pin(async move {
                organization::Entity::insert(organization).exec_without_returning(transaction).await?;
                user::Entity::insert(row).exec_without_returning(transaction).await?;
                external_identities::link(transaction, &identity, &new).await?;
                changed.log.record_within(&context, &[new.user.id.uuid()], max_changes);
                Ok(())
            })
        });
        unless_conflict(sign_up.await)
    }

    async fn find_key_defaults(&self, organization: OrganizationId) -> Result<Option<KeyDefaults>, Outage> {
        let found: Option<(bool, Option<String>)> = organizations::find_live(organization)
            .select_only()
            .columns([organization::Column::KeysCanManageByDefault, organization::Column::KeyPolicy])
            .into_tuple()
            .one(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        let Some((can_manage, policy)) = found else { return Ok(None) };
        let policy = convert::key_policy(policy.as_deref(), "organizations", organization.uuid());
        Ok(Some(KeyDefaults { can_manage, policy: policy.map_err(DbFailure::from)? }))
    }

    async fn has_organization(&self, organization: OrganizationId) -> Result<bool, Outage> {
        let found: Option<Uuid> = organizations::find_live(organization)
            .select_only()
            .column(organization::Column::Id)
            .into_tuple()
            .one(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        Ok(found.is_some())
    }

    async fn find_membership(&self, organization: OrganizationId, user: UserId) -> Result<Option<Permissions>, Outage> {
        let find = async {
            let db = &self.pools.verification;
            let Some(row) = members::of(organization, user).one(db).await? else { return Ok(None) };
            let own = convert::permissions(&row.permissions, "users", row.id)?;
            let mut sets = sets_of(db, vec![row.id]).await?;
            let sets = permission_sets::find_many(db, organization, &sets.remove(&row.id).unwrap_or_default()).await?;
            let all = std::iter::once(&own).chain(sets.iter().map(|set| &set.permissions));
            Ok::<_, DbFailure>(Some(Permissions::union(all)))
        };
        Ok(find.await?)
    }

    async fn find_platform(&self) -> Result<Option<OrganizationId>, Outage> {
        let platform = organization::Entity::find()
            .filter(organization::Column::Kind.eq(convert::kind_text(OrganizationKind::Platform)))
            .one(&self.pools.verification)
            .await
            .map_err(DbFailure::from)?;
        Ok(platform.map(|row| OrganizationId::from_uuid(row.id)))
    }

    async fn create_platform(
        &self,
        organization: &Organization,
        key: &ApiKey,
        secret: &SecretHash,
        context: &AuditContext,
    ) -> Result<bool, Outage> {
        let (caps, context) = (self.caps, context.clone());
        let organization = convert::organization_row(organization);
        let key = [(key.clone(), *secret)];
        let create = self.transaction(move |transaction, changed| {
            let (organization, key, context) = (organization.clone(), key.clone(), context.clone());
            Box::pin(async move {
                organization::Entity::insert(organization).exec_without_returning(transaction).await?;
                api_keys::insert(transaction, changed, &key, None, &context, caps).await
            })
        });
        unless_conflict(create.await)
    }

    async fn find_profile(
        &self,
        organization: OrganizationId,
        user: Option<UserId>,
    ) -> Result<Option<Profile>, Outage> {
        Ok(self.find_profile_or_fail(organization, user).await?)
    }
}

impl Database {
    async fn find_profile_or_fail(
        &self,
        organization: OrganizationId,
        user: Option<UserId>,
    ) -> Result<Option<Profile>, DbFailure> {
        let Some(organization) = organizations::find_live(organization).one(&self.pools.verification).await? else {
            return Ok(None);
        };
        let organization = convert::organization(&organization)?;
        let user = match user {
            None => None,
            Some(user) => match members::of(organization.id, user).one(&self.pools.verification).await? {
                None => return Ok(None),
                Some(row) => Some(convert::user_profile(&row)?),
            },
        };
        Ok(Some(Profile { organization, user }))
    }
}

/// `false` if a unique constraint was violated. All ids are new, so it can only be that of e-mail addresses among sign-ups, or that
/// there is one platform.
fn unless_conflict(outcome: Result<(), DbFailure>) -> Result<bool, Outage> {
    match outcome {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_conflict() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}
