//! Whether the database can be used, as far as this process knows: what a full disk, a failing one, or a file that was removed
//! or replaced under the service leads to.
//!
//! A failed statement is reported here; so is what the [monitor](DatabaseHealth::monitor) finds. The first report of an outage
//! is one ERROR line, its end one INFO line. `/health/ready` asks by a real read and a real write, shared by those who ask
//! within half a second, so that asking cannot be used to make the service write.

use std::{
    fmt,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::Outage;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    claim::beside,
    connect::{self, Pools},
    outage::{self, Failure, StorageFault},
    retry, schema,
};

/// A probe that finds nothing wrong serves for this long, and the monitor looks this often.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// What a probe writes on SQLite, so that a disk with room for next to nothing does not count as one with room: 32 KiB.
const PROBE_BYTES: usize = 32 * 1024;

/// What is known of the database.
#[derive(Debug)]
pub(crate) struct DatabaseHealth {
    /// The file of an SQLite database.
    file: Option<DatabaseFile>,
    fault: Mutex<Option<StorageFault>>,
    /// When the last probe ended, if it has found everything as it must be.
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

/// Which file the connections of this process have open, and how large it was. (It is not opened here: closing it would drop
/// the locks that SQLite holds on it for this process.)
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Bytes. SQLite's file grows; only `VACUUM` makes it smaller, or somebody who truncates it.
    size: AtomicU64,
    /// The write-ahead log beside it, which holds what was committed last: device and inode, once it was seen.
    log: Mutex<Option<(u64, u64)>>,
}

/// What has happened to the file of an SQLite database while it was in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    /// There is no file at its path any more.
    Removed,
    /// There is another file at its path.
    Replaced,
    /// It is smaller than it was.
    Truncated,
    /// The write-ahead log beside it, which holds what was committed last, is not there any more.
    LogRemoved,
    /// There is another write-ahead log beside it.
    LogReplaced,
    /// The system does not say.
    Unreadable,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the database file was removed while in use; restart the service on the right file",
            Self::Replaced => "the database file was replaced while in use; restart the service on the right file",
            Self::Truncated => "the database file was truncated while in use; restore it from a backup and restart",
            Self::LogRemoved => {
                "the -wal file beside the database was removed while in use; stop the service with SIGTERM"
            }
            Self::LogReplaced => {
                "the -wal file beside the database was replaced while in use; stop the service with SIGTERM"
            }
            Self::Unreadable => "the database file cannot be looked at",
        })
    }
}

impl std::error::Error for FileFault {}

impl DatabaseFile {
    /// The file at `path`, which is open. `None`: it cannot be looked at, so nothing can be said about it later.
    fn at(path: PathBuf) -> Option<Self> {
        // SQLite has its log beside the file itself, not beside a link to it.
        let path = std::fs::canonicalize(path).ok()?;
        let found = std::fs::metadata(&path).ok()?;
        let (device, inode, size) = (found.dev(), found.ino(), AtomicU64::new(found.len()));
        Some(Self { path, device, inode, size, log: Mutex::default() })
    }

    /// Two system calls: it is asked after each commit.
    fn check(&self) -> Result<(), FileFault> {
        let found = std::fs::metadata(&self.path);
        let found: Metadata = found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileFault::Removed,
            _ => FileFault::Unreadable,
        })?;
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Err(FileFault::Replaced);
        }
        if found.len() < self.size.fetch_max(found.len(), Ordering::Relaxed) {
            return Err(FileFault::Truncated);
        }
        self.check_log()
    }

    /// SQLite makes its log at the first transaction and removes it with the last connection, so it stays while this is in use.
    fn check_log(&self) -> Result<(), FileFault> {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        let found = std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let mut known = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match (*known, found) {
            (Some(_), None) => Err(FileFault::LogRemoved),
            (Some(before), Some(now)) if before != now => Err(FileFault::LogReplaced),
            _ => {
                *known = found;
                Ok(())
            }
        }
    }

    /// Takes the size that the file has now for the right one.
    fn accept_size(&self) {
        if let Ok(found) = std::fs::metadata(&self.path) {
            self.size.store(found.len(), Ordering::Relaxed);
        }
    }
}

impl DatabaseHealth {
    /// The health of the database at `url`, which is open.
    pub(crate) fn of(url: &str) -> Self {
        let file = beside(url, "").and_then(DatabaseFile::at);
        Self { file, fault: Mutex::default(), probed: AsyncMutex::default() }
    }

    fn fault(&self) -> MutexGuard<'_, Option<StorageFault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file is still the one that was opened.
    pub(crate) fn confirm_file(&self) -> Result<(), FileFault> {
        let Some(file) = &self.file else { return Ok(()) };
        file.check().inspect_err(|fault| self.report(StorageFault::File(*fault)))
    }

    /// Takes note of a failure, where it says something about the storage.
    pub(crate) fn observe(&self, failure: &Failure) {
        if let Some(fault) = failure.storage_fault() {
            self.report(fault);
        }
    }

    /// The same for a failure that was told to a request or a worker.
    pub(crate) fn observe_outage(&self, outage: &Outage) {
        if let Some(fault) = outage::storage_fault_of(outage) {
            self.report(fault);
        }
    }

    /// Takes note of a fault. The first one of an outage is logged.
    pub(crate) fn report(&self, fault: StorageFault) {
        let mut known = self.fault();
        if known.as_ref().is_none_or(|known| fault.is_permanent() && !known.is_permanent()) {
            tracing::error!(
                target: "claviger", reason = %fault,
                "the database cannot be used; the service is not ready until it can, and what needs the database is a 503"
            );
            *known = Some(fault);
        }
    }

    /// Ends the outage, if the fault is one that passes.
    fn recover(&self) {
        let mut known = self.fault();
        if known.as_ref().is_some_and(|fault| !fault.is_permanent()) {
            tracing::info!(target: "claviger", "the database can be read and written again");
            *known = None;
        }
    }

    /// Whether the database can be read, has the schema that this program needs, and can be written. A probe of the last
    /// half second serves, too, where it found nothing wrong and no fault was reported since.
    pub(crate) async fn probe(&self, pools: &Pools) -> Result<bool, ProbeFailure> {
        let waiting = async { Ok(self.probed.lock().await) };
        let waiting = retry::in_time(pools.timeout, waiting).await;
        let mut probed = waiting.map_err(|failure| ProbeFailure(failure.to_string()))?;
        if probed.is_some_and(|at| at.elapsed() < PROBE_INTERVAL) && self.fault().is_none() {
            return Ok(true);
        }
        let outcome = self.probe_anew(pools).await;
        *probed = matches!(outcome, Ok(true)).then(Instant::now);
        outcome
    }

    /// The same, whatever was found before.
    pub(crate) async fn probe_anew(&self, pools: &Pools) -> Result<bool, ProbeFailure> {
        let probe = async {
            self.confirm_file().map_err(Failure::File)?;
            if !self.read(pools).await? {
                return Ok(false);
            }
            write(pools).await?;
            self.confirm_file().map_err(Failure::File)?;
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
            (Err(failure), _) => Err(ProbeFailure(failure.to_string())),
        }
    }

    /// Whether the schema is the one that this program needs. On SQLite a connection reads it that has nothing in memory yet:
    /// what the others hold in memory would hide a damaged file.
    async fn read(&self, pools: &Pools) -> Result<bool, DbErr> {
        let Some(file) = &self.file else { return schema::is_current(&pools.verification).await };
        let fresh = connect::open_once(&file.path).await?;
        let is_current = schema::is_current(&fresh).await;
        // It has only read: there is nothing that closing it could lose.
        let _ = fresh.close().await;
        is_current
    }

    /// Looks at the file until `stop`, and probes the database while it is known to be at fault, so that its end is noticed.
    pub(crate) async fn monitor(self: Arc<Self>, pools: Pools, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            if self.confirm_file() == Err(FileFault::Truncated) {
                tokio::select! {
                    () = self.examine_smaller_file(&pools) => {}
                    () = stop.cancelled() => return,
                }
            }
            if self.fault().is_some() {
                // What it finds is reported where it is found.
                let _ = self.probe(&pools).await;
            }
        }
    }

    /// A file that became smaller is whole where `VACUUM` did it, and damaged where it was cut off. This takes seconds for
    /// each gibibyte.
    async fn examine_smaller_file(&self, pools: &Pools) {
        let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
        let row = pools.read.query_one_raw(statement).await.ok().flatten();
        let verdict: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
        if let Some(file) = self.file.as_ref().filter(|_| verdict.as_deref() == Some("ok")) {
            file.accept_size();
        }
    }
}

/// Writes the one row of `write_probes`.
async fn write(pools: &Pools) -> Result<(), DbErr> {
    let backend = pools.write.get_database_backend();
    let (parameter, bytes) = if backend == DbBackend::Postgres { ("$1", 0) } else { ("?", PROBE_BYTES) };
    let sql = format!(
        "INSERT INTO write_probes (id, writes, filler) VALUES (1, 1, {parameter}) \
         ON CONFLICT (id) DO UPDATE SET writes = write_probes.writes + 1, filler = excluded.filler"
    );
    let filler = Value::from(vec![0_u8; bytes]);
    pools.write.execute_raw(Statement::from_sql_and_values(backend, sql, [filler])).await?;
    Ok(())
}
