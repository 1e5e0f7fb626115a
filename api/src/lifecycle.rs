//! From the settings to a serving process, and from the signal to its end.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use domain::{Outage, clock::Timestamp};
use futures_util::future::OptionFuture;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    compose::{self, Claim, DatabaseError, Services, World},
    config::{Config, MetricsAt, SignUp},
    heads,
    jwt::keyring::{Keyring, Opened},
    lists::Lists,
    places::{Limits, RESERVED},
    process, server, tally,
};

/// How long the last writes may take once the requests have ended; a database that is away must not keep the process.
const CLOSE_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How much longer than its parts the whole end may take, before the process is ended whatever it does.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Connections that have come and wait for a place.
const BACKLOG: u32 = 1_024;

/// Files that are open beside the connections of clients and of the database: the log, the database's files, and what is read
/// now and then.
const OTHER_FILES: u64 = 100;

/// Connections of those who collect figures.
const METRICS_CONNECTIONS: usize = 100;

/// A service that runs.
pub struct Running {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where the figures are, if they have an address of their own.
    pub metrics_address: Option<SocketAddr>,
    stop: CancellationToken,
    abort: CancellationToken,
    server: JoinHandle<()>,
    services: Services,
    /// Let go of last: until then this process writes.
    claim: Claim,
    shutdown_timeout: Duration,
}

/// Why the service does not run.
#[derive(Debug)]
pub enum StartError {
    /// The database is not there, or not for us.
    Database(DatabaseError),
    /// The keys to sign with are not to be had.
    SigningKeys(io::Error),
    /// The address is not to be had.
    Listen(SocketAddr, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => write!(f, "cannot use the database {error}"),
            Self::SigningKeys(error) => write!(f, "cannot use the signing keys: {error}"),
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

/// Starts the service. When this returns it answers requests.
pub async fn start(config: &Config, world: World) -> Result<Running, StartError> {
    // First, so that a start with an address that is taken changes nothing. Clients are let in last.
    let socket = bind(config.listen)?;
    let metrics = match config.metrics {
        MetricsAt::Address(wanted) => Some((wanted, bind(wanted)?)),
        MetricsAt::Service | MetricsAt::Nowhere => None,
    };
    let claim = compose::claim(config)?;
    let keys = Keyring::open(&compose::signing_keys(config), &config.public_origin, &*world.entropy);
    let Opened { keyring, made_at } = keys.map_err(StartError::SigningKeys)?;
    let keyring = keyring.map(Arc::new);
    let services = Box::pin(compose::services(config, world)).await?;
    services.start_retention(keyring.clone());
    let (listener, address) = listen(config.listen, socket)?;
    let metrics = metrics.map(|(wanted, socket)| listen(wanted, socket)).transpose()?;
    let max_connections = connections_that_fit(config, process::raise_open_files());
    tracing::info!(target: "claviger", %address, "listening");
    tracing::info!(target: "claviger", database = config.database_shown(), "database");
    tracing::info!(target: "claviger", version = compose::schema_version(), "schema");
    let mode = match config.sign_up {
        SignUp::Open => "open",
        SignUp::Closed => "closed",
    };
    tracing::info!(target: "claviger", mode, "sign-up");
    let signing = match (&keyring, made_at) {
        (None, _) => "not configured: no sessions, no tokens".to_owned(),
        (Some(_), None) => "configured".to_owned(),
        (Some(_), Some(path)) => format!("there was none, a new one was made: {}", path.display()),
    };
    tracing::info!(target: "claviger", signing, "signing key");
    for provider in &config.providers {
        let (issuer, claim) = (&provider.issuer.name, provider.claims.permissions());
        let required = provider.issuer.requires_permissions;
        tracing::info!(target: "claviger", issuer, claim, required, "identity provider, and its claim for permissions");
    }
    if let Some(path) = compose::readable_by_others(config) {
        let path = path.display().to_string();
        tracing::warn!(target: "claviger", path, "other users can read the database file: chmod 600");
    }
    let edge = app::edge(&services, config, keyring.clone());
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let limits =
        |connections| Limits { connections, client_time: config.client_time, proxies: config.trusted_proxies.clone() };
    let serving = server::serve(listener, edge, limits(max_connections), stop.clone(), abort.clone());
    let metrics_address = metrics.as_ref().map(|(_, address)| *address);
    let metrics = metrics.map(|(listener, address)| {
        tracing::info!(target: "claviger", %address, "metrics");
        let edge = app::metrics(&services, config);
        server::serve(listener, edge, limits(METRICS_CONNECTIONS), stop.clone(), abort.clone())
    });
    let drained = CancellationToken::new();
    let heads = heads::tell(services.audit.clone(), keyring, services.clock.clone(), drained.clone());
    let report = tally::report(vec![services.native.clone(), services.athena.clone()], drained.clone());
    let serving = async move {
        let both = async move {
            tokio::join!(serving, OptionFuture::from(metrics));
            drained.cancel();
        };
        tokio::join!(both, report, heads);
    };
    #[expect(clippy::disallowed_methods, reason = "the handle is kept, and waited for at the end")]
    let server = tokio::spawn(serving);
    Ok(Running {
        address,
        metrics_address,
        stop,
        abort,
        server,
        services,
        claim,
        shutdown_timeout: config.shutdown_timeout,
    })
}

/// Takes an address. Nobody can connect to it yet.
fn bind(wanted: SocketAddr) -> Result<TcpSocket, StartError> {
    let bind = || {
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // The address can be taken although connections of the last process are not quite over.
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        Ok(socket)
    };
    bind().map_err(|error| StartError::Listen(wanted, error))
}

/// Lets clients connect.
fn listen(wanted: SocketAddr, socket: TcpSocket) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(wanted, error);
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// How many connections can be served at once with so many open files; without a file left over, the database and the log
/// would suffer, too.
fn connections_that_fit(config: &Config, open_files: u64) -> usize {
    let metrics = if matches!(config.metrics, MetricsAt::Address(_)) { METRICS_CONNECTIONS + RESERVED } else { 0 };
    let others = OTHER_FILES + u64::from(config.database_connections) + (RESERVED + metrics) as u64;
    let fit = open_files.saturating_sub(others).max(open_files / 2).max(1);
    let fit = usize::try_from(fit).unwrap_or(usize::MAX);
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
    /// Ends the service: what has begun is answered, then the database is let go. `false`: some requests did not end in
    /// time and were cut off, or the last writes were not made.
    pub async fn stop(mut self) -> bool {
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

    /// Forgets the keys that are remembered, after a change that was not made through this process.
    pub fn forget_everything(&self) {
        self.services.forget_everything();
    }

    /// Purges what is over at this moment, as is done each minute, without holding what is unusual.
    ///
    /// # Errors
    /// The database is away.
    pub async fn purge(&self, now: Timestamp) -> Result<(), Outage> {
        self.services.purge(now).await
    }

    /// The places for reads of many rows.
    #[must_use]
    pub fn lists(&self) -> &Lists {
        &self.services.lists
    }

    /// Waits for the end of the server, or of a worker behind it, which only a defect brings about.
    async fn broken(&mut self) {
        tokio::select! {
            _ = &mut self.server => {}
            () = self.services.broken() => {}
        }
    }
}

/// How long the end may take, from the signal on.
#[must_use]
pub fn stop_time_limit(config: &Config) -> Duration {
    config.shutdown_timeout.saturating_add(CLOSE_TIME_LIMIT).saturating_add(STOP_MARGIN)
}

/// Serves until `stop`. `true`: everything ended in order.
pub async fn run(config: &Config, world: World, stop: CancellationToken) -> Result<bool, StartError> {
    let mut running = tokio::select! {
        started = start(config, world) => started?,
        // Nothing has begun that would have to be finished.
        () = stop.cancelled() => return Ok(true),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = running.broken() => {
            tracing::error!(target: "claviger", "a part of the service ended by itself");
            return Ok(false);
        }
    }
    tracing::info!(target: "claviger", "stopping: finishing what has begun");
    let drained = running.stop().await;
    if drained {
        tracing::info!(target: "claviger", "stopped");
    } else {
        tracing::warn!(target: "claviger", "stopped with requests cut off");
    }
    Ok(drained)
}
