//! What the process asks of the operating system for itself: files for its owner alone, no core dumps, and as many open files
//! as it may have.

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask},
};

/// Keeps what the process holds to its owner: every file that it makes from now on, and its memory. Called before anything
/// else.
pub fn protect() {
    umask(Mode::RWXG | Mode::RWXO);
    // A core dump would hold secrets. Where these are refused there is nothing better to do than to go on.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A core dump that is piped to a program has no size limit; and others of the same user may not look into the memory.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Raises the limit of open files as far as the operating system lets us. Answers what it is then.
#[must_use]
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    current.unwrap_or(u64::MAX)
}
