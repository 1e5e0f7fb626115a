//! Nodes on one PostgreSQL, each with its own proxy to the database.

use std::path::Path;

use crate::{Caller, Process, Proxy, TestDatabase, wait_until};

/// A process of the service, and its proxy to the database.
pub struct Node {
    /// The process.
    pub process: Process,
    /// Its proxy to the database.
    pub proxy: Proxy,
}

/// The largest number of database connections of a node.
pub const CONNECTIONS: usize = 10;

impl Node {
    /// Starts a node of this program with these settings.
    pub async fn start(program: &Path, database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let proxy = Proxy::to(database.server_address()).await;
        let mut url = url::Url::parse(&database.url_at(proxy.address)).expect("a URL");
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

    /// Starts several nodes.
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

    /// A caller of this node with this key. Its connections are kept alive.
    #[must_use]
    pub fn caller(&self, key: &str) -> Caller {
        self.process.anyone().keeping_connections().with_bearer(key)
    }
}

/// Waits until this is the state of a node's change feed: "1" if it is connected, else "0".
///
/// # Panics
/// After [`crate::MAX_WAIT`].
pub async fn feed_is(node: &Caller, up: &str) {
    let line = format!("\nclaviger_feed_up {up}\n");
    wait_until(&format!("the metric{line}"), async || {
        let metrics = node.get("/metrics").await.text;
        metrics.contains(&line).then_some(()).ok_or(metrics)
    })
    .await;
}
