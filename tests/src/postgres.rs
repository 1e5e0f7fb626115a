//! A PostgreSQL server that a test has for itself, because it restarts it. It is run by `tests/postgres`.

use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A server; it ends when this value is dropped.
pub struct PostgresServer {
    directory: TempDir,
    url: String,
}

impl PostgresServer {
    /// A new one.
    #[must_use]
    pub fn start() -> Self {
        let directory = TempDir::with_prefix("claviger-postgres-").expect("a directory for the server");
        let mut server = Self { directory, url: String::new() };
        server.url = server.control("start").unwrap_or_else(|message| panic!("{message}"));
        server
    }

    /// For making databases.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all connections at once, and serves again at the same address.
    pub fn restart(&self) {
        self.control("restart").unwrap_or_else(|message| panic!("{message}"));
    }

    fn control(&self, action: &str) -> Result<String, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres");
        let output = Command::new(script).arg(action).arg(self.directory.path()).stdin(Stdio::null()).output();
        let output = output.expect("the script runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.control("stop");
    }
}
