//! Settings: from flags and the environment, checked all at once, so that one start tells every mistake.

mod arguments;
mod values;

use std::{
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::bounds::Bounds;
use tracing_subscriber::EnvFilter;
use url::{Position, Url};

pub use self::arguments::Arguments;
use self::values::{
    BOUND, CAP, CAPS, CHANGES, CHANGES_IN_AN_HOUR, DURATION, LEAST_BOUND, METRICS, RATE, RATE_OR_OFF, RATES, RETENTION,
    database_url, duration, metrics_at, networks, number, origin, rate_or_off, retention, switch,
};
use crate::{
    address::TrustedProxies,
    body_budget,
    jwt::issuers::{self, Provider},
};

/// How long a client may take to send a head, to send the next request, and to take a part of an answer.
const CLIENT_TIME: Duration = Duration::from_secs(30);

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Everyone.
    Open,
    /// Nobody.
    Closed,
}

/// Where the figures for operators are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// Where everything else is, for clients on this machine.
    Service,
    /// At an address of their own, and only there.
    Address(SocketAddr),
    /// Nowhere.
    Nowhere,
}

/// The settings, checked.
#[derive(Clone)]
pub struct Config {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Where to show figures.
    pub metrics: MetricsAt,
    /// The database, maybe with a password.
    pub database_url: String,
    /// Connections to PostgreSQL.
    pub database_connections: u32,
    /// How long to wait for the database.
    pub database_timeout: Duration,
    /// On PostgreSQL: for how long to rely on what is remembered without a sign of the change feed.
    pub staleness_bound: Duration,
    /// Keys to remember.
    pub cache_keys: usize,
    /// Bytes that they may take.
    pub cache_bytes: usize,
    /// The most keys of an organization that has no cap of its own.
    pub most_keys: u64,
    /// The most members.
    pub most_members: u64,
    /// The most permission sets.
    pub most_sets: u64,
    /// The most changes of an organization in an hour.
    pub most_changes: u64,
    /// What there may be at most of what comes and goes.
    pub bounds: Bounds,
    /// How long deleted keys are kept.
    pub deleted_keys_kept: Duration,
    /// How long events of the log are kept.
    pub audit_kept: Duration,
    /// How long counts of verifies are kept.
    pub usage_kept: Duration,
    /// Whether the dashboard is served.
    pub dashboard: bool,
    /// Who may sign up.
    pub sign_up: SignUp,
    /// Attempts to sign up a minute and address.
    pub sign_up_rate: u32,
    /// Failed authentications a minute and address.
    pub auth_failure_rate: u32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Scheme, host and port that browsers see, as they write it in `Origin`.
    pub public_origin: String,
    /// The identity providers that are believed.
    pub providers: Vec<Provider>,
    /// The keys that sessions and tokens are signed with.
    pub signing_key_file: Option<PathBuf>,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Connections served at once.
    pub max_connections: usize,
    /// How long a client may take to send a head, to send the next request, and to take a part of an answer. No setting.
    pub client_time: Duration,
    /// Bytes of large request bodies held at once. No setting.
    pub body_budget: usize,
    /// Requests a second that may manage one organization. `None`: any number.
    pub management_rate: Option<NonZeroU32>,
    /// How long to wait for running requests at the end.
    pub shutdown_timeout: Duration,
    /// What to log.
    pub log: String,
}

/// Every mistake in the settings, one line each, by the name of the environment variable.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Mistakes {
    /// Takes the value of a setting, or notes that it must be something else. The value itself is not repeated: it may
    /// have been meant for another setting, which is secret.
    fn read<T>(&mut self, name: &str, value: Option<T>, expected: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{name} must be {expected}"));
        }
        value
    }
}

impl Arguments {
    /// Checks all settings.
    ///
    /// # Errors
    /// All mistakes.
    pub fn check(&self) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::default();
        let m = &mut mistakes;
        let listen = m.read("CLAVIGER_LISTEN", self.listen.parse().ok(), "an address and a port like 127.0.0.1:8080");
        let metrics = m.read("CLAVIGER_METRICS_LISTEN", metrics_at(&self.metrics_listen), METRICS);
        let database_url = match database_url(&self.database_url) {
            Ok(url) => Some(url),
            Err(expected) => m.read("CLAVIGER_DATABASE_URL", None, expected),
        };
        let connections = number(&self.database_connections, 5..=1_000);
        let connections = m.read("CLAVIGER_DATABASE_CONNECTIONS", connections, "a number from 5 to 1000");
        let database_timeout = duration(&self.database_timeout);
        let database_timeout = m.read("CLAVIGER_DATABASE_TIMEOUT", database_timeout, DURATION);
        let staleness_bound = duration(&self.staleness_bound).filter(|bound| *bound >= LEAST_BOUND);
        let staleness_bound = m.read("CLAVIGER_STALENESS_BOUND", staleness_bound, BOUND);
        let cache_keys = number(&self.cache_keys, 0..=1_000_000_000);
        let cache_keys = m.read("CLAVIGER_CACHE_KEYS", cache_keys, "a number from 0 to 1000000000");
        let cache_mib = number(&self.cache_mib, 1..=1_048_576);
        let cache_mib = m.read("CLAVIGER_CACHE_MIB", cache_mib, "a number from 1 to 1048576");
        let most_keys = m.read("CLAVIGER_MAX_KEYS", number(&self.max_keys, CAPS), CAP);
        let most_members = m.read("CLAVIGER_MAX_MEMBERS", number(&self.max_members, CAPS), CAP);
        let most_sets = number(&self.max_permission_sets, CAPS);
        let most_sets = m.read("CLAVIGER_MAX_PERMISSION_SETS", most_sets, CAP);
        let most_changes = m.read("CLAVIGER_MAX_CHANGES", number(&self.max_changes, CHANGES), CHANGES_IN_AN_HOUR);
        let deleted_keys_kept = m.read("CLAVIGER_DELETED_KEYS_KEPT", retention(&self.deleted_keys_kept), RETENTION);
        let audit_kept = m.read("CLAVIGER_AUDIT_KEPT", retention(&self.audit_kept), RETENTION);
        let usage_kept = m.read("CLAVIGER_USAGE_KEPT", retention(&self.usage_kept), RETENTION);
        let dashboard = m.read("CLAVIGER_DASHBOARD", switch(&self.dashboard), "on or off");
        let sign_up = match self.signup.as_str() {
            "open" => Some(SignUp::Open),
            "closed" => Some(SignUp::Closed),
            _ => None,
        };
        let sign_up = m.read("CLAVIGER_SIGNUP", sign_up, "open or closed");
        let sign_up_rate = m.read("CLAVIGER_SIGNUP_RATE", number(&self.signup_rate, RATES), RATE);
        let auth_failure_rate = number(&self.auth_failure_rate, RATES);
        let auth_failure_rate = m.read("CLAVIGER_AUTH_FAILURE_RATE", auth_failure_rate, RATE);
        let management_rate = m.read("CLAVIGER_MANAGEMENT_RATE", rate_or_off(&self.management_rate).ok(), RATE_OR_OFF);
        let trusted_proxies = m.read(
            "CLAVIGER_TRUSTED_PROXIES",
            networks(&self.trusted_proxies),
            "addresses or networks separated by commas, like 10.0.0.0/8,::1",
        );
        let public_origin = match (self.public_origin.as_str(), listen) {
            ("", Some(listen)) => origin(&format!("http://{listen}")),
            ("", None) => Some(String::new()),
            (text, _) => origin(text),
        };
        let public_origin = m.read("CLAVIGER_PUBLIC_ORIGIN", public_origin, "an origin like https://keys.example.com");
        let providers = match self.issuers_file.as_str() {
            "" => Some(Vec::new()),
            path => {
                let read = issuers::read(Path::new(path), public_origin.as_deref().unwrap_or_default());
                read.map_err(|wrong| m.0.push(format!("CLAVIGER_ISSUERS_FILE must be {wrong}"))).ok()
            }
        };
        let signing_key_file = Some(self.signing_key_file.as_str()).filter(|path| !path.is_empty()).map(Into::into);
        let request_timeout = m.read("CLAVIGER_REQUEST_TIMEOUT", duration(&self.request_timeout), DURATION);
        let max_connections = number(&self.max_connections, 1..=1_000_000);
        let max_connections = m.read("CLAVIGER_MAX_CONNECTIONS", max_connections, "a number from 1 to 1000000");
        let shutdown_timeout = m.read("CLAVIGER_SHUTDOWN_TIMEOUT", duration(&self.shutdown_timeout), DURATION);
        let log = EnvFilter::try_new(&self.log).ok().map(|_| self.log.clone());
        let log = m.read("CLAVIGER_LOG", log, "a level or a filter like claviger=debug");
        let config = (|| {
            Some(Config {
                listen: listen?,
                metrics: metrics?,
                database_url: database_url?,
                database_connections: connections?,
                database_timeout: database_timeout?,
                staleness_bound: staleness_bound?,
                cache_keys: usize::try_from(cache_keys?).ok()?,
                cache_bytes: usize::try_from(cache_mib?).ok()?.checked_mul(1 << 20)?,
                most_keys: most_keys?.into(),
                most_members: most_members?.into(),
                most_sets: most_sets?.into(),
                most_changes: most_changes?.into(),
                bounds: Bounds::default(),
                deleted_keys_kept: deleted_keys_kept?,
                audit_kept: audit_kept?,
                usage_kept: usage_kept?,
                dashboard: dashboard?,
                sign_up: sign_up?,
                sign_up_rate: sign_up_rate?,
                auth_failure_rate: auth_failure_rate?,
                trusted_proxies: trusted_proxies?,
                public_origin: public_origin?,
                providers: providers?,
                signing_key_file,
                request_timeout: request_timeout?,
                max_connections: usize::try_from(max_connections?).ok()?,
                client_time: CLIENT_TIME,
                body_budget: body_budget::LARGE,
                management_rate: management_rate?,
                shutdown_timeout: shutdown_timeout?,
                log: log?,
            })
        })();
        config.ok_or(mistakes)
    }
}

impl Config {
    /// The database without what is secret about it.
    #[must_use]
    pub fn database_shown(&self) -> String {
        match Url::parse(&self.database_url) {
            Ok(url) if url.scheme() != "sqlite" => {
                format!("{}://{}{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort], url.path())
            }
            _ => self.database_url.clone(),
        }
    }
}

/// Checks the URL of another system's database.
///
/// # Errors
/// What it must be.
pub fn check_database_url(text: &str) -> Result<(), &'static str> {
    database_url(text).map(|_| ())
}

/// Environment variables that look like settings and are none: most likely mistyped, and what was meant is not in force.
#[must_use]
pub fn unknown_settings(command: &clap::Command) -> Vec<String> {
    let known = settings(command);
    let given = std::env::vars_os().map(|(name, _)| name);
    let unknown = given.filter(|name| !known.contains(&name.as_os_str()));
    unknown.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("CLAVIGER_")).collect()
}

/// The environment variables of a command and of its subcommands.
fn settings(command: &clap::Command) -> Vec<&std::ffi::OsStr> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    own.chain(command.get_subcommands().flat_map(settings)).collect()
}

#[cfg(test)]
mod tests;
