//! Shutdown: requests that have begun are completed.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use harness::{
    MAX_WAIT, Process, TestApp, TestDatabase, wait_until_blocking, wait_until_read, wait_until_read_blocking, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_request_whose_first_byte_was_read_is_completed() {
    let app = TestApp::start().await;
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let mut buffer = vec![0; 4_096];
    // A first request, so that the connection is kept alive.
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!(within("a response", stream.read(&mut buffer)).await.expect("answered") > 0);
    stream.write_all(b"GET /hea").await.expect("sent");
    let server = app.address();
    wait_until_read(&stream, server).await;
    let mut stop = Box::pin(app.stop());
    assert!(futures_util::poll!(stop.as_mut()).is_pending(), "it waits for the rest of the head");
    tokio::task::yield_now().await;
    assert!(tokio::net::TcpStream::connect(server).await.is_err() || futures_util::poll!(stop.as_mut()).is_pending());
    stream.write_all(b"lth/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("still open");
    let mut answer = String::new();
    within("a response", stream.read_to_string(&mut answer)).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let (completed, _) = within("the end", stop).await;
    assert!(completed);
}

#[tokio::test]
async fn requests_with_a_partial_body_are_completed_and_idle_connections_closed() {
    let app = TestApp::start().await;
    let mut idle = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let mut buffer = vec![0; 4_096];
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!(within("a response", idle.read(&mut buffer)).await.expect("answered") > 0);
    let mut busy = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let body = br#"{"user_name":"n","user_email":"a@example.com"}"#;
    let head = format!("POST /auth/create-key HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    busy.write_all(head.as_bytes()).await.expect("sent");
    wait_until_read(&busy, app.address()).await;
    let mut stop = Box::pin(app.stop());
    assert!(futures_util::poll!(stop.as_mut()).is_pending());
    let mut end = Vec::new();
    within("the idle connection to be closed", idle.read_to_end(&mut end)).await.expect("closed in order");
    assert!(end.is_empty());
    busy.write_all(body).await.expect("still open");
    let mut answer = String::new();
    within("a response", busy.read_to_string(&mut answer)).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(within("the end", stop).await.0);
}

/// An HTTP/2 connection that is open and idle.
async fn idle_http2(app: &TestApp) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    // The preface with empty settings, and the acknowledgement of the server's (RFC 9113 §3.4, §6.5).
    let settings = |flags: u8| [0, 0, 0, 4, flags, 0, 0, 0, 0];
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings(0)].concat()).await.expect("sent");
    let mut buffer = vec![0; 4_096];
    assert!(within("the server's settings", stream.read(&mut buffer)).await.expect("sent") > 0);
    stream.write_all(&settings(1)).await.expect("sent");
    wait_until_read(&stream, app.address()).await;
    stream
}

#[tokio::test]
async fn an_http2_client_that_ignores_the_last_ping_does_not_delay_the_shutdown() {
    let app = TestApp::start().await;
    let mut stream = idle_http2(&app).await;
    let mut frames = Vec::new();
    let both = async { futures_util::join!(app.stop(), stream.read_to_end(&mut frames)) };
    let ((completed, _), read) = within("the end", both).await;
    assert!(completed, "the shutdown does not take until its time limit");
    assert!(read.is_ok() && frames.len() > 9, "the client got a GOAWAY: {frames:?}");
}

#[tokio::test]
async fn an_idle_http2_connection_does_not_delay_the_shutdown() {
    let app = TestApp::start().await;
    let mut stream = idle_http2(&app).await;
    // The server sends GOAWAY and a ping that every client acknowledges (RFC 9113 §6.8).
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
    let ((completed, _), ()) = within("the end", async { futures_util::join!(app.stop(), client) }).await;
    assert!(completed);
}

/// Sends requests one after the other on one connection until it is closed. Counts complete responses.
fn load(address: SocketAddr, answers: &AtomicU64) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(MAX_WAIT)).expect("a time limit");
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
fn sigterm_under_load_completes_all_requests_and_exits_with_0() {
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
    wait_until_blocking("500 responses", || {
        let count = answers.load(Ordering::SeqCst);
        (count >= 500).then_some(()).ok_or(count)
    });
    process.signal("TERM");
    for client in clients {
        client.join().expect("no answer was cut off");
    }
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let served = log.lines().filter(|line| line.contains("\"operation\":\"checkApiKey\"")).count() as u64;
    assert_eq!(served, answers.load(Ordering::SeqCst), "every request that was begun reached its client");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let mut stream = TcpStream::connect(process.address).expect("a connection");
    stream.write_all(b"POST /auth/create-key HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n").expect("sent");
    wait_until_read_blocking(&stream, process.address);
    process.signal("TERM");
    // The listener is closed first: then the first signal has arrived.
    wait_until_blocking("the listener to close", || {
        TcpStream::connect(process.address).map_or(Ok(()), |_| Err("it accepts connections"))
    });
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopped; running requests were aborted"), "{log}");
}
