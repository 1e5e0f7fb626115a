//! Reads of many rows need a slot: an organization that uses all of its slots gets 429, and all organizations get 503 while no
//! slot is free. Verifications, changes and reads of single objects need none.

use std::{collections::BTreeSet, net::SocketAddr};

use api::http::list_slots::{ExhaustedSlots, Slot};
use domain::{id::OrganizationId, keys::quota::Quota};
use futures_util::future::BoxFuture;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp, wait_until, within};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    auth::{
        credentials::call,
        operations::{Operation, PORTAL, PROTECTED},
    },
    compat::openapi::resolve,
    portal,
};

/// The operation that reads many rows and has `limit` in its body.
const LIMIT_IN_BODY: &str = "checkKeyPolicy";

/// The operations that read many rows.
const LISTS: [&str; 19] = [
    LIMIT_IN_BODY,
    "listAthenaKeys",
    "findUsers",
    "getApiKeyUsage",
    "getApiKeysUsage",
    "getOrganizationUsage",
    "getPortalKeyUsage",
    "listApiKeys",
    "listAuditEvents",
    "listInvitations",
    "listMemberSessions",
    "listMembers",
    "listOrganizations",
    "listPermissionSets",
    "listPortalKeys",
    "listPortalSessions",
    "listSessions",
    "listTopUsage",
    "listTrustRules",
];

/// Operations that read many rows, but have neither pages nor a period.
const COUNTS: [&str; 1] = ["countPermissionSetHolders"];

type Waiting<'a> = BoxFuture<'a, Result<Slot, ExhaustedSlots>>;

/// Takes slots of an organization and queues for more, until it is refused.
async fn take_all<'a>(app: &'a TestApp, organization: OrganizationId) -> (Vec<Slot>, Vec<Waiting<'a>>, ExhaustedSlots) {
    let (mut slots, mut waiting) = (Vec::new(), Vec::new());
    loop {
        let mut acquire: Waiting<'a> = Box::pin(app.list_slots().acquire(organization));
        match futures_util::poll!(acquire.as_mut()) {
            std::task::Poll::Pending => waiting.push(acquire),
            std::task::Poll::Ready(Ok(slot)) => slots.push(slot),
            std::task::Poll::Ready(Err(exhausted)) => return (slots, waiting, exhausted),
        }
    }
}

/// Verifies a metered key, changes keys, and reads a key.
async fn assert_other_requests_are_served(tenant: &Tenant, key: &str) {
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

async fn every_list(app: &TestApp, tenant: &Tenant) -> Vec<(&'static Operation, Answer)> {
    let mut answers = Vec::new();
    // findUsers is for the platform only.
    let is_own = |operation: &&Operation| {
        (LISTS.contains(&operation.id) || COUNTS.contains(&operation.id)) && operation.id != "findUsers"
    };
    for operation in PROTECTED.iter().filter(is_own) {
        answers.push((operation, call(&tenant.admin, operation, &tenant.org_id, &tenant.key_id).await));
    }
    let customer = portal::open(app, tenant, json!({"limits": {"max_keys": 100}})).await;
    let (key, _) = portal::create_key(&customer, "n").await;
    for operation in PORTAL.iter().filter(is_own) {
        answers.push((operation, call(&customer, operation, &tenant.org_id, &key).await));
    }
    assert_eq!(answers.len(), LISTS.len() + COUNTS.len() - 1);
    answers
}

#[tokio::test]
async fn every_operation_that_reads_many_rows_is_tested_as_a_list() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let operations = document["paths"].as_object().expect("paths").values();
    let operations = operations.flat_map(|path| path.as_object().expect("methods").values());
    let is_list = |operation: &&Value| {
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = parameters.iter().map(|parameter| &resolve(&document, parameter)["name"]);
        names.into_iter().any(|name| name == "limit" || name == "by" || name == "ids")
    };
    let mut found: BTreeSet<&str> = operations.filter(is_list).filter_map(|it| it["operationId"].as_str()).collect();
    found.insert(LIMIT_IN_BODY);
    assert_eq!(found, LISTS.into());
}

#[tokio::test]
async fn an_organization_without_free_list_slots_gets_429_and_others_are_served() {
    let app = TestApp::start_with(|config| config.database_connections = 20).await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (_, key) = app.key(&tenant.org_id, metered()).await;
    let (_, other_key) = app.key(&other.org_id, metered()).await;
    let (slots, waiting, exhausted) = take_all(&app, tenant.org_id.parse().expect("an id")).await;
    assert_eq!(exhausted, ExhaustedSlots::Organization);
    assert!(!slots.is_empty() && !waiting.is_empty());
    for (operation, answer) in every_list(&app, &tenant).await {
        assert_eq!((answer.status, answer.header("retry-after")), (429, "2"), "{}: {}", operation.id, answer.text);
        assert!(answer.text.contains("lists of this organization"), "{}: {}", operation.id, answer.text);
    }
    assert_other_requests_are_served(&tenant, &key).await;
    assert_other_requests_are_served(&other, &other_key).await;
    for (operation, answer) in every_list(&app, &other).await {
        assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
    }
    drop((slots, waiting));
    for (operation, answer) in every_list(&app, &tenant).await {
        assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
    }
}

#[tokio::test]
async fn without_free_list_slots_lists_get_503_and_other_requests_are_served() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, metered()).await;
    let mut held = Vec::new();
    for n in 0.. {
        assert!(n < 1_000, "there are slots for {n} organizations");
        let (slots, waiting, exhausted) = take_all(&app, OrganizationId::from_uuid(uuid(n))).await;
        held.push((slots, waiting));
        if exhausted == ExhaustedSlots::Service {
            break;
        }
    }
    for (operation, answer) in every_list(&app, &tenant).await {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}: {}", operation.id, answer.text);
        assert!(answer.text.contains("Too many lists"), "{}: {}", operation.id, answer.text);
    }
    assert_other_requests_are_served(&tenant, &key).await;
    drop(held);
    for (operation, answer) in every_list(&app, &tenant).await {
        assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
    }
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

/// A client that requests a whole list and reads only the head of the response.
async fn slow_reader(address: SocketAddr, path: &str, caller: &Caller) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("a connection");
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", caller.bearer());
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within("the head of a response", stream.read_u8()).await.expect("answered"));
    }
    (stream, String::from_utf8(answer).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_streams_but_no_list_slots() {
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
            assert!(open.len() <= 16, "{} streams of one organization", open.len());
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nretry-after: 2\r\n"), "{answer}");
        break;
    }
    assert!(open.len() >= 2, "{}", open.len());
    let athena = tenant.admin.get("/api/auth/api-key/list").await;
    assert_eq!((athena.status, athena.header("retry-after")), (429, "2"), "the list of the Athena API as well");
    let page = tenant.admin.get(&format!("{}?limit=1000", all(&tenant))).await;
    assert_eq!((page.status, page.json().as_array().map(Vec::len)), (200, Some(1_000)), "a page needs no stream");
    let whole = other.admin.get(&all(&other)).await;
    assert_eq!(
        (whole.status, whole.json().as_array().map(Vec::len)),
        (200, Some(30_001)),
        "other organizations have their own streams"
    );
    assert_other_requests_are_served(&tenant, &key).await;
    open.clear();
    // The service notices that the connections are closed when it next writes to them.
    let whole = wait_until("a stream", async || {
        let whole = tenant.admin.get(&all(&tenant)).await;
        assert!([200, 429].contains(&whole.status), "{}", whole.text);
        if whole.status == 200 { Ok(whole) } else { Err(whole.text) }
    })
    .await;
    assert_eq!(whole.json().as_array().map(Vec::len), Some(30_002));
}
