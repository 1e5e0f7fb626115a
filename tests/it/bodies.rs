//! Request bodies: how much of them is held, what they may become, and what a connection is told whose body nobody reads.

use std::time::Duration;

use harness::{Tenant, TestApp};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer than anything here takes; it only ends a test that would not end.
const ENOUGH: Duration = Duration::from_mins(1);

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
async fn bodies_are_held_within_a_budget_and_a_share_of_it() {
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
            // Of two that grow at the same time either may be refused; then this one begins again.
            if slow.try_read(&mut [0; 1]).is_ok() {
                slow = begin().await;
            }
        }
    };
    let (mut slow, answer) = tokio::time::timeout(ENOUGH, busy).await.expect("the share is used up");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("1", "close"));
    assert_eq!(answer.json()["code"], 503);
    // Small bodies have a budget of their own, in the plain form and otherwise.
    let mut verify = json!({"key": key}).to_string();
    verify.push_str(&" ".repeat(60_000));
    assert_eq!(tenant.admin.send("POST", "/api_keys/verify", Some(verify.clone().into())).await.status, 200);
    verify.insert_str(1, r#""permissions": ["\u0066iles:read"], "#);
    assert_eq!(tenant.admin.send("POST", "/api_keys/verify", Some(verify.into())).await.status, 200);
    slow.write_all(&body[body.len() - 1..]).await.expect("sent");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(tenant.admin.send("POST", &bulk, Some(body)).await.status, 200, "all was given back");
}

#[tokio::test]
async fn a_body_of_very_many_values_is_refused() {
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
        assert_eq!(answer.json()["message"], "The body holds too many values, send fewer at once", "{path}");
    }
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut buffer = [0; 4_096];
        let count = stream.read(&mut buffer).await.expect("answered");
        assert!(count > 0, "it was closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_connection_whose_body_is_not_read_says_that_it_closes() {
    let app = TestApp::start().await;
    let head = |length: usize| {
        format!("POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\nx-api-key: nonsense\r\ncontent-length: {length}\r\n\r\n")
    };
    // A small body is read, and the connection goes on, also where the body comes late.
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    for _ in 0..2 {
        stream.write_all(&[head(1_000).as_bytes(), &[b' '; 1_000]].concat()).await.expect("sent");
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
    }
    // A large one is not, nor is one of an unknown size, or one that the client asks about before.
    for request in [
        head(1_000_000),
        "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned(),
        "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered, then closed");
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn who_sends_a_large_body_in_vain_gets_to_read_why() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        let head = "POST /orgs/x/api_keys HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&vec![b' '; 4_000_000]).await.expect("it is taken in, not reset");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered, not reset");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
