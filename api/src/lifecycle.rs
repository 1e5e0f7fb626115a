//! From the settings to a serving process, and from the signal to its end.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::OptionFuture;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app,
    compose::{self, Claim, DatabaseError, Services, World},
    config::{Config, MetricsAt, SignUp},
    heads,
    jwt::keyring::Keyring,
    server, tally,
};

/// How long the last writes may take once the requests have ended; a database that is away must not keep the process.
const CLOSE_TIME_LIMIT: Duration = Duration::from_secs(10);

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
    let claim = compose::claim(config)?;
    let keys = Keyring::open(&compose::signing_keys(config), &config.public_origin, &*world.entropy);
    let keyring = keys.map_err(StartError::SigningKeys)?.map(Arc::new);
    let services = compose::services(config, world).await?;
    services.start_retention(keyring.clone());
    let (listener, address) = listen(config.listen).await?;
    let metrics = match config.metrics {
        MetricsAt::Address(wanted) => Some(listen(wanted).await?),
        MetricsAt::Service | MetricsAt::Nowhere => None,
    };
    tracing::info!(target: "claviger", %address, "listening");
    tracing::info!(target: "claviger", database = config.database_shown(), "database");
    tracing::info!(target: "claviger", version = compose::schema_version(), "schema");
    let mode = match config.sign_up {
        SignUp::Open => "open",
        SignUp::Closed => "closed",
    };
    tracing::info!(target: "claviger", mode, "sign-up");
    let signing = if keyring.is_some() { "configured" } else { "not configured: no sessions, no tokens" };
    tracing::info!(target: "claviger", signing, "signing key");
    let edge = app::edge(&services, config, keyring.clone());
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let serving = server::serve(listener, edge, config.max_connections, stop.clone(), abort.clone());
    let metrics_address = metrics.as_ref().map(|(_, address)| *address);
    let metrics = metrics.map(|(listener, address)| {
        tracing::info!(target: "claviger", %address, "metrics");
        let edge = app::metrics(&services, config);
        server::serve(listener, edge, METRICS_CONNECTIONS, stop.clone(), abort.clone())
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

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(wanted, error);
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
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

    /// Waits for the end of the server, or of a worker behind it, which only a defect brings about.
    async fn broken(&mut self) {
        tokio::select! {
            _ = &mut self.server => {}
            () = self.services.broken() => {}
        }
    }
}

/// Serves until SIGTERM or SIGINT; a second signal ends the process without waiting. `true`: everything ended in order.
pub async fn run(config: &Config, world: World) -> Result<bool, StartError> {
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    let mut running = tokio::select! {
        started = start(config, world) => started?,
        // Nothing has begun that would have to be finished.
        _ = terminate.recv() => return Ok(true),
        _ = interrupt.recv() => return Ok(true),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = running.broken() => {
            tracing::error!(target: "claviger", "a part of the service ended by itself");
            return Ok(false);
        }
    }
    tracing::info!(target: "claviger", "stopping: finishing what has begun");
    let drained = tokio::select! {
        drained = running.stop() => drained,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    };
    if drained {
        tracing::info!(target: "claviger", "stopped");
    } else {
        tracing::warn!(target: "claviger", "stopped with requests cut off");
    }
    Ok(drained)
}
