//! A running service, its database and its clock.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use api::{
    compose::Environment,
    config::{Config, MetricsAt, SignUpMode},
    http::{
        client_ip::TrustedProxies,
        origin::{PublicUrl, cors::CorsOrigins},
    },
    lifecycle::{self, Running},
    process::system::SystemEntropy,
};
use domain::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    bounds::Bounds,
    clock::{Clock, Timestamp},
    id::{KeyId, OrganizationId, UserId},
    keys::{
        api_key::{ApiKey, Creator},
        quota::Quota,
        secret::{KeyPrefix, Secret},
        settings::KeySettings,
    },
    permissions::Permissions,
    ports::ApiKeys,
};
use persistence::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{Caller, Proxy, SigningKey, TestClock, TestDatabase, wait_until};

/// A running service on its own port.
pub struct TestApp {
    /// Its database.
    pub database: TestDatabase,
    /// Its clock.
    pub clock: Arc<TestClock>,
    running: Running,
    store: OnceCell<Store>,
}

/// An organization that signed up, with its first key.
pub struct Tenant {
    /// The id of the organization.
    pub org_id: String,
    /// The id of its first user.
    pub user_id: String,
    /// The id of its first key.
    pub key_id: String,
    /// A caller with the first key, which has all permissions.
    pub admin: Caller,
}

impl Tenant {
    /// The path of its keys.
    #[must_use]
    pub fn keys(&self) -> String {
        format!("/orgs/{}/api_keys", self.org_id)
    }

    /// Creates a key through the service, and returns its secret. Tests of the cache use this instead of [`TestApp::key`]: that
    /// writes like another process, and when a service on SQLite finds such a write, within half a second, it empties its cache.
    ///
    /// # Panics
    /// The key was not created.
    pub async fn create_key(&self, body: &Value) -> String {
        let answer = self.admin.post(&self.keys(), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["key"].as_str().expect("a secret").to_owned()
    }
}

/// The settings of a key that a test needs.
pub struct KeySpec {
    /// Its permissions in flat form, such as `files:read`.
    pub permissions: Vec<String>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The time until it expires, in seconds. Zero or negative: it has expired. `None`: it does not expire.
    pub expires_in: Option<i64>,
    /// The id of its user. `None`: it belongs to the organization itself.
    pub user_id: Option<String>,
    /// Whether it can manage the service.
    pub can_manage: bool,
    /// Its limits.
    pub quota: Quota,
}

impl KeySpec {
    /// A valid key of the organization itself with these permissions.
    #[must_use]
    pub fn with(permissions: &[&str]) -> Self {
        let permissions = permissions.iter().map(ToString::to_string).collect();
        Self { permissions, enabled: true, expires_in: None, user_id: None, can_manage: true, quota: Quota::default() }
    }
}

/// The settings of a test: the defaults, on any free port, with high limits for what is not tested.
#[must_use]
pub fn test_config(database_url: &str) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        metrics: MetricsAt::Service,
        database_url: database_url.to_owned(),
        database_connections: 10,
        database_timeout: Duration::from_secs(10),
        staleness_bound: Duration::from_secs(2),
        cache_keys: 100_000,
        cache_bytes: 64 << 20,
        max_api_keys: 1_000_000,
        max_members: 10_000,
        max_permission_sets: 1_000,
        max_changes: 100_000,
        bounds: Bounds::default(),
        deleted_keys_kept: Duration::from_hours(30 * 24),
        deleted_organizations_kept: Duration::from_hours(7 * 24),
        session_time: Duration::from_hours(12),
        session_idle_time: Duration::from_hours(12),
        provider_session_time: Duration::ZERO,
        audit_kept: Duration::from_hours(400 * 24),
        usage_kept: Duration::from_hours(90 * 24),
        dashboard: true,
        sign_up: SignUpMode::Open,
        sign_up_rate: 1_000_000,
        auth_failure_rate: 1_000_000,
        trusted_proxies: TrustedProxies::default(),
        public_url: PublicUrl::parse("https://keys.example").ok(),
        cors_origins: CorsOrigins::Off,
        issuers_file: None,
        providers: Vec::new(),
        signing_key_file: Some(signing_key().clone()),
        tls_cert_file: None,
        tls_key_file: None,
        forward_auth: true,
        forward_auth_listen: None,
        forward_auth_secret: None,
        ext_authz_listen: None,
        request_timeout: Duration::from_secs(30),
        max_connections: 1_000,
        client_timeout: Duration::from_secs(30),
        body_budget: api::http::body::budget::DEFAULT_LARGE_BUDGET,
        management_rate: None,
        shutdown_delay: Duration::ZERO,
        shutdown_timeout: Duration::from_secs(10),
        log: "info".to_owned(),
    }
}

/// A file with a signing key, the same for all services of a run.
#[must_use]
pub fn signing_key() -> &'static PathBuf {
    static KEY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let made = || {
        let directory = TempDir::with_prefix("claviger-test-").expect("a directory");
        let path = directory.path().join("signing.pem");
        write_secret(&path, &SigningKey::ed25519("").pem());
        (directory, path)
    };
    &KEY.get_or_init(made).1
}

/// Writes a file that only its owner can read.
///
/// # Panics
/// It cannot be written.
pub fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
}

impl TestApp {
    /// A service with the settings of [`test_config`].
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A service with changed settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(TestDatabase::fresh().await, change).await
    }

    /// A service whose connections to the database go through a proxy. On PostgreSQL only.
    pub async fn behind_a_proxy(change: impl FnOnce(&mut Config)) -> (Self, Proxy) {
        let database = TestDatabase::fresh().await;
        let proxy = Proxy::to(database.server_address()).await;
        let url = database.url_at(proxy.address);
        let changed = |config: &mut Config| {
            config.database_url = url;
            change(config);
        };
        (Self::start_on(database, changed).await, proxy)
    }

    /// A service on an SQLite file, and the file.
    pub async fn on_a_file() -> (Self, PathBuf) {
        let database = TestDatabase::sqlite();
        let file = database.file().to_owned();
        (Self::start_on(database, |_| {}).await, file)
    }

    /// A service on a given database.
    pub async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(database, Arc::new(TestClock::default()), false, change).await
    }

    /// A service on a given database with a given clock. With `has_database_time`, PostgreSQL's clock is used where it is used
    /// in operation.
    pub async fn start_by(
        database: TestDatabase,
        clock: Arc<TestClock>,
        has_database_time: bool,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = test_config(database.url());
        change(&mut config);
        // A test that starts a program at this moment has forked: until the program is executed, the lock of a service that was stopped
        // is still held.
        let running = wait_until("the lock of the database", async || {
            let environment = Environment { clock: clock.clone(), entropy: Arc::new(SystemEntropy), has_database_time };
            match lifecycle::start(&config, environment).await {
                Err(error) if error.to_string().contains("another process serves this database") => Err(error),
                other => Ok(other.unwrap_or_else(|error| panic!("{error}"))),
            }
        })
        .await;
        Self { database, clock, running, store: OnceCell::new() }
    }

    /// Its URL: `http://127.0.0.1:…`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address
    }

    /// The address of its metrics. `None`: they are served at the service's address.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.running.metrics_address
    }

    /// The separate address of forward-auth. `None`: it is served at the service's address.
    #[must_use]
    pub fn forward_auth_address(&self) -> Option<std::net::SocketAddr> {
        self.running.forward_auth_address
    }

    /// The address of Envoy's checks over gRPC. `None`: they are not answered.
    #[must_use]
    pub fn ext_authz_address(&self) -> Option<std::net::SocketAddr> {
        self.running.ext_authz_address
    }

    /// The time of its clock, in s UTC.
    #[must_use]
    pub fn now_seconds(&self) -> i64 {
        self.now_millis() / 1_000
    }

    /// The time of its clock, in ms UTC.
    #[must_use]
    pub fn now_millis(&self) -> i64 {
        self.clock.now().millis()
    }

    /// A caller without a credential.
    #[must_use]
    pub fn anyone(&self) -> Caller {
        Caller::anyone(self.base())
    }

    /// A caller with this key as a bearer token.
    #[must_use]
    pub fn caller(&self, key: &str) -> Caller {
        self.anyone().with_bearer(key)
    }

    /// Signs up a new organization.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let email = format!("{}@example.com", name.to_lowercase());
        let body = json!({"user_name": name, "org_name": name, "user_email": email});
        let answer = self.anyone().post("/auth/create-key", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let data = &answer.json()["data"];
        let text = |name: &str| data[name].as_str().expect("a text").to_owned();
        Tenant {
            org_id: text("org_id"),
            user_id: text("user_id"),
            key_id: text("key_id"),
            admin: self.caller(&text("api_key")),
        }
    }

    /// The caller with the root key of the platform.
    pub async fn platform(&self) -> Caller {
        let database = self.store().await.database.clone();
        let entropy = Arc::new(SystemEntropy);
        let bootstrap =
            domain::auth::bootstrap::Bootstrap::new(database.clone(), database, self.clock.clone(), entropy);
        self.caller(bootstrap.create_platform().await.expect("a platform").expose())
    }

    /// Stores a key in any state, without the service. Returns its id and its secret.
    pub async fn key(&self, org_id: &str, spec: KeySpec) -> (String, String) {
        let (key, secret) = self.build_key(org_id, spec);
        ApiKeys::create(
            &*self.store().await.database,
            vec![(key.clone(), secret.hash())],
            None,
            &self.audit_context(key.organization),
        )
        .await
        .expect("the key is stored");
        (key.id.to_string(), secret.expose().to_owned())
    }

    fn audit_context(&self, organization: OrganizationId) -> AuditContext {
        let (actor, action, origin) = (Actor::Operator, Action::CreateKey, RequestContext::default());
        AuditContext { organization, actor, action, permission: None, origin, at: self.clock.now() }
    }

    /// A store on the service's database that is not the service's own.
    async fn store(&self) -> &Store {
        self.store.get_or_init(|| self.database.store()).await
    }

    fn build_key(&self, org_id: &str, spec: KeySpec) -> (ApiKey, Secret) {
        let now = self.clock.now();
        let secret = Secret::generate(&KeyPrefix::default_prefix(), &SystemEntropy);
        let id = KeyId::generate(&*self.clock, &SystemEntropy);
        let organization = org_id.parse::<OrganizationId>().expect("an id");
        let key = ApiKey {
            user: spec.user_id.map(|id| id.parse::<UserId>().expect("an id")),
            settings: KeySettings {
                enabled: spec.enabled,
                can_manage: spec.can_manage,
                expires_at: spec.expires_in.map(|seconds| Timestamp::from_millis(now.millis() + seconds * 1_000)),
                permissions: Permissions::from_flat(spec.permissions.iter().map(String::as_str)).expect("permissions"),
                remaining: spec.quota.remaining,
                refill: spec.quota.refill,
                rate_limit: spec.quota.rate_limit,
                ..KeySettings::default()
            },
            last_refill_at: spec.quota.last_refill_at,
            window_start: spec.quota.window_start,
            window_count: spec.quota.window_count,
            ..ApiKey::new(id, organization, &secret, Creator::Operator, now)
        };
        (key, secret)
    }

    /// The slots of the service for reads of many rows.
    #[must_use]
    pub fn list_slots(&self) -> &api::http::list_slots::ListSlots {
        self.running.lists()
    }

    /// Empties the key cache, after a change by another process.
    pub fn empty_cache(&self) {
        self.running.invalidate_all();
    }

    /// Changes rows without the service, and then empties its key cache.
    pub(crate) async fn execute(&self, statement: &str) {
        self.database.execute(statement).await;
        self.empty_cache();
    }

    /// Purges expired data at the time of the clock, as the service does each minute.
    pub async fn purge(&self) {
        self.running.purge(self.clock.now()).await.expect("purged");
    }

    /// Disables all keys that policies disable at the time of the clock, as the service does every ten minutes. Returns how many.
    pub async fn apply_key_policies(&self) -> u64 {
        self.running.apply_key_policies(self.clock.now()).await.expect("applied")
    }

    /// Signs checkpoints of the audit logs, as the service does each minute.
    pub async fn sign_checkpoints(&self) {
        self.running.sign_checkpoints().await;
    }

    /// Stops the service as a signal does. Returns `false` if requests were aborted.
    pub async fn stop(self) -> (bool, TestDatabase) {
        if let Some(store) = self.store.get() {
            store.close().await;
        }
        (self.running.stop().await, self.database)
    }
}
