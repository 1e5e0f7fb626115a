//! How many permissions a key or a member holds, those of its sets included. No request gives one more than
//! [`PermissionSet::MAX_EFFECTIVE`]. One that an older version gave more keeps them, and is given no further ones.
//!
//! Permissions are counted as they are stored, in their flat forms. Each set is numbered once, so that a count takes one step
//! for each permission however many keys have the same sets.

use std::collections::HashMap;

use domain::{
    Error,
    cooperation::Pace,
    error::Grantee,
    id::{OrganizationId, SetId},
    permission::PermissionSet,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, prelude::Uuid};

use crate::{api_keys::ROWS, entity::permission_set, outage::Failure};

/// What a key or a member holds, as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// Its own permissions in flat form.
    pub(crate) own: String,
    /// Its sets.
    pub(crate) sets: Vec<Uuid>,
}

impl Held {
    /// Whether it holds too many if each of its sets is as large as a set may be. `false`: its sets need not be read.
    pub(crate) fn may_be_too_many(&self) -> bool {
        words(&self.own).count() + self.sets.len() * PermissionSet::MAX > PermissionSet::MAX_EFFECTIVE
    }
}

/// The sizes of sets of one organization, alone and together.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    sets: HashMap<Uuid, Listed>,
    /// A number for each permission of a set that was counted exactly.
    numbers: HashMap<Box<str>, usize>,
    /// For each number, the last count that it was in.
    counted_in: Vec<u64>,
    counts: u64,
    pace: Pace,
}

#[derive(Debug)]
struct Listed {
    size: usize,
    permissions: Permissions,
}

#[derive(Debug)]
enum Permissions {
    Text(String),
    Numbers(Vec<usize>),
}

impl Sizes {
    /// Reads those of these sets that there are and that are not known yet.
    pub(crate) async fn read<C: ConnectionTrait>(
        &mut self,
        db: &C,
        organization: OrganizationId,
        sets: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), Failure> {
        let mut unknown: Vec<Uuid> = sets.into_iter().filter(|set| !self.sets.contains_key(set)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for sets in unknown.chunks(ROWS) {
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

    /// Asks that all of these sets were read: they are the organization's.
    pub(crate) fn require_all<'a>(&self, sets: impl IntoIterator<Item = &'a SetId>) -> Result<(), Failure> {
        let are_there = sets.into_iter().all(|set| self.sets.contains_key(&set.uuid()));
        if are_there { Ok(()) } else { Err(Failure::Refused(Error::SetNotFound)) }
    }

    /// Takes a set with its permissions in flat form.
    pub(crate) fn add(&mut self, set: Uuid, text: String) {
        self.sets.insert(set, Listed { size: words(&text).count(), permissions: Permissions::Text(text) });
    }

    /// Refuses `after` where it is more than a key or member may hold, and more than `before`.
    pub(crate) async fn require_room(
        &mut self,
        before: Option<&Held>,
        after: &Held,
        grantee: Grantee,
    ) -> Result<(), Failure> {
        let most = PermissionSet::MAX_EFFECTIVE;
        // Most of the time adding up is enough.
        if self.at_most(after) <= most {
            return Ok(());
        }
        let after = self.count(after).await;
        if after <= most {
            return Ok(());
        }
        let before = match before {
            Some(before) => self.count(before).await,
            None => 0,
        };
        if after <= before { Ok(()) } else { Err(Failure::Refused(Error::TooManyPermissions(grantee))) }
    }

    /// No more permissions than this: those that are named twice are counted twice.
    pub(crate) fn at_most(&self, held: &Held) -> usize {
        let sizes = held.sets.iter().filter_map(|set| self.sets.get(set)).map(|set| set.size);
        words(&held.own).count() + sizes.sum::<usize>()
    }

    /// So many different permissions. A set that was not read counts for nothing: it has gone.
    pub(crate) async fn count(&mut self, held: &Held) -> usize {
        let mut work = held.own.len();
        for set in &held.sets {
            if let Some(set) = self.sets.get_mut(set) {
                if let Permissions::Text(text) = &set.permissions {
                    work += text.len();
                    let numbers = words(text).map(|word| number(&mut self.numbers, word)).collect();
                    set.permissions = Permissions::Numbers(numbers);
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
        for word in words(&held.own) {
            // A set names no permission twice.
            self.numbers.get(word).map_or_else(|| others += 1, |number| see(*number));
        }
        for set in held.sets.iter().filter_map(|set| self.sets.get(set)) {
            if let Permissions::Numbers(numbers) = &set.permissions {
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

/// The permissions of a text as it is stored.
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

    fn sizes() -> Sizes {
        let mut sizes = Sizes::default();
        for n in 0..8 {
            // Each has a half in common with the next.
            sizes.add(id(n as u128), text(n * 100..n * 100 + 200));
        }
        sizes
    }

    #[tokio::test]
    async fn permissions_of_several_sets_are_counted_once() {
        let mut sizes = sizes();
        let held =
            |own: &str, sets: &[u128]| Held { own: own.to_owned(), sets: sets.iter().copied().map(id).collect() };
        for _ in 0..2 {
            assert_eq!(sizes.count(&held("", &[])).await, 0);
            assert_eq!(sizes.count(&held("x y", &[0])).await, 202);
            assert_eq!(sizes.count(&held("r:a0 x r:a250", &[0, 1])).await, 301);
            assert_eq!(sizes.count(&held(&text(0..900), &[0, 1, 2, 3, 4, 5, 6, 7])).await, 900);
            assert_eq!(sizes.count(&held("x", &[99])).await, 1, "it has gone");
        }
        assert_eq!(sizes.at_most(&held("x", &[0, 1])), 401);
    }

    #[tokio::test]
    async fn nobody_gets_beyond_the_bound() {
        let mut sizes = sizes();
        let all: Vec<Uuid> = (0..8).map(id).collect();
        let held = |own: std::ops::Range<usize>| Held { own: text(own), sets: all.clone() };
        assert!(sizes.require_room(None, &held(0..1_024), Grantee::Requested).await.is_ok(), "more only if added up");
        assert!(sizes.require_room(None, &held(0..1_025), Grantee::Requested).await.is_err());
        let (more, as_many) = (held(0..1_026), held(1..1_026));
        assert!(sizes.require_room(Some(&more), &as_many, Grantee::Requested).await.is_ok(), "who has more keeps it");
        assert!(sizes.require_room(Some(&as_many), &held(0..1_027), Grantee::Requested).await.is_err());
    }
}
