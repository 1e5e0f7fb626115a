//! The command `claviger check-gateway`. The URL of forward-auth itself stands for an API behind a gateway: both answer requests
//! without a valid key in the same way.

use std::{io, process::Output};

use harness::{Process, TestApp};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::path;

async fn check(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<String> = std::iter::once(&"check-gateway").chain(arguments).map(ToString::to_string).collect();
    let run = move || -> Output { Process::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[]) };
    let output = tokio::task::spawn_blocking(run).await.expect("it ran");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test]
async fn a_gateway_that_refuses_what_it_must_is_right() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let url = format!("{}{}", app.base(), path(&tenant, ""));
    let (code, text) = check(&[&url, "--key", tenant.admin.bearer()]).await;
    assert_eq!(code, Some(0), "{text}");
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(line("  no key: ").starts_with("ok ") && line("  a wrong key: ").starts_with("ok "), "{text}");
    assert!(line("forged Claviger-Gateway").starts_with("ok "), "{text}");
    // The answers of forward-auth are for gateways: a visitor must not get the identity headers.
    assert!(line("  a valid key: ").starts_with("note ") && line("preflight").starts_with("note "), "{text}");
    assert!(line("  an upgrade to h2c ").starts_with("ok "), "{text}");
    assert!(!text.contains("WRONG") && !text.contains(tenant.admin.bearer()), "{text}");
    let (code, text) = check(&[&app.base(), "--path", &path(&tenant, "?allow_anonymous_options=true")]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("not checked; give one with --key"), "{text}");
}

/// A gateway that refuses every request but `OPTIONS`, in front of an API that answers it with this status. With 101, only an
/// upgrade gets it.
async fn serve(listener: TcpListener, status: u16) -> io::Error {
    loop {
        let mut stream = match listener.accept().await {
            Ok((stream, _)) => BufReader::new(stream),
            Err(error) => return error,
        };
        let (mut line, mut is_options, mut is_upgrade) = (String::new(), false, false);
        while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
            is_options |= line.starts_with("OPTIONS ");
            is_upgrade |= line.eq_ignore_ascii_case("upgrade: h2c\r\n");
            line.clear();
        }
        let status = if status == 101 {
            if is_upgrade { 101 } else { 401 }
        } else if is_options {
            status
        } else {
            401
        };
        if status == 101 {
            let _ = stream.write_all(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n").await;
            continue;
        }
        let fields = "www-authenticate: Bearer\r\ncontent-length: 0\r\nconnection: close";
        let answer = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn an_api_without_options_is_not_wrong() {
    for (status, expected, code) in [
        (405, "the API does not answer OPTIONS", 0),
        (501, "the API does not answer OPTIONS", 0),
        (500, "set on_limit=403", 1),
        (503, "cannot reach Claviger or the API", 1),
    ] {
        let (found, text) = check_served("http", async |listener| serve(listener, status).await).await;
        assert_eq!(found, Some(code), "{status}: {text}");
        assert!(text.contains(expected), "{status}: {text}");
        assert_eq!(text.contains("nginx"), status == 500, "{text}");
    }
}

/// What the command says about a gateway, and its exit code.
async fn check_served(scheme: &str, serve: impl AsyncFnOnce(TcpListener) -> io::Error) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
    let arguments = [url.as_str()];
    tokio::select! {
        checked = check(&arguments) => checked,
        error = serve(listener) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_upgrade_to_another_protocol_is_wrong() {
    let (code, text) = check_served("http", async |listener| serve(listener, 101).await).await;
    assert_eq!(code, Some(1), "{text}");
    let line =
        text.lines().find(|line| line.contains("an upgrade to h2c (OPTIONS)")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("WRONG") && line.contains("101;") && line.contains("tunnel"), "{text}");
    assert_eq!(text.matches("WRONG").count(), 1, "{text}");
}

/// A gateway whose Claviger does not answer.
async fn serve_unavailable(listener: TcpListener) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let answer = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let mut stream = BufReader::new(stream);
                while stream.read_line(&mut String::new()).await.is_ok_and(|count| count > 2) {}
            }
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn an_outage_is_reported_once() {
    for (code, text) in [check_served("http", serve_unavailable).await, check(&["http://127.0.0.1:1"]).await] {
        assert_eq!(code, Some(1), "{text}");
        assert_eq!(text.matches("WRONG").count(), 1, "{text}");
        assert!(text.contains("the other requests: not sent") && text.lines().count() == 2, "{text}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_named() {
    let app = TestApp::start().await;
    let url = app.base().replace("http://", "https://");
    let (code, text) = check(&[&url]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("port {} does not use TLS: write http://", app.address().port())), "{text}");
    assert_eq!(text.matches("WRONG").count(), 1, "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_a_gateway_is_named() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let url = |path: &str| format!("{}{path}", app.base());
    for (arguments, expected) in [
        (vec![url("/health/live")], "answers without a valid key"),
        (vec![url("/nothing")], "says nothing about keys"),
        (vec![url(&path(&tenant, "?permissions=x"))], "A parameter is unknown"),
        (vec![url(&path(&tenant, "")), "--key".to_owned(), other.admin.bearer().to_owned()], "(invalid_key)"),
        (vec!["http://127.0.0.1:1".to_owned()], "no response"),
    ] {
        let (code, text) = check(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("WRONG") && text.contains(expected), "{expected}: {text}");
    }
    for arguments in [&["api.example"][..], &["http://x", "--path", "v1"], &["http://x", "--key", " "], &[]] {
        assert_eq!(check(arguments).await, (Some(2), String::new()), "{arguments:?}");
    }
}
