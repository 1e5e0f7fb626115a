//! What a run of retention would purge, and whether that is plausible.

use std::time::Duration;

use domain::{clock::Timestamp, usage::HourBucket};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement};

use crate::{
    audit::with_events_before,
    db::error::DbFailure,
    retention::Kind,
    rows::{
        convert,
        entity::{api_key, api_key_usage, audit_chain, organization, organization_usage},
    },
};

/// A cutoff that moved by at most this many milliseconds since the last run is plausible: a day.
pub(super) const USUAL_MOVE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Where the cutoff of the last run is known, a purge of at most this many rows is never held because of its share.
const MIN_UNUSUAL_ROWS: u64 = 100;

/// The most due rows, and the most rows of a kind, that are counted. Four times as many, and one more, so that it can be decided
/// whether the due rows are more than a quarter.
const MAX_COUNTED_DUE: u64 = 100_000;
const MAX_COUNTED: u64 = 4 * MAX_COUNTED_DUE + 1;

/// What a purge of one kind of row would do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// The cutoff: older rows are due. Milliseconds since the Unix epoch.
    pub(super) before: i64,
    /// The cutoff of the last run; `None`: there was none.
    pub(super) last: Option<i64>,
    /// How far the cutoff has moved since the last run, or since the oldest row without one, in milliseconds. `None`: no row is
    /// due.
    pub(super) moved: Option<i64>,
    /// Due rows, up to [`MAX_COUNTED_DUE`]; 0 if they were not counted.
    pub(super) due: u64,
    /// Rows of this kind, up to [`MAX_COUNTED`]; 0 if they were not counted.
    pub(super) all: u64,
}

impl Plan {
    /// The plan for a kind of row. Rows are counted with `counts`, if the cutoff has moved far.
    pub(super) async fn make<C: ConnectionTrait>(
        db: &C,
        kind: Kind,
        before: i64,
        last: Option<i64>,
        counts: bool,
    ) -> Result<Self, DbFailure> {
        let oldest = oldest(db, kind, before).await?;
        let moved = oldest.map(|oldest| before.saturating_sub(last.unwrap_or(oldest)));
        let mut plan = Self { kind, before, last, moved, due: 0, all: 0 };
        if counts && plan.has_moved_far() {
            (plan.due, plan.all) = count(db, kind, before).await?;
        }
        Ok(plan)
    }

    /// Whether the cutoff has moved by more than a day since the last run.
    pub(super) fn has_moved_far(&self) -> bool {
        self.moved.is_some_and(|moved| moved > USUAL_MOVE_MS)
    }

    /// Whether the cutoff has moved far, and the purge would remove rows of more than a quarter of their retention period at once,
    /// or more than a quarter of the rows.
    pub(super) fn is_unusual(&self, period: Duration) -> bool {
        let quarter = i64::try_from(period.as_millis() / 4).unwrap_or(i64::MAX);
        let is_many = 4 * self.due > self.all && (self.due > MIN_UNUSUAL_ROWS || self.last.is_none());
        self.has_moved_far() && (is_many || self.moved.is_some_and(|moved| moved > quarter))
    }
}

/// The hour of a cutoff. Counts of that hour, and of its day, are kept.
fn hour(before: i64) -> HourBucket {
    HourBucket::of(Timestamp::from_millis(before))
}

/// When the oldest due row was created or, for keys and organizations, deleted. `None`: none is due.
async fn oldest<C: ConnectionTrait>(db: &C, kind: Kind, before: i64) -> Result<Option<i64>, DbFailure> {
    const HOUR: i64 = 60 * 60 * 1_000;
    const DAY: i64 = 24 * HOUR;
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
        Kind::DeletedOrganizations => {
            organization::Entity::find()
                .select_only()
                .column_as(organization::Column::DeletedAt.min(), "oldest")
                .filter(organization::Column::DeletedAt.lte(before))
                .filter(organization::Column::RemovalBeganAt.is_null())
                .into_tuple()
                .one(db)
                .await?
        }
        Kind::Usage => {
            let keys =
                api_key_usage::Entity::find().select_only().column_as(api_key_usage::Column::Hour.min(), "oldest");
            let keys: Option<Option<i64>> =
                keys.filter(api_key_usage::Column::Hour.lt(hour(before).0)).into_tuple().one(db).await?;
            let all = organization_usage::Entity::find()
                .select_only()
                .column_as(organization_usage::Column::Hour.min(), "oldest")
                .filter(organization_usage::Column::Hour.lt(hour(before).0));
            let all: Option<Option<i64>> = all.into_tuple().one(db).await?;
            let hours = [keys.flatten(), all.flatten()].map(|hour| Some(hour?.saturating_mul(HOUR)));
            let days = format!("SELECT min(day) FROM api_key_usage_days WHERE day < {}", hour(before).day().0);
            let days = db.query_one_raw(Statement::from_string(db.get_database_backend(), days)).await?;
            let day: Option<i64> = days.map_or(Ok(None), |row| row.try_get_by_index(0))?;
            let day = day.map(|day| day.saturating_mul(DAY));
            Some(hours.into_iter().chain([day]).flatten().min())
        }
    };
    Ok(oldest.flatten())
}

/// Due rows, up to [`MAX_COUNTED_DUE`], and all rows of the kind, up to [`MAX_COUNTED`].
async fn count<C: ConnectionTrait>(db: &C, kind: Kind, before: i64) -> Result<(u64, u64), DbFailure> {
    // The subqueries are bounded before they are counted. Rows come in the order of an index, events in the order of writing.
    let (due, all) = (MAX_COUNTED_DUE, MAX_COUNTED);
    let counts = match kind {
        Kind::DeletedKeys => vec![(
            format!("(SELECT 1 FROM api_keys WHERE deleted_at <= {before} LIMIT {due}) AS due"),
            format!("(SELECT 1 FROM api_keys WHERE deleted_at IS NOT NULL LIMIT {all}) AS rows_of_kind"),
        )],
        Kind::AuditEvents => vec![(
            format!("(SELECT at FROM audit_events ORDER BY id LIMIT {due}) AS due WHERE at < {before}"),
            format!("(SELECT 1 FROM audit_events LIMIT {all}) AS rows_of_kind"),
        )],
        Kind::DeletedOrganizations => {
            let of = "SELECT 1 FROM organizations WHERE removal_began_at IS NULL AND deleted_at";
            vec![(
                format!("({of} <= {before} LIMIT {due}) AS due"),
                format!("({of} IS NOT NULL LIMIT {all}) AS rows_of_kind"),
            )]
        }
        Kind::Usage => {
            let (hour, day) = (hour(before).0, hour(before).day().0);
            let of = |table: &str, is_due: String| {
                (
                    format!("(SELECT 1 FROM {table} WHERE {is_due} LIMIT {due}) AS due"),
                    format!("(SELECT 1 FROM {table} LIMIT {all}) AS rows_of_kind"),
                )
            };
            vec![
                of("api_key_usage", format!("hour < {hour}")),
                of("organization_usage", format!("hour < {hour}")),
                of("api_key_usage_days", format!("day < {day}")),
            ]
        }
    };
    let (mut due, mut all) = (0, 0);
    for (of_due, of_all) in counts {
        due += count_rows(db, &of_due).await?;
        all += count_rows(db, &of_all).await?;
    }
    Ok((due, all))
}

async fn count_rows<C: ConnectionTrait>(db: &C, rows: &str) -> Result<u64, DbFailure> {
    let statement = Statement::from_string(db.get_database_backend(), format!("SELECT count(*) FROM {rows}"));
    let row = db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
    Ok(convert::count(row.try_get_by_index(0)?).unwrap_or_default())
}
