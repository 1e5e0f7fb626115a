//! The table of all settings: name, type, parser, environment variable, default, and the text of `--help`.

use std::{convert::Infallible, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{ArgMatches, Args};
use domain::bounds::Bounds;

use super::{
    CLIENT_TIMEOUT, ConfigErrors, MetricsAt, SignUpMode,
    database_url::database_url,
    is_given,
    values::{
        MIB, cors_origins, duration, gateway_secret, log_filter, metrics_at, networks, number, optional_socket_address,
        path, public_url, rate_or_off, retention, session_limit, session_time, shutdown_delay, sign_up, socket_address,
        staleness_bound, switch,
    },
};
use crate::{
    auth::jwt::issuers::Provider,
    forward_auth::GatewaySecret,
    http::{
        body::budget,
        client_ip::TrustedProxies,
        origin::{PublicUrl, cors::CorsOrigins},
    },
};

/// A value, or what it must be. For clap parsing never fails, because clap would stop at the first error and print the value.
#[derive(Clone, Debug)]
pub(super) struct Checked<T>(pub(super) Result<T, String>);

fn checked<T>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<Checked<T>, Infallible> + Clone {
    move |text| Ok(Checked(parse(text)))
}

/// Generates from one table the command line ([`Arguments`]) and the checked settings ([`Config`]). A row is a field of
/// both: its documentation, which `--help` shows, its type, the function that parses it, and clap's attributes. Rows are in
/// the groups of `--help`. With `or file`, which all secrets and lists have, the value can also be in a file: see
/// [`super::setting_file`].
macro_rules! settings {
    (
        $(
            group $group:literal;
            $(
                $(#[$doc:meta])+
                $name:ident: $type:ty = $parse:expr,
                env = $env:literal $(or file $file:ident)? $(, $key:ident = $text:literal)+;
            )+
        )+
        computed: $( $(#[$computed_doc:meta])+ $computed:ident: $computed_type:ty = $value:expr; )+
    ) => {
        /// The settings from flags and environment variables, parsed but not checked.
        #[derive(Args, Clone)]
        pub struct Arguments {
            $($(
                $(#[$doc])+
                #[arg(
                    long, env = $env, hide_env_values = true, global = true, help_heading = $group,
                    value_parser = checked::<$type>($parse) $(, $key = $text)+
                )]
                pub(super) $name: Checked<$type>,
                $(
                    #[arg(
                        help = concat!("File that contains the value of ", $env), long, env = concat!($env, "_FILE"),
                        hide_env_values = true, global = true, help_heading = $group,
                        value_parser = checked::<Option<PathBuf>>(path), value_name = "PATH", default_value = "",
                        hide_default_value = true
                    )]
                    pub(super) $file: Checked<Option<PathBuf>>,
                )?
            )+)+
        }

        /// The checked settings.
        #[derive(Clone)]
        pub struct Config {
            $($( $(#[$doc])+ pub $name: $type, )+)+
            $( $(#[$computed_doc])+ pub $computed: $computed_type, )+
        }

        impl Arguments {
            /// The values of all settings. Adds errors to `errors`, with the name of the environment variable.
            pub(super) fn values(&self, matches: &ArgMatches, errors: &mut ConfigErrors) -> Option<Config> {
                $($(
                    let $name = {
                        let value = errors.value($env, self.$name.0.clone());
                        $(
                            let value = match &self.$file.0 {
                                Ok(Some(path)) => {
                                    errors.value_in_file($env, is_given(matches, stringify!($name)), path, $parse)
                                }
                                Ok(None) if is_given(matches, stringify!($file)) => errors.no_file($env),
                                _ => value,
                            };
                        )?
                        value
                    };
                )+)+
                Some(Config { $($( $name: $name?, )+)+ $( $computed: $value, )+ })
            }
        }
    };
}

settings! {
    group "Network";
    /// Address and port to serve on
    listen: SocketAddr = socket_address,
        env = "CLAVIGER_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080";
    /// Address and port to serve only /metrics on, or `off` [default: /metrics of the service, for clients on this
    /// machine]
    metrics: MetricsAt = metrics_at,
        env = "CLAVIGER_METRICS_LISTEN", long = "metrics-listen", value_name = "ADDRESS", default_value = "",
        hide_default_value = true;
    /// File with the certificate chain (PEM) to serve https with, that of the service first; `CLAVIGER_TLS_KEY_FILE` is
    /// needed, too
    tls_cert_file: Option<PathBuf> = path,
        env = "CLAVIGER_TLS_CERT_FILE", value_name = "PATH", default_value = "", hide_default_value = true;
    /// File with the private key (PEM) of the certificate, which other users cannot read
    tls_key_file: Option<PathBuf> = path,
        env = "CLAVIGER_TLS_KEY_FILE", value_name = "PATH", default_value = "", hide_default_value = true;
    group "Database";
    /// URL of the database: `sqlite://path` or `postgres://user:password@host/database`
    database_url: String = database_url,
        env = "CLAVIGER_DATABASE_URL" or file database_url_file, value_name = "URL",
        default_value = "sqlite://claviger.db";
    /// Maximum connections to PostgreSQL, at least 5; SQLite always has one for writing and six for reading
    database_connections: u32 = number(5..=1_000),
        env = "CLAVIGER_DATABASE_CONNECTIONS", value_name = "N", default_value = "10";
    /// How long to wait for the database before it is considered unavailable
    database_timeout: Duration = duration,
        env = "CLAVIGER_DATABASE_TIMEOUT", value_name = "DURATION", default_value = "5s";
    /// On PostgreSQL: how long a revoked key can stay valid on a node that is cut off from the changes of other nodes
    staleness_bound: Duration = staleness_bound,
        env = "CLAVIGER_STALENESS_BOUND", value_name = "DURATION", default_value = "2s";
    group "Key cache";
    /// Maximum number of keys in the cache, at about 200 bytes each; 0: no cache
    cache_keys: usize = number(0..=1_000_000_000),
        env = "CLAVIGER_CACHE_KEYS", value_name = "N", default_value = "1000000";
    /// Maximum memory of the cache in MiB, including the keys' metadata
    cache_bytes: usize = |text: &str| number(1..=1_048_576)(text).map(|mib: usize| mib * MIB),
        env = "CLAVIGER_CACHE_MIB", long = "cache-mib", value_name = "N", default_value = "512";
    group "Limits of organizations";
    /// Maximum keys per organization, unless the platform sets another limit for it
    max_api_keys: u64 = number(1..=1_000_000_000),
        env = "CLAVIGER_MAX_API_KEYS", value_name = "N", default_value = "1000000";
    /// Maximum members per organization, unless the platform sets another limit for it
    max_members: u64 = number(1..=1_000_000_000),
        env = "CLAVIGER_MAX_MEMBERS", value_name = "N", default_value = "10000";
    /// Maximum permission sets per organization, unless the platform sets another limit for it
    max_permission_sets: u64 = number(1..=1_000_000_000),
        env = "CLAVIGER_MAX_PERMISSION_SETS", value_name = "N", default_value = "1000";
    /// Maximum changes per organization and hour; each is an event in its audit log. Deletions are still possible
    /// beyond it
    // One request can make a thousand changes.
    max_changes: u64 = number(1_000..=1_000_000_000),
        env = "CLAVIGER_MAX_CHANGES", value_name = "N", default_value = "1000000";
    group "Retention";
    /// How long deleted keys can be restored; 0s: they are removed at once
    deleted_keys_kept: Duration = retention,
        env = "CLAVIGER_DELETED_KEYS_KEPT", value_name = "DURATION", default_value = "30days";
    /// How long the platform can restore deleted organizations; 0s: they are removed at once
    deleted_organizations_kept: Duration = retention,
        env = "CLAVIGER_DELETED_ORGANIZATIONS_KEPT", value_name = "DURATION", default_value = "7days";
    /// Retention of the audit log
    audit_kept: Duration = retention,
        env = "CLAVIGER_AUDIT_KEPT", value_name = "DURATION", default_value = "400days";
    /// Retention of the hourly usage counts
    usage_kept: Duration = retention,
        env = "CLAVIGER_USAGE_KEPT", value_name = "DURATION", default_value = "90days";
    group "Access";
    /// Serve the dashboard at /: `on` or `off`
    dashboard: bool = switch,
        env = "CLAVIGER_DASHBOARD", value_name = "MODE", default_value = "on";
    /// Whether anyone can sign up: `open` or `closed` [default: open if the listen address and the public origin
    /// are of this machine and no proxy is trusted, otherwise closed]
    sign_up: SignUpMode = sign_up,
        env = "CLAVIGER_SIGNUP", long = "signup", value_name = "MODE", default_value = "",
        hide_default_value = true;
    /// Maximum sign-up attempts per minute and client IP address
    sign_up_rate: u32 = number(1..=1_000_000),
        env = "CLAVIGER_SIGNUP_RATE", long = "signup-rate", value_name = "N", default_value = "10";
    /// Maximum failed authentications per minute and client IP address; further ones, and keys that are not cached, are
    /// rejected
    auth_failure_rate: u32 = number(1..=1_000_000),
        env = "CLAVIGER_AUTH_FAILURE_RATE", value_name = "N", default_value = "100";
    /// Maximum management requests per second, organization and node, or `off`: unlimited
    management_rate: Option<NonZeroU32> = rate_or_off,
        env = "CLAVIGER_MANAGEMENT_RATE", value_name = "N", default_value = "off";
    /// Networks of proxies whose X-Forwarded-For or Forwarded is trusted, separated by commas: `10.0.0.0/8,::1`
    trusted_proxies: TrustedProxies = networks,
        env = "CLAVIGER_TRUSTED_PROXIES" or file trusted_proxies_file, value_name = "NETWORKS", default_value = "",
        hide_default_value = true;
    /// URL at which clients reach the service, with its path if it is below one [default: `http://`, or with TLS
    /// `https://`, and the listen address, if that is a loopback address]
    public_url: Option<PublicUrl> = public_url,
        env = "CLAVIGER_PUBLIC_ORIGIN", long = "public-origin", value_name = "URL", default_value = "",
        hide_default_value = true;
    /// Origins whose pages can call the API from a browser, separated by commas: `https://app.example.com`,
    /// `https://*.example.com`; `*`: all
    cors_origins: CorsOrigins = cors_origins,
        env = "CLAVIGER_CORS_ORIGINS" or file cors_origins_file, value_name = "ORIGINS", default_value = "",
        hide_default_value = true;
    /// File that lists the identity providers whose access tokens are accepted
    issuers_file: Option<PathBuf> = path,
        env = "CLAVIGER_ISSUERS_FILE", value_name = "PATH", default_value = "",
        hide_default_value = true;
    /// Maximum duration of a session
    session_time: Duration = session_limit,
        env = "CLAVIGER_SESSION_TIME", value_name = "DURATION", default_value = "12h";
    /// How long a session can be unused before it ends
    session_idle_time: Duration = session_limit,
        env = "CLAVIGER_SESSION_IDLE_TIME", value_name = "DURATION", default_value = "2h";
    /// Duration of a session that is created with a token of an identity provider, at most 12h, but at least until the
    /// token expires; 0s: it expires with the token
    provider_session_time: Duration = session_time,
        env = "CLAVIGER_PROVIDER_SESSION_TIME", value_name = "DURATION", default_value = "0s";
    /// File with the keys that sign sessions and tokens [default: with SQLite, created beside the database]
    signing_key_file: Option<PathBuf> = path,
        env = "CLAVIGER_SIGNING_KEY_FILE", value_name = "PATH", default_value = "",
        hide_default_value = true;
    group "Forward-auth";
    /// Answer the requests of gateways at /forward-auth: `on` or `off`
    forward_auth: bool = switch,
        env = "CLAVIGER_FORWARD_AUTH", value_name = "MODE", default_value = "on";
    /// Address and port to serve only /forward-auth and /health on; then the other address does not serve /forward-auth
    /// [default: /forward-auth of the service]
    forward_auth_listen: Option<SocketAddr> = optional_socket_address,
        env = "CLAVIGER_FORWARD_AUTH_LISTEN", value_name = "ADDRESS", default_value = "", hide_default_value = true;
    /// Secret of at least 32 characters that gateways must send in the header Claviger-Gateway [default: none is needed,
    /// and the header is refused]
    forward_auth_secret: Option<GatewaySecret> = gateway_secret,
        env = "CLAVIGER_FORWARD_AUTH_SECRET" or file forward_auth_secret_file, value_name = "SECRET",
        default_value = "", hide_default_value = true;
    /// Address and port to answer Envoy's checks over gRPC (envoy.service.auth.v3.Authorization) on, and /health
    /// [default: they are not answered]
    ext_authz_listen: Option<SocketAddr> = optional_socket_address,
        env = "CLAVIGER_EXT_AUTHZ_LISTEN", value_name = "ADDRESS", default_value = "", hide_default_value = true;
    group "Process";
    /// Maximum duration of a request
    request_timeout: Duration = duration,
        env = "CLAVIGER_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "30s";
    /// Maximum concurrent connections, at most half of them from one client IP address
    max_connections: usize = number(1..=1_000_000),
        env = "CLAVIGER_MAX_CONNECTIONS", value_name = "N", default_value = "10000";
    /// How long to continue serving after the signal to stop, so that load balancers notice that the service is not ready
    shutdown_delay: Duration = shutdown_delay,
        env = "CLAVIGER_SHUTDOWN_DELAY", value_name = "DURATION", default_value = "0s";
    /// How long to wait for running requests after that
    shutdown_timeout: Duration = duration,
        env = "CLAVIGER_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "30s";
    /// What to log: a level, or levels by target (`warn`, `claviger=debug`)
    log: String = log_filter,
        env = "CLAVIGER_LOG", value_name = "FILTER", default_value = "info";

    computed:
    /// The identity providers that `issuers_file` lists.
    providers: Vec<Provider> = Vec::new();
    /// Service-wide limits on stored rows. Not a setting.
    bounds: Bounds = Bounds::default();
    /// How long a client may take to send a head, to send the next request, and to take a part of an answer. Not a
    /// setting.
    client_timeout: Duration = CLIENT_TIMEOUT;
    /// Bytes of large request bodies held at once. Not a setting.
    body_budget: usize = budget::DEFAULT_LARGE_BUDGET;
}
