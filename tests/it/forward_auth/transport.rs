//! Bodies, long requests, the separate address, the base path, and outages.

use std::time::Duration;

use api::http::origin::PublicUrl;
use harness::{Flow, KeySpec, TestApp, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{SECRET, assert_allowed, assert_misconfigured, assert_refused, path, with_secret};
use crate::http::raw;

/// The length of a large body, in bytes.
const LARGE: usize = 1024 * 1024;

#[tokio::test]
async fn unread_bodies_close_the_connection_or_are_discarded() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let head = |length: usize| {
        let key = tenant.admin.bearer();
        format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {length}\r\n\r\n",
            path(&tenant, "")
        )
    };
    let request = [head(LARGE).as_bytes(), &vec![b'x'; LARGE]].concat();
    let answer = raw(&app, &request).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("http/1.1").count(), 1);
    // Small ones are read, and the connection is used again.
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    for _ in 0..3 {
        stream.write_all(&[head(5).as_bytes(), b"hello"].concat()).await.expect("sent");
        let (mut answer, mut buffer) = (String::new(), [0; 4_096]);
        while !answer.contains("\r\n\r\n") {
            let count = within("a response", stream.read(&mut buffer)).await.expect("read");
            assert_ne!(count, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        }
        let answer = answer.to_lowercase();
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn long_queries_and_headers_are_refused() {
    let app = TestApp::start_with(with_secret).await;
    let tenant = app.tenant("Acme").await;
    let query = |part: &str, count: usize| path(&tenant, &format!("?{}", vec![part; count].join("&")));
    let visitor = tenant.admin.with("claviger-gateway", &format!("secret={SECRET}"));
    assert_allowed(&visitor.get(&query("any=a:b", 64)).await);
    assert_misconfigured(&visitor.get(&query("any=a:b", 65)).await, "64");
    assert_misconfigured(&visitor.get(&query("any=a:b", 5_000)).await, "64");
    assert_misconfigured(&visitor.get(&query(&"x".repeat(40_000), 1)).await, "unknown");
    assert_allowed(&visitor.get(&path(&tenant, &format!("/{}", "x".repeat(40_000)))).await);
    assert_allowed(&visitor.with("x-other", &"x".repeat(40_000)).get(&path(&tenant, "")).await);
    let too_long = format!("GET {} HTTP/1.1\r\nhost: x\r\nx-other: {}\r\n\r\n", path(&tenant, ""), "x".repeat(70_000));
    assert!(raw(&app, too_long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let no_host = format!("GET {} HTTP/1.1\r\n\r\n", path(&tenant, ""));
    let answer = raw(&app, no_host.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("claviger-deny-reason: misconfigured"), "{answer}");
}

#[tokio::test]
async fn a_separate_address_serves_only_forward_auth_and_health_checks() {
    let app = TestApp::start_with(|config| config.forward_auth_listen = Some(([127, 0, 0, 1], 0).into())).await;
    let tenant = app.tenant("Acme").await;
    let gateway = tenant.admin.at(&format!("http://{}", app.forward_auth_address().expect("an address")));
    assert_allowed(&gateway.get(&path(&tenant, "")).await);
    for healthy in ["/health/live", "/health/ready"] {
        assert_eq!(gateway.get(healthy).await.status, 200);
        let asks = gateway.with("claviger-gateway", &format!("secret={SECRET}"));
        assert_misconfigured(&asks.get(healthy).await, "is not set");
    }
    for other in ["/", "/me", "/metrics", "/openapi.json", "/docs", "/api_keys/verify"] {
        assert_eq!(gateway.get(other).await.status, 404, "{other}");
    }
    assert_eq!(tenant.admin.get(&path(&tenant, "")).await.status, 404);
}

#[tokio::test]
async fn forward_auth_can_be_switched_off() {
    let app = TestApp::start_with(|config| {
        config.forward_auth = false;
        config.forward_auth_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let tenant = app.tenant("Acme").await;
    assert_eq!(app.forward_auth_address(), None);
    for rest in ["", "/", "/x"] {
        let answer = tenant.admin.get(&path(&tenant, rest)).await;
        assert_eq!((answer.status, &answer.json()["reason"]), (404, &"unknown_path".into()));
    }
}

#[tokio::test]
async fn the_base_path_is_removed_once() {
    let url = PublicUrl::parse("https://example.com/keys").expect("a URL");
    let app = TestApp::start_with(|config| {
        with_secret(config);
        config.public_url = Some(url);
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let gateway = tenant.admin.with("claviger-gateway", &format!("secret={SECRET}"));
    let at = async |base: &str, rest: &str| gateway.get(&format!("{base}{}", path(&tenant, rest))).await;
    for base in ["", "/keys"] {
        assert_allowed(&at(base, "").await);
        assert_allowed(&at(base, "/keys/forward-auth/any?permission=nothing").await);
        assert_misconfigured(&at(base, "?permission=").await, "permission");
    }
    assert_misconfigured(&at("/keys/keys", "").await, "is not below /forward-auth/");
    assert_misconfigured(&gateway.get("/keys/me").await, "is not below /forward-auth/");
    assert_eq!(tenant.admin.get(&format!("/keys/keys{}", path(&tenant, ""))).await.status, 404);
    let id = gateway.with("x-request-id", "one").get(&path(&tenant, "")).await;
    assert_eq!(id.header("x-request-id"), "one");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn without_the_database_only_cached_keys_are_known() {
    let (app, proxy) = TestApp::behind_a_proxy(|config| config.database_timeout = Duration::from_secs(2)).await;
    let tenant = app.tenant("Acme").await;
    let (_, cached) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, unknown) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_allowed(&app.caller(&cached).get(&path(&tenant, "")).await);
    proxy.all(Flow::Cut);
    assert_allowed(&app.caller(&cached).get(&path(&tenant, "")).await);
    let answer = app.caller(&unknown).get(&path(&tenant, "")).await;
    assert_refused(&answer, 503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    proxy.restore();
    assert_allowed(&app.caller(&unknown).get(&path(&tenant, "")).await);
}
