//! Builds the services from the settings. This is the only file that names the implementation of the domain's ports.

use std::{fmt, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Outage,
    audit_log::AuditLogService,
    auth::{
        authenticate::KeyAuthenticator,
        authorize::Authorizer,
        bootstrap::Bootstrap,
        federation::{self, FederatedLogin},
        invitations::{InvitationPorts, Invitations},
        passkeys::{PasskeyPorts, Passkeys},
        portal::{PortalPorts, PortalService},
        session::SessionLimits,
        sessions::Sessions,
        sign_up::SignUpService,
        tokens::Tokens,
        workloads::Workloads,
    },
    clock::{Clock, Entropy, Timestamp},
    keys::{KeyPorts, Keys},
    organizations::{self, OrganizationService, TrustRuleService},
    ports,
    verify::{KeyVerifier, lookup::KeyLookup},
};
pub use persistence::{Access, Hold, Kind, LOG_DIRECTIVES, ProcessLock, RetentionRun};
use persistence::{CacheSize, DefaultCaps, RetentionPeriods, Settings, Store};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        jwt::{
            keyring::{Keyring, SigningKeyLocation},
            provider_tokens::ProviderTokens,
        },
        request_rate::Rate,
        sign_in::SignInProviders,
    },
    config::Config,
    http::{health::Readiness, list_slots::ListSlots},
    metrics::Metrics,
    process::system::{SystemClock, SystemEntropy},
    verifier::Verifier,
};

/// The clock and the randomness of a process. Tests replace them.
#[derive(Clone)]
pub struct Environment {
    /// The clock of this node.
    pub clock: Arc<dyn Clock>,
    /// The random bytes of secrets and identifiers.
    pub entropy: Arc<dyn Entropy>,
    /// Whether rate limits and quotas use the clock of PostgreSQL, so that all nodes agree. `false`, and always with SQLite: they
    /// use `clock`.
    pub has_database_time: bool,
}

impl Environment {
    /// The clock and the random source of the operating system.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), has_database_time: true }
    }
}

/// The use cases of the domain, and what else the HTTP layer needs, on one database.
pub struct Services {
    /// The use cases on keys.
    pub keys: Arc<Keys>,
    /// The use cases on organizations, members and permission sets.
    pub organizations: Arc<OrganizationService>,
    /// Authenticates callers by API keys.
    pub key_authenticator: Arc<KeyAuthenticator>,
    /// Checks permissions and the rate limit of management requests.
    pub authorizer: Arc<Authorizer>,
    /// Login of users of identity providers.
    pub federation: Arc<FederatedLogin>,
    /// Validates the access tokens of these users.
    pub provider_tokens: Arc<ProviderTokens>,
    /// Sign-in at these providers with the browser.
    pub sign_in: Arc<SignInProviders>,
    /// The use cases on invitations and recovery links.
    pub invitations: Arc<Invitations>,
    /// The customers' portal.
    pub portal: Arc<PortalService>,
    /// The use cases on sessions.
    pub sessions: Arc<Sessions>,
    /// The use cases on short-lived tokens.
    pub tokens: Arc<Tokens>,
    /// The exchange of tokens of workloads.
    pub workloads: Arc<Workloads>,
    /// The use cases on trust rules.
    pub trust_rules: Arc<TrustRuleService>,
    /// The use cases on the audit logs.
    pub audit: Arc<AuditLogService>,
    /// The stored responses to requests with an idempotency key.
    pub idempotency: Arc<dyn ports::IdempotencyRecords>,
    /// Records denied requests in the audit logs.
    pub log: Arc<dyn ports::AuditLog>,
    /// Limits the lists that are read at the same time.
    pub lists: Arc<ListSlots>,
    /// The use cases on passkeys.
    pub passkeys: Arc<Passkeys>,
    /// Self-service sign-up.
    pub sign_up: Arc<SignUpService>,
    /// Creates the platform organization and its root key.
    pub bootstrap: Bootstrap,
    /// Readiness of the database, and staleness of the key cache.
    pub readiness: Arc<dyn Readiness>,
    /// Cancelled when the service begins to stop: from then on it is not ready.
    pub draining: CancellationToken,
    /// Verify of the native contract.
    pub native: Arc<Verifier>,
    /// Verify of the Athena contract.
    pub athena: Arc<Verifier>,
    /// Verify of forward-auth.
    pub forward_auth: Arc<Verifier>,
    /// Introspection of keys, of the OAuth contract.
    pub introspection: Arc<Verifier>,
    /// The metrics of both crates.
    pub metrics: Metrics,
    /// The clock of this node.
    pub clock: Arc<dyn Clock>,
    /// The random bytes of secrets and identifiers.
    pub entropy: Arc<dyn Entropy>,
    database: Database,
}

impl Services {
    /// The verifiers of all contracts.
    #[must_use]
    pub fn verifiers(&self) -> Vec<Arc<Verifier>> {
        [&self.native, &self.athena, &self.forward_auth, &self.introspection].map(Clone::clone).into()
    }

    /// Waits until a background task of the database layer has ended. Before [`Services::close`] that is a defect.
    pub async fn background_task_ended(&self) {
        self.database.0.ended().await;
    }

    /// Starts the workers: one purges rows whose retention period has passed, every minute; one disables keys by their policies, every
    /// ten minutes. What is pruned from audit logs is recorded in a statement signed by `keyring`.
    pub fn start_retention(&self, keyring: Option<Arc<Keyring>>) {
        self.database.0.start_retention(signer(keyring));
    }

    /// Runs retention once. Unusually large purges are held, that is not done, unless `force` is set.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn run_retention(&self, keyring: Option<Arc<Keyring>>, force: bool) -> Result<RetentionRun, Outage> {
        self.database.0.run_retention_now(signer(keyring), force).await
    }

    /// Empties the key cache, after a change that was not made through these services.
    pub fn invalidate_all(&self) {
        self.database.0.key_cache.invalidate_all();
    }

    /// Purges the rows whose retention period has passed at `now`, as the service does every minute. Nothing is held.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn purge(&self, now: Timestamp) -> Result<(), Outage> {
        self.database.0.purge(now, None, true).await?;
        Ok(())
    }

    /// Disables all keys that policies disable at `now`, as the service does every ten minutes. Returns how many.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn apply_key_policies(&self, now: Timestamp) -> Result<u64, Outage> {
        self.database.0.apply_key_policies(now).await
    }

    /// Stops the background tasks, writes what is queued, and closes the connections to the database.
    pub async fn close(&self) {
        self.database.0.close().await;
    }
}

fn signer(keyring: Option<Arc<Keyring>>) -> Option<Arc<dyn ports::PruneSigner>> {
    keyring.map(|keyring| keyring as Arc<dyn ports::PruneSigner>)
}

/// Why the database could not be opened or read, as a sentence for the operator.
#[derive(Debug)]
pub struct DatabaseError(String);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

/// Opens the database, migrates its schema, and builds the services.
///
/// # Errors
/// As [`open`].
pub async fn services(config: &Config, environment: Environment) -> Result<Services, DatabaseError> {
    open(config, environment, Access::Prepare).await
}

/// Opens the database with the access that a subcommand needs, and builds the services.
///
/// # Errors
/// The database is unavailable, or its schema is not current and this access may not migrate it.
pub async fn open(config: &Config, environment: Environment, access: Access) -> Result<Services, DatabaseError> {
    let metrics = Metrics::new();
    let settings = database_settings(config, &environment, &metrics);
    let failed =
        |error: &dyn fmt::Display| DatabaseError(format!("{}: {error}", config.database_url_without_secrets()));
    let store = Box::pin(Store::open(&settings, access)).await.map_err(|error| failed(&error))?;
    if access != Access::ReadOnly {
        // With read-only access the schema was checked already, and the write check of readiness would fail.
        store.database.is_ready_now().await.map_err(|outage| failed(&outage))?;
    }
    let Environment { clock, entropy, has_database_time: _ } = environment;
    let (database, log) = (store.database.clone(), store.audit.clone());
    let keys = Arc::new(Keys::new(KeyPorts {
        api_keys: database.clone(),
        accounts: database.clone(),
        sets: database.clone(),
        log: log.clone(),
        usage_log: database.clone(),
        imports: store.imports.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }));
    let lookup = Arc::new(KeyLookup::new(store.key_cache.clone(), store.imports.clone(), log.clone(), clock.clone()));
    let key_authenticator =
        Arc::new(KeyAuthenticator::new(lookup.clone(), store.usage.clone(), log.clone(), clock.clone()));
    let authorizer =
        Arc::new(Authorizer::new(database.clone(), Arc::new(Rate::of_organizations(config.management_rate))));
    let key_verifier = Arc::new(KeyVerifier::new(
        lookup.clone(),
        database.clone(),
        store.ledger.clone(),
        store.usage.clone(),
        clock.clone(),
    ));
    let federation = Arc::new(federated_login(config, &store, clock.clone(), entropy.clone()));
    let provider_tokens = Arc::new(provider_tokens(config, &metrics, clock.clone()));
    let sessions = Sessions::new(
        session_limits(config),
        database.clone(),
        key_authenticator.clone(),
        federation.clone(),
        log.clone(),
        clock.clone(),
        entropy.clone(),
    );
    let ports = portal_ports(&store, &clock, &entropy);
    let portal = PortalService::new(keys.clone(), lookup.clone(), authorizer.clone(), ports);
    let tokens = Tokens::new(database.clone(), database.clone(), lookup, log.clone(), clock.clone(), entropy.clone());
    let tokens = Arc::new(tokens);
    let workloads = Workloads::new(database.clone(), database.clone(), federation.clone(), tokens.clone());
    let trust_rules =
        TrustRuleService::new(database.clone(), database.clone(), federation.clone(), clock.clone(), entropy.clone());
    let invitations = Arc::new(invitations(&store, &federation, &clock, &entropy));
    let sign_up = Arc::new(SignUpService::new(database.clone(), clock.clone(), entropy.clone()));
    let ports = passkey_ports(&store, &clock, &entropy);
    let passkeys = Passkeys::new(federation.clone(), invitations.clone(), sign_up.clone(), ports);
    Ok(Services {
        keys,
        key_authenticator,
        authorizer,
        invitations,
        portal: Arc::new(portal),
        passkeys: Arc::new(passkeys),
        federation,
        sign_in: Arc::new(SignInProviders::new(&config.providers, provider_tokens.clone(), clock.clone())),
        provider_tokens,
        sessions: Arc::new(sessions),
        tokens,
        workloads: Arc::new(workloads),
        trust_rules: Arc::new(trust_rules),
        organizations: Arc::new(OrganizationService::new(organizations::OrganizationPorts {
            organizations: database.clone(),
            members: database.clone(),
            sets: database.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        })),
        audit: Arc::new(AuditLogService::new(
            store.audit.clone(),
            database.clone(),
            clock.clone(),
            u64::try_from(config.audit_kept.as_millis()).unwrap_or(u64::MAX),
        )),
        idempotency: store.idempotency.clone(),
        log,
        lists: Arc::new(ListSlots::new(database.read_connections(), config.request_timeout)),
        sign_up,
        bootstrap: Bootstrap::new(database.clone(), database, clock.clone(), entropy.clone()),
        readiness: Arc::new(Database(store.clone())),
        draining: CancellationToken::new(),
        native: Arc::new(Verifier::new(key_verifier.clone(), &metrics, "native")),
        athena: Arc::new(Verifier::new(key_verifier.clone(), &metrics, "athena")),
        forward_auth: Arc::new(Verifier::new(key_verifier.clone(), &metrics, "forward_auth")),
        introspection: Arc::new(Verifier::new(key_verifier, &metrics, "oauth")),
        metrics,
        clock,
        entropy,
        database: Database(store),
    })
}

fn portal_ports(store: &Store, clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> PortalPorts {
    let database = &store.database;
    PortalPorts {
        portals: database.clone(),
        organizations: database.clone(),
        accounts: database.clone(),
        rate: Arc::new(Rate::of_portal_sessions()),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }
}

fn passkey_ports(store: &Store, clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> PasskeyPorts {
    PasskeyPorts {
        passkeys: store.database.clone(),
        audit_log: store.audit.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    }
}

fn invitations(
    store: &Store,
    federation: &Arc<FederatedLogin>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Invitations {
    let database = &store.database;
    let ports = InvitationPorts {
        invitations: database.clone(),
        organizations: database.clone(),
        members: database.clone(),
        sets: database.clone(),
        accounts: database.clone(),
        api_keys: database.clone(),
        sessions: database.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
    };
    Invitations::new(federation.clone(), ports)
}

fn database_settings(config: &Config, environment: &Environment, metrics: &Metrics) -> Settings {
    Settings {
        url: config.database_url.clone(),
        connections: config.database_connections,
        ledger_clock: (!environment.has_database_time || config.database_url.starts_with("sqlite:"))
            .then(|| environment.clock.clone()),
        timeout: config.database_timeout,
        change_timeout: config.request_timeout,
        staleness_bound: config.staleness_bound,
        clock: environment.clock.clone(),
        retention: RetentionPeriods {
            deleted_keys: config.deleted_keys_kept,
            deleted_organizations: config.deleted_organizations_kept,
            audit: config.audit_kept,
            usage: config.usage_kept,
            idle_sessions: config.session_idle_time,
        },
        caps: DefaultCaps {
            keys: config.max_api_keys,
            members: config.max_members,
            sets: config.max_permission_sets,
            changes: config.max_changes,
        },
        bounds: config.bounds,
        cache: CacheSize { keys: config.cache_keys, bytes: config.cache_bytes },
        registry: metrics.registry().clone(),
    }
}

fn session_limits(config: &Config) -> SessionLimits {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    SessionLimits { lifetime: millis(config.session_time), idle_time: millis(config.session_idle_time) }
}

fn federated_login(config: &Config, store: &Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> FederatedLogin {
    let issuers = config.providers.iter().map(|provider| provider.issuer.clone()).collect();
    let session_time = i64::try_from(config.provider_session_time.as_millis()).unwrap_or(0);
    let database = &store.database;
    let (external_identities, organizations, members) = (database.clone(), database.clone(), database.clone());
    FederatedLogin::new(
        issuers,
        session_time,
        federation::FederationPorts { external_identities, organizations, members, clock, entropy },
    )
}

fn provider_tokens(config: &Config, metrics: &Metrics, clock: Arc<dyn Clock>) -> ProviderTokens {
    ProviderTokens::new(config.providers.clone(), clock, metrics.ignored_permissions())
}

/// Locks the database for this process: only one process may serve an SQLite file.
///
/// # Errors
/// Another process has the lock, or the lock file cannot be used.
pub fn claim(config: &Config) -> Result<ProcessLock, DatabaseError> {
    persistence::lock_database(&config.database_url).map_err(|error| DatabaseError(error.to_string()))
}

/// The path of an SQLite database that other users of the machine can read or write; SQLite creates its other files with the
/// same permissions. `None`: they cannot, or the database is no file.
#[must_use]
pub fn readable_by_others(config: &Config) -> Option<PathBuf> {
    let path = persistence::database_file(&config.database_url)?;
    let mode = std::fs::metadata(&path).ok()?.permissions().mode();
    (mode & 0o077 != 0).then_some(path)
}

/// The rows of the API key table of a better-auth database, each as a JSON object.
///
/// # Errors
/// The database or its table cannot be read. The message does not contain the URL.
pub async fn better_auth_keys(url: &str) -> Result<Vec<String>, DatabaseError> {
    // The URL may contain a password, so it is not in the message.
    let failed = |error: &dyn fmt::Display| DatabaseError(format!("database of better-auth: {error}"));
    persistence::better_auth_keys(url).await.map_err(|error| failed(&error))
}

/// Where the keys that sign sessions and tokens are. The default for SQLite is a file next to the database, created if it is
/// missing. Nodes on PostgreSQL need the same keys, so the operator has to distribute a file; the default is no keys.
#[must_use]
pub fn signing_keys(config: &Config) -> SigningKeyLocation {
    match &config.signing_key_file {
        Some(path) => SigningKeyLocation::File(path.clone()),
        None if !config.database_url.starts_with("sqlite:") => SigningKeyLocation::Disabled,
        None => persistence::database_file(&config.database_url).map_or(SigningKeyLocation::Memory, |file| {
            SigningKeyLocation::Generated(persistence::with_suffix(&file, ".signing-key.pem"))
        }),
    }
}

/// The name of the newest migration of this version.
#[must_use]
pub fn schema_version() -> String {
    Store::schema_version()
}

struct Database(Store);

#[async_trait]
impl Readiness for Database {
    async fn is_ready(&self) -> Result<bool, Outage> {
        self.0.database.is_ready().await
    }

    async fn is_clock_right(&self) -> Result<bool, Outage> {
        self.0.database.is_clock_right().await
    }

    fn observe(&self, outage: &Outage) {
        self.0.database.observe(outage);
    }

    fn staleness(&self) -> Option<Duration> {
        self.0.cache_age()
    }
}
