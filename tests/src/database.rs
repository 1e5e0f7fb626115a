//! A database for each test. The SQL here creates and drops databases, and reads the counts of a key.

use std::{
    path::PathBuf,
    process,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use api::process::system::SystemClock;
use domain::bounds::Bounds;
use persistence::{Access, CacheSize, DefaultCaps, RetentionPeriods, Settings, Store};
use prometheus::Registry;
use sea_orm::{
    ConnectionTrait, Database, DatabaseTransaction, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait, sqlx::postgres::PgListener,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A database, dropped with this value.
pub struct TestDatabase {
    url: String,
    kind: Kind,
}

enum Kind {
    Sqlite {
        _directory: TempDir,
    },
    Postgres {
        server: String,
        name: String,
    },
    /// The database of another value, which this one must not outlive.
    Shared {
        is_postgres: bool,
    },
}

impl TestDatabase {
    /// A new, empty database with the current schema.
    pub async fn fresh() -> Self {
        match server() {
            Some(server) => {
                let template = TEMPLATE.get_or_init(|| template(&server)).await;
                Self::postgres(&server, &format!("TEMPLATE {template}")).await
            }
            None => Self::sqlite(),
        }
    }

    /// A new database without a schema.
    pub async fn empty() -> Self {
        match server() {
            Some(server) => Self::postgres(&server, "").await,
            None => Self::sqlite(),
        }
    }

    /// A new database without a schema on this PostgreSQL server.
    pub async fn on(server: &str) -> Self {
        Self::postgres(server, "").await
    }

    async fn postgres(server: &str, options: &str) -> Self {
        let name = unique_name();
        run(server, &format!("CREATE DATABASE {name} {options}")).await;
        Self { url: at(server, &name), kind: Kind::Postgres { server: server.to_owned(), name } }
    }

    /// A new SQLite database without a schema, also where the tests run on PostgreSQL.
    #[must_use]
    pub fn sqlite() -> Self {
        let directory = TempDir::with_prefix("claviger-test-").expect("a directory for the database");
        Self {
            url: format!("sqlite://{}/claviger.db", directory.path().display()),
            kind: Kind::Sqlite { _directory: directory },
        }
    }

    /// The same database for another service. It is dropped with this value.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { url: self.url.clone(), kind: Kind::Shared { is_postgres: self.is_postgres() } }
    }

    /// Whether it is on PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self.kind, Kind::Postgres { .. } | Kind::Shared { is_postgres: true })
    }

    /// Its URL, for `CLAVIGER_DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn file(&self) -> &std::path::Path {
        std::path::Path::new(self.url.strip_prefix("sqlite://").expect("a file"))
    }

    /// The URL of the same database at another address of its server.
    #[must_use]
    pub fn url_at(&self, address: std::net::SocketAddr) -> String {
        let mut url = url::Url::parse(&self.url).expect("a URL");
        url.set_ip_host(address.ip()).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        url.into()
    }

    /// The address of its server.
    #[must_use]
    pub fn server_address(&self) -> std::net::SocketAddr {
        let url = url::Url::parse(&self.url).expect("a URL");
        url.socket_addrs(|| Some(5432)).expect("an address")[0]
    }

    /// Runs one statement of [`crate::sql_fixtures`].
    pub(crate) async fn execute(&self, statement: &str) {
        run(&self.url, statement).await;
    }

    /// On SQLite, writes the counters of the ledger's journal into the rows of the keys, as each command does that opens the database.
    pub(crate) async fn fold_journal(&self) {
        if !self.is_postgres() {
            let store = Store::open(&self.settings(), Access::Existing).await.expect("the database opens");
            store.close().await;
        }
    }

    /// The stored counts of a key: remaining uses, uses in the rate limit's window, and valid verifications.
    pub async fn counts(&self, key_id: &str) -> (Option<i64>, i64, i64) {
        self.fold_journal().await;
        let id = if self.is_postgres() { format!("'{key_id}'") } else { format!("X'{}'", key_id.replace('-', "")) };
        let sql = format!("SELECT remaining, window_count, request_count FROM api_keys WHERE id = {id}");
        let database = Database::connect(&self.url).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.expect("a row").expect("a key");
        database.close().await.expect("a closed connection");
        let number = |name: &str| row.try_get::<i64>("", name).expect("a number");
        (row.try_get("", "remaining").expect("a number"), number("window_count"), number("request_count"))
    }

    /// Copies an SQLite database into a new file, as docs/OPERATIONS.md says.
    pub async fn back_up(&self, to: &std::path::Path) {
        self.execute(&format!("VACUUM INTO '{}'", to.display())).await;
    }

    /// A transaction of another process. On SQLite it holds the file's write lock until the value is dropped.
    pub async fn hold_write_lock(&self) -> DatabaseTransaction {
        let database = Database::connect(format!("{}?mode=rwc", self.url)).await.expect("a database connection");
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        database.begin_with_options(options).await.expect("the write lock")
    }

    /// How long bare notifications of PostgreSQL take, from the response of the statement that sends one to its arrival on
    /// another connection. Sends `count`, one after the other.
    pub async fn notification_delays(&self, count: usize) -> Vec<Duration> {
        let sender = Database::connect(&self.url).await.expect("a database connection");
        let mut listener = PgListener::connect(&self.url).await.expect("a database connection");
        listener.listen("bare").await.expect("it listens");
        let mut delays = Vec::with_capacity(count);
        for _ in 0..count {
            let sending = async {
                sender.execute_unprepared("SELECT pg_notify('bare', '')").await.expect("sent");
                Instant::now()
            };
            let receiving = async {
                listener.recv().await.expect("a notification");
                Instant::now()
            };
            let (sent, received) = tokio::join!(sending, receiving);
            delays.push(received.saturating_duration_since(sent));
        }
        delays.sort_unstable();
        delays
    }

    /// Creates better-auth's table of keys with these rows. Columns that a row does not have are null.
    pub async fn create_better_auth_keys(&self, rows: &[serde_json::Value]) {
        const TEXTS: [&str; 6] = ["key", "name", "start", "prefix", "permissions", "metadata"];
        const NUMBERS: [&str; 3] = ["remaining", "rateLimitMax", "rateLimitTimeWindow"];
        let strings = TEXTS.map(|name| format!("\"{name}\" text"));
        let numbers = NUMBERS.map(|name| format!("\"{name}\" bigint"));
        let columns = [&strings[..], &numbers[..]].concat().join(", ");
        let database = Database::connect(format!("{}{}", self.url, if self.is_postgres() { "" } else { "?mode=rwc" }));
        let database = database.await.expect("a database connection");
        let run = async |statement: String| database.execute_unprepared(&statement).await.expect("the statement runs");
        run(format!("CREATE TABLE apikey (id text PRIMARY KEY, {columns})")).await;
        for row in rows {
            let row = row.as_object().expect("an object");
            let names: Vec<_> = row.keys().map(|name| format!("\"{name}\"")).collect();
            // Strings in SQL are quoted with single quotes.
            let values: Vec<_> = row.values().map(|value| value.to_string().replace('"', "'")).collect();
            run(format!("INSERT INTO apikey ({}) VALUES ({})", names.join(", "), values.join(", "))).await;
        }
        database.close().await.expect("a closed connection");
    }

    /// A store on this database that is not the service's own.
    pub async fn store(&self) -> Store {
        Store::connect(&self.settings()).await.expect("a database connection")
    }

    /// The settings of [`TestDatabase::store`].
    #[must_use]
    pub fn settings(&self) -> Settings {
        settings(self.url.clone(), 2)
    }

    /// The file of an SQLite database. `None` on PostgreSQL.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite://").map(PathBuf::from)
    }

    /// The URL for a new PostgreSQL user who can read and write rows, but not change the schema. Dropped with the database.
    pub async fn user_without_create(&self) -> String {
        let url = self.user_without_rights().await;
        let user = limited_user(self.name());
        self.execute(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}"
        ))
        .await;
        url
    }

    /// The URL for a new PostgreSQL user who can do nothing but connect. Dropped with the database.
    pub async fn user_without_rights(&self) -> String {
        let user = limited_user(self.name());
        self.execute(&format!("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {user} LOGIN")).await;
        let mut url = url::Url::parse(&self.url).expect("a URL");
        url.set_username(&user).expect("a user");
        url.into()
    }

    /// The name of a PostgreSQL database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.rsplit_once('/').expect("a name").1
    }

    /// Listens on channels of PostgreSQL.
    pub async fn listen(&self, channels: &[&str]) -> Notifications {
        let mut listener = PgListener::connect(&self.url).await.expect("a database connection");
        listener.listen_all(channels.iter().copied()).await.expect("it listens");
        Notifications(listener)
    }

    /// Creates a schema of PostgreSQL.
    pub async fn create_schema(&self, name: &str) {
        self.execute(&format!("CREATE SCHEMA {name}")).await;
    }

    /// The schemas of PostgreSQL that have tables of the service, in alphabetical order.
    pub async fn schemas(&self) -> Vec<String> {
        let sql = "SELECT schemaname::text AS name FROM pg_tables WHERE tablename = 'api_keys' ORDER BY 1";
        let database = Database::connect(&self.url).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("a closed connection");
        rows.iter().map(|row| row.try_get("", "name").expect("a name")).collect()
    }
}

/// Notifications of PostgreSQL.
pub struct Notifications(PgListener);

impl Notifications {
    /// The channel and the payload of the next one.
    pub async fn next(&mut self) -> (String, String) {
        let received = Box::pin(crate::within("a notification", self.0.recv())).await.expect("a notification");
        (received.channel().to_owned(), received.payload().to_owned())
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Kind::Postgres { server, name } = &self.kind {
            let statement = format!("DROP DATABASE {name} WITH (FORCE)");
            let user = format!("DROP ROLE IF EXISTS {}", limited_user(name));
            let server = server.clone();
            // Dropping is not async, and the test's own runtime may be ending.
            let dropping = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    run(&server, &statement).await;
                    run(&server, &user).await;
                });
            });
            let _ = dropping.join();
        }
    }
}

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// The name of a migrated database: copying it is faster than migrating each one.
async fn template(server: &str) -> String {
    let name = unique_name();
    run(server, &format!("CREATE DATABASE {name}")).await;
    let settings = settings(at(server, &name), 1);
    let store = Store::connect(&settings).await.expect("a database connection");
    store.migrate().await.expect("the new database is migrated");
    store.close().await;
    name
}

/// The user of [`TestDatabase::user_without_create`].
fn limited_user(database: &str) -> String {
    format!("{database}_limited")
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("claviger_test_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The PostgreSQL server of the tests. The feature decides which tests are ignored, so it must agree with the setting.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn server() -> Option<String> {
    let url = std::env::var("CLAVIGER_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    assert_eq!(
        url.is_some(),
        cfg!(feature = "postgres"),
        "to test on PostgreSQL, set CLAVIGER_TEST_POSTGRES_URL and add `--features claviger-tests/postgres`; else do neither"
    );
    url
}

/// The settings of a store that is not the service's own, without a cache.
fn settings(url: String, connections: u32) -> Settings {
    let (timeout, cache) = (Duration::from_secs(10), CacheSize { keys: 0, bytes: 0 });
    Settings {
        url,
        connections,
        ledger_clock: None,
        timeout,
        change_timeout: timeout,
        staleness_bound: Duration::from_secs(2),
        clock: Arc::new(SystemClock),
        retention: RetentionPeriods {
            deleted_keys: Duration::from_hours(30 * 24),
            deleted_organizations: Duration::from_hours(7 * 24),
            audit: Duration::from_hours(400 * 24),
            usage: Duration::from_hours(90 * 24),
            idle_sessions: Duration::from_hours(12),
        },
        caps: DefaultCaps { keys: 1_000_000, members: 10_000, sets: 1_000, changes: 100_000 },
        bounds: Bounds::default(),
        cache,
        registry: Registry::new(),
    }
}

fn at(server: &str, database: &str) -> String {
    let mut url = url::Url::parse(server).expect("CLAVIGER_TEST_POSTGRES_URL is a URL");
    url.set_path(database);
    url.into()
}

async fn run(url: &str, statement: &str) {
    let database = Database::connect(url).await.expect("a database connection");
    database.execute_unprepared(statement).await.expect("the statement runs");
    database.close().await.expect("a closed connection");
}
