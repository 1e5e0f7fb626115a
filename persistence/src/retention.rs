//! Retention: each serving node purges, every minute and in small batches, the rows whose retention period has passed.
//!
//! On PostgreSQL the database's clock decides, so that a node with a wrong clock purges nothing early. A wrong database clock (or,
//! on SQLite, a wrong node clock) is detected by its effect. The cutoff before which rows are purged moves with the time. If it
//! has moved by more than a day since the last run, and an unusual share of the rows would be purged ([`plan`]), the purge is held
//! until an operator confirms it. A shortened retention period, and a service that was stopped for long, look the same.

mod plan;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Outage, clock::Timestamp};
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};

use crate::{
    audit::{AuditStore, Pruning, Signer},
    database::Database,
    db::{error::DbFailure, steady_clock::SteadyClock},
    idempotency::IdempotencyStore,
    organizations::user_removal::CheckedUsers,
    retention::plan::Plan,
    retention_periods::cutoff,
    rows::entity::retention_run,
};

/// From one run to the next.
const RUN_INTERVAL: Duration = Duration::from_mins(1);

/// While a purge is held, rows are counted, and the hold is logged, this often.
const RECOUNT_INTERVAL: Duration = Duration::from_hours(1);

/// A cutoff that moved by less than this many milliseconds is not stored: ten minutes. It is compared with a day, so that the
/// last minutes do not matter, and a write each minute is saved.
const STORED_MOVE_MS: i64 = 10 * 60 * 1_000;

/// A kind of row that is purged by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Deleted keys, which can be restored until they are purged.
    DeletedKeys,
    /// Events of the audit logs.
    AuditEvents,
    /// Counts of verifies by hour.
    Usage,
    /// Deleted organizations, which can be restored until their removal begins.
    DeletedOrganizations,
}

impl Kind {
    /// All kinds, in the order in which they are purged.
    pub const ALL: [Self; 4] = [Self::DeletedKeys, Self::AuditEvents, Self::Usage, Self::DeletedOrganizations];

    /// The name in the database and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeletedKeys => "deleted_keys",
            Self::AuditEvents => "audit_events",
            Self::Usage => "usage",
            Self::DeletedOrganizations => "deleted_organizations",
        }
    }
}

/// Why a purge is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It would purge an unusual share of the rows.
    UnusualShare,
    /// The clocks of this process and of the database are more than a minute apart.
    ClocksDiffer,
}

/// What a run did with one kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Which rows.
    pub kind: Kind,
    /// The cutoff: older rows are due.
    pub before: Timestamp,
    /// Due rows, up to 100,000. They are only counted if the cutoff has moved by more than a day; otherwise 0.
    pub due: u64,
    /// All rows of this kind, up to 400,001, counted likewise.
    pub all: u64,
    /// Purged rows.
    pub purged: u64,
    /// Why none was purged.
    pub held: Option<Hold>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRun {
    /// The time by which it computed the cutoffs.
    pub now: Timestamp,
    /// Each kind of row.
    pub purges: Vec<Purge>,
}

/// Whether the purge of each kind of row is held, for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldPurges(Arc<[AtomicBool; Kind::ALL.len()]>);

impl HeldPurges {
    /// Each kind of row, and whether its purge is held.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Kind, bool)> {
        Kind::ALL.into_iter().zip(self.0.iter().map(|held| held.load(Ordering::Relaxed)))
    }

    fn set(&self, purge: &Purge) {
        for (kind, held) in Kind::ALL.iter().zip(self.0.iter()) {
            if *kind == purge.kind {
                held.store(purge.held.is_some(), Ordering::Relaxed);
            }
        }
    }
}

/// Purges rows by retention period.
pub(crate) struct Retention {
    database: Arc<Database>,
    audit: Arc<AuditStore>,
    idempotency: Arc<IdempotencyStore>,
    held: HeldPurges,
    checked_users: CheckedUsers,
    steady_clock: SteadyClock,
}

impl Retention {
    pub(crate) fn new(database: Arc<Database>, audit: Arc<AuditStore>, idempotency: Arc<IdempotencyStore>) -> Self {
        Self {
            database,
            audit,
            idempotency,
            held: HeldPurges::default(),
            checked_users: CheckedUsers::default(),
            steady_clock: SteadyClock::default(),
        }
    }

    /// Whether purges are held, as it changes.
    pub(crate) fn held(&self) -> HeldPurges {
        self.held.clone()
    }

    /// Starts the worker that runs retention each minute. `signer` signs what is pruned from audit logs.
    pub(crate) fn spawn(self: &Arc<Self>, signer: Signer) {
        self.database.workers.spawn(self.clone().run(signer));
    }

    async fn run(self: Arc<Self>, signer: Signer) {
        let mut ticks = tokio::time::interval(RUN_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut counted_at: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.database.workers.stop.cancelled() => return,
            }
            let is_known = counted_at.is_some_and(|at| at.elapsed() < RECOUNT_INTERVAL);
            match self.run_once(signer.clone(), is_known).await {
                Ok(is_held) if is_held && is_known => {}
                Ok(is_held) => counted_at = is_held.then(Instant::now),
                Err(failure) => {
                    let error = Outage::from(failure);
                    tracing::warn!(target: "claviger", %error, "purging by retention failed; retrying");
                }
            }
        }
    }

    /// Runs retention once, and returns whether a purge is held. If a hold `is_known` and a cutoff is still far from that of the last
    /// run, rows are not counted again.
    async fn run_once(&self, signer: Signer, is_known: bool) -> Result<bool, DbFailure> {
        let now = self.database.clocks.retention_now(&self.database.pools.read).await?;
        if is_known && self.plans(now, false).await?.iter().any(Plan::has_moved_far) {
            self.remove_surplus().await?;
            return Ok(true);
        }
        let run = self.purge(now, signer, false).await?;
        let purged: u64 = run.purges.iter().map(|purge| purge.purged).sum();
        if purged > 0 {
            let of = |kind| run.purges.iter().find(|purge| purge.kind == kind).map_or(0, |purge| purge.purged);
            let (keys, events, usage) = (of(Kind::DeletedKeys), of(Kind::AuditEvents), of(Kind::Usage));
            let organizations = of(Kind::DeletedOrganizations);
            tracing::info!(
                target: "claviger", keys, events, usage, organizations,
                "purged rows whose retention period has passed"
            );
        }
        for purge in run.purges.iter().filter(|purge| purge.held == Some(Hold::UnusualShare)) {
            tracing::error!(
                target: "claviger", kind = purge.kind.name(), due = purge.due, all = purge.all,
                "retention is held: it would purge an unusually large share of these rows at once. Either a clock is wrong, \
                 a retention setting was shortened, or the service was stopped for long. If the clock is right, check with \
                 `claviger retention run` and confirm with `claviger retention run --force`"
            );
        }
        Ok(run.purges.iter().any(|purge| purge.held.is_some()))
    }

    /// Runs retention once, by the database's time on PostgreSQL. With `force`, a purge that would be held is done.
    pub(crate) async fn run_now(&self, signer: Signer, force: bool) -> Result<RetentionRun, Outage> {
        self.database.is_clock_right().await?;
        let now = self.database.clocks.retention_now(&self.database.pools.read).await.map_err(DbFailure::from)?;
        Ok(self.purge(now, signer, force).await?)
    }

    /// As [`Retention::run_now`], at this time.
    pub(crate) async fn purge(&self, now: Timestamp, signer: Signer, force: bool) -> Result<RetentionRun, DbFailure> {
        let plans = self.plans(now, true).await?;
        // If one purge is unusual the clock may be wrong, so every purge whose cutoff has moved far is held.
        let is_doubtful = plans.iter().any(|plan| plan.is_unusual(self.period(plan.kind)));
        let (mut purges, mut failed) = (Vec::new(), None);
        for plan in plans {
            let held = if force || plan.moved.is_none() {
                None
            } else if self.database.clocks.are_far_apart() {
                Some(Hold::ClocksDiffer)
            } else if is_doubtful && plan.has_moved_far() {
                Some(Hold::UnusualShare)
            } else {
                None
            };
            let (before, due, all) = (Timestamp::from_millis(plan.before), plan.due, plan.all);
            let mut purge = Purge { kind: plan.kind, before, due, all, purged: 0, held };
            self.held.set(&purge);
            if held.is_none() {
                // A kind that fails does not stop the others.
                match self.purge_kind(&plan, now, signer.clone()).await {
                    Ok(count) => purge.purged = count,
                    Err(failure) => failed = Some(failure),
                }
            }
            purges.push(purge);
        }
        if purges.iter().all(|purge| purge.held.is_none()) {
            self.idempotency.remove_expired(now).await?;
        }
        self.remove_surplus().await?;
        if !self.database.clocks.are_far_apart() {
            self.database.remove_ended_sessions(now).await?;
            self.database.remove_expired_invitations(now).await?;
            self.database.remove_expired_portal_sessions(now).await?;
            self.database.remove_expired_ceremonies(now).await?;
        }
        if self.steady_clock.is_steady(now, Instant::now()) || force {
            self.database.remove_ended_token_groups(now).await?;
        }
        failed.map_or(Ok(RetentionRun { now, purges }), Err)
    }

    /// Removes rows by number, not by age: a wrong clock cannot make this remove too much.
    async fn remove_surplus(&self) -> Result<(), DbFailure> {
        self.idempotency.enforce_bounds().await?;
        self.database.bound_deleted_organizations().await?;
        self.database.remove_users_without_keys(&self.checked_users).await
    }

    async fn purge_kind(&self, plan: &Plan, now: Timestamp, signer: Signer) -> Result<u64, DbFailure> {
        let (database, before) = (&self.database, plan.before);
        let purged = match plan.kind {
            _ if plan.moved.is_none() => 0,
            Kind::DeletedKeys => database.purge_deleted_keys(before).await?,
            Kind::AuditEvents => {
                let kept = u64::try_from(database.retention.audit.as_millis()).unwrap_or(u64::MAX);
                self.audit.prune_logs(Pruning { before, now, kept, signer }).await?
            }
            Kind::Usage => database.purge_usage(before).await?,
            Kind::DeletedOrganizations => database.begin_removals(before).await?,
        };
        if plan.last.is_none_or(|last| before.abs_diff(last) >= STORED_MOVE_MS.unsigned_abs()) {
            let row = retention_run::ActiveModel { kind: Set(plan.kind.name().to_owned()), purged_before: Set(before) };
            let update = OnConflict::column(retention_run::Column::Kind)
                .update_column(retention_run::Column::PurgedBefore)
                .to_owned();
            retention_run::Entity::insert(row)
                .on_conflict(update)
                .exec_without_returning(&database.pools.write)
                .await?;
            database.pools.confirm_commit()?;
        }
        Ok(purged)
    }

    fn period(&self, kind: Kind) -> Duration {
        let periods = &self.database.retention;
        match kind {
            Kind::DeletedKeys => periods.deleted_keys,
            Kind::AuditEvents => periods.audit,
            Kind::Usage => periods.usage,
            Kind::DeletedOrganizations => periods.deleted_organizations,
        }
    }

    /// What a run at this time would purge. Rows are counted with `counts`, where the cutoff has moved far.
    async fn plans(&self, now: Timestamp, counts: bool) -> Result<Vec<Plan>, DbFailure> {
        let db = &self.database.pools.read;
        let last = retention_run::Entity::find().all(db).await?;
        let mut plans = Vec::new();
        for kind in Kind::ALL {
            let last = last.iter().find(|run| run.kind == kind.name()).map(|run| run.purged_before);
            plans.push(Plan::make(db, kind, cutoff(now, self.period(kind)), last, counts).await?);
        }
        Ok(plans)
    }
}

#[cfg(test)]
pub(crate) mod tests;
