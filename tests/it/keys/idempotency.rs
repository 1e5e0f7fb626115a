//! Idempotency keys: repeated requests are executed once.

use futures_util::future::join_all;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

async fn count(tenant: &Tenant) -> usize {
    tenant.admin.get(&tenant.keys()).await.json().as_array().expect("an array").len()
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

async fn create(caller: &Caller, tenant: &Tenant, idempotency_key: &str, name: &str) -> Answer {
    let body = json!({"name": name, "permissions": []});
    caller.with("idempotency-key", idempotency_key).post(&tenant.keys(), &body).await
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_response_without_the_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let first = create(&tenant.admin, &tenant, "w-1", "one").await;
    assert_eq!((first.status, is_replayed(&first), count(&tenant).await), (200, false, 2), "{}", first.text);
    app.clock.advance_seconds(12 * 60 * 60 - 1);
    for idempotency_key in ["w-1", "\"w-1\""] {
        let again = create(&tenant.admin, &tenant, idempotency_key, "one").await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{idempotency_key}: {}", again.text);
        let mut expected = first.json();
        expected["key"] = Value::Null;
        assert_eq!(again.json(), expected);
    }
    // Ids in the path are the same in upper case.
    let upper = format!("/orgs/{}/api_keys", tenant.org_id.to_uppercase());
    let body = json!({"name": "one", "permissions": []});
    let again = tenant.admin.with("idempotency-key", "w-1").post(&upper, &body).await;
    assert_eq!((again.status, is_replayed(&again)), (200, true), "{}", again.text);
    assert_eq!(count(&tenant).await, 2);
    let secret = first.json()["key"].as_str().expect("a text").to_owned();
    assert!(!app.database.has_stored_response_with(&secret).await, "no secret is stored");
    // Another body is refused. With another path, caller or idempotency key it is another request.
    let other = create(&tenant.admin, &tenant, "w-1", "two").await;
    assert_eq!((other.status, other.json()["code"].clone()), (422, json!(422)), "{}", other.text);
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    assert!(!is_replayed(&create(&app.caller(&key), &tenant, "w-1", "one").await));
    assert!(!is_replayed(&create(&tenant.admin, &tenant, "w-2", "one").await));
    let set = json!({"name": "one", "permissions": []});
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let made = tenant.admin.with("idempotency-key", "w-1").post(&sets, &set).await;
    assert_eq!((made.status, is_replayed(&made)), (200, false));
    assert_eq!(count(&tenant).await, 5);
    app.clock.advance_seconds(1);
    let late = create(&tenant.admin, &tenant, "w-1", "one").await;
    assert_eq!((late.status, is_replayed(&late), count(&tenant).await), (200, false, 6), "after twelve hours");
}

#[tokio::test]
async fn a_repeated_request_needs_the_permission() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:write"])).await;
    let caller = app.caller(&key);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 200);
    let path = format!("{}/{id}", tenant.keys());
    assert_eq!(tenant.admin.patch(&path, &json!({"permissions": ["api_keys:read"]})).await.status, 200);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 403);
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": false})).await.status, 200);
    assert_eq!(create(&caller, &tenant, "w", "one").await.status, 401);
}

#[tokio::test]
async fn a_failed_request_can_be_retried_with_its_idempotency_key() {
    let app = TestApp::start_with(|config| config.max_api_keys = 2).await;
    let tenant = app.tenant("Acme").await;
    let first = create(&tenant.admin, &tenant, "w-1", "one").await.json();
    assert_eq!(create(&tenant.admin, &tenant, "w-2", "two").await.status, 409, "the limit of keys is reached");
    let path = format!("{}/{}", tenant.keys(), first["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    let second = create(&tenant.admin, &tenant, "w-2", "two").await;
    assert_eq!((second.status, is_replayed(&second)), (200, false), "{}", second.text);
}

#[tokio::test]
async fn of_concurrent_equal_requests_one_is_executed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let racers = (0..8).map(|_| create(&tenant.admin, &tenant, "w", "one"));
    let answers = join_all(racers).await;
    let first = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer)).count();
    assert_eq!((first, count(&tenant).await), (1, 2));
    assert!(answers.iter().all(|answer| answer.status == 409 || answer.status == 200), "{answers:?}");
    let again = create(&tenant.admin, &tenant, "w", "one").await;
    assert_eq!((again.status, is_replayed(&again)), (200, true));
}

#[tokio::test]
async fn every_creating_operation_supports_idempotency_keys() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let made = create(&tenant.admin, &tenant, "make", "one").await.json();
    let id = made["id"].as_str().expect("an id");
    let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
    let old = json!({"hash": "00".repeat(32), "permissions": []});
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    for (caller, path, body, hidden) in [
        (
            &tenant.admin,
            format!("{org}/api_keys/bulk_create"),
            json!({"keys": [{"name": "n", "permissions": []}]}),
            true,
        ),
        (&tenant.admin, format!("{org}/api_keys/{id}/rotate"), json!({"grace_seconds": 0}), true),
        (&tenant.admin, format!("{org}/api_keys/bulk_delete"), json!({"ids": [id]}), false),
        (&tenant.admin, format!("{org}/api_keys/{id}/restore"), json!({}), false),
        (&tenant.admin, format!("{org}/api_keys/import"), json!({"shape": shape, "keys": [old]}), false),
        (&tenant.admin, format!("{org}/permission_sets"), json!({"name": "s", "permissions": []}), false),
        (&tenant.admin, format!("{org}/members"), person, false),
        (&tenant.admin, format!("{org}/invitations"), json!({"user_name": "n", "permissions": []}), true),
        (&tenant.admin, format!("{org}/members/{}/recovery_links", tenant.user_id), json!({}), true),
        (&platform, "/orgs".to_owned(), json!({"name": "New"}), false),
    ] {
        let caller = caller.with("idempotency-key", "w");
        let first = caller.post(&path, &body).await;
        assert_eq!((first.status, is_replayed(&first)), (200, false), "{path}: {}", first.text);
        let events = app.audit(&tenant.org_id).await.len();
        let again = caller.post(&path, &body).await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{path}: {}", again.text);
        assert_eq!(again.json() == first.json(), !hidden, "{path}: {}", again.text);
        assert_eq!(app.audit(&tenant.org_id).await.len(), events, "{path} was done once");
    }
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_recorded() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = tenant.keys();
    let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
    let import = json!({"shape": shape, "keys": [{"hash": "00".repeat(32), "permissions": []}]});
    let imported = tenant.admin.post(&format!("{keys}/import"), &import).await;
    assert_eq!(imported.status, 200, "{}", imported.text);
    let unknown = json!({"ids": ["018f0000-0000-7000-8000-000000000000"]});
    let events = app.audit(&tenant.org_id).await.len();
    for (path, body) in [("bulk_delete", unknown), ("import", import)] {
        let caller = tenant.admin.with("idempotency-key", "w");
        let first = caller.post(&format!("{keys}/{path}"), &body).await;
        assert_eq!((first.status, is_replayed(&first)), (200, false), "{path}: {}", first.text);
        let again = caller.post(&format!("{keys}/{path}"), &body).await;
        assert_eq!((again.status, is_replayed(&again)), (200, true), "{path}: {}", again.text);
        assert_eq!(again.json(), first.json(), "{path}");
    }
    assert_eq!(app.audit(&tenant.org_id).await.len(), events, "nothing was changed");
}

/// Sends a request eight times at once with one idempotency key. One is executed. The others get its response, or 409 while
/// it runs.
async fn send_concurrently(caller: &Caller, path: &str, body: &Value) {
    let racers = (0..8).map(|_| caller.post(path, body));
    let answers = join_all(racers).await;
    let (done, others): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 200 && !is_replayed(answer));
    let [done] = done.as_slice() else { panic!("{path} is done once: {answers:?}") };
    let mut expected = done.json();
    let hide = |made: &mut Value| {
        for name in ["key", "token", "url"] {
            made.get_mut(name).map(Value::take);
        }
    };
    hide(&mut expected);
    expected.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten().for_each(hide);
    for other in others {
        let is_in_progress = other.status == 409 && other.text.contains("Idempotency-Key");
        let is_repeated = other.status == 200 && other.json() == expected;
        assert!(is_in_progress || is_repeated, "{path}: {} {}", other.status, other.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_idempotency_key_run_once() {
    let app = TestApp::start().await;
    let platform = app.platform().await.keeping_connections();
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let admin = tenant.admin.keeping_connections();
    for round in 0..4 {
        let made = create(&admin, &tenant, &format!("make-{round}"), "one").await.json();
        let id = made["id"].as_str().expect("an id");
        let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
        let old = json!({"hash": format!("{round:064x}"), "permissions": []});
        let email = format!("ben-{round}@example.com");
        let events = app.audit(&tenant.org_id).await.len();
        let requests = [
            (&admin, format!("{org}/api_keys"), json!({"name": "n", "permissions": []})),
            (&admin, format!("{org}/api_keys/bulk_create"), json!({"keys": [{"name": "n", "permissions": []}]})),
            (&admin, format!("{org}/api_keys/{id}/rotate"), json!({"grace_seconds": 60})),
            (&admin, format!("{org}/api_keys/bulk_delete"), json!({"ids": [id]})),
            (&admin, format!("{org}/api_keys/{id}/restore"), json!({})),
            (&admin, format!("{org}/api_keys/import"), json!({"shape": shape, "keys": [old]})),
            (&admin, format!("{org}/permission_sets"), json!({"name": format!("s-{round}"), "permissions": []})),
            (&admin, format!("{org}/members"), json!({"user_email": email, "user_name": "Ben", "permissions": []})),
            (&admin, format!("{org}/invitations"), json!({"user_name": "Ben", "permissions": []})),
            (&platform, "/orgs".to_owned(), json!({"external_id": format!("o-{round}")})),
        ];
        for (caller, path, body) in &requests {
            send_concurrently(&caller.with("idempotency-key", &format!("w-{round}")), path, body).await;
        }
        // The last one is in the log of another organization.
        assert_eq!(app.audit(&tenant.org_id).await.len(), events + requests.len() - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_equal_imports_run_once_without_an_idempotency_key() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let admin = tenant.admin.keeping_connections();
    let path = format!("{}/import", tenant.keys());
    for round in 0..4 {
        let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
        let keys: Vec<Value> =
            (0..20).map(|n| json!({"hash": format!("{:064x}", round * 100 + n), "permissions": []})).collect();
        let body = json!({"shape": shape, "keys": keys});
        let answers = join_all((0..8).map(|_| admin.post(&path, &body))).await;
        let counts = answers.iter().map(|answer| {
            assert_eq!(answer.status, 200, "{}", answer.text);
            (answer.json()["imported"].as_u64(), answer.json()["existing"].as_u64())
        });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_unstable();
        assert_eq!(counts, [[(Some(0), Some(20)); 7].as_slice(), &[(Some(20), Some(0))]].concat());
    }
}

#[tokio::test]
async fn an_invalid_idempotency_key_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let malformed = "must be 1 to 255 visible ASCII characters, with a quote at both ends or at none";
    let long = "x".repeat(256);
    for idempotency_key in ["", " ", "\"\"", "\"", "\"a", "a\"", "ä", "a b", &long] {
        let answer = create(&tenant.admin, &tenant, idempotency_key, "one").await;
        assert_eq!(
            (answer.status, &answer.json()["fields"]),
            (400, &json!({"Idempotency-Key": malformed})),
            "{idempotency_key}"
        );
    }
    let twice = create(&tenant.admin.with("idempotency-key", "a"), &tenant, "b", "one").await;
    let repeated = json!({"Idempotency-Key": "must be sent only once"});
    assert_eq!((twice.status, &twice.json()["fields"]), (400, &repeated));
    assert_eq!(count(&tenant).await, 1);
}
