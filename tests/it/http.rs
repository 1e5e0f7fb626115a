//! HTTP: rules for all requests and responses, whatever the operation.

pub(crate) mod bodies;
pub(crate) mod edge;
pub(crate) mod heads;
pub(crate) mod if_match;
pub(crate) mod queries;

use harness::{TestApp, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes on a connection of their own, and returns everything that the service answers until it closes the connection.
pub(crate) async fn raw(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    let _ = within("a response", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
