//! Messages: their size and form, time limits, the shutdown, and outages.

use std::{net::SocketAddr, time::Duration};

use harness::{CapturedLog, Flow, KeySpec, TestApp, within};
use hyper::body::Bytes;
use tokio::net::TcpStream;
use tonic::Code;

use super::{GrpcApp, Visit, assert_allowed, assert_refused, client_of};
use crate::forward_auth::with_trusted_gateway;

/// The maximum size of a message, in bytes, as documented.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;

#[tokio::test]
async fn a_message_has_a_maximum_size() {
    let log = CapturedLog::start();
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let tenant = asked.app.tenant("Acme").await;
    let filled = |length: usize| Visit::of(&tenant.org_id).key(tenant.admin.bearer()).header("x", &"x".repeat(length));
    // As many headers as Envoy accepts from a visitor.
    assert_allowed(&asked.check(&filled(60 * 1024)).await);
    assert_allowed(&asked.check(&filled(MAX_MESSAGE_BYTES - 1_024)).await);
    for length in [MAX_MESSAGE_BYTES, 4 * 1024 * 1024] {
        let status = asked.try_check(&filled(length)).await.expect_err("an error");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("131072 bytes"), "{status}");
    }
    assert_eq!(log.lines("INFO", "the message is larger than").len(), 2);
    assert_allowed(&asked.check(&filled(1)).await);
}

/// Sends bytes to the path of the checks with HTTP/2. Returns the status, and that of gRPC from headers or trailers.
async fn send(address: SocketAddr, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("a connection");
    let url = format!("http://{address}/envoy.service.auth.v3.Authorization/Check");
    let request =
        headers.iter().fold(hyper::Request::post(url), |request, (name, value)| request.header(*name, *value));
    let exchange = async {
        let (response, mut stream) = client.send_request(request.body(()).expect("a request"), false).expect("sent");
        stream.send_data(Bytes::copy_from_slice(body), true).expect("sent");
        let response = response.await.expect("a response");
        let (status, head) = (response.status().as_u16(), response.headers().get("grpc-status").cloned());
        let mut body = response.into_body();
        while body.data().await.is_some() {}
        let trailers = body.trailers().await.expect("trailers").unwrap_or_default();
        let code = head.or_else(|| trailers.get("grpc-status").cloned());
        (status, code.map_or_else(String::new, |code| code.to_str().expect("text").to_owned()))
    };
    tokio::select! {
        answered = within("a response", exchange) => answered,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

#[tokio::test]
async fn what_is_no_check_is_not_allowed() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let address = asked.app.ext_authz_address().expect("an address");
    let grpc = [("content-type", "application/grpc")];
    let compressed = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    let (ok, internal, unimplemented) = ("0", "13", "12");
    for (headers, body, status, code) in [
        (&grpc[..], &[0, 0, 0, 0, 0][..], 200, ok),
        (&grpc, &[0, 0, 0, 0, 1, 0xff], 200, internal),
        (&grpc, &[0, 0, 0, 0, 9, 0], 200, internal),
        (&grpc, &[], 200, internal),
        (&compressed, &[1, 0, 0, 0, 1, 0], 200, unimplemented),
        (&[("content-type", "application/grpc-web")], &[0, 0, 0, 0, 0], 404, ""),
        (&[], &[0, 0, 0, 0, 0], 404, ""),
    ] {
        assert_eq!(send(address, headers, body).await, (status, code.to_owned()), "{headers:?} {body:?}");
    }
    // The address serves nothing else but health checks, and no other address serves it.
    let caller = asked.app.anyone().at(&format!("http://{address}"));
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(caller.get(path).await.status, 200, "{path}");
    }
    for path in ["/", "/me", "/metrics", "/forward-auth/any", "/envoy.service.auth.v3.Authorization/Check"] {
        assert_eq!(caller.get(path).await.status, 404, "{path}");
    }
    assert_eq!(send(asked.app.address(), &grpc, &[0, 0, 0, 0, 0]).await, (404, String::new()));
    let off = TestApp::start().await;
    assert_eq!(off.ext_authz_address(), None, "off by default");
}

#[tokio::test]
async fn checks_that_have_begun_are_completed_at_a_shutdown() {
    let asked = GrpcApp::start(with_trusted_gateway).await;
    let address = asked.app.ext_authz_address().expect("an address");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("a connection");
    let request = hyper::Request::post(format!("http://{address}/envoy.service.auth.v3.Authorization/Check"));
    let request = request.header("content-type", "application/grpc").body(()).expect("a request");
    let exchange = async {
        let (response, mut body) = client.send_request(request, false).expect("sent");
        body.send_data(Bytes::from_static(&[0, 0]), false).expect("sent");
        // The service has read the head of the check when it answers a later request of the connection.
        let health = hyper::Request::get(format!("http://{address}/health/live")).body(()).expect("a request");
        let (health, _) = client.send_request(health, true).expect("sent");
        assert_eq!(health.await.expect("a response").status(), 200);
        let mut stop = Box::pin(asked.app.stop());
        assert!(futures_util::poll!(stop.as_mut()).is_pending(), "it waits for the check");
        body.send_data(Bytes::from_static(&[0, 0, 0]), true).expect("sent");
        drop(client);
        let response = response.await.expect("a response");
        let mut answer = response.into_body();
        let data = answer.data().await.expect("a message").expect("received");
        assert!(data.len() > 5, "{data:?}");
        drop(answer);
        stop.await.0
    };
    let (completed, ended) = within("the end", async { futures_util::join!(exchange, connection) }).await;
    assert!(completed, "within the time limit");
    assert!(ended.is_ok(), "closed in order: {ended:?}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_message_that_does_not_arrive_in_time_is_an_error() {
    let asked = GrpcApp::start(|config| config.request_timeout = Duration::from_millis(50)).await;
    let address = asked.app.ext_authz_address().expect("an address");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("a connection");
    let request = hyper::Request::post(format!("http://{address}/envoy.service.auth.v3.Authorization/Check"));
    let request = request.header("content-type", "application/grpc").body(()).expect("a request");
    let exchange = async {
        let (response, mut body) = client.send_request(request, false).expect("sent");
        body.send_data(Bytes::from_static(&[0]), false).expect("sent");
        response.await.expect("a response").headers()["grpc-status"].clone()
    };
    let code = tokio::select! {
        code = within("a response", exchange) => code,
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(code, "4", "DEADLINE_EXCEEDED");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn without_the_database_only_cached_keys_are_known() {
    let (app, proxy) = TestApp::behind_a_proxy(|config| {
        with_trusted_gateway(config);
        config.database_timeout = Duration::from_secs(2);
        config.ext_authz_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let client = client_of(app.ext_authz_address().expect("an address")).await;
    let asked = GrpcApp { app, client };
    let tenant = asked.app.tenant("Acme").await;
    let (_, cached) = asked.app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, unknown) = asked.app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let visit = Visit::of(&tenant.org_id);
    assert_allowed(&asked.check(&visit.clone().key(&cached)).await);
    proxy.all(Flow::Cut);
    assert_allowed(&asked.check(&visit.clone().key(&cached)).await);
    let answer = asked.check(&visit.clone().key(&unknown)).await;
    assert_refused(&answer, 503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    proxy.restore();
    assert_allowed(&asked.check(&visit.key(&unknown)).await);
}
