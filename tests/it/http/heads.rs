//! The head of a request: `Host`, `Transfer-Encoding`, and methods that no operation has.

use harness::TestApp;

use crate::http::raw;

#[track_caller]
fn assert_refused(answer: &str, sentence: &str) {
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains(sentence), "{answer}");
}

#[tokio::test]
async fn a_request_has_one_host() {
    let app = TestApp::start().await;
    let key = app.tenant("Acme").await.admin.bearer().to_owned();
    let body = format!("{{\"key\":\"{key}\"}}");
    let verify = format!("x-api-key: {key}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // The operations for verification have a fast path.
    for (method, path, rest) in [
        ("GET", "/health/live", "\r\n"),
        ("GET", "/nothing", "\r\n"),
        ("GET", "/auth/check-key", "\r\n"),
        ("POST", "/api_keys/verify", verify.as_str()),
        ("POST", "/api/auth/api-key/verify", verify.as_str()),
    ] {
        let send = async |version: &str, headers: &str| {
            raw(&app, format!("{method} {path} {version}\r\nconnection: close\r\n{headers}{rest}").as_bytes()).await
        };
        for (headers, sentence) in [
            ("", "The header Host is missing; HTTP/1.1 requires it"),
            ("host: a\r\nhost: b\r\n", "The header Host was sent more than once; send one"),
            ("host: a\r\nhost: a\r\n", "The header Host was sent more than once; send one"),
            ("host: a b<>\"\r\n", "The header Host is not a host with an optional port"),
            ("host:\r\n", "The header Host is not a host with an optional port"),
        ] {
            assert_refused(&send("HTTP/1.1", headers).await, sentence);
        }
        for (version, headers) in
            [("HTTP/1.1", "host: keys.example:443\r\n"), ("HTTP/1.1", "host: [::1]\r\n"), ("HTTP/1.0", "")]
        {
            let answer = send(version, headers).await;
            let is_answered = ["200 ", "401 ", "404 "].iter().any(|status| answer[9..].starts_with(status));
            assert!(is_answered, "{path} {version} {headers}: {answer}");
        }
    }
    let native = raw(&app, b"GET /me HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(native.contains("\"reason\":\"malformed_request\""), "{native}");
    let livekit = raw(&app, b"GET /auth/check-key HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(livekit.contains("\"success\":false"), "{livekit}");
}

#[tokio::test]
async fn chunked_is_the_only_transfer_coding() {
    let app = TestApp::start().await;
    let send = async |coding: &str| {
        let head =
            format!("POST /auth/create-key HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: {coding}");
        raw(&app, format!("{head}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n").as_bytes()).await
    };
    for coding in ["gzip, chunked", "identity, chunked"] {
        assert_refused(&send(coding).await, "The only supported Transfer-Encoding is chunked");
    }
    assert!(send("gzip").await.starts_with("HTTP/1.1 400 "), "hyper refuses it");
    let answer = send("chunked").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("user_name"), "it is read: {answer}");
}

#[tokio::test]
async fn methods_that_no_operation_has_are_answered() {
    let app = TestApp::start().await;
    let all = "\r\nallow: ";
    let options = raw(&app, b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(options.starts_with("HTTP/1.1 204 ") && options.contains(all), "{options}");
    let connect = raw(&app, b"CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\nconnection: close\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 405 ") && connect.contains(all), "{connect}");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
        let allowed = options.lines().find_map(|line| line.strip_prefix("allow: ")).expect("the methods");
        assert!(allowed.split(", ").any(|allowed| allowed == method), "{options}");
    }
    assert_eq!(app.anyone().send("OPTIONS", "/health/live", None).await.header("allow"), "GET, HEAD");
}
