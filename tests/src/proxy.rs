//! A way to the database server that a test can cut and mend.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to one address while it is whole.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// A proxy to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let whole = Arc::new(watch::Sender::new(true));
        let state = whole.clone();
        spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut whole = state.subscribe();
                if *whole.borrow() {
                    spawn(async move {
                        let Ok(mut server) = TcpStream::connect(target).await else { return };
                        tokio::select! {
                            _ = copy_bidirectional(&mut client, &mut server) => {}
                            _ = whole.wait_for(|whole| !whole) => {}
                        }
                    });
                }
            }
        });
        Self { address, whole }
    }

    /// Breaks all connections off and takes no new ones.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Forwards again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy ends with the runtime of its test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
