//! Reads files with private keys, which other users of the machine must not be able to read.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// The text of a file that only this user can read or change.
///
/// # Errors
/// The file cannot be read, or other users can read or change it. The message does not contain the path.
pub fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if is_open_to_others(&file.metadata()?, rustix::process::geteuid().as_raw()) {
        let message = "other users can read or change the file, and could use the key in it: run chmod 600";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Whether users other than `own` (the effective user id) and root can access a file. The group may read a file that another user
/// owns: this is how Kubernetes mounts secrets for a process that is not root (`fsGroup`).
fn is_open_to_others(file: &Metadata, own: u32) -> bool {
    let denied = if file.uid() == own && own != 0 { 0o077 } else { 0o037 };
    file.mode() & denied != 0
}

/// The error with the path in its message.
#[must_use]
pub fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
