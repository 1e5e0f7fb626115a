//! Holding keys against policies: before a change, in a dry run of a new policy, and for the page of a key.

use std::{collections::HashMap, sync::Arc};

use super::Keys;
use crate::{
    auth::caller::Authority,
    clock::Timestamp,
    cooperation::Pace,
    error::Error,
    id::{KeyId, OrganizationId, SetId},
    keys::{
        api_key::ApiKey,
        list::{Filter, ListPosition, Listing, Order, Start},
        policy::{AppliedPolicies, CheckedPolicies, KeyPolicy, KeyPolicyState, KeyRule, Violation},
    },
    organizations::permission_set::PermissionSet,
    permissions::Permissions,
};

/// The keys that are checked at most in one request.
const MAX_CHECKED: u64 = 10_000;

/// The keys that are read at once.
const PAGE: u64 = 500;

/// A key that breaks a policy.
#[derive(Clone, Debug)]
pub struct ReportedKey {
    /// The key.
    pub key: ApiKey,
    /// How it breaks the policy: at least one rule.
    pub broken: Vec<Violation>,
}

/// What a policy would find.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    /// The number of keys that were checked: those after the start, at most 10,000.
    pub checked: u64,
    /// Whether no key after these is left.
    pub is_complete: bool,
    /// The number of checked keys that break at least one rule.
    pub breaking: u64,
    /// The number of checked keys that break each rule, in the order of [`KeyRule::ALL`]; only rules that are broken.
    pub counts: Vec<(KeyRule, u64)>,
    /// The first keys that break a rule, by their creation.
    pub keys: Vec<ReportedKey>,
    /// Where the next page begins. `None`: this is the last one.
    pub next: Option<ListPosition>,
}

impl Keys {
    /// Checks the keys in the scope of the caller against a policy that is not in force, and changes nothing. With `set`, only
    /// keys that have this permission set (`Some(None)`: the request has no valid id). Reports at most `limit` keys, by their creation,
    /// from `start` on. Keys that have expired are not checked.
    ///
    /// # Errors
    /// [`Error::SetNotFound`]; [`Error::Outage`].
    pub async fn check_policy(
        &self,
        authority: &Authority,
        policy: &KeyPolicy,
        set: Option<Option<SetId>>,
        start: Option<ListPosition>,
        limit: usize,
    ) -> Result<PolicyReport, Error> {
        let organization = authority.organization();
        let set = match set {
            None => None,
            Some(set) => {
                let set = set.ok_or(Error::SetNotFound)?;
                self.ports.sets.resolve(organization, &[set]).await?;
                Some(set)
            }
        };
        let now = self.now();
        let filter = Filter { expired: Some((false, now)), permission_set: set, ..Filter::default() };
        let listing = Listing { filter, order: Order::default() };
        let mut report = Report::default();
        let mut position = start;
        let (mut checked, mut is_complete, mut pace) = (0, false, Pace::default());
        while checked < MAX_CHECKED {
            let start = position.clone().map_or(Start::Skip(0), Start::After);
            let keys = self.ports.api_keys.list(authority.scope(), &listing, start, PAGE).await?;
            let times = self.ports.api_keys.newest_secret_times(&keys).await?;
            let sets = self.permissions_of_sets(organization, &keys).await?;
            is_complete = (keys.len() as u64) < PAGE;
            checked += keys.len() as u64;
            position = keys.last().map(|last| listing.order.position(last)).or(position);
            for key in keys {
                let mut granted = vec![&key.settings.permissions];
                granted.extend(key.settings.sets.iter().filter_map(|set| sets.get(set)));
                pace.checked(granted.iter().map(|part| part.len()).sum()).await;
                let mut broken = policy.broken_settings(&key, &granted, now);
                let secret_created_at = times.get(&key.id).copied().unwrap_or(key.created_at);
                broken.extend(policy.broken_by_age(&key, secret_created_at, now));
                report.add(key, broken, limit);
            }
            if is_complete {
                break;
            }
        }
        let last_reported = report.keys.last().map(|last| listing.order.position(&last.key));
        let next = match last_reported.filter(|_| report.breaking > report.keys.len() as u64) {
            None if is_complete => None,
            None => position,
            last => last,
        };
        let counts = KeyRule::ALL.into_iter().zip(report.counts).filter(|(_, count)| *count > 0).collect();
        Ok(PolicyReport { checked, is_complete, breaking: report.breaking, counts, keys: report.keys, next })
    }

    /// What the policies of its organization and its permission sets say about a key (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn policy_state(&self, authority: &Authority, key: Option<KeyId>) -> Result<KeyPolicyState, Error> {
        let key = self.get(authority, key).await?;
        let policies = self.policies_of(&key).await?;
        let secret_created_at = self.newest_secret_time(&key).await?;
        Ok(policies.state(&key, secret_created_at, self.now()))
    }

    /// The policies that apply to a stored key.
    ///
    /// # Errors
    /// [`Error::SetNotFound`] if a permission set of the key was deleted after the key was read; [`Error::NotFound`];
    /// [`Error::Outage`].
    pub(super) async fn policies_of(&self, key: &ApiKey) -> Result<AppliedPolicies, Error> {
        let sets = self.ports.sets.resolve(key.organization, &key.settings.sets).await?;
        self.applied_policies(key.organization, sets.into_iter().map(Arc::new).collect()).await
    }

    /// Requires that a stored key with changed settings, and these permission sets, keeps the policies that apply to it. Returns
    /// what it was checked against.
    ///
    /// # Errors
    /// [`Error::KeyPolicyViolated`]; [`Error::NotFound`]; [`Error::Outage`].
    pub(super) async fn require_policies(
        &self,
        key: ApiKey,
        sets: Vec<Arc<PermissionSet>>,
    ) -> Result<CheckedPolicies, Error> {
        let policies = self.applied_policies(key.organization, sets).await?;
        let now = self.now();
        let secret_created_at = if policies.enforces_rotation() { self.newest_secret_time(&key).await? } else { now };
        let broken = policies.broken_by_change(&key, secret_created_at, now);
        if broken.is_empty() { Ok(policies.checked()) } else { Err(Error::KeyPolicyViolated(broken)) }
    }

    /// The policies that apply to a key of an organization with these permission sets.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization was deleted; [`Error::Outage`].
    pub(crate) async fn applied_policies(
        &self,
        organization: OrganizationId,
        sets: Vec<Arc<PermissionSet>>,
    ) -> Result<AppliedPolicies, Error> {
        Ok(AppliedPolicies::new(self.key_defaults(organization).await?.policy, sets))
    }

    async fn newest_secret_time(&self, key: &ApiKey) -> Result<Timestamp, Error> {
        let times = self.ports.api_keys.newest_secret_times(std::slice::from_ref(key)).await?;
        Ok(times.get(&key.id).copied().unwrap_or(key.created_at))
    }

    /// The permissions of the sets that these keys have. A set that was deleted meanwhile is missing.
    async fn permissions_of_sets(
        &self,
        organization: OrganizationId,
        keys: &[ApiKey],
    ) -> Result<HashMap<SetId, Permissions>, Error> {
        let mut ids: Vec<SetId> = keys.iter().flat_map(|key| &key.settings.sets).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.ports.sets.find_many(organization, &ids).await?;
        Ok(found.into_iter().map(|set| (set.id, set.permissions)).collect())
    }
}

/// What a dry run has found so far.
#[derive(Default)]
struct Report {
    breaking: u64,
    counts: [u64; KeyRule::ALL.len()],
    keys: Vec<ReportedKey>,
}

impl Report {
    fn add(&mut self, key: ApiKey, broken: Vec<Violation>, limit: usize) {
        if broken.is_empty() {
            return;
        }
        self.breaking += 1;
        for (rule, count) in KeyRule::ALL.into_iter().zip(&mut self.counts) {
            *count += u64::from(broken.iter().any(|one| one.rule() == rule));
        }
        if self.keys.len() < limit {
            self.keys.push(ReportedKey { key, broken });
        }
    }
}
