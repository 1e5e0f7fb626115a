//! What snapshots share: organizations, members, permissions. Where one of these changes, all snapshots that share it are out
//! of date at once.

use std::{
    mem::size_of,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{
    id::{OrganizationId, SetId, UserId},
    organization::{ExternalId, OrganizationKind},
    permission::{PermissionSet, allocated},
};

/// The number and the size in bytes of the values that exist at this moment.
#[derive(Clone, Debug, Default)]
pub struct Totals(Arc<[AtomicUsize; 2]>);

impl Totals {
    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// The bytes of memory that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        self.0[1].fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.0[0].fetch_sub(1, Ordering::Relaxed);
        self.0[1].fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A value that many share, until it changes.
#[derive(Debug)]
pub struct Common<T> {
    value: T,
    bytes: usize,
    /// The value is counted here for as long as anything holds it.
    totals: Totals,
    is_outdated: AtomicBool,
}

impl<T: Shareable> Common<T> {
    /// A value as it is now, counted in `totals`, with so many bytes that it takes elsewhere.
    #[must_use]
    pub fn new(value: T, elsewhere: usize, totals: &Totals) -> Self {
        // With the two counts of an `Arc` in front.
        let bytes = allocated(size_of::<Self>() + 2 * size_of::<usize>()) + value.heap_size() + elsewhere;
        totals.add(bytes);
        Self { value, bytes, totals: totals.clone(), is_outdated: AtomicBool::new(false) }
    }
}

impl<T: Shareable> Common<T> {
    /// Whether it has changed, or something that it shares itself.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire) || self.value.is_outdated()
    }
}

impl<T> Common<T> {
    /// The bytes of memory that the value takes in an `Arc` and elsewhere.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// It has changed: nobody may rely on it any more.
    pub fn outdate(&self) {
        self.is_outdated.store(true, Ordering::Release);
    }
}

impl<T: PartialEq> PartialEq for Common<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Common<T> {}

impl<T> Drop for Common<T> {
    fn drop(&mut self) {
        self.totals.subtract(self.bytes);
    }
}

/// What many can share.
pub trait Shareable {
    /// Bytes on the heap, without what it shares itself.
    fn heap_size(&self) -> usize;

    /// Whether something that it shares itself has changed.
    fn is_outdated(&self) -> bool {
        false
    }
}

/// Permission sets that a part of somebody's permissions comes from. Where a set changes, it is marked once for all who have it.
pub type SharedSets = Box<[Arc<Common<SetId>>]>;

impl Shareable for SetId {
    fn heap_size(&self) -> usize {
        0
    }
}

fn is_any_outdated(sets: &SharedSets) -> bool {
    sets.iter().any(|set| set.is_outdated())
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

impl Shareable for Home {
    fn heap_size(&self) -> usize {
        self.external_id.as_ref().map_or(0, |id| allocated(id.as_str().len()))
    }
}

/// The user of a key, in its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user: UserId,
    /// What the user may do there, all in all; `None`: not a member any more.
    pub permissions: Option<PermissionSet>,
    /// The sets that a part of that comes from.
    pub sets: SharedSets,
}

impl Shareable for Holder {
    fn heap_size(&self) -> usize {
        self.permissions.as_ref().map_or(0, PermissionSet::heap_size) + allocated(size_of_val(&*self.sets))
    }

    fn is_outdated(&self) -> bool {
        is_any_outdated(&self.sets)
    }
}

/// What a key may do, all in all, before its user's grants bound it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The permissions.
    pub permissions: PermissionSet,
    /// The sets that a part of that comes from.
    pub sets: SharedSets,
}

impl Shareable for Given {
    fn heap_size(&self) -> usize {
        self.permissions.heap_size() + allocated(size_of_val(&*self.sets))
    }

    fn is_outdated(&self) -> bool {
        is_any_outdated(&self.sets)
    }
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
    /// The bytes of memory that all of it takes, of which others may have a part.
    #[must_use]
    pub fn size(&self) -> usize {
        self.home.size() + self.given.size() + self.holder.as_ref().map_or(0, |holder| holder.size())
    }

    /// Whether something of it has changed.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.home.is_outdated()
            || self.given.is_outdated()
            || self.holder.as_ref().is_some_and(|holder| holder.is_outdated())
    }
}
