//! Whether the database can be used, as far as this process knows. It cannot be used while the disk is full or fails, or after
//! the file of an SQLite database was removed, replaced, truncated or overwritten.
//!
//! Failed statements are reported here, and what the monitor finds. An outage is one ERROR line at its beginning and one INFO line at
//! its end. `/health/ready` reads and writes the database. Requests within half a second share the result, so that many of them do
//! not cause many writes.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::Outage;
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    db::{
        connect::{self, Pools},
        database_file::{DatabaseFile, FileFault, FileState},
        dialect::{self, Dialect},
        error::{self, DbFailure, StorageFault},
        process_lock::database_file,
        reachability::Reachability,
        retry, schema,
    },
    workers::Workers,
};

/// How long a successful probe is valid, and how often the monitor runs.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// A file that became smaller and has not changed since is examined this often.
const EXAMINE_INTERVAL: Duration = Duration::from_mins(1);

/// The state of the database.
#[derive(Debug)]
pub(crate) struct DatabaseHealth {
    /// The file of an SQLite database.
    file: Option<DatabaseFile>,
    /// Whether a PostgreSQL server can be reached.
    server: Option<Reachability>,
    fault: Mutex<Option<StorageFault>>,
    /// When the last probe ended, if it was successful.
    probed: AsyncMutex<Option<Instant>>,
}

/// Why a probe failed.
#[derive(Debug)]
pub(crate) struct ProbeFailure(String);

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProbeFailure {}

/// When a file that became smaller was examined last, and what state it was in.
#[derive(Debug, Default)]
struct Examinations(Option<(Instant, Option<FileState>)>);

impl Examinations {
    /// Whether the file is to be examined: for the first time, because it has changed, or because the last time was long ago.
    /// If so, this examination is recorded.
    fn is_due(&mut self, state: Option<FileState>, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|(at, before)| state != before || now.duration_since(at) >= EXAMINE_INTERVAL);
        if is_due {
            self.0 = Some((now, state));
        }
        is_due
    }
}

impl DatabaseHealth {
    /// The health of the database at `url`, which is open.
    pub(crate) fn of(url: &str) -> Self {
        let file = database_file(url).and_then(DatabaseFile::at);
        let server = (!url.starts_with("sqlite:")).then(|| Reachability::of(url));
        Self { file, server, fault: Mutex::default(), probed: AsyncMutex::default() }
    }

    fn fault(&self) -> MutexGuard<'_, Option<StorageFault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file is still the one that was opened.
    pub(crate) fn confirm_file(&self) -> Result<(), FileFault> {
        let Some(file) = &self.file else { return Ok(()) };
        file.check().inspect_err(|fault| self.report(StorageFault::File(*fault)))
    }

    /// Reports a failure, if it is one of the storage or of the connection.
    pub(crate) fn observe(&self, failure: &DbFailure) {
        if let Some(server) = self.server.as_ref().filter(|_| failure.is_unavailable()) {
            server.suspect();
        }
        if let Some(fault) = failure.storage_fault() {
            self.report(fault);
        }
    }

    /// As [`DatabaseHealth::observe`], for the outage of a request or a worker.
    pub(crate) fn observe_outage(&self, outage: &Outage) {
        if let Some(server) = self.server.as_ref().filter(|_| matches!(outage, Outage::Unavailable(_))) {
            server.suspect();
        }
        if let Some(fault) = error::storage_fault_of(outage) {
            self.report(fault);
        }
    }

    /// Reports a fault. The first one of an outage is logged.
    pub(crate) fn report(&self, fault: StorageFault) {
        let mut known = self.fault();
        if known.as_ref().is_none_or(|known| fault.is_permanent() && !known.is_permanent()) {
            tracing::error!(
                target: "claviger", reason = %fault,
                "the database cannot be used: the service is not ready, and requests that need the database get 503"
            );
            *known = Some(fault);
        }
    }

    /// Ends the outage, unless the fault is permanent.
    fn recover(&self) {
        let mut known = self.fault();
        if known.as_ref().is_some_and(|fault| !fault.is_permanent()) {
            tracing::info!(target: "claviger", "the database can be read and written again");
            *known = None;
        }
    }

    /// Whether the database can be read, has the schema that this program needs, and can be written. Uses a successful probe of
    /// the last half second, if no fault was reported since.
    pub(crate) async fn probe(&self, pools: &Pools) -> Result<bool, ProbeFailure> {
        let waiting = async { Ok(self.probed.lock().await) };
        let waiting = retry::in_time(pools.timeout, waiting).await;
        let mut probed = waiting.map_err(|failure| ProbeFailure(failure.to_string()))?;
        if probed.is_some_and(|at| at.elapsed() < PROBE_INTERVAL) && self.fault().is_none() {
            return Ok(true);
        }
        let outcome = self.probe_now(pools).await;
        *probed = matches!(outcome, Ok(true)).then(Instant::now);
        outcome
    }

    /// As [`DatabaseHealth::probe`], but always by a new probe.
    pub(crate) async fn probe_now(&self, pools: &Pools) -> Result<bool, ProbeFailure> {
        let probe = async {
            self.confirm_file().map_err(DbFailure::File)?;
            if !self.read(pools).await? {
                return Ok(false);
            }
            write(pools).await?;
            self.confirm_file().map_err(DbFailure::File)?;
            Ok(true)
        };
        let outcome = retry::in_time(pools.timeout, probe).await;
        if let Err(failure) = &outcome {
            self.observe(failure);
        } else {
            self.recover();
        }
        match (outcome, &*self.fault()) {
            (Ok(_), Some(fault)) => Err(ProbeFailure(fault.to_string())),
            (Ok(is_current), None) => Ok(is_current),
            (Err(failure), _) => {
                let reason = self.server.as_ref().and_then(Reachability::outage);
                Err(ProbeFailure(reason.unwrap_or_else(|| failure.to_string())))
            }
        }
    }

    /// Whether the schema is the one that this program needs. On SQLite it is read by a new connection, because the page caches of
    /// the others would hide a damaged file.
    async fn read(&self, pools: &Pools) -> Result<bool, DbErr> {
        let Some(file) = &self.file else { return schema::is_current(&pools.verification).await };
        let fresh = connect::open_once(&file.path).await?;
        let is_current = schema::is_current(&fresh).await;
        // It has only read, so an error when it is closed loses nothing.
        let _ = fresh.close().await;
        is_current
    }

    /// Starts the worker that checks the file twice a second, finds the reason of failed connections and, during an outage, probes
    /// the database to notice its end.
    pub(crate) fn spawn(self: &Arc<Self>, pools: &Pools, workers: &Workers) {
        workers.spawn(self.clone().monitor(pools.clone(), workers.stop.clone()));
    }

    async fn monitor(self: Arc<Self>, pools: Pools, stop: CancellationToken) {
        let mut examinations = Examinations::default();
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            if self.confirm_file() == Err(FileFault::Truncated)
                && let Some(file) = &self.file
                && examinations.is_due(file.state(), Instant::now())
            {
                tokio::select! {
                    () = self.examine_smaller_file(&pools) => {}
                    () = stop.cancelled() => return,
                }
            }
            if let Some(server) = &self.server {
                tokio::select! {
                    () = server.examine(pools.timeout) => {}
                    () = stop.cancelled() => return,
                }
            }
            if self.fault().is_some() {
                // The probe itself reports what it finds.
                let _ = self.probe(&pools).await;
            }
        }
    }

    /// Finds out whether a file that became smaller is complete: after `VACUUM` it is, after a truncation it is not. This takes
    /// seconds for each gibibyte.
    async fn examine_smaller_file(&self, pools: &Pools) {
        if let Some(file) = &self.file
            && dialect::is_sqlite_file_complete(&pools.read).await
        {
            file.accept_size();
        }
    }
}

/// Writes the one row of `write_probes`.
async fn write(pools: &Pools) -> Result<(), DbErr> {
    let backend = pools.write.get_database_backend();
    let (parameter, bytes) = Dialect::of(&pools.write).write_probe();
    let sql = format!(
        "INSERT INTO write_probes (id, writes, filler) VALUES (1, 1, {parameter}) \
         ON CONFLICT (id) DO UPDATE SET writes = write_probes.writes + 1, filler = excluded.filler"
    );
    let filler = Value::from(vec![0_u8; bytes]);
    pools.write.execute_raw(Statement::from_sql_and_values(backend, sql, [filler])).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_checked_again_after_a_change_or_a_minute() {
        let (mut examinations, begin) = (Examinations::default(), Instant::now());
        let (truncated, changed) = (Some((0, 1, 0)), Some((4_096, 2, 0)));
        let mut is_due = |state, seconds| examinations.is_due(state, begin + Duration::from_secs(seconds));
        assert!(is_due(truncated, 0));
        assert!((1..60).all(|second| !is_due(truncated, second)));
        assert!(is_due(truncated, 60));
        assert!(is_due(changed, 61));
        assert!(!is_due(changed, 62) && is_due(truncated, 63));
    }
}
