//! Limits of connections: each client has a share, idle and stalled connections are closed, and health checks never wait.

use std::time::Duration;

use harness::{MAX_WAIT, TestApp, wait_until, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// A service for this many connections, whose clients have 1 second instead of 30 seconds.
async fn start_with_short_client_time(connections: usize) -> TestApp {
    TestApp::start_with(|config| {
        config.max_connections = connections;
        config.client_timeout = Duration::from_secs(1);
    })
    .await
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.address()).await.expect("a connection")
}

/// The response to a `GET` on its own connection.
async fn get(app: &TestApp, path: &str) -> String {
    let mut stream = connect(app).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    // A connection may be closed without a response while others are accepted.
    let _ = within("a response", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until a `GET` of a path that does not exist has this status.
async fn wait_for(app: &TestApp, status: &str) {
    wait_until(&format!("the status {status}"), async || {
        let answer = get(app, "/nothing").await;
        answer.starts_with(&format!("HTTP/1.1 {status} ")).then_some(()).ok_or(answer)
    })
    .await;
}

/// Waits until there is a place for another connection.
async fn wait_for_place(app: &TestApp) {
    wait_for(app, "404").await;
}

/// A connection with a request whose body is not complete. It takes the last place.
async fn busy(app: &TestApp) -> TcpStream {
    let mut stream = connect(app).await;
    let head = "POST /auth/create-key HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("sent");
    wait_for(app, "503").await;
    stream
}

#[tokio::test]
async fn health_checks_are_answered_without_free_connections() {
    let app = TestApp::start_with(|config| config.max_connections = 1).await;
    let mut only = busy(&app).await;
    for _ in 0..200 {
        let answer = get(&app, "/health/live").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    // Also with idle connections, other requests are refused.
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&app).await);
    }
    assert!(get(&app, "/health/ready").await.starts_with("HTTP/1.1 200 "));
    let answer = get(&app, "/auth/check-key").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\"success\":false"), "in the form of the contract: {answer}");
    only.write_all(b"}").await.expect("sent");
    let mut answer = String::new();
    within("a response", only.read_to_string(&mut answer)).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 400 "), "the request on the only connection is answered: {answer}");
    wait_for_place(&app).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_for_a_new_one() {
    // With this time limit the idle connection does not end by itself before the test does.
    let app = TestApp::start_with(|config| {
        config.max_connections = 1;
        config.client_timeout = 2 * MAX_WAIT;
    })
    .await;
    let mut idle = connect(&app).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut buffer = vec![0; 4_096];
    assert!(within("a response", idle.read(&mut buffer)).await.expect("answered") > 0);
    wait_for_place(&app).await;
    assert_eq!(within("the idle connection to be closed", idle.read(&mut buffer)).await.expect("closed in order"), 0);
}

#[tokio::test]
async fn a_connection_that_does_not_read_responses_is_closed() {
    let app = start_with_short_client_time(1).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut not_reading = socket.connect(app.address()).await.expect("a connection");
    // More than the operating system buffers: tens of megabytes.
    let request = "GET /docs HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
    not_reading.write_all(request.as_bytes()).await.expect("sent");
    let mut buffer = vec![0; 65_536];
    // The first response has begun. From now on nothing is read.
    let begun = within("the first response", not_reading.read(&mut buffer[..100])).await.expect("answered");
    let mut answers = usize::from(begun > 0);
    wait_for_place(&app).await;
    while let Ok(count) = within("the rest", not_reading.read(&mut buffer)).await
        && count > 0
    {
        answers += buffer[..count].windows(12).filter(|bytes| bytes == b"HTTP/1.1 200").count();
    }
    assert!(answers < 40, "the connection was closed before all responses were sent");
}

/// An HTTP/2 client with this window for each response, and the future that drives its connection and answers pings.
async fn http2(
    app: &TestApp,
    window: u32,
) -> (h2::client::SendRequest<&'static [u8]>, impl Future<Output = Result<(), h2::Error>> + use<>) {
    let stream = connect(app).await;
    h2::client::Builder::new().initial_window_size(window).handshake(stream).await.expect("a connection")
}

/// Reads the heads of responses but not their bodies, and then sends requests without a response body: the connection is not
/// idle.
async fn leave_unread(mut client: h2::client::SendRequest<&'static [u8]>, path: &str) -> Result<(), h2::Error> {
    let mut unread = Vec::new();
    for _ in 0..20 {
        client = client.ready().await?;
        let (answer, _) = client.send_request(request(path), true)?;
        unread.push(answer.await?.into_body());
    }
    let head = || hyper::Request::head("http://x/health/live").body(()).expect("a request");
    loop {
        client = client.ready().await?;
        let (answer, _) = client.send_request(head(), true)?;
        answer.await?;
    }
}

fn request(path: &str) -> hyper::Request<()> {
    hyper::Request::get(format!("http://x{path}")).body(()).expect("a request")
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let app = start_with_short_client_time(10).await;
    let (client, connection) = http2(&app, 65_535).await;
    let idle = async {
        let mut client = client.ready().await.expect("ready");
        let (answer, _) = client.send_request(request("/health/live"), true).expect("sent");
        assert_eq!(answer.await.expect("answered").status(), 200);
        std::future::pending::<()>().await;
    };
    let ended = async {
        tokio::select! {
            ended = connection => ended,
            () = idle => unreachable!("it never ends"),
        }
    };
    let ended = within("the connection to be closed", ended).await;
    assert!(ended.is_ok(), "in order: {ended:?}");
}

#[tokio::test]
async fn an_http2_connection_has_at_most_100_requests_at_once() {
    let app = TestApp::start().await;
    let mut builder = h2::client::Builder::new();
    // What the client assumes until the service has said its maximum.
    builder.initial_max_send_streams(7);
    let (client, connection) = builder.handshake::<_, &[u8]>(connect(&app).await).await.expect("a connection");
    let request = async {
        let mut client = client.ready().await.expect("ready");
        let (answer, _) = client.send_request(request("/health/live"), true).expect("sent");
        assert_eq!(answer.await.expect("answered").status(), 200);
        client.current_max_send_streams()
    };
    let max = async {
        tokio::select! {
            ended = connection => panic!("{ended:?}"),
            max = request => max,
        }
    };
    assert_eq!(within("a response", max).await, 100);
}

#[tokio::test]
async fn http2_responses_without_a_window_end_the_connection() {
    // No window, and one for a part of a small response, whose rest is in the buffers of the protocol.
    for (window, path) in [(0, "/docs"), (0, "/health/live"), (1, "/health/live"), (20_000, "/docs")] {
        let app = start_with_short_client_time(10).await;
        let (client, connection) = http2(&app, window).await;
        let ended = async {
            tokio::select! {
                ended = connection => ended,
                ended = leave_unread(client, path) => ended,
            }
        };
        let _ = within(&format!("a connection with windows of {window} bytes for {path} to be closed"), ended).await;
    }
}

#[tokio::test]
async fn a_large_response_is_complete_on_both_protocols() {
    let app = TestApp::start().await;
    let whole = app.anyone().get("/docs").await.text;
    assert!(whole.len() > 500_000);
    let (client, connection) = http2(&app, 1_000).await;
    let read = async {
        let mut client = client.ready().await.expect("ready");
        let (answer, _) = client.send_request(request("/docs"), true).expect("sent");
        let answer = answer.await.expect("answered");
        assert_eq!(answer.headers()["content-length"], whole.len().to_string());
        let (mut body, mut bytes) = (answer.into_body(), Vec::new());
        while let Some(chunk) = body.data().await {
            let chunk = chunk.expect("a part");
            body.flow_control().release_capacity(chunk.len()).expect("taken");
            bytes.extend_from_slice(&chunk);
        }
        bytes
    };
    let whole_body = async {
        tokio::select! {
            ended = connection => panic!("{ended:?}"),
            bytes = read => bytes,
        }
    };
    let bytes = within("the whole response", whole_body).await;
    assert!(bytes == whole.as_bytes());
}
