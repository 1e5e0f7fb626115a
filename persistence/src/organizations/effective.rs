//! Counts the effective permissions of a key or member, those of its permission sets included. No request can raise them above
//! [`Permissions::MAX_EFFECTIVE`]. A key or member to which an older version gave more keeps them, and gets no further ones.
//!
//! Permissions are counted in their stored flat forms. Those of each set are numbered once, so that a count takes one step for each
//! permission, however many keys have the same sets.

use std::collections::HashMap;

use domain::{
    Error,
    cooperation::Pace,
    error::Grantee,
    id::{OrganizationId, SetId},
    permissions::Permissions,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, prelude::Uuid};

use crate::{
    db::{MAX_ROWS_PER_STATEMENT, error::DbFailure},
    rows::entity::permission_set,
};

/// The stored permissions and permission sets of a key or member.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredPermissions {
    /// Its own permissions in flat form, separated by spaces.
    pub(crate) own: String,
    /// The ids of its permission sets.
    pub(crate) sets: Vec<Uuid>,
}

impl StoredPermissions {
    /// Whether it would have too many permissions if each of its sets had the maximum. `false`: its sets need not be read.
    pub(crate) fn may_be_too_many(&self) -> bool {
        words(&self.own).count() + self.sets.len() * Permissions::MAX > Permissions::MAX_EFFECTIVE
    }
}

/// The permission sets of one organization, to count the permissions of combinations of them.
#[derive(Debug, Default)]
pub(crate) struct PermissionCounter {
    sets: HashMap<Uuid, CountedSet>,
    /// A number for each permission of a set that was part of an exact count.
    numbers: HashMap<Box<str>, usize>,
    /// For each number, the last count that it was part of.
    counted_in: Vec<u64>,
    counts: u64,
    pace: Pace,
}

#[derive(Debug)]
struct CountedSet {
    size: usize,
    permissions: PermissionsOf,
}

#[derive(Debug)]
enum PermissionsOf {
    Text(String),
    Numbers(Vec<usize>),
}

impl PermissionCounter {
    /// Reads those of these sets that exist and were not read yet.
    pub(crate) async fn read<C: ConnectionTrait>(
        &mut self,
        db: &C,
        organization: OrganizationId,
        sets: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), DbFailure> {
        let mut unknown: Vec<Uuid> = sets.into_iter().filter(|set| !self.sets.contains_key(set)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for sets in unknown.chunks(MAX_ROWS_PER_STATEMENT) {
            let rows: Vec<(Uuid, String)> = permission_set::Entity::find()
                .select_only()
                .columns([permission_set::Column::Id, permission_set::Column::Permissions])
                .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
                .filter(permission_set::Column::Id.is_in(sets.iter().copied()))
                .filter(permission_set::Column::DeletedAt.is_null())
                .into_tuple()
                .all(db)
                .await?;
            for (set, text) in rows {
                self.pace.worked(text.len()).await;
                self.add(set, text);
            }
        }
        Ok(())
    }

    /// Requires that all of these sets were read, so that they belong to the organization.
    pub(crate) fn require_all<'a>(&self, sets: impl IntoIterator<Item = &'a SetId>) -> Result<(), DbFailure> {
        let are_there = sets.into_iter().all(|set| self.sets.contains_key(&set.uuid()));
        if are_there { Ok(()) } else { Err(DbFailure::Refused(Error::SetNotFound)) }
    }

    /// Adds a set with its permissions in flat form.
    pub(crate) fn add(&mut self, set: Uuid, text: String) {
        self.sets.insert(set, CountedSet { size: words(&text).count(), permissions: PermissionsOf::Text(text) });
    }

    /// Refuses `after` if it has more permissions than a key or member may have, and more than `before`.
    pub(crate) async fn require_room(
        &mut self,
        before: Option<&StoredPermissions>,
        after: &StoredPermissions,
        grantee: Grantee,
    ) -> Result<(), DbFailure> {
        let max = Permissions::MAX_EFFECTIVE;
        // In most cases the sum of the sizes is below the limit.
        if self.upper_bound(after) <= max {
            return Ok(());
        }
        let after = self.count(after).await;
        if after <= max {
            return Ok(());
        }
        let before = match before {
            Some(before) => self.count(before).await,
            None => 0,
        };
        if after <= before { Ok(()) } else { Err(DbFailure::Refused(Error::TooManyPermissions(grantee))) }
    }

    /// An upper bound of the permissions: those that occur several times are counted several times.
    pub(crate) fn upper_bound(&self, stored: &StoredPermissions) -> usize {
        let sizes = stored.sets.iter().filter_map(|set| self.sets.get(set)).map(|set| set.size);
        words(&stored.own).count() + sizes.sum::<usize>()
    }

    /// The number of different permissions. A set that was not read does not exist any more and counts as empty.
    pub(crate) async fn count(&mut self, stored: &StoredPermissions) -> usize {
        let mut work = stored.own.len();
        for set in &stored.sets {
            if let Some(set) = self.sets.get_mut(set) {
                if let PermissionsOf::Text(text) = &set.permissions {
                    work += text.len();
                    let numbers = words(text).map(|word| number(&mut self.numbers, word)).collect();
                    set.permissions = PermissionsOf::Numbers(numbers);
                }
                work += set.size;
            }
        }
        self.pace.worked(work).await;
        self.counted_in.resize(self.numbers.len(), 0);
        self.counts += 1;
        let mut count = 0;
        let mut see = |number: usize| {
            let last = std::mem::replace(&mut self.counted_in[number], self.counts);
            count += usize::from(last != self.counts);
        };
        let mut others = 0;
        for word in words(&stored.own) {
            // Not part of any set, so that it cannot be counted twice.
            self.numbers.get(word).map_or_else(|| others += 1, |number| see(*number));
        }
        for set in stored.sets.iter().filter_map(|set| self.sets.get(set)) {
            if let PermissionsOf::Numbers(numbers) = &set.permissions {
                numbers.iter().copied().for_each(&mut see);
            }
        }
        count + others
    }
}

fn number(numbers: &mut HashMap<Box<str>, usize>, word: &str) -> usize {
    if let Some(number) = numbers.get(word) {
        return *number;
    }
    let next = numbers.len();
    numbers.insert(word.into(), next);
    next
}

/// The permissions in a stored text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn text(numbers: std::ops::Range<usize>) -> String {
        numbers.map(|n| format!("r:a{n}")).collect::<Vec<_>>().join(" ")
    }

    fn counter() -> PermissionCounter {
        let mut counter = PermissionCounter::default();
        for n in 0..8 {
            // Each has a half in common with the next.
            counter.add(id(n as u128), text(n * 100..n * 100 + 200));
        }
        counter
    }

    #[tokio::test]
    async fn permissions_in_several_sets_are_counted_once() {
        let mut counter = counter();
        let stored = |own: &str, sets: &[u128]| StoredPermissions {
            own: own.to_owned(),
            sets: sets.iter().copied().map(id).collect(),
        };
        for _ in 0..2 {
            assert_eq!(counter.count(&stored("", &[])).await, 0);
            assert_eq!(counter.count(&stored("x y", &[0])).await, 202);
            assert_eq!(counter.count(&stored("r:a0 x r:a250", &[0, 1])).await, 301);
            assert_eq!(counter.count(&stored(&text(0..900), &[0, 1, 2, 3, 4, 5, 6, 7])).await, 900);
            assert_eq!(counter.count(&stored("x", &[99])).await, 1, "the set does not exist");
        }
        assert_eq!(counter.upper_bound(&stored("x", &[0, 1])), 401);
    }

    #[tokio::test]
    async fn grants_beyond_the_permission_limit_are_refused() {
        let mut counter = counter();
        let all: Vec<Uuid> = (0..8).map(id).collect();
        let stored = |own: std::ops::Range<usize>| StoredPermissions { own: text(own), sets: all.clone() };
        assert!(
            counter.require_room(None, &stored(0..1_024), Grantee::Requested).await.is_ok(),
            "more only if added up"
        );
        assert!(counter.require_room(None, &stored(0..1_025), Grantee::Requested).await.is_err());
        let (more, as_many) = (stored(0..1_026), stored(1..1_026));
        assert!(
            counter.require_room(Some(&more), &as_many, Grantee::Requested).await.is_ok(),
            "existing permissions above the limit are kept"
        );
        assert!(counter.require_room(Some(&as_many), &stored(0..1_027), Grantee::Requested).await.is_err());
    }
}
