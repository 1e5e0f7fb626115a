//! The settings as an operator writes them: names, defaults and the words of `--help`. What is right is checked elsewhere.

use clap::Args;

/// The settings as they are written, by flag or by environment variable.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings")]
pub struct Arguments {
    /// Address and port to serve on
    #[arg(long, env = "CLAVIGER_LISTEN", global = true, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Address and port for /metrics alone, or `off` [default: at /metrics of the service, for clients on this machine]
    #[arg(long, env = "CLAVIGER_METRICS_LISTEN", global = true, value_name = "ADDRESS", default_value = "")]
    pub metrics_listen: String,
    /// The database: `sqlite://path` or `postgres://user:password@host/database`
    #[arg(
        long,
        env = "CLAVIGER_DATABASE_URL",
        global = true,
        value_name = "URL",
        hide_env_values = true,
        default_value = "sqlite://claviger.db"
    )]
    pub database_url: String,
    /// Connections to PostgreSQL; SQLite always has one for writing and four for reading
    #[arg(long, env = "CLAVIGER_DATABASE_CONNECTIONS", global = true, value_name = "N", default_value = "10")]
    pub database_connections: String,
    /// How long to wait for the database before it counts as away
    #[arg(long, env = "CLAVIGER_DATABASE_TIMEOUT", global = true, value_name = "DURATION", default_value = "5s")]
    pub database_timeout: String,
    /// On PostgreSQL: how long a revoked key may live on a node that is cut off from the changes of the others
    #[arg(long, env = "CLAVIGER_STALENESS_BOUND", global = true, value_name = "DURATION", default_value = "2s")]
    pub staleness_bound: String,
    /// Keys to remember in memory, at about 200 bytes each; 0: none
    #[arg(long, env = "CLAVIGER_CACHE_KEYS", global = true, value_name = "N", default_value = "1000000")]
    pub cache_keys: String,
    /// Mebibytes that remembered keys may take, however large their metadata is
    #[arg(long, env = "CLAVIGER_CACHE_MIB", global = true, value_name = "N", default_value = "512")]
    pub cache_mib: String,
    /// Keys that an organization may have, unless the platform says otherwise for it
    #[arg(long, env = "CLAVIGER_MAX_KEYS", global = true, value_name = "N", default_value = "1000000")]
    pub max_keys: String,
    /// Members that an organization may have, unless the platform says otherwise for it
    #[arg(long, env = "CLAVIGER_MAX_MEMBERS", global = true, value_name = "N", default_value = "10000")]
    pub max_members: String,
    /// Permission sets that an organization may have, unless the platform says otherwise for it
    #[arg(long, env = "CLAVIGER_MAX_PERMISSION_SETS", global = true, value_name = "N", default_value = "1000")]
    pub max_permission_sets: String,
    /// Changes that an organization may make in an hour, each of which is an event of its log
    #[arg(long, env = "CLAVIGER_MAX_CHANGES", global = true, value_name = "N", default_value = "1000000")]
    pub max_changes: String,
    /// How long a deleted key can be restored; 0s: it is gone at once
    #[arg(long, env = "CLAVIGER_DELETED_KEYS_KEPT", global = true, value_name = "DURATION", default_value = "30days")]
    pub deleted_keys_kept: String,
    /// How long the log of changes is kept
    #[arg(long, env = "CLAVIGER_AUDIT_KEPT", global = true, value_name = "DURATION", default_value = "400days")]
    pub audit_kept: String,
    /// How long the counts of verifies by hour are kept
    #[arg(long, env = "CLAVIGER_USAGE_KEPT", global = true, value_name = "DURATION", default_value = "90days")]
    pub usage_kept: String,
    /// The dashboard at /: `on` or `off`
    #[arg(long, env = "CLAVIGER_DASHBOARD", global = true, value_name = "MODE", default_value = "on")]
    pub dashboard: String,
    /// Whether anyone may sign up: `open` or `closed`
    #[arg(long, env = "CLAVIGER_SIGNUP", global = true, value_name = "MODE", default_value = "open")]
    pub signup: String,
    /// Attempts to sign up, from one client address in a minute
    #[arg(long, env = "CLAVIGER_SIGNUP_RATE", global = true, value_name = "N", default_value = "10")]
    pub signup_rate: String,
    /// Failed authentications, from one client address in a minute, after which it has to wait
    #[arg(long, env = "CLAVIGER_AUTH_FAILURE_RATE", global = true, value_name = "N", default_value = "100")]
    pub auth_failure_rate: String,
    /// Requests that may manage one organization, in a second and on one node, or `off`: any number
    #[arg(long, env = "CLAVIGER_MANAGEMENT_RATE", global = true, value_name = "N", default_value = "off")]
    pub management_rate: String,
    /// Networks of proxies whose X-Forwarded-For is believed, separated by commas: `10.0.0.0/8,::1`
    #[arg(long, env = "CLAVIGER_TRUSTED_PROXIES", global = true, value_name = "NETWORKS", default_value = "")]
    pub trusted_proxies: String,
    /// The origin that browsers reach the service at [default: `http://` and the listen address]
    #[arg(long, env = "CLAVIGER_PUBLIC_ORIGIN", global = true, value_name = "ORIGIN", default_value = "")]
    pub public_origin: String,
    /// A file that lists the identity providers whose access tokens are taken
    #[arg(long, env = "CLAVIGER_ISSUERS_FILE", global = true, value_name = "PATH", default_value = "")]
    pub issuers_file: String,
    /// A file with the keys that sessions and tokens are signed with [default: with SQLite, made beside the database]
    #[arg(long, env = "CLAVIGER_SIGNING_KEY_FILE", global = true, value_name = "PATH", default_value = "")]
    pub signing_key_file: String,
    /// How long an answer may take
    #[arg(long, env = "CLAVIGER_REQUEST_TIMEOUT", global = true, value_name = "DURATION", default_value = "30s")]
    pub request_timeout: String,
    /// Connections to serve at once, at most half of them from one client address
    #[arg(long, env = "CLAVIGER_MAX_CONNECTIONS", global = true, value_name = "N", default_value = "10000")]
    pub max_connections: String,
    /// How long running requests may take to end after the signal to stop
    #[arg(long, env = "CLAVIGER_SHUTDOWN_TIMEOUT", global = true, value_name = "DURATION", default_value = "30s")]
    pub shutdown_timeout: String,
    /// What to log: a level, or levels by target (`warn`, `claviger=debug`)
    #[arg(long, env = "CLAVIGER_LOG", global = true, value_name = "FILTER", default_value = "info")]
    pub log: String,
}
