//! A disk of a few mebibytes that a test can fill.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A file system in memory, mounted until this value is dropped.
pub struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many mebibytes. `None`: this user may not mount.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let directory = TempDir::with_prefix("claviger-disk-").expect("a directory");
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "claviger-test"]).arg(directory.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self { directory })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes all room that is left.
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

    /// Gives the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the disk was full");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
