//! Nodes on one PostgreSQL, each with a way of its own to the database.

use std::path::Path;

use crate::{Caller, Process, Proxy, TestDatabase};

/// A process that serves, and its way to the database.
pub struct Node {
    /// The process.
    pub process: Process,
    /// Its way to the database.
    pub proxy: Proxy,
}

/// Connections to the database that a node may have.
pub const CONNECTIONS: usize = 10;

impl Node {
    /// A node of this program with changed settings.
    pub async fn start(program: &Path, database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let proxy = Proxy::to(database.server_address()).await;
        let mut url = url::Url::parse(&database.url_by(proxy.address)).expect("a URL");
        url.set_query(Some("sslmode=disable"));
        let connections = CONNECTIONS.to_string();
        let mut all = vec![
            ("CLAVIGER_DATABASE_URL", url.as_str()),
            ("CLAVIGER_DATABASE_CONNECTIONS", connections.as_str()),
            ("CLAVIGER_SIGNUP_RATE", "1000000"),
            ("CLAVIGER_LOG", "warn,claviger=info"),
        ];
        all.extend(settings);
        Self { process: Process::serve_program(program, &all), proxy }
    }

    /// So many nodes.
    pub async fn cluster<const N: usize>(
        program: &Path,
        database: &TestDatabase,
        settings: &[(&str, &str)],
    ) -> [Self; N] {
        let mut nodes = Vec::new();
        for _ in 0..N {
            nodes.push(Self::start(program, database, settings).await);
        }
        nodes.try_into().unwrap_or_else(|_| unreachable!("as many as wanted"))
    }

    /// A caller of this node alone, with kept-alive connections and this key.
    #[must_use]
    pub fn caller(&self, key: &str) -> Caller {
        Caller::anyone(format!("http://{}", self.process.address)).keeping_connections().with_bearer(key)
    }
}
