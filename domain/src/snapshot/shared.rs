//! What snapshots share: organizations, members, permissions. Where one of these changes, all snapshots that share it are out
//! of date at once.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    id::{OrganizationId, SetId, UserId},
    organization::{ExternalId, OrganizationKind},
    permission::PermissionSet,
};

/// A value that many share, until it changes.
#[derive(Debug)]
pub struct Common<T> {
    value: T,
    is_outdated: AtomicBool,
}

impl<T> Common<T> {
    /// A value as it is now.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value, is_outdated: AtomicBool::new(false) }
    }

    /// It has changed: nobody may rely on it any more.
    pub fn outdate(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }

    /// Whether it has changed.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }
}

impl<T> Deref for Common<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The organization of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its identifier.
    pub id: OrganizationId,
    /// What kind it is.
    pub kind: OrganizationKind,
    /// What the operator's own system calls it.
    pub external_id: Option<ExternalId>,
    /// Whether none of its keys is good for anything.
    pub is_suspended: bool,
}

/// The user of a key, in its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user: UserId,
    /// What the user may do there, all in all; `None`: not a member any more.
    pub permissions: Option<PermissionSet>,
    /// The sets that a part of that comes from.
    pub sets: Box<[SetId]>,
}

/// What a key may do, all in all, before its user's grants bound it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The permissions.
    pub permissions: PermissionSet,
    /// The sets that a part of that comes from.
    pub sets: Box<[SetId]>,
}

/// What a snapshot shares with others.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The organization.
    pub home: Arc<Common<Home>>,
    /// The user, for a user's key.
    pub holder: Option<Arc<Common<Holder>>>,
    /// What the key may do.
    pub given: Arc<Common<Given>>,
}

impl Shared {
    /// Whether something of it has changed.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.home.is_outdated()
            || self.given.is_outdated()
            || self.holder.as_ref().is_some_and(|holder| holder.is_outdated())
    }
}
