//! Starts the service from the settings, and stops it gracefully.

mod reload;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use domain::{Outage, clock::Timestamp};
use futures_util::future::{self, OptionFuture};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    auth::jwt::keyring::{Keyring, OpenedKeyring},
    compose::{self, DatabaseError, Environment, ProcessLock, Services},
    config::{Config, MetricsAt, SignUpMode},
    forward_auth::Transport,
    http::list_slots::ListSlots,
    lifecycle::reload::Reloadable,
    process::{self, signals::Signals},
    server::{
        self,
        connection::{
            slots::{ConnectionLimits, RESERVED_SLOTS},
            tls::{Certificate, Tls},
        },
    },
    workers::{audit_checkpoints, verify_summary_log},
};

/// The time limit for the last writes, after the requests have ended: an unavailable database must not block the exit.
const CLOSE_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much longer than the sum of its steps a shutdown may take before the process exits without waiting.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The maximum number of connections that wait to be accepted (the backlog of `listen(2)`).
const BACKLOG: u32 = 1_024;

/// File descriptors for everything except the connections of clients and to PostgreSQL: the log, the files of SQLite, and
/// files that are read occasionally.
const OTHER_FILES: u64 = 100;

/// The maximum number of connections to the separate address of the metrics.
const METRICS_CONNECTIONS: usize = 100;

/// A running service.
pub struct Running {
    /// The address that it listens on; with port 0 in the settings, this has the port that was assigned.
    pub address: SocketAddr,
    /// The separate address of the metrics. `None`: they have none.
    pub metrics_address: Option<SocketAddr>,
    /// The separate address of forward-auth. `None`: it has none.
    pub forward_auth_address: Option<SocketAddr>,
    /// The address of Envoy's checks over gRPC. `None`: they are not answered.
    pub ext_authz_address: Option<SocketAddr>,
    stop: CancellationToken,
    abort: CancellationToken,
    server: JoinHandle<()>,
    services: Services,
    reloadable: Reloadable,
    /// Released last, because until then this process writes to the database.
    claim: ProcessLock,
    shutdown_timeout: Duration,
}

/// What there is for each separate address. `None`: it is not in the settings.
struct Separate<T> {
    metrics: Option<T>,
    forward_auth: Option<T>,
    ext_authz: Option<T>,
}

impl<T> Separate<T> {
    fn try_map<U>(self, mut map: impl FnMut(T) -> Result<U, StartError>) -> Result<Separate<U>, StartError> {
        Ok(Separate {
            metrics: self.metrics.map(&mut map).transpose()?,
            forward_auth: self.forward_auth.map(&mut map).transpose()?,
            ext_authz: self.ext_authz.map(&mut map).transpose()?,
        })
    }
}

/// Why the service could not start.
#[derive(Debug)]
pub enum StartError {
    /// The database cannot be opened, or another process serves it.
    Database(DatabaseError),
    /// The signing keys cannot be read or created.
    SigningKeys(io::Error),
    /// The certificate or its key cannot be used.
    Certificate(io::Error),
    /// The address cannot be bound.
    Listen(SocketAddr, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "cannot use the database: {error}"),
            Self::SigningKeys(error) => write!(f, "cannot use the signing keys: {error}"),
            Self::Certificate(error) => write!(f, "cannot use the certificate: {error}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<DatabaseError> for StartError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// Starts the service. When this returns, it accepts requests.
///
/// # Errors
/// The reason why it could not start; nothing is left running then.
pub async fn start(config: &Config, environment: Environment) -> Result<Running, StartError> {
    // First, so that a start with an address that is in use does not change the database. `listen` comes last, so that no client
    // connects to a service that is not ready.
    let socket = bind(config.listen)?;
    let others = Separate {
        metrics: metrics_address(config),
        forward_auth: config.forward_auth_address(),
        ext_authz: config.ext_authz_listen,
    };
    let others = others.try_map(|wanted| Ok((wanted, bind(wanted)?)))?;
    let tls = tls(config, environment.clock.now()).map_err(StartError::Certificate)?.map(Arc::new);
    let claim = compose::claim(config)?;
    let keys = Keyring::open(&compose::signing_keys(config), config.issuer().as_deref(), &*environment.entropy);
    let OpenedKeyring { keyring, created_file } = keys.map_err(StartError::SigningKeys)?;
    let keyring = keyring.map(Arc::new);
    let services = Box::pin(compose::services(config, environment)).await?;
    services.start_retention(keyring.clone());
    let (listener, address) = listen(config.listen, socket)?;
    let Separate { metrics, forward_auth, ext_authz } = others.try_map(|(wanted, socket)| listen(wanted, socket))?;
    let max_connections = limit_connections(config, process::raise_open_files());
    tracing::info!(target: "claviger", %address, "listening");
    tracing::info!(target: "claviger", database = config.database_url_without_secrets(), "database");
    tracing::info!(target: "claviger", version = compose::schema_version(), "schema");
    log_sign_up(config);
    let signing = match (&keyring, created_file) {
        (None, _) => "not configured: sessions and tokens are disabled".to_owned(),
        (Some(_), None) => "configured".to_owned(),
        (Some(_), Some(path)) => format!("created: {}", path.display()),
    };
    tracing::info!(target: "claviger", signing, "signing key");
    log_providers(config);
    if let Some(warning) = config.public_url_warning() {
        tracing::warn!(target: "claviger", "{warning}");
    }
    if let Some(path) = compose::readable_by_others(config) {
        let path = path.display().to_string();
        tracing::warn!(target: "claviger", path, "other users can read the database file: run chmod 600");
    }
    let authenticator = app::authenticator(&services, config, keyring.clone());
    let pipeline = app::pipeline(&services, config, &authenticator);
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let limits = |connections| ConnectionLimits {
        connections,
        client_timeout: config.client_timeout,
        proxies: config.trusted_proxies.clone(),
    };
    let acceptor = tls.as_ref().map(|tls| tls.acceptor());
    let serving =
        server::serve(listener, pipeline, acceptor.clone(), limits(max_connections), stop.clone(), abort.clone());
    let metrics_address = metrics.as_ref().map(|(_, address)| *address);
    let metrics = metrics.map(|(listener, address)| {
        tracing::info!(target: "claviger", %address, "metrics");
        let pipeline = app::metrics(&services, config);
        server::serve(listener, pipeline, None, limits(METRICS_CONNECTIONS), stop.clone(), abort.clone())
    });
    let forward_auth_address = forward_auth.as_ref().map(|(_, address)| *address);
    let forward_auth = forward_auth.map(|(listener, address)| {
        tracing::info!(target: "claviger", %address, "forward-auth");
        let pipeline = app::forward_auth(Transport::Http, &services, config, &authenticator);
        server::serve(listener, pipeline, acceptor.clone(), limits(max_connections), stop.clone(), abort.clone())
    });
    let ext_authz_address = ext_authz.as_ref().map(|(_, address)| *address);
    let ext_authz = ext_authz.map(|(listener, address)| {
        tracing::info!(target: "claviger", %address, "ext_authz");
        let pipeline = app::forward_auth(Transport::Grpc, &services, config, &authenticator);
        server::serve(listener, pipeline, acceptor, limits(max_connections), stop.clone(), abort.clone())
    });
    let drained = CancellationToken::new();
    let checkpoints = audit_checkpoints::sign(services.audit.clone(), keyring.clone(), drained.clone());
    let report = verify_summary_log::report(services.verifiers(), drained.clone());
    let serving = async move {
        let all = async move {
            let gateways = future::join(OptionFuture::from(forward_auth), OptionFuture::from(ext_authz));
            tokio::join!(serving, OptionFuture::from(metrics), gateways);
            drained.cancel();
        };
        tokio::join!(all, report, checkpoints);
    };
    #[expect(clippy::disallowed_methods, reason = "the handle is kept, and waited for at the end")]
    let server = tokio::spawn(serving);
    tracing::info!(target: "claviger", "{}", first_steps(config, address, keyring.is_some()));
    Ok(Running {
        address,
        metrics_address,
        forward_auth_address,
        ext_authz_address,
        stop,
        abort,
        server,
        services,
        reloadable: Reloadable { keyring, tls },
        claim,
        shutdown_timeout: config.shutdown_timeout,
    })
}

/// Logs whether users can sign up.
fn log_sign_up(config: &Config) {
    let mode = if config.is_sign_up_open() { "open" } else { "closed" };
    tracing::info!(target: "claviger", mode, "sign-up");
    if config.sign_up == SignUpMode::Automatic && !config.is_sign_up_open() {
        let message = "sign-up is closed, because clients on other machines can connect. CLAVIGER_SIGNUP=open opens it, \
                       CLAVIGER_SIGNUP=closed removes this warning; `claviger bootstrap` creates the first key";
        tracing::warn!(target: "claviger", "{message}");
    }
}

/// Logs the identity providers.
fn log_providers(config: &Config) {
    for provider in &config.providers {
        let (issuer, claim) = (&provider.issuer.name, provider.claims.permissions.to_string());
        let required = provider.issuer.requires_permissions;
        tracing::info!(target: "claviger", issuer, claim, required, "identity provider, with its permissions claim");
        if provider.keys.insecure_http {
            let message =
                "the keys of this identity provider may be read by http: anyone on the network path can replace them";
            tracing::warn!(target: "claviger", issuer, "{message}");
        }
    }
}

/// The TLS settings. `None`: the service does not use TLS.
fn tls(config: &Config, now: Timestamp) -> io::Result<Option<Tls>> {
    let certificate = config.certificate_files().map(|(certificates, key)| Certificate::read(certificates, key));
    certificate.transpose()?.map(|certificate| Tls::new(certificate, now)).transpose()
}

/// The last line of a start: where the service is, and how to get the first key. `can_sign_in`: whether there are signing keys, which
/// signing in to the dashboard needs.
fn first_steps(config: &Config, address: SocketAddr, can_sign_in: bool) -> String {
    let url = browser_url(config, address);
    let has_dashboard = config.dashboard && can_sign_in;
    let verb = if has_dashboard { "Open" } else { "Serving" };
    match (config.is_sign_up_open(), has_dashboard) {
        (true, true) => format!("{verb} {url} — no key yet? Sign up there."),
        (true, false) => format!("{verb} {url} — no key yet? Send POST {url}/auth/create-key."),
        (false, _) => format!("{verb} {url} — no key yet? Run `claviger bootstrap`."),
    }
}

/// The public URL. Without one, the service is reached by any name of this machine. A port that the system assigns is known only
/// now.
fn browser_url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.certificate_files().is_some() { "https" } else { "http" };
    match &config.public_url {
        Some(url) if config.listen.port() != 0 => url.issuer(),
        Some(url) if !url.is_this_machine() => url.issuer(),
        Some(_) => format!("{scheme}://{address}"),
        None => format!("{scheme}://localhost:{}", address.port()),
    }
}

/// Binds an address. Clients cannot connect before [`listen`].
fn bind(wanted: SocketAddr) -> Result<TcpSocket, StartError> {
    let bind = || {
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the previous process may still be in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        Ok(socket)
    };
    bind().map_err(|error| StartError::Listen(wanted, error))
}

/// Starts to accept connections, and returns the address with the assigned port.
fn listen(wanted: SocketAddr, socket: TcpSocket) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(wanted, error);
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The separate address of the metrics. `None`: they have none.
fn metrics_address(config: &Config) -> Option<SocketAddr> {
    match config.metrics {
        MetricsAt::Address(wanted) => Some(wanted),
        MetricsAt::Service | MetricsAt::Off => None,
    }
}

/// The maximum number of client connections for this limit of open files, at the address of the service and at each one that is
/// for gateways only. Without free file descriptors, the database and the log would fail, too.
fn limit_connections(config: &Config, open_files: u64) -> usize {
    let metrics = if metrics_address(config).is_some() { METRICS_CONNECTIONS + RESERVED_SLOTS } else { 0 };
    let others = OTHER_FILES + u64::from(config.database_connections) + (RESERVED_SLOTS + metrics) as u64;
    let fit = open_files.saturating_sub(others).max(open_files / 2).max(1);
    let gateways = [config.forward_auth_address(), config.ext_authz_listen].into_iter().flatten().count() as u64;
    let fit = fit.saturating_sub(gateways * RESERVED_SLOTS as u64) / (1 + gateways);
    let fit = usize::try_from(fit.max(1)).unwrap_or(usize::MAX);
    if fit < config.max_connections {
        let wanted = config.max_connections;
        tracing::warn!(
            target: "claviger", open_files, wanted, connections = fit,
            "the limit of open files is too low for CLAVIGER_MAX_CONNECTIONS: fewer connections are served at once; raise \
             the limit (ulimit -n, LimitNOFILE=), or lower the setting"
        );
    }
    fit.min(config.max_connections)
}

impl Running {
    /// From now on the service is not ready, but still serves.
    pub fn drain(&self) {
        self.services.draining.cancel();
    }

    /// Reads the issuers file, the signing keys and the certificate again. If one of them is wrong, nothing changes.
    pub async fn reload(&self, config: &Config) {
        self.reloadable.reload(config, &self.services).await;
    }

    /// Stops the service: waits for running requests, then closes the database. `false`: requests were aborted, or the last
    /// writes were not completed in time.
    pub async fn stop(mut self) -> bool {
        self.drain();
        self.stop.cancel();
        let drained = tokio::time::timeout(self.shutdown_timeout, &mut self.server).await.is_ok();
        if !drained {
            self.abort.cancel();
            let _ = (&mut self.server).await;
        }
        let closed = tokio::time::timeout(CLOSE_TIME_LIMIT, self.services.close()).await.is_ok();
        drop(self.claim);
        drained && closed
    }

    /// Empties the key cache, after a change that was not made through this process.
    pub fn invalidate_all(&self) {
        self.services.invalidate_all();
    }

    /// Purges the rows whose retention period has passed at `now`, as the service does every minute. Nothing is held.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn purge(&self, now: Timestamp) -> Result<(), Outage> {
        self.services.purge(now).await
    }

    /// Disables all keys that policies disable at `now`, as the service does every ten minutes. Returns how many.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn apply_key_policies(&self, now: Timestamp) -> Result<u64, Outage> {
        self.services.apply_key_policies(now).await
    }

    /// Signs checkpoints of the audit logs that have new events, as the service does every minute.
    pub async fn sign_checkpoints(&self) {
        if let Some(keyring) = &self.reloadable.keyring {
            audit_checkpoints::sign_now(&self.services.audit, keyring).await;
        }
    }

    /// Limits the lists that are read at the same time.
    #[must_use]
    pub fn lists(&self) -> &ListSlots {
        &self.services.lists
    }

    /// Waits until the server or a background task has ended without being stopped, which is a defect.
    async fn background_task_ended(&mut self) {
        tokio::select! {
            _ = &mut self.server => {}
            () = self.services.background_task_ended() => {}
        }
    }
}

/// The maximum duration of a shutdown, from the end of the delay to the exit of the process.
#[must_use]
pub fn stop_time_limit(config: &Config) -> Duration {
    config.shutdown_timeout.saturating_add(CLOSE_TIME_LIMIT).saturating_add(STOP_MARGIN)
}

/// Serves until the signals ask to stop. `true`: a graceful shutdown; `false`: requests were aborted, writes were lost, or a
/// background task failed.
///
/// # Errors
/// The service could not start.
pub async fn run(config: &Config, environment: Environment, signals: Signals) -> Result<bool, StartError> {
    let mut running = tokio::select! {
        started = start(config, environment) => started?,
        // No request was accepted yet, so there is nothing to wait for.
        () = signals.drain.cancelled() => return Ok(true),
    };
    let is_stopping = loop {
        tokio::select! {
            () = signals.drain.cancelled(), if !running.services.draining.is_cancelled() => {
                running.drain();
                if !config.shutdown_delay.is_zero() {
                    let message = "not ready; serving until CLAVIGER_SHUTDOWN_DELAY has passed or another signal arrives";
                    tracing::info!(target: "claviger", "{message}");
                }
            }
            () = signals.stop.cancelled() => break true,
            () = signals.reload.notified() => {
                // Reading a file may never end, for example on a network file system. That must not delay the shutdown.
                let is_draining = running.services.draining.is_cancelled();
                tokio::select! {
                    () = running.reload(config) => {}
                    () = signals.drain.cancelled(), if !is_draining => {}
                    () = signals.stop.cancelled() => {}
                }
            }
            () = running.background_task_ended() => break false,
        }
    };
    if !is_stopping {
        tracing::error!(target: "claviger", "a background task ended unexpectedly");
        return Ok(false);
    }
    tracing::info!(target: "claviger", "stopping: waiting for running requests");
    let drained = running.stop().await;
    if drained {
        tracing::info!(target: "claviger", "stopped");
    } else {
        tracing::warn!(target: "claviger", "stopped; running requests were aborted");
    }
    Ok(drained)
}
