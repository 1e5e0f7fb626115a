//! The state of a TCP connection on this machine, from the kernel.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::wait::{wait_until, wait_until_blocking};

/// Waits until the program at `server` has read everything that was sent on `client`. Linux only.
///
/// # Panics
/// After [`crate::MAX_WAIT`]; if `/proc` cannot be read.
pub async fn wait_until_read(client: &TcpStream, server: SocketAddr) {
    let client = client.local_addr().expect("bound");
    wait_until("the service to read", async || is_read(client, server).then_some(()).ok_or("unread")).await;
}

/// As [`wait_until_read`], for code that is not async.
///
/// # Panics
/// As [`wait_until_read`].
pub fn wait_until_read_blocking(client: &std::net::TcpStream, server: SocketAddr) {
    let client = client.local_addr().expect("bound");
    wait_until_blocking("the service to read", || is_read(client, server).then_some(()).ok_or("unread"));
}

/// Whether the program at `server` has read everything that was sent from `client`. Linux only.
///
/// # Panics
/// `/proc` cannot be read.
fn is_read(client: SocketAddr, server: SocketAddr) -> bool {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let queue = |from: SocketAddr, to: SocketAddr| {
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields[1].ends_with(&port(from)) && fields[2].ends_with(&port(to))).then(|| fields[4].to_owned())
        })
    };
    let sent = queue(client, server).is_some_and(|queue| queue.starts_with("00000000"));
    let read = queue(server, client).is_some_and(|queue| queue.ends_with("00000000"));
    sent && read
}
