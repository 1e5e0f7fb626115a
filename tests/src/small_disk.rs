//! A small disk that a test can fill.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A file system in memory, mounted until this value is dropped.
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one of this size.
    ///
    /// # Panics
    /// This user is not permitted to mount, and neither is `sudo`.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Self {
        let directory = TempDir::with_prefix("claviger-disk-").expect("a directory");
        let owner = std::fs::metadata(directory.path()).expect("a directory");
        let options = format!("size={mebibytes}m,mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        let is_mounted = run_as_root("mount", &["-t", "tmpfs", "-o", &options, "claviger-test"], directory.path());
        assert!(
            is_mounted,
            "this test needs a small disk: run it as a user who may mount a tmpfs, or may run mount by `sudo -n`"
        );
        Self { directory }
    }

    /// Makes it read-only.
    pub fn make_read_only(&self) {
        assert!(run_as_root("mount", &["-o", "remount,ro"], self.path()), "it can be remounted");
    }

    /// The folder where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills it with a file, until no byte is free.
    pub fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).expect("a file");
        for size in [64 * 1024, 4 * 1024, 1] {
            loop {
                match ballast.write(&vec![0; size]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Removes the file of [`SmallDisk::fill`].
    pub fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the disk was full");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run_as_root("umount", &["-l"], self.path());
    }
}

/// Runs a program on a path, and by `sudo` if this user is not permitted to. Returns whether it was successful.
fn run_as_root(program: &str, arguments: &[&str], path: &Path) -> bool {
    [&[program][..], &["sudo", "-n", program]].into_iter().any(|line| {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args(arguments).arg(path).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}
