//! Retention: every serving node purges, every minute and a little at a time, the rows whose retention period has passed.
//!
//! On PostgreSQL the database's clock decides, so that no node with a wrong clock purges early. A clock that is wrong
//! altogether is noticed by what it would do: the moment before which rows are purged moves with the time, so where it has
//! moved by more than a day since the last run, and an unusual share of the rows would go, the purge is held until an operator
//! confirms it. A retention setting that was shortened, and a service that was off for long, look the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Outage, clock::Timestamp, usage::Hour};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement,
    sea_query::OnConflict,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Store,
    audit::{Pruning, Signer, with_events_before},
    convert,
    entity::{api_key, api_key_usage, audit_chain, organization_usage, retention_run},
    outage::Failure,
    settings,
};

/// From one run to the next.
pub(crate) const RUN_EVERY: Duration = Duration::from_mins(1);

/// While a purge is held, how long until it is looked at closely, and logged, again.
const CONFIRM_EVERY: Duration = Duration::from_hours(1);

/// A moment that moved by at most this many milliseconds since the last run is nothing unusual: a day.
const USUAL_MOVE: i64 = 24 * 60 * 60 * 1_000;

/// A move smaller than this many milliseconds is not stored, because it is compared with a day: ten minutes.
const STORED_MOVE: i64 = 10 * 60 * 1_000;

/// Fewer rows than these are not an unusual share of anything, where it is known how far the last run went.
const FEW_ROWS: u64 = 100;

/// Rows that are counted at most to tell how many would be purged, and how many there are.
const COUNTED_DUE: u64 = 100_000;
const COUNTED_ALL: u64 = 4 * COUNTED_DUE + 1;

/// What is purged by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keys that were deleted and can still be restored.
    DeletedKeys,
    /// Events of the audit logs.
    AuditEvents,
    /// Counts of verifies by hour.
    Usage,
}

impl Kind {
    /// All of them, in the order in which they are purged.
    pub const ALL: [Self; 3] = [Self::DeletedKeys, Self::AuditEvents, Self::Usage];

    /// Its name in the database and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeletedKeys => "deleted_keys",
            Self::AuditEvents => "audit_events",
            Self::Usage => "usage",
        }
    }
}

/// Why a purge is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// An unusual share of the rows would go.
    UnusualShare,
    /// The clocks of this process and of the database are more than a minute apart.
    ClocksDiffer,
}

/// What a run did with the rows of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Which rows.
    pub kind: Kind,
    /// Rows of before this moment are over.
    pub before: Timestamp,
    /// Rows that were over; of more than 100,000 that many. A run that is not held does not count them and says 0.
    pub due: u64,
    /// Rows that there were, counted likewise up to 400,000.
    pub all: u64,
    /// Rows that were purged.
    pub purged: u64,
    /// Why nothing was.
    pub held: Option<Hold>,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRun {
    /// The time that it went by.
    pub now: Timestamp,
    /// Each kind of row.
    pub purges: Vec<Purge>,
}

/// Whether purges are held, for metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<[AtomicBool; 3]>);

impl Held {
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

/// How far a purge would go.
#[derive(Clone, Copy, Debug)]
struct Plan {
    kind: Kind,
    before: i64,
    /// The moment of the last run.
    last: Option<i64>,
    /// Where rows are due: how far the moment has moved since the last run or, where none is known, since the oldest row.
    moved: Option<i64>,
    due: u64,
    all: u64,
}

impl Plan {
    fn has_moved_far(&self) -> bool {
        self.moved.is_some_and(|moved| moved > USUAL_MOVE)
    }

    /// Whether it would purge more than time alone explains: rows of more than a quarter of their retention period at once, or
    /// more than a quarter of the rows.
    fn is_unusual(&self, kept: Duration) -> bool {
        let quarter = i64::try_from(kept.as_millis() / 4).unwrap_or(i64::MAX);
        let is_many = 4 * self.due > self.all && (self.due > FEW_ROWS || self.last.is_none());
        self.has_moved_far() && (is_many || self.moved.is_some_and(|moved| moved > quarter))
    }
}

impl Store {
    /// Begins to purge, every minute until the store is closed, and to remove the rows of what is deleted; `signer` signs what is
    /// pruned from audit logs.
    pub fn start_retention(&self, signer: Signer) {
        let work = self.clone().run_retention(signer, self.stop.clone());
        crate::watched(&self.workers, &self.ended, work);
        crate::watched(&self.workers, &self.ended, self.clone().run_removals());
    }

    async fn run_retention(self, signer: Signer, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(RUN_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut confirmed_at: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let is_known = confirmed_at.is_some_and(|at| at.elapsed() < CONFIRM_EVERY);
            match self.run_once(signer.clone(), is_known).await {
                Ok(is_held) if is_held && is_known => {}
                Ok(is_held) => confirmed_at = is_held.then(Instant::now),
                Err(failure) => {
                    let error = Outage::from(failure);
                    tracing::warn!(target: "claviger", %error, "purging by retention failed; it is tried again");
                }
            }
        }
    }

    /// One run. While a purge `is_known` to be held, and the moment is still far from that of the last run, rows are not counted
    /// again. Answers whether one is held.
    async fn run_once(&self, signer: Signer, is_known: bool) -> Result<bool, Failure> {
        let now = self.clocks.retention_now(&self.pools.read).await?;
        if is_known && self.plans(now, false).await?.iter().any(Plan::has_moved_far) {
            self.bound_requests().await?;
            return Ok(true);
        }
        let run = self.purge_or_fail(now, signer, false).await?;
        let purged: u64 = run.purges.iter().map(|purge| purge.purged).sum();
        if purged > 0 {
            let of = |kind| run.purges.iter().find(|purge| purge.kind == kind).map_or(0, |purge| purge.purged);
            let (keys, events, usage) = (of(Kind::DeletedKeys), of(Kind::AuditEvents), of(Kind::Usage));
            tracing::info!(target: "claviger", keys, events, usage, "purged rows whose retention period has passed");
        }
        for purge in run.purges.iter().filter(|purge| purge.held == Some(Hold::UnusualShare)) {
            tracing::error!(
                target: "claviger", kind = purge.kind.name(), due = purge.due, all = purge.all,
                "retention is held: it would purge an unusual share of these rows at once. Either a clock is wrong, a \
                 retention setting was shortened, or the service was off for long. If the clock is right, look at it with \
                 `claviger retention run` and confirm it with `claviger retention run --force`"
            );
        }
        Ok(run.purges.iter().any(|purge| purge.held.is_some()))
    }

    /// Runs retention once, by the database's time on PostgreSQL. With `force`, what would be held is purged.
    ///
    /// # Errors
    /// The database is away.
    pub async fn run_retention_now(&self, signer: Signer, force: bool) -> Result<RetentionRun, Outage> {
        self.is_clock_right().await?;
        let now = self.clocks.retention_now(&self.pools.read).await.map_err(Failure::from)?;
        self.purge(now, signer, force).await
    }

    /// As [`Store::run_retention_now`], at this moment.
    ///
    /// # Errors
    /// The database is away.
    pub async fn purge(&self, now: Timestamp, signer: Signer, force: bool) -> Result<RetentionRun, Outage> {
        Ok(self.purge_or_fail(now, signer, force).await?)
    }

    async fn purge_or_fail(&self, now: Timestamp, signer: Signer, force: bool) -> Result<RetentionRun, Failure> {
        let plans = self.plans(now, true).await?;
        // One that is unusual throws doubt on the clock, and so on all that have moved far.
        let is_doubtful = plans.iter().any(|plan| plan.is_unusual(self.kept(plan.kind)));
        let (mut purges, mut failed) = (Vec::new(), None);
        for plan in plans {
            let held = if force || plan.moved.is_none() {
                None
            } else if self.clocks.are_far_apart() {
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
                // What fails does not keep the rest from it.
                match self.purge_kind(&plan, now, signer.clone()).await {
                    Ok(count) => purge.purged = count,
                    Err(failure) => failed = Some(failure),
                }
            }
            purges.push(purge);
        }
        if purges.iter().all(|purge| purge.held.is_none()) {
            self.forget_requests(now).await?;
        }
        // By number, not by age: no clock can make this remove too much.
        self.bound_requests().await?;
        if !self.clocks.are_far_apart() {
            self.remove_ended_sessions(now).await?;
            self.remove_ended_families(now).await?;
        }
        failed.map_or(Ok(RetentionRun { now, purges }), Err)
    }

    async fn purge_kind(&self, plan: &Plan, now: Timestamp, signer: Signer) -> Result<u64, Failure> {
        let before = plan.before;
        let purged = match plan.kind {
            _ if plan.moved.is_none() => 0,
            Kind::DeletedKeys => self.remove_deleted(before).await?,
            Kind::AuditEvents => {
                let kept = u64::try_from(self.retention.audit.as_millis()).unwrap_or(u64::MAX);
                self.prune_logs(Pruning { before, now, kept, signer }).await?
            }
            Kind::Usage => self.remove_old_usage(before).await?,
        };
        if plan.last.is_none_or(|last| before.abs_diff(last) >= STORED_MOVE.unsigned_abs()) {
            let row = retention_run::ActiveModel { kind: Set(plan.kind.name().to_owned()), purged_before: Set(before) };
            let update = OnConflict::column(retention_run::Column::Kind)
                .update_column(retention_run::Column::PurgedBefore)
                .to_owned();
            retention_run::Entity::insert(row).on_conflict(update).exec_without_returning(&self.pools.write).await?;
            self.pools.confirm_commit()?;
        }
        Ok(purged)
    }

    fn kept(&self, kind: Kind) -> Duration {
        match kind {
            Kind::DeletedKeys => self.retention.deleted_keys,
            Kind::AuditEvents => self.retention.audit,
            Kind::Usage => self.retention.usage,
        }
    }

    /// What a run at this moment would do. Rows are counted where the moment has moved far and, with `counts`, asked for.
    async fn plans(&self, now: Timestamp, counts: bool) -> Result<Vec<Plan>, Failure> {
        let db = &self.pools.read;
        let last = retention_run::Entity::find().all(db).await?;
        let mut plans = Vec::new();
        for kind in Kind::ALL {
            let before = settings::before(now, self.kept(kind));
            let last = last.iter().find(|run| run.kind == kind.name()).map(|run| run.purged_before);
            let oldest = oldest(db, kind, before).await?;
            let moved = oldest.map(|oldest| before.saturating_sub(last.unwrap_or(oldest)));
            let mut plan = Plan { kind, before, last, moved, due: 0, all: 0 };
            if counts && plan.has_moved_far() {
                (plan.due, plan.all) = count(db, kind, before).await?;
            }
            plans.push(plan);
        }
        Ok(plans)
    }
}

/// The hour to which a moment belongs, which is kept wholly.
fn hour(before: i64) -> i64 {
    Hour::of(Timestamp::from_millis(before)).0
}

/// When the oldest row was made (or, of keys, deleted) that is over; `None`: none is.
async fn oldest<C: ConnectionTrait>(db: &C, kind: Kind, before: i64) -> Result<Option<i64>, Failure> {
    const HOUR: i64 = 60 * 60 * 1_000;
    let oldest: Option<Option<i64>> = match kind {
        Kind::DeletedKeys => {
            let oldest = api_key::Entity::find().select_only().column_as(api_key::Column::DeletedAt.min(), "oldest");
            oldest.filter(api_key::Column::DeletedAt.lte(before)).into_tuple().one(db).await?
        }
        Kind::AuditEvents => {
            let oldest =
                audit_chain::Entity::find().select_only().column_as(audit_chain::Column::BeginAt.min(), "oldest");
            oldest.filter(with_events_before(before)).into_tuple().one(db).await?
        }
        Kind::Usage => {
            let keys =
                api_key_usage::Entity::find().select_only().column_as(api_key_usage::Column::Hour.min(), "oldest");
            let keys: Option<Option<i64>> =
                keys.filter(api_key_usage::Column::Hour.lt(hour(before))).into_tuple().one(db).await?;
            let all = organization_usage::Entity::find()
                .select_only()
                .column_as(organization_usage::Column::Hour.min(), "oldest")
                .filter(organization_usage::Column::Hour.lt(hour(before)));
            let all: Option<Option<i64>> = all.into_tuple().one(db).await?;
            Some([keys.flatten(), all.flatten()].into_iter().flatten().min().map(|hour| hour.saturating_mul(HOUR)))
        }
    };
    Ok(oldest.flatten())
}

/// How many rows are over, and how many there are, both up to a bound.
async fn count<C: ConnectionTrait>(db: &C, kind: Kind, before: i64) -> Result<(u64, u64), Failure> {
    // Each is bounded before it is counted: the rows in the order of an index, events in that in which they were written.
    let (due, all) = (COUNTED_DUE, COUNTED_ALL);
    let counts = match kind {
        Kind::DeletedKeys => vec![(
            format!("(SELECT 1 FROM api_keys WHERE deleted_at <= {before} LIMIT {due}) AS due"),
            format!("(SELECT 1 FROM api_keys WHERE deleted_at IS NOT NULL LIMIT {all}) AS rows_of_kind"),
        )],
        Kind::AuditEvents => vec![(
            format!("(SELECT at FROM audit_events ORDER BY id LIMIT {due}) AS due WHERE at < {before}"),
            format!("(SELECT 1 FROM audit_events LIMIT {all}) AS rows_of_kind"),
        )],
        Kind::Usage => {
            let hour = hour(before);
            let of = |table: &str| {
                (
                    format!("(SELECT 1 FROM {table} WHERE hour < {hour} LIMIT {due}) AS due"),
                    format!("(SELECT 1 FROM {table} LIMIT {all}) AS rows_of_kind"),
                )
            };
            vec![of("api_key_usage"), of("organization_usage")]
        }
    };
    let (mut due, mut all) = (0, 0);
    for (of_due, of_all) in counts {
        due += count_rows(db, &of_due).await?;
        all += count_rows(db, &of_all).await?;
    }
    Ok((due, all))
}

async fn count_rows<C: ConnectionTrait>(db: &C, rows: &str) -> Result<u64, Failure> {
    let statement = Statement::from_string(db.get_database_backend(), format!("SELECT count(*) FROM {rows}"));
    let row = db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
    Ok(convert::count(row.try_get_by_index(0)?).unwrap_or_default())
}
