//! Request bodies: the memory that they may take, and what happens to a connection whose body is not read.

use std::time::Duration;

use api::http::client_ip::TrustedProxies;
use harness::{KeySpec, Process, Tenant, TestApp, TestDatabase, within};
use hyper::body::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::http::raw;

async fn key_of(tenant: &Tenant) -> String {
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let made = tenant.admin.post(&keys, &json!({"name": "n", "permissions": ["*"]})).await;
    made.json()["key"].as_str().expect("a text").to_owned()
}

/// A list of one key that is padded to a size.
fn padded(size: usize) -> Vec<u8> {
    let mut body = json!({"keys": [{"name": "n", "permissions": []}]}).to_string();
    body.push_str(&" ".repeat(size - body.len()));
    body.into_bytes()
}

#[tokio::test]
async fn request_bodies_have_a_memory_budget_and_a_share_per_client() {
    const MIB: usize = 1024 * 1024;
    // 4 MiB for the large bodies of one client, and 1 MiB for its small ones.
    let app = TestApp::start_with(|config| config.body_budget = 16 * MIB).await;
    let tenant = app.tenant("Acme").await;
    let key = key_of(&tenant).await;
    let bulk = format!("/orgs/{}/api_keys/bulk_create", tenant.org_id);
    let body = padded(MIB * 5 / 2);
    assert_eq!(tenant.admin.send("POST", &bulk, Some(body.clone())).await.status, 200);
    let head = format!(
        "POST {bulk} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let begin = async || {
        let mut slow = TcpStream::connect(app.address()).await.expect("a connection");
        slow.write_all(head.as_bytes()).await.expect("sent");
        slow.write_all(&body[..body.len() - 1]).await.expect("sent");
        slow
    };
    let busy = async {
        let mut slow = begin().await;
        loop {
            let answer = tenant.admin.send("POST", &bulk, Some(body.clone())).await;
            if answer.status == 503 {
                return (slow, answer);
            }
            assert_eq!(answer.status, 200);
            // Of two bodies that grow at the same time, either may be refused. If it was the slow one, it begins again.
            if slow.try_read(&mut [0; 1]).is_ok() {
                slow = begin().await;
            }
        }
    };
    let (mut slow, answer) = within("the share of the client to be used up", busy).await;
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("1", "close"));
    assert_eq!(answer.json()["code"], 503);
    // Small bodies have their own budget, on the fast path and otherwise.
    let mut verify = json!({"key": key}).to_string();
    verify.push_str(&" ".repeat(60_000));
    assert_eq!(tenant.admin.send("POST", "/api_keys/verify", Some(verify.clone().into())).await.status, 200);
    verify.insert_str(1, r#""permissions": ["\u0066iles:read"], "#);
    assert_eq!(tenant.admin.send("POST", "/api_keys/verify", Some(verify.into())).await.status, 200);
    // The parsed document of a small body counts: this one takes more than the share of its client.
    let values = vec![json!({}); 12_000];
    let wide = json!({"name": "n", "permissions": [], "metadata": {"a": values}}).to_string();
    assert!(wide.len() < 64 * 1024);
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let answer = tenant.admin.send("POST", &keys, Some(wide.into())).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
    slow.write_all(&body[body.len() - 1..]).await.expect("sent");
    let mut answer = String::new();
    within("a response", slow.read_to_string(&mut answer)).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(tenant.admin.send("POST", &bulk, Some(body)).await.status, 200, "the budget is free again");
}

#[tokio::test]
async fn an_organization_has_one_share_of_the_body_budget_from_all_its_addresses() {
    const MIB: usize = 1024 * 1024;
    // 4 MiB for the large bodies of one organization.
    let app = TestApp::start_with(|config| {
        config.body_budget = 16 * MIB;
        config.trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("a network")]);
    })
    .await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let bulk = |tenant: &Tenant| format!("/orgs/{}/api_keys/bulk_create", tenant.org_id);
    let body = padded(MIB * 5 / 2);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        bulk(&tenant),
        tenant.admin.bearer(),
        body.len()
    );
    let send = async |tenant: &Tenant| {
        let elsewhere = tenant.admin.with("x-forwarded-for", "192.0.2.2");
        elsewhere.send("POST", &bulk(tenant), Some(body.clone())).await
    };
    let busy = async {
        loop {
            let mut slow = TcpStream::connect(app.address()).await.expect("a connection");
            slow.write_all(head.as_bytes()).await.expect("sent");
            slow.write_all(&body[..body.len() - 1]).await.expect("sent");
            // Until its body has arrived, the other request is accepted. Of two bodies that grow at the same time, either may be
            // refused: if it is the slow one, it begins again.
            while slow.try_read(&mut [0; 1]).is_err() {
                let answer = send(&tenant).await;
                if answer.status == 503 {
                    return slow;
                }
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
        }
    };
    let slow = within("the share of the organization to be used up", busy).await;
    assert_eq!(send(&other).await.status, 200, "another organization has its own share, from the same address");
    drop(slow);
}

#[tokio::test]
async fn a_body_with_too_many_values_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (path, value) in [
        (format!("/orgs/{}/api_keys/bulk_create", tenant.org_id), "{}"),
        (format!("/orgs/{}/api_keys/bulk_delete", tenant.org_id), "0"),
        ("/api_keys/verify_batch".to_owned(), r#"{"key":"k"}"#),
    ] {
        let body = format!("{{\"keys\":[{}{value}]}}", format!("{value},").repeat(300_000));
        let answer = tenant.admin.send("POST", &path, Some(body.into())).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert_eq!(answer.json()["message"], "The body contains too many values; send fewer at once", "{path}");
    }
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut buffer = [0; 4_096];
        let count = within("a response", stream.read(&mut buffer)).await.expect("answered");
        assert!(count > 0, "it was closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_connection_with_an_unread_body_is_closed() {
    let app = TestApp::start().await;
    let head = |length: usize| {
        format!("POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\nx-api-key: nonsense\r\ncontent-length: {length}\r\n\r\n")
    };
    // A small body is read, and the connection stays open.
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    for _ in 0..2 {
        stream.write_all(&[head(1_000).as_bytes(), &[b' '; 1_000]].concat()).await.expect("sent");
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
    }
    // The connection is closed after a large body, one of unknown size, and one that the client has not begun to send.
    for request in [
        head(1_000_000),
        "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned(),
        "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        within("a response", stream.read_to_string(&mut answer)).await.expect("answered, then closed");
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_with_a_refused_large_body_gets_the_response() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        let head = "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        let body = vec![b' '; 4_000_000];
        within("the body to be read", stream.write_all(&body)).await.expect("it is read, not reset");
        let mut answer = String::new();
        within("a response", stream.read_to_string(&mut answer)).await.expect("answered, not reset");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}

/// A request for a path that declares a body of 100 bytes, and sends one of them.
fn slow(path: &str, key: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 100\r\n\r\n{{")
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_gets_408() {
    // Long enough for the requests that have nothing to wait for.
    let app = TestApp::start_with(|config| config.request_timeout = Duration::from_secs(5)).await;
    let tenant = app.tenant("Acme").await;
    let key = key_of(&tenant).await;
    let chunked = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{{    \r\n",
        tenant.keys()
    );
    let requests = [
        (slow("/auth/create-key", ""), "\"success\":false"),
        (slow(&tenant.keys(), &key), "\"reason\":\"body_timeout\""),
        (chunked, "\"reason\":\"body_timeout\""),
        // These have a fast path.
        (slow("/api_keys/verify", &key), "\"reason\":\"body_timeout\""),
        (slow("/api/auth/api-key/verify", &key), "\"code\":\"REQUEST_TIMEOUT\""),
    ];
    let answers = requests.iter().map(|(request, _)| raw(&app, request.as_bytes()));
    let answers = futures_util::future::join_all(answers).await;
    for (answer, (_, part)) in answers.iter().zip(&requests) {
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.contains(*part) && !answer.contains("retry-after"), "{answer}");
    }
    let metrics = app.anyone().get("/metrics").await.text;
    let counted = |status: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with("claviger_requests_total"));
        lines.filter(|line| line.contains(&format!("status=\"{status}\""))).count()
    };
    assert_eq!((counted("408"), counted("503")), (4, 0), "one for each operation: {metrics}");
    assert_eq!(tenant.admin.get(&tenant.keys()).await.json().as_array().map(Vec::len), Some(2), "nothing was created");
}

#[tokio::test]
async fn an_http2_body_that_does_not_arrive_in_time_gets_408() {
    let app = TestApp::start_with(|config| config.request_timeout = Duration::from_millis(50)).await;
    let stream = TcpStream::connect(app.address()).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("a connection");
    let request = hyper::Request::post(format!("http://{}/auth/create-key", app.address()));
    let request = request.body(()).expect("a request");
    let exchange = async {
        let (response, mut body) = client.send_request(request, false).expect("sent");
        body.send_data(Bytes::from_static(b"{"), false).expect("sent");
        response.await.expect("a response").status().as_u16()
    };
    let status = tokio::select! {
        status = within("a response", exchange) => status,
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(status, 408);
}

#[tokio::test]
async fn a_slow_body_is_not_logged_as_a_failure_of_the_service() {
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_REQUEST_TIMEOUT", "1s")];
    let process = Process::serve(&settings);
    let mut stream = TcpStream::connect(process.address).await.expect("a connection");
    stream.write_all(slow("/auth/create-key", "").as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within("a response", stream.read_to_string(&mut answer)).await.expect("answered, then closed");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    process.signal("TERM");
    let (_, log) = process.wait();
    let about_it = |line: &&str| line.contains("the client did not send the body in time");
    let line = log.lines().find(about_it).unwrap_or_else(|| panic!("no line about it: {log}"));
    assert!(line.contains("\"level\":\"INFO\"") && line.contains("\"status\":408"), "{line}");
}

#[tokio::test]
async fn a_body_whose_declared_length_is_too_large_is_refused_at_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = key_of(&tenant).await;
    let bulk = |name: &str| format!("{}/{name}", tenant.keys());
    let (small, large) = ("The body is larger than 64 KiB", "The body is larger than 4 MiB");
    for (path, limit, sentence) in [
        (tenant.keys(), 65_536, small),
        ("/api_keys/verify".to_owned(), 65_536, small),
        ("/api/auth/api-key/verify".to_owned(), 65_536, small),
        ("/auth/create-key".to_owned(), 65_536, small),
        ("/api_keys/verify_batch".to_owned(), 4_194_304, large),
        (bulk("bulk_create"), 4_194_304, large),
        (bulk("bulk_delete"), 4_194_304, large),
        (bulk("import"), 4_194_304, large),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: ");
        // No body follows, so the answer cannot depend on it.
        for rest in [
            format!("{}\r\n\r\n", limit + 1),
            format!("{}\r\nexpect: 100-continue\r\n\r\n", limit + 1),
            format!("{}\r\nexpect: 100-continue\r\n\r\n", i64::MAX),
        ] {
            let answer = raw(&app, format!("{head}{rest}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(sentence), "{path}: {answer}");
        }
        let sent = tenant.admin.send("POST", &path, Some(vec![b' '; limit + 1])).await;
        assert_eq!(sent.status, 413, "{path}");
        assert!(sent.text.contains(sentence), "{path}: {}", sent.text);
    }
    // A body that is small enough is invited.
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    let head = "POST /auth/create-key HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    within("an invitation", stream.read_exact(&mut answer)).await.expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 100");
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = json!({"key": tenant.admin.bearer()}).to_string();
    let new = json!({"name": "n", "permissions": []}).to_string();
    let keys = tenant.keys();
    for (path, body) in [("/api_keys/verify", &key), ("/api/auth/api-key/verify", &key), (keys.as_str(), &new)] {
        for (coding, status) in
            [("gzip", 415), ("identity, gzip", 415), ("", 415), ("identity", 200), ("Identity", 200)]
        {
            let caller = tenant.admin.with("content-encoding", coding).with("content-type", "application/json");
            let answer = caller.send("POST", path, Some(body.clone().into_bytes())).await;
            assert_eq!(answer.status, status, "{path} {coding}: {}", answer.text);
            assert_eq!(
                answer.header("accept-encoding"),
                if status == 415 { "identity" } else { "" },
                "{path} {coding}"
            );
        }
    }
}

#[tokio::test]
async fn an_update_may_be_declared_as_a_merge_patch() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let caller = tenant.admin.with("content-type", "application/merge-patch+json; charset=utf-8");
    let body = json!({"name": "n"}).to_string().into_bytes();
    let (key, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for path in [format!("{}/{key}", tenant.keys()), format!("/orgs/{}", tenant.org_id)] {
        let answer = caller.send("PATCH", &path, Some(body.clone())).await;
        assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("n")), "{path}: {}", answer.text);
    }
    let new = json!({"name": "n", "permissions": []}).to_string().into_bytes();
    assert_eq!(caller.send("POST", &tenant.keys(), Some(new)).await.status, 415, "only an update is a patch");
}
