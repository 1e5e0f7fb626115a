//! Errors in settings and flags.

use std::{error::Error, fmt};

/// A file that a setting or flag names cannot be used: it is missing, cannot be read, or is readable by other users. The message says
/// which file and why. The command ends with exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}
