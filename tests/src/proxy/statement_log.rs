//! A proxy to PostgreSQL that records what the service sends: the statements, and how many bytes it sends before it waits for the
//! server.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a client sends before it waits for the server.
#[derive(Clone, Debug)]
pub struct Burst {
    /// The number of the connection.
    pub connection: usize,
    /// All bytes.
    pub bytes: usize,
    /// The statement that is executed. Empty if one is only prepared.
    pub statement: String,
}

/// Forwards connections to a server, and records them. Without TLS.
pub struct StatementLog {
    /// The address that it listens on.
    pub address: SocketAddr,
    bursts: Arc<Mutex<Vec<Burst>>>,
}

impl StatementLog {
    /// A proxy to `target`.
    ///
    /// # Panics
    /// No port is free.
    pub async fn of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bursts = Arc::<Mutex<Vec<Burst>>>::default();
        let recorded = bursts.clone();
        spawn(async move {
            let mut connection = 0;
            while let Ok((client, _)) = listener.accept().await {
                connection += 1;
                let reader = Reader { connection, bursts: recorded.clone(), ..Reader::default() };
                spawn(async move {
                    // An error is the end of a connection.
                    let _ = forward(client, target, reader).await;
                });
            }
        });
        Self { address, bursts }
    }

    /// Takes what was recorded since the last call, in the order in which it was sent.
    #[must_use]
    pub fn take(&self) -> Vec<Burst> {
        std::mem::take(&mut *lock(&self.bursts))
    }
}

async fn forward(client: TcpStream, target: SocketAddr, mut reader: Reader) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let sent = async {
        let mut buffer = vec![0; 65_536];
        loop {
            let count = from_client.read(&mut buffer).await?;
            if count == 0 {
                return Ok::<_, io::Error>(());
            }
            reader.read(&buffer[..count]);
            to_server.write_all(&buffer[..count]).await?;
        }
    };
    tokio::select! {
        outcome = sent => outcome,
        outcome = tokio::io::copy(&mut from_server, &mut to_client) => outcome.map(|_| ()),
    }
}

/// Reads the messages of a client of PostgreSQL's protocol, version 3.
#[derive(Default)]
struct Reader {
    connection: usize,
    bursts: Arc<Mutex<Vec<Burst>>>,
    unread: Vec<u8>,
    /// Whether the first message with the user's name was read. It and those before have no type.
    has_started: bool,
    prepared: HashMap<Vec<u8>, String>,
    bytes: usize,
    statement: String,
}

/// The codes of messages without a type that ask for encryption; the message with the user's name follows.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];

impl Reader {
    fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        loop {
            let begin = usize::from(self.has_started);
            let Some(length) = self.unread.get(begin..begin + 4) else { return };
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = begin + usize::try_from(length).expect("a length");
            if self.unread.len() < end {
                return;
            }
            let message: Vec<u8> = self.unread.drain(..end).collect();
            if self.has_started {
                self.message(&message);
            } else {
                let code = u32::from_be_bytes(message[4..8].try_into().expect("four bytes"));
                self.has_started = !ENCRYPTION_REQUESTS.contains(&code);
            }
        }
    }

    fn message(&mut self, message: &[u8]) {
        self.bytes += message.len();
        let mut strings = message[5..].split(|byte| *byte == 0);
        let mut text = || strings.next().unwrap_or_default().to_vec();
        match message[0] {
            // Parse: the name and the text of a statement.
            b'P' => {
                let name = text();
                self.prepared.insert(name, String::from_utf8_lossy(&text()).into_owned());
            }
            // Bind: the names of a portal and of a statement.
            b'B' => {
                text();
                self.statement = self.prepared.get(&text()).cloned().unwrap_or_default();
            }
            b'Q' => self.statement = String::from_utf8_lossy(&text()).into_owned(),
            _ => {}
        }
        // Query and Sync: the client waits.
        if matches!(message[0], b'Q' | b'S') {
            let burst = Burst {
                connection: self.connection,
                bytes: std::mem::take(&mut self.bytes),
                statement: std::mem::take(&mut self.statement),
            };
            lock(&self.bursts).push(burst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a proxy ends with the runtime of its test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
