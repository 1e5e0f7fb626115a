//! A proxy to the database server that a test can cut, block and slow down: for all connections, or for those of the change
//! feed.

pub(crate) mod statement_log;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How bytes are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// At once.
    #[default]
    Whole,
    /// After a delay.
    Slow(Duration),
    /// Not at all: connections are closed, also new ones.
    Cut,
    /// Not at all, but connections stay open. A connection that has lost bytes forwards no more, also after
    /// [`Proxy::restore`].
    Lost,
}

/// When the connection is closed on which the next `COMMIT` is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitCut {
    /// Before the server receives it.
    Before,
    /// When the server has responded, before the client receives the response.
    After,
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    all: Flow,
    feed: Flow,
    commit: Option<CommitCut>,
}

/// The simple query of PostgreSQL's protocol with which drivers commit.
const COMMIT: &[u8] = b"COMMIT\0";

/// Forwards connections to one address.
pub struct Proxy {
    /// The address that it listens on.
    pub address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    max: AtomicUsize,
}

impl Proxy {
    /// A proxy to `target`. Without TLS, because it recognizes the connections of the change feed by their bytes.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (way, counts) = (Arc::new(watch::Sender::new(Way::default())), Arc::new(Counts::default()));
        let (ways, counting) = (way.clone(), counts.clone());
        spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let connection = Connection { way: ways.clone(), is_feed: Arc::default(), is_ending: Arc::default() };
                let counts = counting.clone();
                spawn(async move {
                    let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.max.fetch_max(open, Ordering::SeqCst);
                    let _ = connection.forward(client, target).await;
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, way, counts }
    }

    /// Forwards all connections like this.
    pub fn all(&self, flow: Flow) {
        self.way.send_modify(|way| way.all = flow);
    }

    /// Forwards the change feed like this, and other connections at once.
    pub fn feed(&self, flow: Flow) {
        self.way.send_modify(|way| *way = Way { feed: flow, ..Way::default() });
    }

    /// Closes the connection on which the next transaction is committed.
    pub fn cut_at_commit(&self, cut: CommitCut) {
        self.way.send_modify(|way| way.commit = Some(cut));
    }

    /// Whether [`Proxy::cut_at_commit`] has not closed a connection yet.
    #[must_use]
    pub fn is_commit_awaited(&self) -> bool {
        self.way.borrow().commit.is_some()
    }

    /// Forwards all connections at once again.
    pub fn restore(&self) {
        self.way.send_replace(Way::default());
    }

    /// The largest number of concurrent connections since the last call.
    #[must_use]
    pub fn take_max_connections(&self) -> usize {
        self.counts.max.swap(self.counts.open.load(Ordering::SeqCst), Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Connection {
    way: Arc<watch::Sender<Way>>,
    is_feed: Arc<AtomicBool>,
    /// Whether it is closed with the next bytes of the server.
    is_ending: Arc<AtomicBool>,
}

impl Connection {
    async fn forward(self, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        client.set_nodelay(true)?;
        let server = TcpStream::connect(target).await?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let mut ways = self.way.subscribe();
        tokio::select! {
            outcome = self.pump(from_client, to_server, true) => outcome,
            outcome = self.pump(from_server, to_client, false) => outcome,
            _ = ways.wait_for(|way| self.flow(*way) == Flow::Cut) => Ok(()),
        }
    }

    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_from_client: bool,
    ) -> io::Result<()> {
        let (mut buffer, mut is_lost) = (vec![0; 65_536], false);
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            if buffer[..count].windows(6).any(|bytes| bytes == b"LISTEN") {
                self.is_feed.store(true, Ordering::SeqCst);
            }
            if !is_from_client && self.is_ending.load(Ordering::SeqCst) {
                return Ok(());
            }
            if is_from_client && buffer[..count].windows(COMMIT.len()).any(|bytes| bytes == COMMIT) {
                let mut cut = None;
                self.way.send_modify(|way| cut = way.commit.take());
                match cut {
                    Some(CommitCut::Before) => return Ok(()),
                    Some(CommitCut::After) => self.is_ending.store(true, Ordering::SeqCst),
                    None => {}
                }
            }
            let way = *self.way.borrow();
            match self.flow(way) {
                Flow::Whole => {}
                Flow::Slow(time) => tokio::time::sleep(time).await,
                Flow::Cut => return Ok(()),
                Flow::Lost => is_lost = true,
            }
            // Bytes after a gap would be malformed. The end of the sender is still noticed.
            if is_lost {
                continue;
            }
            to.write_all(&buffer[..count]).await?;
        }
    }

    fn flow(&self, way: Way) -> Flow {
        if self.is_feed.load(Ordering::SeqCst) && way.feed != Flow::Whole { way.feed } else { way.all }
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy ends with the runtime of its test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
