//! The end: what has begun is answered.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use harness::{Process, TestApp, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whether everything that was sent from `client` to `server` has been taken in by the program there.
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

#[tokio::test]
async fn a_request_whose_first_byte_was_read_is_answered() {
    let app = TestApp::start().await;
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let mut buffer = vec![0; 4_096];
    // A first request, so that the connection is a kept-alive one.
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!(stream.read(&mut buffer).await.expect("answered") > 0);
    stream.write_all(b"GET /hea").await.expect("sent");
    let (client, server) = (stream.local_addr().expect("bound"), app.address());
    while !is_read(client, server) {
        tokio::task::yield_now().await;
    }
    let mut stop = Box::pin(app.stop());
    assert!(futures_util::poll!(stop.as_mut()).is_pending(), "it waits for the rest of the head");
    tokio::task::yield_now().await;
    assert!(tokio::net::TcpStream::connect(server).await.is_err() || futures_util::poll!(stop.as_mut()).is_pending());
    stream.write_all(b"lth/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("still open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let (drained, _) = stop.await;
    assert!(drained);
}

#[tokio::test]
async fn a_request_in_its_body_is_answered_and_an_idle_connection_closed() {
    let app = TestApp::start().await;
    let mut idle = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let mut buffer = vec![0; 4_096];
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!(idle.read(&mut buffer).await.expect("answered") > 0);
    let mut busy = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let body = br#"{"user_name":"n","user_email":"a@example.com"}"#;
    let head = format!("POST /auth/create-key HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    busy.write_all(head.as_bytes()).await.expect("sent");
    while !is_read(busy.local_addr().expect("bound"), app.address()) {
        tokio::task::yield_now().await;
    }
    let mut stop = Box::pin(app.stop());
    assert!(futures_util::poll!(stop.as_mut()).is_pending());
    let mut end = Vec::new();
    idle.read_to_end(&mut end).await.expect("closed in order");
    assert!(end.is_empty());
    busy.write_all(body).await.expect("still open");
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(stop.await.0);
}

#[tokio::test]
async fn an_idle_http2_connection_holds_up_nothing() {
    let app = TestApp::start().await;
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    // The preface with empty settings, and the acknowledgement of the server's (RFC 9113 §3.4, §6.5).
    let settings = |flags: u8| [0, 0, 0, 4, flags, 0, 0, 0, 0];
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings(0)].concat()).await.expect("sent");
    let mut buffer = vec![0; 4_096];
    assert!(stream.read(&mut buffer).await.expect("the server's settings") > 0);
    stream.write_all(&settings(1)).await.expect("sent");
    while !is_read(stream.local_addr().expect("bound"), app.address()) {
        tokio::task::yield_now().await;
    }
    // The server says goodbye and asks with a ping whether that was heard (RFC 9113 §6.8); every client answers.
    let client = async {
        let mut frame = [0; 9];
        while stream.read_exact(&mut frame).await.is_ok() {
            let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
            stream.read_exact(&mut payload).await.expect("a whole frame");
            if frame[3..5] == [6, 0] {
                frame[4] = 1;
                stream.write_all(&[&frame[..], &payload].concat()).await.expect("sent");
            }
        }
    };
    let ((drained, _), ()) = futures_util::join!(app.stop(), client);
    assert!(drained);
}

/// Sends requests one after the other on one connection until it ends. Counts whole answers.
fn load(address: SocketAddr, answers: &AtomicU64) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut buffer = [0; 4_096];
    loop {
        if stream.write_all(b"GET /auth/check-key HTTP/1.1\r\nhost: x\r\nx-api-key: x\r\n\r\n").is_err() {
            return;
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\"data\":null}") {
            match stream.read(&mut buffer) {
                Ok(count) if count > 0 => answer.extend_from_slice(&buffer[..count]),
                _ => {
                    assert!(answer.is_empty(), "an answer was cut off: {}", String::from_utf8_lossy(&answer));
                    return;
                }
            }
        }
        answers.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn sigterm_under_load_drops_nothing_and_exits_with_zero() {
    let database = TestDatabase::sqlite();
    let process =
        Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_AUTH_FAILURE_RATE", "1000000")]);
    let answers = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (address, answers) = (process.address, answers.clone());
            std::thread::spawn(move || load(address, &answers))
        })
        .collect();
    while answers.load(Ordering::SeqCst) < 500 {
        std::thread::yield_now();
    }
    process.signal("TERM");
    for client in clients {
        client.join().expect("no answer was cut off");
    }
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let served = log.lines().filter(|line| line.contains("\"operation\":\"checkKey\"")).count() as u64;
    assert_eq!(served, answers.load(Ordering::SeqCst), "every request that was begun reached its client");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let mut stream = TcpStream::connect(process.address).expect("a connection");
    stream.write_all(b"POST /auth/create-key HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n").expect("sent");
    while !is_read(stream.local_addr().expect("bound"), process.address) {
        std::thread::yield_now();
    }
    process.signal("TERM");
    // The listener goes first: once it is gone, the first signal has been heard.
    while TcpStream::connect(process.address).is_ok() {
        std::thread::yield_now();
    }
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped with requests cut off"), "{log}");
}
