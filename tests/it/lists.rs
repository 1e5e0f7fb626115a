//! Reads of many rows have places: an organization that takes all of its own is told to come back, and so is everybody where
//! all are taken. Verifies, changes and reads of single things never are.

use std::{collections::BTreeSet, net::SocketAddr};

use api::lists::{Place, Taken};
use domain::{id::OrganizationId, quota::Quota};
use futures_util::future::BoxFuture;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{credentials::call, operations::PROTECTED};

/// Everything that reads many rows.
const LISTS: [&str; 8] = [
    "athenaListApiKeys",
    "getApiKeyUsage",
    "getUsage",
    "listApiKeys",
    "listAuditEvents",
    "listMembers",
    "listOrganizations",
    "listPermissionSets",
];

type Waiting<'a> = BoxFuture<'a, Result<Place, Taken>>;

/// Takes places of an organization and queues for more, until nothing is left to it.
async fn take_all<'a>(app: &'a TestApp, organization: OrganizationId) -> (Vec<Place>, Vec<Waiting<'a>>, Taken) {
    let (mut places, mut waiting) = (Vec::new(), Vec::new());
    loop {
        let mut hold: Waiting<'a> = Box::pin(app.lists().hold(organization));
        match futures_util::poll!(hold.as_mut()) {
            std::task::Poll::Pending => waiting.push(hold),
            std::task::Poll::Ready(Ok(place)) => places.push(place),
            std::task::Poll::Ready(Err(taken)) => return (places, waiting, taken),
        }
    }
}

/// A verify of a metered key, changes, and a read of one key.
async fn everything_else_is_served(tenant: &Tenant, key: &str) {
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let answer = tenant.admin.post("/api_keys/verify", &json!({"key": key})).await;
    assert_eq!(answer.json()["code"], "VALID");
    let made = tenant.admin.post(&keys, &json!({"name": "n", "permissions": []})).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let one = format!("{keys}/{}", made.json()["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.get(&one).await.status, 200);
    assert_eq!(tenant.admin.delete(&one).await.status, 200);
}

fn metered() -> KeySpec {
    KeySpec { quota: Quota { remaining: Some(1_000), ..Quota::default() }, ..KeySpec::with(&[]) }
}

async fn every_list(tenant: &Tenant) -> Vec<(&'static str, Answer)> {
    let mut answers = Vec::new();
    for operation in PROTECTED.iter().filter(|operation| LISTS.contains(&operation.id)) {
        answers.push((operation.id, call(&tenant.admin, operation, &tenant.org_id, &tenant.key_id).await));
    }
    assert_eq!(answers.len(), LISTS.len());
    answers
}

#[tokio::test]
async fn every_operation_with_pages_or_periods_is_known_as_a_list() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let operations = document["paths"].as_object().expect("paths").values();
    let operations = operations.flat_map(|path| path.as_object().expect("methods").values());
    let is_list = |operation: &&Value| {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        parameters.iter().any(|parameter| parameter["name"] == "limit" || parameter["name"] == "by")
    };
    let found: BTreeSet<&str> = operations.filter(is_list).filter_map(|it| it["operationId"].as_str()).collect();
    assert_eq!(found, LISTS.into());
}

#[tokio::test]
async fn an_organization_that_takes_all_of_its_places_is_sent_away_and_nobody_else() {
    let app = TestApp::start_with(|config| config.database_connections = 20).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (_, key) = app.key(&tenant.org_id, metered()).await;
    let (_, other_key) = app.key(&other.org_id, metered()).await;
    let (places, waiting, taken) = take_all(&app, tenant.org_id.parse().expect("an id")).await;
    assert_eq!(taken, Taken::Organization);
    assert!(!places.is_empty() && !waiting.is_empty());
    for (operation, answer) in every_list(&tenant).await {
        assert_eq!((answer.status, answer.header("retry-after")), (429, "2"), "{operation}: {}", answer.text);
        assert!(answer.text.contains("lists of this organization"), "{operation}: {}", answer.text);
    }
    everything_else_is_served(&tenant, &key).await;
    everything_else_is_served(&other, &other_key).await;
    for (operation, answer) in every_list(&other).await {
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
    }
    drop((places, waiting));
    for (operation, answer) in every_list(&tenant).await {
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
    }
}

#[tokio::test]
async fn where_all_places_are_taken_lists_are_sent_away_and_nothing_else() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, metered()).await;
    let mut held = Vec::new();
    for n in 0.. {
        let (places, waiting, taken) = take_all(&app, OrganizationId::from_uuid(uuid(n))).await;
        held.push((places, waiting));
        if taken == Taken::Service {
            break;
        }
    }
    for (operation, answer) in every_list(&tenant).await {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{operation}: {}", answer.text);
        assert!(answer.text.contains("Too many lists"), "{operation}: {}", answer.text);
    }
    everything_else_is_served(&tenant, &key).await;
    drop(held);
    for (operation, answer) in every_list(&tenant).await {
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
    }
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

/// A client that asks for a whole list and takes nothing of the answer but its head.
async fn slow_reader(address: SocketAddr, path: &str, caller: &Caller) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", caller.bearer());
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("answered"));
    }
    (stream, String::from_utf8(answer).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_streams_but_no_places_and_an_organization_has_a_few() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (_, key) = app.key(&tenant.org_id, metered()).await;
    for tenant in [&tenant, &other] {
        app.copy_key(&tenant.key_id, 30_000).await;
    }
    let all = |tenant: &Tenant| format!("/orgs/{}/api_keys", tenant.org_id);
    let mut open = Vec::new();
    loop {
        let (stream, answer) = slow_reader(app.address(), &all(&tenant), &tenant.admin).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            open.push(stream);
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nretry-after: 2\r\n"), "{answer}");
        break;
    }
    assert!((2..=16).contains(&open.len()), "{}", open.len());
    let athena = tenant.admin.get("/api/auth/api-key/list").await;
    assert_eq!((athena.status, athena.header("retry-after")), (429, "2"), "the other contract's, too");
    let page = tenant.admin.get(&format!("{}?limit=1000", all(&tenant))).await;
    assert_eq!((page.status, page.json().as_array().map(Vec::len)), (200, Some(1_000)), "a page needs no stream");
    let whole = other.admin.get(&all(&other)).await;
    assert_eq!((whole.status, whole.json().as_array().map(Vec::len)), (200, Some(30_001)), "nor does it take others'");
    everything_else_is_served(&tenant, &key).await;
    open.clear();
    // The service notices that they have gone when it next writes to them.
    loop {
        let whole = tenant.admin.get(&all(&tenant)).await;
        if whole.status == 200 {
            assert_eq!(whole.json().as_array().map(Vec::len), Some(30_002));
            break;
        }
        assert_eq!(whole.status, 429);
    }
}
