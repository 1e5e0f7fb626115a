//! Links between identities of external providers and users. One identity may be a user in any number of organizations.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::identity::{ActiveMembership, PASSKEY_ISSUER},
    clock::Timestamp,
    cooperation::Pace,
    id::{Identity, OrganizationId, UserId},
    permissions::Permissions,
    ports::{ExternalIdentities, JoinedBy, Link, NewUser, ProvidedProfile},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    prelude::Uuid,
};

use crate::{
    database::Database,
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    identity::passkeys,
    organizations::{lock, user_removal::hash_of},
    rows::{
        convert,
        entity::{organization, permission_set, removed_identity, user, user_identity, user_permission_set},
    },
};

/// Accepted memberships of one identity that are read.
const MAX_MEMBERSHIPS: u64 = 1_000;

/// Identities of a user that stay when another one is added.
const MAX_OTHER_IDENTITIES: u64 = 9;

/// Further identities of a user that are removed at once.
const MAX_SURPLUS_IDENTITIES: u64 = 100;

/// Memberships of one identity that are read although they are not accepted. Any organization can create these.
const MAX_PENDING_MEMBERSHIPS: u64 = 100;

#[async_trait]
impl ExternalIdentities for Database {
    async fn find_memberships(
        &self,
        identity: &Identity,
        only: Option<OrganizationId>,
    ) -> Result<Vec<ActiveMembership>, Outage> {
        Ok(find_memberships(&self.pools.verification, identity, only).await?)
    }

    async fn is_known(&self, identity: &Identity) -> Result<bool, Outage> {
        let db = &self.pools.verification;
        let find = async {
            let user = user_identity::Entity::find().filter(has_identity(identity)).one(db).await?;
            let is_removed = removed_identity::Column::IdentityHash.eq(hash_of(identity));
            Ok::<_, DbFailure>(
                user.is_some() || removed_identity::Entity::find().filter(is_removed).one(db).await?.is_some(),
            )
        };
        Ok(find.await?)
    }

    async fn find_link(&self, organization: OrganizationId, identity: &Identity) -> Result<Link, Outage> {
        Ok(find_link(&self.pools.verification, organization, identity).await?)
    }

    async fn accept(
        &self,
        organization: OrganizationId,
        identity: &Identity,
        profile: Option<ProvidedProfile>,
        context: &AuditContext,
    ) -> Result<(), Error> {
        let (identity, context, max_changes) = (identity.clone(), context.clone(), self.caps.changes);
        let accept = self.transaction(move |transaction, changed| {
            let (identity, profile, context) = (identity.clone(), profile.clone(), context.clone());
            Box::pin(async move {
                lock(transaction, organization).await?;
                let Link::User(user) = find_link(transaction, organization, &identity).await? else {
                    return Err(DbFailure::Refused(Error::NotFound));
                };
                let accepted = user_identity::ActiveModel {
                    accepted_at: Set(Some(context.at.millis())),
                    ..user_identity::ActiveModel::default()
                };
                let accepted = user_identity::Entity::update_many()
                    .set(accepted)
                    .filter(has_identity(&identity))
                    .filter(user_identity::Column::OrganizationId.eq(organization.uuid()))
                    .filter(user_identity::Column::AcceptedAt.is_null())
                    .exec(transaction)
                    .await?;
                if accepted.rows_affected == 0 {
                    return Ok(());
                }
                if let Some(profile) = &profile {
                    update_profile(transaction, user, profile).await?;
                }
                changed.log.record_within(&context, &[user.uuid()], max_changes);
                Ok(())
            })
        });
        Ok(accept.await?)
    }
}

/// Links a new user to their external identity; part of the transaction that stores them.
pub(crate) async fn link<C: ConnectionTrait>(db: &C, identity: &Identity, new: &NewUser) -> Result<(), DbFailure> {
    let is_accepted = new.joined_by != JoinedBy::Addition;
    insert(db, identity, new.user.organization, new.user.id, new.user.created_at, is_accepted).await
}

async fn insert<C: ConnectionTrait>(
    db: &C,
    identity: &Identity,
    organization: OrganizationId,
    user: UserId,
    at: Timestamp,
    is_accepted: bool,
) -> Result<(), DbFailure> {
    // Adding a removed user again ends the removal.
    removed_identity::Entity::delete_by_id((hash_of(identity), organization.uuid())).exec(db).await?;
    let row = user_identity::ActiveModel {
        issuer: Set(identity.issuer.clone()),
        subject: Set(identity.subject.clone()),
        organization_id: Set(organization.uuid()),
        user_id: Set(user.uuid()),
        created_at: Set(at.millis()),
        accepted_at: Set(is_accepted.then_some(at.millis())),
    };
    user_identity::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Gives a user another identity, which has accepted the membership, instead of their passkeys, which are removed if they sign in to
/// nothing else; part of a transaction that has
/// locked the organization's row. Identities at providers stay, but only the newest ones.
///
/// # Errors
/// [`Error::AlreadyMember`] if the identity is another user of the organization.
pub(crate) async fn recover<C: ConnectionTrait>(
    db: &C,
    identity: &Identity,
    organization: OrganizationId,
    user: UserId,
    at: Timestamp,
) -> Result<(), DbFailure> {
    let of_user = user_identity::Column::UserId.eq(user.uuid());
    let is_other = user_identity::Column::Issuer
        .ne(identity.issuer.as_str())
        .or(user_identity::Column::Subject.ne(identity.subject.as_str()));
    match find_link(db, organization, identity).await? {
        Link::User(linked) if linked != user => return Err(DbFailure::Refused(Error::AlreadyMember)),
        Link::User(_) => {
            let accepted = user_identity::ActiveModel {
                accepted_at: Set(Some(at.millis())),
                ..user_identity::ActiveModel::default()
            };
            let accept = user_identity::Entity::update_many().set(accepted).filter(has_identity(identity));
            accept.filter(of_user.clone()).filter(user_identity::Column::AcceptedAt.is_null()).exec(db).await?;
        }
        Link::Unknown | Link::Removed => insert(db, identity, organization, user, at, true).await?,
    }
    let accounts = user_identity::Entity::find()
        .filter(of_user.clone())
        .filter(is_other.clone())
        .filter(user_identity::Column::Issuer.eq(PASSKEY_ISSUER));
    let mut unlinked = Vec::new();
    for row in accounts.all(db).await? {
        unlinked.push(row.subject.clone());
        row.delete(db).await?;
    }
    passkeys::remove_unlinked(db, unlinked).await?;
    let surplus = user_identity::Entity::find()
        .filter(of_user)
        .filter(is_other)
        .order_by_desc(user_identity::Column::CreatedAt)
        .offset(MAX_OTHER_IDENTITIES)
        .limit(MAX_SURPLUS_IDENTITIES);
    for row in surplus.all(db).await? {
        row.delete(db).await?;
    }
    Ok(())
}

/// Refuses an identity that is a user of the organization already, or that was removed from it and is provisioned by its provider
/// only.
pub(crate) async fn require_linkable<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    identity: &Identity,
    joined_by: JoinedBy,
) -> Result<(), DbFailure> {
    match find_link(db, organization, identity).await? {
        Link::User(_) => Err(DbFailure::Refused(Error::AlreadyMember)),
        Link::Removed if joined_by == JoinedBy::Provisioning => Err(DbFailure::Refused(Error::NotFound)),
        Link::Removed | Link::Unknown => Ok(()),
    }
}

async fn find_link<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    identity: &Identity,
) -> Result<Link, DbFailure> {
    let id = (identity.issuer.clone(), identity.subject.clone(), organization.uuid());
    if let Some(row) = user_identity::Entity::find_by_id(id).one(db).await? {
        return Ok(Link::User(UserId::from_uuid(row.user_id)));
    }
    let removed = removed_identity::Entity::find_by_id((hash_of(identity), organization.uuid())).one(db).await?;
    Ok(if removed.is_some() { Link::Removed } else { Link::Unknown })
}

/// Updates the name and e-mail address of a user from their provider.
async fn update_profile<C: ConnectionTrait>(db: &C, user: UserId, profile: &ProvidedProfile) -> Result<(), DbFailure> {
    let row = user::ActiveModel {
        id: Set(user.uuid()),
        name: profile.name.as_ref().map_or(NotSet, |name| Set(name.as_str().to_owned())),
        email: Set(profile.email.as_ref().map_or_else(String::new, |email| email.given().to_owned())),
        email_canonical: Set(profile.email.as_ref().map(|email| email.canonical().to_owned())),
        ..user::ActiveModel::default()
    };
    user::Entity::update(row).exec(db).await?;
    Ok(())
}

/// The rows of an identity.
fn has_identity(identity: &Identity) -> Condition {
    Condition::all()
        .add(user_identity::Column::Issuer.eq(identity.issuer.as_str()))
        .add(user_identity::Column::Subject.eq(identity.subject.as_str()))
}

async fn find_memberships<C: ConnectionTrait>(
    db: &C,
    identity: &Identity,
    only: Option<OrganizationId>,
) -> Result<Vec<ActiveMembership>, DbFailure> {
    let accepted_at = user_identity::Column::AcceptedAt;
    let mut links = Vec::new();
    for (which, max) in [(accepted_at.is_not_null(), MAX_MEMBERSHIPS), (accepted_at.is_null(), MAX_PENDING_MEMBERSHIPS)]
    {
        let page = user_identity::Entity::find()
            .filter(has_identity(identity))
            .filter(which)
            .apply_if(only, |find, only| find.filter(user_identity::Column::OrganizationId.eq(only.uuid())))
            .order_by_asc(user_identity::Column::OrganizationId)
            .limit(max);
        links.extend(page.all(db).await?);
    }
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let (mut users, mut organizations) = (HashMap::new(), HashMap::new());
    let mut attached: Vec<Uuid> = Vec::new();
    for links in links.chunks(MAX_ROWS_PER_STATEMENT) {
        let ids = || links.iter().map(|link| link.user_id);
        let found = user::Entity::find().filter(user::Column::Id.is_in(ids())).all(db).await?;
        users.extend(found.into_iter().map(|user| (user.id, user)));
        let found = organization::Entity::find()
            .filter(organization::Column::Id.is_in(links.iter().map(|link| link.organization_id)))
            .filter(organization::Column::SuspendedAt.is_null())
            .filter(organization::Column::DeletedAt.is_null())
            .all(db)
            .await?;
        organizations.extend(found.into_iter().map(|organization| (organization.id, organization)));
        let of_users = user_permission_set::Entity::find()
            .select_only()
            .column(user_permission_set::Column::PermissionSetId)
            .filter(user_permission_set::Column::UserId.is_in(ids()));
        attached.extend(of_users.into_tuple::<Uuid>().all(db).await?);
    }
    attached.sort_unstable();
    attached.dedup();
    let mut sets = Vec::new();
    for ids in attached.chunks(MAX_ROWS_PER_STATEMENT) {
        let these = permission_set::Column::Id.is_in(ids.iter().copied());
        sets.extend(permission_set::Entity::find().filter(these).all(db).await?);
    }
    let mut sets_of: HashMap<Uuid, Vec<&permission_set::Model>> = HashMap::new();
    for set in &sets {
        sets_of.entry(set.organization_id).or_default().push(set);
    }
    let (mut memberships, mut pace) = (Vec::with_capacity(links.len()), Pace::default());
    for link in links {
        let Some((organization, row)) = organizations.get(&link.organization_id).zip(users.get(&link.user_id)) else {
            continue;
        };
        let mut all = vec![convert::permissions(&row.permissions, "users", row.id)?];
        for set in sets_of.get(&link.organization_id).into_iter().flatten() {
            pace.worked(set.permissions.len()).await;
            all.push(convert::permissions(&set.permissions, "permission_sets", set.id)?);
        }
        pace.worked(row.permissions.len()).await;
        memberships.push(ActiveMembership {
            organization: convert::organization(organization)?,
            user: UserId::from_uuid(link.user_id),
            permissions: Permissions::union(&all),
            is_accepted: link.accepted_at.is_some(),
        });
    }
    Ok(memberships)
}
