//! `PgBouncer` before the tests' PostgreSQL server.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{TestDatabase, wait_until_blocking};

/// A running `PgBouncer`. It is stopped when this value is dropped.
pub struct Pooler {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

const USER: &str = "application";

/// The password of the user of [`Pooler`]. It has every character that must be percent-encoded in a URL.
pub const POOLER_PASSWORD: &str = "p@ss/w#rd?100%";

impl Pooler {
    /// Starts `PgBouncer` with its defaults before the server of `database`, with a `pool_mode`. It asks for the password of its
    /// own user.
    ///
    /// # Panics
    /// `PgBouncer` is not installed, or does not listen.
    #[must_use]
    pub fn start(database: &TestDatabase, mode: &str) -> Self {
        let directory = TempDir::with_prefix("claviger-pgbouncer-").expect("a directory for PgBouncer");
        // PgBouncer does not run as root. It then changes to the user that Debian's package of PostgreSQL creates.
        let is_root = Command::new("id").arg("-u").output().expect("id runs").stdout == b"0\n";
        let user = if is_root { "user = postgres\n" } else { "" };
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
        let (server, url) = (database.server_address(), url::Url::parse(database.url()).expect("a URL"));
        let password = url.password().map(|password| format!(" password={password}")).unwrap_or_default();
        // A free port; it is used a moment later.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        let users = directory.path().join("users.txt");
        std::fs::write(&users, format!("\"{USER}\" \"{POOLER_PASSWORD}\"\n")).expect("written");
        std::fs::set_permissions(&users, PermissionsExt::from_mode(0o644)).expect("permissions");
        let config = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={} port={} user={}{password}\n\
             [pgbouncer]\n{user}listen_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            server.ip(),
            server.port(),
            url.username(),
            address.port(),
            users.display(),
        );
        std::fs::write(&config, text).expect("written");
        // Debian has it in a directory that is not in every user's PATH.
        let program = Some("/usr/sbin/pgbouncer").filter(|path| Path::new(path).exists()).unwrap_or("pgbouncer");
        let mut command = Command::new(program);
        command.arg("--quiet").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("PgBouncer is installed");
        let pooler = Self { child, address, _directory: directory };
        wait_until_blocking("PgBouncer to listen", || TcpStream::connect(address).map(drop));
        pooler
    }

    /// The URL of the database through `PgBouncer`, without a password.
    #[must_use]
    pub fn url(&self, database: &TestDatabase) -> String {
        let mut url = url::Url::parse(&database.url_at(self.address)).expect("a URL");
        url.set_password(None).expect("a URL with a user");
        url.set_username(USER).expect("a URL with a user");
        url.into()
    }

    /// As [`Pooler::url`], with the password as it is written in a URL.
    #[must_use]
    pub fn url_with(&self, database: &TestDatabase, password: &str) -> String {
        self.url(database).replacen('@', &format!(":{password}@"), 1)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
