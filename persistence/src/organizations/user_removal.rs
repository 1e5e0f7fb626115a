//! Removes users. All personal data is deleted at once. As long as keys belong to the user the row stays, with nothing but its id:
//! these keys are refused, and are still listed as that user's.

use std::sync::{Mutex, PoisonError};

use domain::{
    Error,
    clock::Timestamp,
    id::{Identity, OrganizationId, UserId},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Query, SelectStatement},
};

use crate::{
    database::Database,
    db::{error::DbFailure, message_size::MAX_HASHES_PER_STATEMENT},
    organizations::members,
    rows::entity::{
        api_key, invitation, portal::session as portal_session, removed_identity, session, user, user_identity,
        user_permission_set,
    },
};

/// The most rows of removed users that one run of retention checks.
const MAX_CHECKED: u64 = 500;

/// The last removed user that a run of retention has checked: the next run continues after it.
#[derive(Debug, Default)]
pub(crate) struct CheckedUsers(Mutex<Uuid>);

impl CheckedUsers {
    fn last(&self) -> Uuid {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, last: Uuid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

impl Database {
    /// Checks the next 500 rows of removed users, by the index of users by organization, and removes those without keys. Such a row
    /// remains if a user and their last key are removed at the same moment.
    pub(crate) async fn remove_users_without_keys(&self, checked: &CheckedUsers) -> Result<(), DbFailure> {
        let db = &self.pools.read;
        let ids = || user::Entity::find().select_only().column(user::Column::Id);
        let next: Vec<Uuid> = ids()
            .filter(user::Column::OrganizationId.is_null())
            .filter(user::Column::Id.gt(checked.last()))
            .order_by_asc(user::Column::Id)
            .limit(MAX_CHECKED)
            .into_tuple()
            .all(db)
            .await?;
        let is_full = u64::try_from(next.len()).is_ok_and(|count| count >= MAX_CHECKED);
        // After the last row the next run begins with the first.
        let last = next.last().copied().filter(|_| is_full).unwrap_or_default();
        let these = user::Column::Id.is_in(next);
        let unused: Vec<Uuid> =
            ids().filter(these).filter(Expr::exists(keys_of_user()).not()).into_tuple().all(db).await?;
        if !unused.is_empty() {
            let remove = self.transaction(move |transaction, _| {
                let unused = unused.clone();
                Box::pin(async move { Ok(remove_unused(transaction, unused).await?) })
            });
            remove.await?;
        }
        checked.set(last);
        Ok(())
    }
}

/// A hash that identifies an external identity without personal data.
pub(crate) fn hash_of(identity: &Identity) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("claviger 2026-11 identity");
    // Neither of the two contains control characters, so the separator is unambiguous.
    hasher.update(identity.issuer.as_bytes()).update(b"\0").update(identity.subject.as_bytes());
    hasher.finalize().as_bytes().to_vec()
}

/// Removes a user of an organization, with their identities, permission sets, sessions, portal sessions and recovery links; part of a transaction.
///
/// # Errors
/// [`Error::NotFound`] if the organization has no such user.
pub(crate) async fn remove<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    user: UserId,
    at: Timestamp,
) -> Result<(), DbFailure> {
    let nothing = user::ActiveModel {
        name: Set(String::new()),
        email: Set(String::new()),
        organization_id: Set(None),
        email_canonical: Set(None),
        permissions: Set(String::new()),
        ..user::ActiveModel::default()
    };
    let cleared = user::Entity::update_many()
        .set(nothing)
        .filter(user::Column::Id.eq(user.uuid()))
        .filter(user::Column::OrganizationId.eq(organization.uuid()))
        .exec(db)
        .await?;
    if cleared.rows_affected == 0 {
        return Err(DbFailure::Refused(Error::NotFound));
    }
    // A user has one identity. Users of earlier versions may have a few.
    let of_user = user_identity::Column::UserId.eq(user.uuid());
    for row in user_identity::Entity::find().filter(of_user.clone()).all(db).await? {
        // An identity that was added by others and has never logged in leaves no record.
        if row.accepted_at.is_some() {
            let identity = Identity { issuer: row.issuer, subject: row.subject };
            let removed = removed_identity::ActiveModel {
                identity_hash: Set(hash_of(&identity)),
                organization_id: Set(organization.uuid()),
                removed_at: Set(at.millis()),
            };
            let unless_exists =
                OnConflict::columns([removed_identity::Column::IdentityHash, removed_identity::Column::OrganizationId])
                    .do_nothing()
                    .to_owned();
            removed_identity::Entity::insert(removed).on_conflict(unless_exists).exec_without_returning(db).await?;
        }
    }
    user_identity::Entity::delete_many().filter(of_user).exec(db).await?;
    user_permission_set::Entity::delete_many()
        .filter(user_permission_set::Column::UserId.eq(user.uuid()))
        .exec(db)
        .await?;
    session::Entity::delete_many().filter(session::Column::UserId.eq(user.uuid())).exec(db).await?;
    invitation::Entity::delete_many().filter(invitation::Column::UserId.eq(user.uuid())).exec(db).await?;
    portal_session::Entity::delete_many().filter(portal_session::Column::UserId.eq(user.uuid())).exec(db).await?;
    Ok(remove_unused(db, vec![user.uuid()]).await?)
}

/// The users of these keys that are removed.
pub(crate) async fn removed_users_of<C: ConnectionTrait>(
    db: &C,
    keys: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<Uuid>, DbErr> {
    let removed = Query::select()
        .column(user::Column::Id)
        .from(user::Entity)
        .and_where(user::Column::OrganizationId.is_null())
        .and_where(Expr::col((user::Entity, user::Column::Id)).equals((api_key::Entity, api_key::Column::UserId)))
        .to_owned();
    api_key::Entity::find()
        .select_only()
        .column(api_key::Column::UserId)
        .distinct()
        .filter(api_key::Column::Id.is_in(keys))
        .filter(api_key::Column::UserId.is_not_null())
        .filter(Expr::exists(removed))
        .into_tuple()
        .all(db)
        .await
}

/// Removes the rows of removed users that have no keys left; part of the transaction that purges keys.
pub(crate) async fn remove_unused<C: ConnectionTrait>(db: &C, users: Vec<Uuid>) -> Result<(), DbErr> {
    if users.is_empty() {
        return Ok(());
    }
    let these = user::Column::Id.is_in(users).and(user::Column::OrganizationId.is_null());
    // Locked, so that of two transactions which purge the last two keys the later one finds no keys.
    let locked = user::Entity::find().filter(these.clone()).order_by_asc(user::Column::Id).lock_exclusive();
    locked.select_only().column(user::Column::Id).into_tuple::<Uuid>().all(db).await?;
    user::Entity::delete_many().filter(these).filter(Expr::exists(keys_of_user()).not()).exec(db).await?;
    Ok(())
}

/// A correlated subquery: the keys of a user.
fn keys_of_user() -> SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(api_key::Entity)
        .and_where(Expr::col((api_key::Entity, api_key::Column::UserId)).equals((user::Entity, user::Column::Id)))
        .to_owned()
}

/// Removes at most `size` users of a deleted organization that has no keys any more. Returns how many.
pub(crate) async fn remove_users_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    size: u64,
) -> Result<u64, DbFailure> {
    let users: Vec<Uuid> = user::Entity::find()
        .select_only()
        .column(user::Column::Id)
        .filter(members::in_organization(organization))
        .order_by_asc(user::Column::Id)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    Ok(user::Entity::delete_many().filter(user::Column::Id.is_in(users)).exec(db).await?.rows_affected)
}

/// Removes at most `size` removed identities of a deleted organization. Returns how many.
pub(crate) async fn remove_identities_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    size: u64,
) -> Result<u64, DbFailure> {
    let here = removed_identity::Column::OrganizationId.eq(organization.uuid());
    let hashes: Vec<Vec<u8>> = removed_identity::Entity::find()
        .select_only()
        .column(removed_identity::Column::IdentityHash)
        .filter(here.clone())
        .limit(Ord::min(size, MAX_HASHES_PER_STATEMENT as u64))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = removed_identity::Column::IdentityHash.is_in(hashes);
    Ok(removed_identity::Entity::delete_many().filter(here).filter(these).exec(db).await?.rows_affected)
}
