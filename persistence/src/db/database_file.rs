//! The file of an SQLite database while it is in use: whether it is still the one that was opened.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, Metadata},
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::db::process_lock::with_suffix;

/// The header of an SQLite file: its first bytes (<https://www.sqlite.org/fileformat.html#the_database_header>).
type Header = [u8; 100];

/// The bytes of a header that never change: magic text and page size, reserved space and payload fractions.
const FIXED: [Range<usize>; 2] = [0..18, 20..24];

/// Where the numbers of a header begin that are set once, each of four bytes: schema format, text encoding, `user_version` (the
/// [identity](crate::db::dialect::identify_sqlite_file) of the database), application id.
const SET_ONCE: [usize; 4] = [44, 56, 60, 68];

/// Whether `now` can be a later header of the database with the header `before`.
fn is_later(before: &Header, now: &Header) -> bool {
    let is_same = |range: Range<usize>| before[range.clone()] == now[range];
    let is_set = |at: usize| before[at..at + 4] != [0; 4];
    FIXED.into_iter().all(is_same) && SET_ONCE.into_iter().all(|at| !is_set(at) || is_same(at..at + 4))
}

/// A file on this machine: device and inode.
type FileId = (u64, u64);

/// Files that are open for reading their headers. Closing one releases the locks that SQLite holds on the file for this process. So
/// all health checks of a file share one, which is closed when none is left.
static OPEN_FILES: LazyLock<OpenFiles> = LazyLock::new(Mutex::default);

type OpenFiles = Mutex<HashMap<FileId, Weak<File>>>;

fn open_shared(path: &Path, id: FileId) -> io::Result<Arc<File>> {
    let mut files = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = files.get(&id).and_then(Weak::upgrade) {
        return Ok(file);
    }
    let file = Arc::new(File::open(path)?);
    files.retain(|_, file| file.strong_count() > 0);
    files.insert(id, Arc::downgrade(&file));
    Ok(file)
}

/// The file that the connections of this process have open, its size and its header.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    pub(super) path: PathBuf,
    /// The same file. What SQLite reads may come from its page caches or from the write-ahead log.
    file: Arc<File>,
    /// The header, once it was read.
    header: Mutex<Option<Header>>,
    /// The path of the write-ahead log beside it.
    log_path: PathBuf,
    device: u64,
    inode: u64,
    /// The largest size that was seen, in bytes. Only `VACUUM` makes the file smaller, or another program that truncates it.
    size: AtomicU64,
    /// The write-ahead log, which holds what was committed last: device and inode, once it was seen.
    log: Mutex<Option<FileId>>,
}

/// What happened to the file of an SQLite database while it was in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    /// There is no file at its path any more.
    Removed,
    /// There is another file at its path.
    Replaced,
    /// It is smaller than it was.
    Truncated,
    /// It has the header of another database, or none.
    Overwritten,
    /// The write-ahead log beside it, which holds what was committed last, is not there any more.
    LogRemoved,
    /// There is another write-ahead log beside it.
    LogReplaced,
    /// The operating system cannot report its state.
    Unreadable,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the database file was removed while in use; restart the service on the right file",
            Self::Replaced => "the database file was replaced while in use; restart the service on the right file",
            Self::Truncated => "the database file was truncated while in use; restore it from a backup and restart",
            Self::Overwritten => "the database file was overwritten while in use; restore it from a backup and restart",
            Self::LogRemoved => {
                "the -wal file beside the database was removed while in use; stop the service with SIGTERM"
            }
            Self::LogReplaced => {
                "the -wal file beside the database was replaced while in use; stop the service with SIGTERM"
            }
            Self::Unreadable => "the database file cannot be inspected",
        })
    }
}

impl std::error::Error for FileFault {}

impl DatabaseFile {
    /// The file at `path`, which is open. `None`: its state cannot be read, so it is not checked later.
    pub(super) fn at(path: PathBuf) -> Option<Self> {
        // SQLite has its log beside the file itself, not beside a link to it.
        let path = std::fs::canonicalize(path).ok()?;
        let found = std::fs::metadata(&path).ok()?;
        let (device, inode, size) = (found.dev(), found.ino(), AtomicU64::new(found.len()));
        let file = open_shared(&path, (device, inode)).ok()?;
        let log_path = with_suffix(&path, "-wal");
        Some(Self { path, file, header: Mutex::default(), log_path, device, inode, size, log: Mutex::default() })
    }

    /// Whether it is still the file that was opened. Only three system calls, because this runs after each commit.
    pub(super) fn check(&self) -> Result<(), FileFault> {
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
        self.check_header()?;
        self.check_log()
    }

    /// Compares the header with the one that was read first.
    fn check_header(&self) -> Result<(), FileFault> {
        let mut now = [0; size_of::<Header>()];
        let read = self.file.read_exact_at(&mut now, 0);
        let mut known = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, &*known) {
            (Ok(()), Some(before)) if !is_later(before, &now) => Err(FileFault::Overwritten),
            (Ok(()), _) => {
                *known = Some(now);
                Ok(())
            }
            // A new file is empty.
            (Err(error), None) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FileFault::Overwritten),
            (Err(_), _) => Err(FileFault::Unreadable),
        }
    }

    /// SQLite creates the write-ahead log with the first transaction and removes it when the last connection is closed.
    fn check_log(&self) -> Result<(), FileFault> {
        let found = std::fs::metadata(&self.log_path).ok().map(|found| (found.dev(), found.ino()));
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

    /// Size and time of the last write, which tell whether it has changed.
    pub(super) fn state(&self) -> Option<FileState> {
        std::fs::metadata(&self.path).ok().map(|found| (found.len(), found.mtime(), found.mtime_nsec()))
    }

    /// Accepts the current size of the file.
    pub(super) fn accept_size(&self) {
        if let Ok(found) = std::fs::metadata(&self.path) {
            self.size.store(found.len(), Ordering::Relaxed);
        }
    }
}

/// The size of a file, and seconds and nanoseconds of its last write.
pub(super) type FileState = (u64, i64, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_another_database_is_not_a_later_one() {
        let mut new = [0; 100];
        new[..16].copy_from_slice(b"SQLite format 3\0");
        new[16..24].copy_from_slice(&[16, 0, 2, 2, 0, 64, 32, 32]);
        let changed = |header: &Header, at: usize, byte: u8| {
            let mut header = *header;
            header[at] = byte;
            header
        };
        let identified = changed(&new, 63, 7);
        assert!(is_later(&new, &new) && is_later(&new, &identified) && is_later(&identified, &identified));
        assert!(is_later(&identified, &changed(&identified, 27, 9)), "changes are counted");
        assert!(is_later(&identified, &changed(&identified, 31, 9)), "it grows");
        assert!(!is_later(&identified, &changed(&identified, 63, 8)), "another identity");
        assert!(!is_later(&identified, &new), "no identity");
        assert!(!is_later(&new, &changed(&new, 3, b'x')) && !is_later(&new, &changed(&new, 17, 2)));
        assert!(!is_later(&new, &[0; 100]) && !is_later(&new, &[0xff; 100]));
    }
}
