//! A running service with everything that a test needs beside it.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use api::{
    address::TrustedProxies,
    compose::World,
    config::{Config, MetricsAt, SignUp},
    lifecycle::{self, Running},
    system::SystemEntropy,
};
use domain::{
    act::{Act, Action, Actor, Origin},
    api_key::{ApiKey, Creator},
    bounds::Bounds,
    clock::{Clock, Timestamp},
    id::{KeyId, OrganizationId, UserId},
    permission::PermissionSet,
    ports::ApiKeys,
    quota::Quota,
    secret::{KeyPrefix, Secret},
};
use persistence::Store;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{Caller, SigningKey, TestClock, TestDatabase};

/// A service that answers on a port of its own.
pub struct TestApp {
    /// Its database.
    pub database: TestDatabase,
    /// Its clock.
    pub clock: Arc<TestClock>,
    running: Running,
    beside: OnceCell<Store>,
}

/// An organization that signed up, with its first key.
pub struct Tenant {
    /// The organization.
    pub org_id: String,
    /// Its first user.
    pub user_id: String,
    /// The first key.
    pub key_id: String,
    /// The caller with the first key, which may do everything.
    pub admin: Caller,
}

/// A key in a state that a test wants.
pub struct KeySpec {
    /// In flat form.
    pub permissions: Vec<String>,
    /// Whether it is in use.
    pub enabled: bool,
    /// Seconds from now; negative: already expired.
    pub expires_in: Option<i64>,
    /// The user it belongs to.
    pub user_id: Option<String>,
    /// Its limits.
    pub quota: Quota,
}

impl KeySpec {
    /// A good key of the organization itself with these permissions.
    #[must_use]
    pub fn with(permissions: &[&str]) -> Self {
        let permissions = permissions.iter().map(ToString::to_string).collect();
        Self { permissions, enabled: true, expires_in: None, user_id: None, quota: Quota::default() }
    }
}

/// The settings of a test: the defaults, on any port, with high limits for what is not being tested.
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
        most_keys: 1_000_000,
        most_members: 10_000,
        most_sets: 1_000,
        most_changes: 100_000,
        bounds: Bounds::default(),
        deleted_keys_kept: Duration::from_hours(30 * 24),
        audit_kept: Duration::from_hours(400 * 24),
        usage_kept: Duration::from_hours(90 * 24),
        dashboard: true,
        sign_up: SignUp::Open,
        sign_up_rate: 1_000_000,
        auth_failure_rate: 1_000_000,
        trusted_proxies: TrustedProxies::default(),
        public_origin: "https://keys.example".to_owned(),
        providers: Vec::new(),
        signing_key_file: Some(signing_key().clone()),
        request_timeout: Duration::from_secs(30),
        max_connections: 1_000,
        client_time: Duration::from_secs(30),
        body_budget: api::body_budget::LARGE,
        management_rate: None,
        shutdown_timeout: Duration::from_secs(10),
        log: "info".to_owned(),
    }
}

/// A file with a key to sign with, the same for all services of a run.
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
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("its owner's");
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

    /// A service on a given database.
    pub async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(database, Arc::new(TestClock::default()), false, change).await
    }

    /// A service on a given database and by a given clock. With database time, PostgreSQL's clock decides what it decides in
    /// operation.
    pub async fn start_by(
        database: TestDatabase,
        clock: Arc<TestClock>,
        has_database_time: bool,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = test_config(database.url());
        change(&mut config);
        let world = World { clock: clock.clone(), entropy: Arc::new(SystemEntropy), has_database_time };
        let running = lifecycle::start(&config, world).await.unwrap_or_else(|error| panic!("{error}"));
        Self { database, clock, running, beside: OnceCell::new() }
    }

    /// Where it answers: `http://127.0.0.1:…`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The address that it answers on.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address
    }

    /// Where its figures are, if not there.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.running.metrics_address
    }

    /// The second that it is by its clock.
    #[must_use]
    pub fn second(&self) -> i64 {
        self.clock_millis() / 1_000
    }

    /// The time of its clock, for names that are used once.
    #[must_use]
    pub fn clock_millis(&self) -> i64 {
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

    /// A new organization, signed up as anyone would.
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
        let store = Arc::new(self.beside().await.clone());
        let entropy = Arc::new(SystemEntropy);
        let bootstrap = domain::bootstrap::Bootstrap::new(store.clone(), store, self.clock.clone(), entropy);
        self.caller(bootstrap.first().await.expect("the first platform").expose())
    }

    /// A key in any state, put into the database beside the service. Answers its id and text.
    pub async fn key(&self, org_id: &str, spec: KeySpec) -> (String, String) {
        let (key, secret) = self.make(org_id, spec);
        ApiKeys::create(self.beside().await, vec![(key.clone(), secret.hash())], &self.act(key.organization))
            .await
            .expect("the key is stored");
        (key.id.to_string(), secret.expose().to_owned())
    }

    fn act(&self, organization: OrganizationId) -> Act {
        let (actor, action, origin) = (Actor::Operator, Action::CreateKey, Origin::default());
        Act { organization, actor, action, permission: None, origin, at: self.clock.now() }
    }

    /// The ports on the same database, beside the service.
    async fn beside(&self) -> &Store {
        self.beside.get_or_init(|| self.database.store()).await
    }

    fn make(&self, org_id: &str, spec: KeySpec) -> (ApiKey, Secret) {
        let now = self.clock.now();
        let secret = Secret::generate(&KeyPrefix::standard(), &SystemEntropy);
        let id = KeyId::generate(&*self.clock, &SystemEntropy);
        let organization = org_id.parse::<OrganizationId>().expect("an id");
        let key = ApiKey {
            user: spec.user_id.map(|id| id.parse::<UserId>().expect("an id")),
            enabled: spec.enabled,
            expires_at: spec.expires_in.map(|seconds| Timestamp::from_millis(now.millis() + seconds * 1_000)),
            permissions: PermissionSet::from_flat(spec.permissions.iter().map(String::as_str)).expect("permissions"),
            quota: spec.quota,
            ..ApiKey::new(id, organization, &secret, Creator::Operator, now)
        };
        (key, secret)
    }

    /// The places for reads of many rows.
    #[must_use]
    pub fn lists(&self) -> &api::lists::Lists {
        self.running.lists()
    }

    /// Forgets what it remembers, after a change by another process.
    pub fn forget_everything(&self) {
        self.running.forget_everything();
    }

    /// Changes rows behind the service's back, which then forgets what it remembers.
    pub(crate) async fn execute(&self, statement: &str) {
        self.database.execute(statement).await;
        self.forget_everything();
    }

    /// The service purges what is over by its clock, as it does each minute.
    pub async fn purge(&self) {
        self.running.purge(self.clock.now()).await.expect("purged");
    }

    /// Ends the service as a signal would. `false`: requests were cut off.
    pub async fn stop(self) -> (bool, TestDatabase) {
        if let Some(store) = self.beside.get() {
            store.close().await;
        }
        (self.running.stop().await, self.database)
    }
}
