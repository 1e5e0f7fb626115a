//! Settings of the process in the operating system: file permissions, core dumps and the limit of open files.
pub mod log_writer;
pub mod off_thread;
pub mod secret_file;
pub mod signals;
pub mod system;
pub mod telemetry;

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask},
};

/// Protects secrets from other users: new files are readable by their owner only, and memory cannot be dumped or read. Call it
/// before anything else.
pub fn protect() {
    umask(Mode::RWXG | Mode::RWXO);
    // A core dump would contain secrets. A failure is ignored: the service works without this protection.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The size limit does not apply to core dumps that are piped to a program. This also denies other processes of the same user
    // to read the memory.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Raises the soft limit of open files to the hard limit. Returns the limit that is in effect; `u64::MAX`: unlimited.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    current.unwrap_or(u64::MAX)
}
