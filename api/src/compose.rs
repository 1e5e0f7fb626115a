//! Config → services: the one file that knows which database is behind the domain's ports.

use std::{fmt, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Outage,
    audit_log::AuditLog,
    bootstrap::Bootstrap,
    clock::{Clock, Entropy, Timestamp},
    enroll::Enroll,
    keys::{Keys, Ports},
    organizations::{self, Organizations},
    people::{self, People},
    ports,
    sessions::Sessions,
    tokens::Tokens,
};
pub use persistence::{Access, Claim, Hold, Kind, RetentionRun};
use persistence::{CacheSize, DefaultCaps, Retention, Settings, Store};

use crate::{
    config::Config,
    health::Readiness,
    jwt::keyring::{Keyring, SigningKeysAt},
    lists::Lists,
    management_rate::Rate,
    metrics::Metrics,
    system::{SystemClock, SystemEntropy},
    verifier::Verifier,
};

/// Time and randomness of a process.
#[derive(Clone)]
pub struct World {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes secrets and identifiers unguessable.
    pub entropy: Arc<dyn Entropy>,
    /// Whether limits go by PostgreSQL's time, so that nodes agree, and not by `clock`. SQLite has none of its own.
    pub has_database_time: bool,
}

impl World {
    /// The real ones.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), has_database_time: true }
    }
}

/// Everything that answers requests stands on these.
pub struct Services {
    /// The use cases on keys.
    pub keys: Arc<Keys>,
    /// The use cases on organizations, members and permission sets.
    pub organizations: Arc<Organizations>,
    /// The use cases on users of identity providers.
    pub people: Arc<People>,
    /// The use cases on sessions.
    pub sessions: Arc<Sessions>,
    /// The use cases on short-lived tokens.
    pub tokens: Arc<Tokens>,
    /// The use cases on the log.
    pub audit: Arc<AuditLog>,
    /// How often organizations may be managed.
    pub rate: Arc<dyn ports::ManagementRate>,
    /// What was answered to requests that are done once.
    pub repeats: Arc<dyn ports::Repeats>,
    /// Takes what was refused for the log.
    pub log: Arc<dyn ports::AuditLog>,
    /// The places for reads of many rows.
    pub lists: Arc<Lists>,
    /// Sign-up.
    pub enroll: Arc<Enroll>,
    /// The first key of all.
    pub bootstrap: Bootstrap,
    /// Whether the database is there.
    pub readiness: Arc<dyn Readiness>,
    /// Verify, for the contract of organizations.
    pub native: Arc<Verifier>,
    /// Verify, for Athena's.
    pub athena: Arc<Verifier>,
    /// Figures for operators.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    database: Database,
}

impl Services {
    /// Waits until something behind the services has ended, which only a defect brings about.
    pub async fn broken(&self) {
        self.database.0.ended().await;
    }

    /// Begins to purge rows whose retention period has passed; what is pruned from audit logs is signed by these keys.
    pub fn start_retention(&self, keyring: Option<Arc<Keyring>>) {
        self.database.0.start_retention(signer(keyring));
    }

    /// Runs retention once. With `force`, what would be held is purged.
    ///
    /// # Errors
    /// The database is away.
    pub async fn run_retention(&self, keyring: Option<Arc<Keyring>>, force: bool) -> Result<RetentionRun, Outage> {
        self.database.0.run_retention_now(signer(keyring), force).await
    }

    /// Forgets the keys that are remembered, after a change that was not made through these services.
    pub fn forget_everything(&self) {
        self.database.0.forget_everything();
    }

    /// Purges what is over at this moment, as is done each minute, without holding what is unusual.
    ///
    /// # Errors
    /// The database is away.
    pub async fn purge(&self, now: Timestamp) -> Result<(), Outage> {
        self.database.0.purge(now, None, true).await?;
        Ok(())
    }

    /// Writes what is queued and lets go of the database, after what runs on it.
    pub async fn close(&self) {
        self.database.0.close().await;
    }
}

fn signer(keyring: Option<Arc<Keyring>>) -> Option<Arc<dyn ports::PruneSigner>> {
    keyring.map(|keyring| keyring as Arc<dyn ports::PruneSigner>)
}

/// What the database did not let us do. The sentence is for the operator.
#[derive(Debug)]
pub struct DatabaseError(String);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

/// Opens the database, brings its schema up to date, and puts the services on it.
pub async fn services(config: &Config, world: World) -> Result<Services, DatabaseError> {
    open(config, world, Access::Prepare).await
}

/// Opens the database for what a command does with it, and puts the services on it.
pub async fn open(config: &Config, world: World, access: Access) -> Result<Services, DatabaseError> {
    let metrics = Metrics::new();
    let settings = Settings {
        url: config.database_url.clone(),
        connections: config.database_connections,
        ledger_clock: (!world.has_database_time || config.database_url.starts_with("sqlite:"))
            .then(|| world.clock.clone()),
        timeout: config.database_timeout,
        change_timeout: config.request_timeout,
        staleness_bound: config.staleness_bound,
        clock: world.clock.clone(),
        retention: Retention {
            deleted_keys: config.deleted_keys_kept,
            audit: config.audit_kept,
            usage: config.usage_kept,
        },
        caps: DefaultCaps {
            keys: config.most_keys,
            members: config.most_members,
            sets: config.most_sets,
            changes: config.most_changes,
        },
        bounds: config.bounds,
        cache: CacheSize { keys: config.cache_keys, bytes: config.cache_bytes },
        registry: metrics.registry().clone(),
    };
    let failed = |error: &dyn fmt::Display| DatabaseError(format!("{}: {error}", config.database_shown()));
    let store = Store::open(&settings, access).await.map_err(|error| failed(&error))?;
    if access != Access::ReadOnly {
        // A database that is read-only for this process has a current schema, and takes no change.
        store.is_ready_now().await.map_err(|outage| failed(&outage))?;
    }
    let World { clock, entropy, has_database_time: _ } = world;
    let ports = Arc::new(store.clone());
    let rate = Arc::new(Rate::new(config.management_rate));
    let keys = Arc::new(Keys::new(Ports {
        api_keys: ports.clone(),
        snapshots: ports.clone(),
        accounts: ports.clone(),
        sets: ports.clone(),
        ledger: ports.clone(),
        log: ports.clone(),
        usage: ports.clone(),
        usage_log: ports.clone(),
        imports: ports.clone(),
        rate: rate.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }));
    let issuers = config.providers.iter().map(|provider| provider.issuer.clone()).collect();
    let people = Arc::new(People::new(
        issuers,
        people::Ports {
            people: ports.clone(),
            organizations: ports.clone(),
            members: ports.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        },
    ));
    let sessions = Sessions::new(ports.clone(), keys.clone(), people.clone(), clock.clone(), entropy.clone());
    Ok(Services {
        keys: keys.clone(),
        people,
        sessions: Arc::new(sessions),
        tokens: Arc::new(Tokens::new(ports.clone(), keys.clone(), entropy.clone())),
        organizations: Arc::new(Organizations::new(organizations::Ports {
            organizations: ports.clone(),
            members: ports.clone(),
            sets: ports.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        })),
        audit: Arc::new(AuditLog::new(
            ports.clone(),
            ports.clone(),
            clock.clone(),
            u64::try_from(config.audit_kept.as_millis()).unwrap_or(u64::MAX),
        )),
        repeats: ports.clone(),
        rate,
        log: ports.clone(),
        lists: Arc::new(Lists::new(store.read_connections(), config.request_timeout)),
        enroll: Arc::new(Enroll::new(ports.clone(), clock.clone(), entropy.clone())),
        bootstrap: Bootstrap::new(ports.clone(), ports, clock.clone(), entropy.clone()),
        readiness: Arc::new(Database(store.clone())),
        native: Arc::new(Verifier::new(keys.clone(), &metrics, "native")),
        athena: Arc::new(Verifier::new(keys, &metrics, "athena")),
        metrics,
        clock,
        entropy,
        database: Database(store),
    })
}

/// Claims the database for serving, where only one process may.
pub fn claim(config: &Config) -> Result<Claim, DatabaseError> {
    persistence::claim(&config.database_url).map_err(|error| DatabaseError(error.to_string()))
}

/// The file of an SQLite database, if it is one that other users of the machine can read. Files that are made beside it get
/// the same rights.
#[must_use]
pub fn readable_by_others(config: &Config) -> Option<PathBuf> {
    let path = persistence::beside(&config.database_url, "")?;
    let mode = std::fs::metadata(&path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then_some(path)
}

/// The keys of a better-auth database, each a JSON object.
pub async fn better_auth_keys(url: &str) -> Result<Vec<String>, DatabaseError> {
    // The address may hold a password: it is not repeated.
    let failed = |error: &dyn fmt::Display| DatabaseError(format!("of better-auth: {error}"));
    persistence::better_auth_keys(url).await.map_err(|error| failed(&error))
}

/// Where the keys are that sessions and tokens are signed with. By default one is made beside the database; what several
/// nodes share, the operator has to hand out.
#[must_use]
pub fn signing_keys(config: &Config) -> SigningKeysAt {
    match &config.signing_key_file {
        Some(path) => SigningKeysAt::File(path.clone()),
        None if !config.database_url.starts_with("sqlite:") => SigningKeysAt::Nowhere,
        None => persistence::beside(&config.database_url, ".signing-key.pem")
            .map_or(SigningKeysAt::Memory, SigningKeysAt::Made),
    }
}

/// The newest schema that this program knows.
#[must_use]
pub fn schema_version() -> String {
    Store::schema_version()
}

struct Database(Store);

#[async_trait]
impl Readiness for Database {
    async fn is_ready(&self) -> Result<bool, Outage> {
        self.0.is_ready().await
    }

    async fn is_clock_right(&self) -> Result<bool, Outage> {
        self.0.is_clock_right().await
    }

    fn observe(&self, outage: &Outage) {
        self.0.observe(outage);
    }

    fn silence(&self) -> Option<Duration> {
        self.0.silence()
    }
}
