//! A PostgreSQL server for one test, which stops or changes it. It is run by `tests/postgres`.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::run_to_end;

/// A PostgreSQL server. It is stopped when this value is dropped.
pub struct PostgresServer {
    directory: TempDir,
    url: String,
}

impl PostgresServer {
    /// Starts a server.
    #[must_use]
    pub fn start() -> Self {
        let directory = TempDir::with_prefix("claviger-postgres-").expect("a directory for the server");
        let mut server = Self { directory, url: String::new() };
        server.url = server.control("start").unwrap_or_else(|message| panic!("{message}"));
        server
    }

    /// Its URL, for [`crate::TestDatabase::on`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Restarts the server: closes all connections, and listens at the same address again.
    pub fn restart(&self) {
        self.control("restart").unwrap_or_else(|message| panic!("{message}"));
    }

    /// Stops the server. [`PostgresServer::restart`] starts it again.
    pub fn stop(&self) {
        self.control("stop").unwrap_or_else(|message| panic!("{message}"));
    }

    /// Makes the server a standby of no primary: it can only be read.
    pub fn become_standby(&self) {
        std::fs::write(self.directory.path().join("db/standby.signal"), "").expect("written");
        self.restart();
    }

    /// The directory of its Unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    fn control(&self, action: &str) -> Result<String, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres");
        let output = run_to_end(Command::new(script).arg(action).arg(self.directory.path()));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.control("stop");
    }
}
