//! The worker that disables keys by the policies of their organizations and permission sets.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    Outage,
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::Timestamp,
    cooperation::Pace,
    id::{KeyId, OrganizationId, SetId},
    keys::{
        api_key::ApiKey,
        key_scope::KeyScope,
        list::{Filter, Listing, Order, Start},
        policy::{AppliedPolicies, KeyRule},
    },
    organizations::permission_set::PermissionSet,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, prelude::Uuid};
use tokio::time::Instant;

use crate::{
    api_keys::{has_version, newest_secret, secrets},
    database::{Database, batches::Batches},
    db::{error::DbFailure, steady_clock::SteadyClock},
    identity::sessions,
    organizations::{self, permission_sets},
    rows::{
        convert,
        entity::{api_key, organization, permission_set},
        scope::in_scope,
    },
};

/// From one run of the worker to the next.
const RUN_INTERVAL: Duration = Duration::from_mins(10);

/// The keys that are read at once.
const PAGE: u64 = 500;

/// The most keys that one transaction disables.
const MAX_DISABLED_AT_ONCE: usize = 100;

/// A key that is to be disabled, as it was checked.
#[derive(Clone, Debug)]
struct Disabling {
    key: KeyId,
    version: u64,
    last_request_at: Option<Timestamp>,
    rule: KeyRule,
}

impl Database {
    /// Starts the worker that disables keys by the policies of organizations and permission sets, every ten minutes.
    pub(crate) fn spawn_key_policies(self: &Arc<Self>) {
        self.workers.spawn(self.clone().run_key_policies());
    }

    async fn run_key_policies(self: Arc<Self>) {
        let steady_clock = SteadyClock::default();
        let mut ticks = tokio::time::interval(RUN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.workers.stop.cancelled() => return,
            }
            if let Err(failure) = self.run_key_policies_once(&steady_clock).await {
                self.pools.health.observe(&failure);
                let error = Outage::from(failure);
                tracing::warn!(target: "claviger", %error, "applying the key policies failed; retrying");
            }
        }
    }

    /// Applies the policies, unless the clock may be wrong: it would make secrets look old and keys look unused.
    async fn run_key_policies_once(&self, steady_clock: &SteadyClock) -> Result<(), DbFailure> {
        let now = self.clocks.retention_now(&self.pools.read).await?;
        if steady_clock.is_steady(now, std::time::Instant::now()) && !self.clocks.are_far_apart() {
            let disabled = self.apply_key_policies(now).await?;
            if disabled > 0 {
                tracing::info!(target: "claviger", disabled, "disabled keys by the policies of their organizations");
            }
        }
        Ok(())
    }

    /// Disables all keys that the policies disable at `now`. Returns how many.
    pub(crate) async fn apply_key_policies(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let (mut disabled, mut failed) = (0, None);
        for organization in self.organizations_with_policies().await? {
            if self.workers.stop.is_cancelled() {
                break;
            }
            // A failure of one does not stop the others.
            match self.apply_policies_of(organization, now).await {
                Ok(count) => disabled += count,
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(disabled), Err)
    }

    /// The organizations that have a policy, or a permission set with one.
    async fn organizations_with_policies(&self) -> Result<Vec<OrganizationId>, DbFailure> {
        let mut ids: Vec<Uuid> = organization::Entity::find()
            .select_only()
            .column(organization::Column::Id)
            .filter(organization::Column::KeyPolicy.is_not_null())
            .filter(organization::Column::DeletedAt.is_null())
            .into_tuple()
            .all(&self.pools.read)
            .await?;
        let with_sets: Vec<Uuid> = permission_set::Entity::find()
            .select_only()
            .column(permission_set::Column::OrganizationId)
            .distinct()
            .filter(permission_set::Column::KeyPolicy.is_not_null())
            .filter(permission_set::Column::DeletedAt.is_null())
            .into_tuple()
            .all(&self.pools.read)
            .await?;
        ids.extend(with_sets);
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().map(OrganizationId::from_uuid).collect())
    }

    async fn apply_policies_of(&self, organization: OrganizationId, now: Timestamp) -> Result<u64, DbFailure> {
        let db = &self.pools.read;
        let Some(found) = organizations::find(db, organization).await? else { return Ok(0) };
        let policy = found.key_policy.filter(|policy| policy.disables_keys());
        let with_policies = permission_sets::with_policies(db, organization).await?;
        let disabling = |set: &PermissionSet| set.key_policy.as_ref().is_some_and(|policy| policy.disables_keys());
        let sets: HashMap<SetId, Arc<PermissionSet>> =
            with_policies.into_iter().filter(disabling).map(|set| (set.id, Arc::new(set))).collect();
        let of_sets = sets.values().filter_map(|set| set.key_policy.as_ref());
        let Some(min_age) = policy.iter().chain(of_sets).filter_map(|policy| policy.min_age_of_disabled()).min() else {
            return Ok(0);
        };
        // A secret is not older than its key.
        let filter = Filter {
            enabled: Some(true),
            expired: Some((false, now)),
            created_before: Some(now.plus_millis(1 - min_age.millis())),
            ..Filter::default()
        };
        let listing = Listing { filter, order: Order::default() };
        let (mut start, mut disabled, mut pace, mut batches) = (Start::Skip(0), 0, Pace::default(), Batches::new());
        loop {
            let begun = Instant::now();
            let keys = self.list_keys(KeyScope::whole(organization), &listing, start, PAGE).await?;
            let times = newest_secret::times(db, &keys).await?;
            let mut due = Vec::new();
            for key in &keys {
                let of_key = key.settings.sets.iter().filter_map(|set| sets.get(set).cloned()).collect();
                let policies = AppliedPolicies::new(policy.clone(), of_key);
                let secret_created_at = times.get(&key.id).copied().unwrap_or(key.created_at);
                pace.worked(key.settings.sets.len() + 1).await;
                due.extend(policies.disabled_by(key, secret_created_at, now).map(|rule| Disabling::new(key, rule)));
            }
            for due in due.chunks(MAX_DISABLED_AT_ONCE) {
                disabled += self.disable(organization, due.to_vec(), now).await?;
            }
            match keys.last() {
                Some(last) if keys.len() as u64 == PAGE && !self.workers.stop.is_cancelled() => {
                    start = Start::After(listing.order.position(last));
                    batches.give_way(begun.elapsed(), &self.workers.stop).await;
                }
                _ => return Ok(disabled),
            }
        }
    }

    /// Disables those of these keys that were neither changed nor used since they were checked. Returns how many.
    async fn disable(
        &self,
        organization: OrganizationId,
        mut due: Vec<Disabling>,
        now: Timestamp,
    ) -> Result<u64, DbFailure> {
        due.sort_unstable_by_key(|one| one.key);
        let disable = self.transaction(move |transaction, changed| {
            let due = due.clone();
            Box::pin(async move {
                let mut disabled: Vec<&Disabling> = Vec::new();
                for one in &due {
                    if one.write(transaction, organization, now).await? {
                        disabled.push(one);
                    }
                }
                let keys = disabled.iter().map(|one| one.key.uuid()).collect();
                let secrets = secrets(transaction, keys).await?;
                sessions::remove_opened_with(transaction, &secrets).await?;
                changed.cached.keys.extend(secrets);
                for (rule, action) in [
                    (KeyRule::Rotation, Action::DisableUnrotatedKey),
                    (KeyRule::DisableUnusedAfterDays, Action::DisableUnusedKey),
                ] {
                    let targets: Vec<Uuid> =
                        disabled.iter().filter(|one| one.rule == rule).map(|one| one.key.uuid()).collect();
                    let (actor, origin) = (Actor::Operator, RequestContext::default());
                    let context = AuditContext { organization, actor, action, permission: None, origin, at: now };
                    changed.log.record(&context, &targets);
                }
                Ok(disabled.len() as u64)
            })
        });
        disable.await
    }
}

impl Disabling {
    fn new(key: &ApiKey, rule: KeyRule) -> Self {
        Self { key: key.id, version: key.version, last_request_at: key.last_request_at, rule }
    }

    /// Disables the key, if it is as it was checked.
    async fn write<C: ConnectionTrait>(
        &self,
        db: &C,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<bool, DbFailure> {
        let last_use = api_key::Column::LastRequestAt;
        let is_unused_since = match self.last_request_at {
            None => last_use.is_null(),
            Some(at) => last_use.eq(at.millis()),
        };
        let next = convert::next_version(self.version, now);
        let row = api_key::ActiveModel { enabled: Set(false), ..next };
        let updated = api_key::Entity::update_many()
            .set(row)
            .filter(in_scope(KeyScope::whole(organization)))
            .filter(api_key::Column::Id.eq(self.key.uuid()))
            .filter(has_version(self.version))
            .filter(api_key::Column::Enabled.eq(true))
            .filter(is_unused_since)
            .exec(db)
            .await?;
        Ok(updated.rows_affected == 1)
    }
}
