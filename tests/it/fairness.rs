//! Connections: everybody has a share, nobody keeps a place without using it, and health checks never wait.

use std::time::Duration;

use harness::TestApp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// Longer than anything here takes; it only ends a test that would not end.
const ENOUGH: Duration = Duration::from_mins(1);

/// A service with so many places, where clients have a second for what they usually have 30 seconds for.
async fn hasty(connections: usize) -> TestApp {
    TestApp::start_with(|config| {
        config.max_connections = connections;
        config.client_time = Duration::from_secs(1);
    })
    .await
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.address()).await.expect("a connection")
}

/// What a connection that is closed after its answer says to a `GET`.
async fn get(app: &TestApp, path: &str) -> String {
    let mut stream = connect(app).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    // A connection may have been accepted to be closed at once, while others come in.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks until there is an ordinary place.
async fn wait_for_place(app: &TestApp) {
    let found = async { while !get(app, "/nothing").await.starts_with("HTTP/1.1 404 ") {} };
    tokio::time::timeout(ENOUGH, found).await.expect("a place becomes free");
}

/// A connection on which a request is worked on, until its body is complete.
async fn busy(app: &TestApp) -> TcpStream {
    let mut stream = connect(app).await;
    let head = "POST /auth/create-key HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let is_full = async { while !get(app, "/nothing").await.starts_with("HTTP/1.1 503 ") {} };
    tokio::time::timeout(ENOUGH, is_full).await.expect("it takes the place");
    stream
}

#[tokio::test]
async fn a_health_check_is_answered_in_a_full_house() {
    let app = TestApp::start_with(|config| config.max_connections = 1).await;
    let mut only = busy(&app).await;
    for _ in 0..200 {
        let answer = get(&app, "/health/live").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    // Nothing else is, whatever connects and asks for nothing.
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&app).await);
    }
    assert!(get(&app, "/health/ready").await.starts_with("HTTP/1.1 200 "));
    let answer = get(&app, "/auth/check-key").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.contains("\"success\":false"), "in the contract's words: {answer}");
    only.write_all(b"}").await.expect("sent");
    let mut answer = String::new();
    only.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 400 "), "the request that has the place is answered: {answer}");
    wait_for_place(&app).await;
}

#[tokio::test]
async fn an_idle_connection_makes_room() {
    // Its own time limit would not end the idle connection before the test gives up.
    let app = TestApp::start_with(|config| {
        config.max_connections = 1;
        config.client_time = ENOUGH + Duration::from_secs(10);
    })
    .await;
    let mut idle = connect(&app).await;
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut buffer = vec![0; 4_096];
    assert!(idle.read(&mut buffer).await.expect("answered") > 0);
    wait_for_place(&app).await;
    assert_eq!(idle.read(&mut buffer).await.expect("closed in order"), 0);
}

#[tokio::test]
async fn who_does_not_read_an_answer_loses_the_place() {
    let app = hasty(1).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut deaf = socket.connect(app.address()).await.expect("a connection");
    // More than the operating system takes for us: tens of megabytes.
    let request = "GET /docs HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);
    deaf.write_all(request.as_bytes()).await.expect("sent");
    let mut buffer = vec![0; 65_536];
    // The first answer has begun; from now on nothing is read.
    let mut answers = usize::from(deaf.read(&mut buffer[..100]).await.expect("answered") > 0);
    wait_for_place(&app).await;
    while let Ok(count) = deaf.read(&mut buffer).await
        && count > 0
    {
        answers += buffer[..count].windows(12).filter(|bytes| bytes == b"HTTP/1.1 200").count();
    }
    assert!(answers < 40, "the connection was ended in the middle of the answers");
}

/// An HTTP/2 client that gives each answer this window. Its connection answers pings, and is driven by the second part.
async fn http2(
    app: &TestApp,
    window: u32,
) -> (h2::client::SendRequest<&'static [u8]>, impl Future<Output = Result<(), h2::Error>> + use<>) {
    let stream = connect(app).await;
    h2::client::Builder::new().initial_window_size(window).handshake(stream).await.expect("a connection")
}

/// Reads the heads of answers and not their bodies, and goes on to ask for what has none: the connection is not idle.
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
async fn an_http2_connection_that_only_answers_pings_is_ended() {
    let app = hasty(10).await;
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
            () = idle => unreachable!("it goes on for ever"),
        }
    };
    let ended = tokio::time::timeout(ENOUGH, ended).await.expect("it is ended");
    assert!(ended.is_ok(), "in order: {ended:?}");
}

#[tokio::test]
async fn answers_without_a_window_are_ended_while_the_connection_is_used() {
    // None at all, and one that takes a part of a small answer: its rest waits in the protocol's own memory.
    for (window, path) in [(0, "/docs"), (0, "/health/live"), (1, "/health/live"), (20_000, "/docs")] {
        let app = hasty(10).await;
        let (client, connection) = http2(&app, window).await;
        let ended = async {
            tokio::select! {
                ended = connection => ended,
                ended = leave_unread(client, path) => ended,
            }
        };
        let ended = tokio::time::timeout(ENOUGH, ended).await;
        assert!(ended.is_ok(), "with a window of {window} bytes for {path} it goes on");
    }
}

#[tokio::test]
async fn a_large_answer_comes_through_whole_on_both_protocols() {
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
    let bytes = tokio::select! {
        ended = connection => panic!("{ended:?}"),
        bytes = read => bytes,
    };
    assert!(bytes == whole.as_bytes());
}
