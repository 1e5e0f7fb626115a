//! Organizations, users and memberships.

use async_trait::async_trait;
use domain::{
    Outage,
    act::Act,
    api_key::ApiKey,
    id::{OrganizationId, UserId},
    organization::{Organization, OrganizationKind},
    permission::PermissionSet,
    ports::{Accounts, Enrolment, Profile},
    secret::SecretHash,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, prelude::Uuid};

use crate::{
    Store, api_keys, convert,
    entity::{membership, organization, user},
    last_admin::sets_of,
    organizations,
    outage::Failure,
    sets,
};

#[async_trait]
impl Accounts for Store {
    async fn enroll(&self, enrolment: &Enrolment, secret: &SecretHash, act: &Act) -> Result<bool, Outage> {
        let (caps, act) = (self.caps, act.clone());
        let user = convert::user_row(&enrolment.user);
        let organization = convert::organization_row(&enrolment.organization);
        let membership = convert::membership_row(&enrolment.membership);
        let key = [(enrolment.key.clone(), *secret)];
        let enroll = self.transaction(move |transaction, _| {
            let (user, organization, membership) = (user.clone(), organization.clone(), membership.clone());
            let (key, act) = (key.clone(), act.clone());
            Box::pin(async move {
                user::Entity::insert(user).exec_without_returning(transaction).await?;
                organization::Entity::insert(organization).exec_without_returning(transaction).await?;
                membership::Entity::insert(membership).exec_without_returning(transaction).await?;
                api_keys::insert(transaction, &key, &act, caps).await
            })
        });
        unless_conflict(enroll.await)
    }

    async fn has_organization(&self, organization: OrganizationId) -> Result<bool, Outage> {
        let found: Option<Uuid> = organizations::find_live(organization)
            .select_only()
            .column(organization::Column::Id)
            .into_tuple()
            .one(&self.pools.verification)
            .await
            .map_err(Failure::from)?;
        Ok(found.is_some())
    }

    async fn find_membership(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<PermissionSet>, Outage> {
        let find = async {
            let (db, id) = (&self.pools.verification, (organization.uuid(), user.uuid()));
            let Some(row) = membership::Entity::find_by_id(id).one(db).await? else { return Ok(None) };
            let own = convert::permissions(&row.permissions, "memberships", row.user_id)?;
            let mut sets = sets_of(db, organization, Some(vec![row.user_id])).await?;
            let sets = sets::some(db, organization, &sets.remove(&row.user_id).unwrap_or_default()).await?;
            let all = std::iter::once(&own).chain(sets.iter().map(|set| &set.permissions));
            Ok::<_, Failure>(Some(PermissionSet::union(all)))
        };
        Ok(find.await?)
    }

    async fn find_platform(&self) -> Result<Option<OrganizationId>, Outage> {
        let platform = organization::Entity::find()
            .filter(organization::Column::Kind.eq(convert::kind_text(OrganizationKind::Platform)))
            .one(&self.pools.verification)
            .await
            .map_err(Failure::from)?;
        Ok(platform.map(|row| OrganizationId::from_uuid(row.id)))
    }

    async fn create_platform(
        &self,
        organization: &Organization,
        key: &ApiKey,
        secret: &SecretHash,
        act: &Act,
    ) -> Result<bool, Outage> {
        let (caps, act) = (self.caps, act.clone());
        let organization = convert::organization_row(organization);
        let key = [(key.clone(), *secret)];
        let create = self.transaction(move |transaction, _| {
            let (organization, key, act) = (organization.clone(), key.clone(), act.clone());
            Box::pin(async move {
                organization::Entity::insert(organization).exec_without_returning(transaction).await?;
                api_keys::insert(transaction, &key, &act, caps).await
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

impl Store {
    async fn find_profile_or_fail(
        &self,
        organization: OrganizationId,
        user: Option<UserId>,
    ) -> Result<Option<Profile>, Failure> {
        let Some(organization) = organizations::find_live(organization).one(&self.pools.verification).await? else {
            return Ok(None);
        };
        let user = match user {
            None => None,
            Some(user) => match user::Entity::find_by_id(user.uuid()).one(&self.pools.verification).await? {
                None => return Ok(None),
                Some(row) => Some(convert::user(row)?),
            },
        };
        Ok(Some(Profile { organization: convert::organization(&organization)?, user }))
    }
}

/// `false` where a uniqueness rule stopped it. All identifiers are new, so the only such rules are the e-mail address and
/// the one platform.
fn unless_conflict(outcome: Result<(), Failure>) -> Result<bool, Outage> {
    match outcome {
        Ok(()) => Ok(true),
        Err(failure) if failure.is_conflict() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}
