//! `If-Match`: a change is only made to the version that the caller knows, and no operation ignores it.

use harness::{Answer, Tenant, TestApp};
use serde_json::{Value, json};

async fn create(tenant: &Tenant, body: Value) -> Answer {
    let answer = tenant.admin.post(&tenant.keys(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn path(tenant: &Tenant, answer: &Answer) -> String {
    format!("{}/{}", tenant.keys(), answer.json()["id"].as_str().expect("an id"))
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.failure()),
        (
            412,
            json!({
                "message": "The current version is not in If-Match, or the object has no versions; get it and try again",
                "code": 412, "reason": "version_mismatch",
            })
        )
    );
}

/// The version of a key, which is in the tag, too.
#[track_caller]
fn version(answer: &Answer) -> u64 {
    let version = answer.json()["version"].as_u64().unwrap_or_else(|| panic!("no version: {}", answer.text));
    assert_eq!((answer.status, answer.header("etag")), (200, format!("\"{version}\"").as_str()), "{}", answer.text);
    version
}

/// The stored version of a key, deleted or not.
async fn stored_version(tenant: &Tenant, key: &str) -> u64 {
    let found = tenant.admin.get(key).await;
    if found.status == 200 {
        return version(&found);
    }
    let deleted = tenant.admin.get(&format!("{}?deleted=true", tenant.keys())).await.json();
    deleted[0]["version"].as_u64().expect("a version")
}

#[tokio::test]
async fn every_change_of_a_key_obeys_if_match() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let created = create(&tenant, json!({"name": "n", "permissions": []})).await;
    let key = path(&tenant, &created);
    assert_eq!(version(&created), 0);
    for (method, sub, body) in [
        ("PATCH", "", Some(json!({"name": "m"}))),
        ("PUT", "/permission_sets", Some(json!({"permission_sets": []}))),
        ("POST", "/rotate", Some(json!({"grace_seconds": 3_600}))),
        ("DELETE", "/newest_secret", None),
        ("POST", "/rotate", Some(json!({"grace_seconds": 3_600}))),
        ("DELETE", "/previous_secret", None),
        ("DELETE", "", None),
        ("POST", "/restore", None),
    ] {
        let send = async |tag: &str| {
            let body = body.as_ref().map(|body| body.to_string().into_bytes());
            tenant.admin.with("if-match", tag).send(method, &format!("{key}{sub}"), body).await
        };
        let current = stored_version(&tenant, &key).await;
        for other in ["\"999\"", "999", "W/\"999\"", "nonsense", &format!("\"{}\"", current + 1)] {
            assert_refused(&send(other).await);
        }
        assert_eq!(stored_version(&tenant, &key).await, current, "a refused {method} {sub} changes nothing");
        // A proxy that compresses answers makes tags weak.
        let done = send(&format!("\"999\", W/\"{current}\"")).await;
        assert_eq!(done.status, 200, "{method} {sub}: {}", done.text);
        let next = stored_version(&tenant, &key).await;
        assert!(next >= current, "{method} {sub}");
        if method != "DELETE" {
            assert_eq!(version(&done), next, "{method} {sub}");
        }
    }
    assert_eq!(tenant.admin.get(&key).await.json()["enabled"], false, "it was deleted and restored");
    let gone = tenant.admin.with("if-match", "\"0\"").delete(&format!("{key}x")).await;
    assert_eq!(gone.status, 404, "a key that does not exist has no version");
    assert_eq!(tenant.admin.with("if-match", "*").delete(&key).await.status, 200);
}

#[tokio::test]
async fn of_simultaneous_deletions_and_rotations_of_one_version_one_succeeds() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = path(&tenant, &create(&tenant, json!({"name": "n", "permissions": []})).await);
    let caller = tenant.admin.with("if-match", "\"0\"");
    let (rotate, rotation) = (format!("{key}/rotate"), json!({"grace_seconds": 0}));
    let rotations = futures_util::future::join_all((0..4).map(|_| caller.post(&rotate, &rotation)));
    let deletions = futures_util::future::join_all((0..4).map(|_| caller.delete(&key)));
    let (rotations, deletions) = tokio::join!(rotations, deletions);
    let statuses: Vec<u16> = rotations.iter().chain(&deletions).map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 404, 412].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_repeated_request_has_the_tag_of_the_first_response() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let key = path(&tenant, &create(&tenant, json!({"name": "n", "permissions": []})).await);
    let caller = tenant.admin.with("idempotency-key", "k").with("if-match", "\"0\"");
    let rotate = async || caller.post(&format!("{key}/rotate"), &json!({"grace_seconds": 60})).await;
    let (first, again) = (rotate().await, rotate().await);
    assert_eq!((version(&first), version(&again)), (1, 1));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
}

#[tokio::test]
async fn what_has_no_version_matches_no_version() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, org) = (&tenant.admin, format!("/orgs/{}", tenant.org_id));
    let set = admin.post(&format!("{org}/permission_sets"), &json!({"name": "s", "permissions": []})).await.json();
    let set = format!("{org}/permission_sets/{}", set["id"].as_str().expect("an id"));
    let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": []});
    let member = admin.post(&format!("{org}/members"), &member).await.json();
    let member = format!("{org}/members/{}", member["user_id"].as_str().expect("an id"));
    let (_, reader) = app.key(&tenant.org_id, harness::KeySpec::with(&["org:read"])).await;
    for (method, path, body) in [
        ("PATCH", set.clone(), Some(json!({"name": "t"}))),
        ("DELETE", set, None),
        ("PATCH", member.clone(), Some(json!({"permissions": ["files:read"]}))),
        ("DELETE", format!("{member}/sessions"), None),
        ("DELETE", member, None),
        ("PATCH", org.clone(), Some(json!({"name": "o"}))),
        ("DELETE", format!("{org}?confirm={}", tenant.org_id), None),
    ] {
        let body = body.map(|body| body.to_string().into_bytes());
        let other = app.caller(&reader).with("if-match", "\"1\"").send(method, &path, body.clone()).await;
        assert_eq!(other.status, 403, "{method} {path}: it is checked after authorization");
        for tag in ["\"1\"", "W/\"1\"", "nonsense"] {
            assert_refused(&admin.with("if-match", tag).send(method, &path, body.clone()).await);
        }
        let any = admin.with("if-match", "*").send(method, &path, body).await;
        assert_eq!(any.status, 200, "{method} {path}: {}", any.text);
    }
}
