//! Values that cached keys share: organizations, members, permissions. Invalidating one of them invalidates all cached
//! keys that share it.

use std::{
    mem::size_of,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{
    id::{ExternalId, OrganizationId, SetId, UserId},
    organizations::organization::OrganizationKind,
    permissions::{Permissions, allocated},
};

/// The number and the total size of the values that exist at the moment.
#[derive(Clone, Debug, Default)]
pub struct Totals(Arc<[AtomicUsize; 2]>);

impl Totals {
    /// The number of values.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    /// The size of all values, in bytes.
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

/// An interned value: many cached keys share it until it is invalidated.
#[derive(Debug)]
pub struct Interned<T> {
    value: T,
    bytes: usize,
    /// The totals that count the value until it is dropped.
    totals: Totals,
    is_invalidated: AtomicBool,
}

impl<T: Shareable> Interned<T> {
    /// Interns a value and counts it in `totals`. `elsewhere` is the size of its data in other places, in bytes.
    #[must_use]
    pub fn new(value: T, elsewhere: usize, totals: &Totals) -> Self {
        // An `Arc` has two counters before the value.
        let bytes = allocated(size_of::<Self>() + 2 * size_of::<usize>()) + value.heap_size() + elsewhere;
        totals.add(bytes);
        Self { value, bytes, totals: totals.clone(), is_invalidated: AtomicBool::new(false) }
    }
}

impl<T: Shareable> Interned<T> {
    /// Whether the value was invalidated, or a value that it shares itself.
    #[must_use]
    pub fn is_invalidated(&self) -> bool {
        self.is_invalidated.load(Ordering::Acquire) || self.value.is_invalidated()
    }
}

impl<T> Interned<T> {
    /// The size of the value in an `Arc` and of its data elsewhere, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Invalidates the value, because it has changed: it must not be used any more.
    pub fn invalidate(&self) {
        self.is_invalidated.store(true, Ordering::Release);
    }
}

impl<T: PartialEq> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Interned<T> {}

impl<T> Drop for Interned<T> {
    fn drop(&mut self) {
        self.totals.subtract(self.bytes);
    }
}

/// A value that can be interned.
pub trait Shareable {
    /// The allocated bytes on the heap, without values that it shares itself.
    fn heap_size(&self) -> usize;

    /// Whether a value that it shares itself was invalidated.
    fn is_invalidated(&self) -> bool {
        false
    }
}

/// The permission sets that contribute to some permissions. When a set changes, it is invalidated once for all that
/// have it.
pub type SharedSets = Box<[Arc<Interned<SetId>>]>;

impl Shareable for SetId {
    fn heap_size(&self) -> usize {
        0
    }
}

fn is_any_invalidated(sets: &SharedSets) -> bool {
    sets.iter().any(|set| set.is_invalidated())
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The organization of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationInfo {
    /// The id.
    pub id: OrganizationId,
    /// The kind.
    pub kind: OrganizationKind,
    /// The id in the operator's own system. `None`: it has none.
    pub external_id: Option<ExternalId>,
    /// Whether the organization is suspended, so that its keys are invalid.
    pub is_suspended: bool,
}

impl Shareable for OrganizationInfo {
    fn heap_size(&self) -> usize {
        self.external_id.as_ref().map_or(0, |id| allocated(id.as_str().len()))
    }
}

/// The user that a key belongs to, as a member of its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// The user.
    pub user: UserId,
    /// The permissions of the member, including those of their permission sets. `None`: they are not a member any more.
    pub permissions: Option<Permissions>,
    /// The permission sets that contribute to these permissions.
    pub sets: SharedSets,
}

impl Shareable for MemberInfo {
    fn heap_size(&self) -> usize {
        self.permissions.as_ref().map_or(0, Permissions::heap_size) + allocated(size_of_val(&*self.sets))
    }

    fn is_invalidated(&self) -> bool {
        is_any_invalidated(&self.sets)
    }
}

/// The permissions of a key, not limited by those of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPermissions {
    /// The permissions, including those of the permission sets.
    pub permissions: Permissions,
    /// The permission sets that contribute to these permissions.
    pub sets: SharedSets,
}

impl Shareable for KeyPermissions {
    fn heap_size(&self) -> usize {
        self.permissions.heap_size() + allocated(size_of_val(&*self.sets))
    }

    fn is_invalidated(&self) -> bool {
        is_any_invalidated(&self.sets)
    }
}

/// The values that a cached key shares with others.
#[derive(Clone, Debug)]
pub struct SharedValues {
    /// The organization.
    pub organization: Arc<Interned<OrganizationInfo>>,
    /// The user. `None`: the key belongs to the organization.
    pub member: Option<Arc<Interned<MemberInfo>>>,
    /// The permissions of the key.
    pub permissions: Arc<Interned<KeyPermissions>>,
}

impl SharedValues {
    /// The size of all these values, in bytes. Other cached keys may share them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.organization.size() + self.permissions.size() + self.member.as_ref().map_or(0, |member| member.size())
    }

    /// Whether one of these values was invalidated.
    #[must_use]
    pub fn is_invalidated(&self) -> bool {
        self.organization.is_invalidated()
            || self.permissions.is_invalidated()
            || self.member.as_ref().is_some_and(|member| member.is_invalidated())
    }
}
