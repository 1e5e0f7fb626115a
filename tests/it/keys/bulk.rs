//! Bulk creation, which is all or nothing, and bulk deletion.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

fn keys(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"name": format!("n{n}"), "permissions": ["read"], "metadata": {"n": n}})).collect()
}

#[tokio::test]
async fn a_thousand_keys_are_created_in_one_call() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let answer = tenant.admin.post(&format!("{path}/bulk_create"), &json!({"keys": keys(1_000)})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let made = answer.json()["keys"].as_array().expect("keys").clone();
    for n in [0, 1, 999] {
        assert_eq!((&made[n]["name"], &made[n]["metadata"]), (&json!(format!("n{n}")), &json!({"n": n})));
        let verdict = tenant.admin.post("/api_keys/verify", &json!({"key": made[n]["key"]})).await.json();
        assert_eq!((&verdict["valid"], &verdict["key_id"]), (&json!(true), &made[n]["id"]));
    }
    assert_eq!(tenant.admin.get(&path).await.json().as_array().map(Vec::len), Some(1_001));
}

#[tokio::test]
async fn bulk_creation_is_all_or_nothing() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let bulk = format!("{path}/bulk_create");
    for (wrong, field) in [
        (json!({"name": "", "permissions": []}), "keys[2].name"),
        (json!({"name": "n", "permissions": [], "expires_in": 5}), "keys[2].expires_in"),
        (json!({"permissions": []}), "keys[2].name"),
    ] {
        let mut keys = keys(2);
        keys.push(wrong);
        let answer = tenant.admin.post(&bulk, &json!({"keys": keys})).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.wrong_fields(), [field]);
    }
    for wrong in [json!({}), json!({"keys": []}), json!({"keys": keys(1_001)}), json!({"keys": [1]})] {
        assert_eq!(tenant.admin.post(&bulk, &wrong).await.status, 400);
    }
    let (_, writer) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:*"])).await;
    let mut beyond = keys(2);
    beyond.push(json!({"name": "n", "permissions": ["api_keys:read", "files:read"]}));
    assert_eq!(
        app.caller(&writer).post(&bulk, &json!({"keys": beyond})).await.status,
        403,
        "the caller lacks a permission"
    );
    let large = json!({"keys": [{"name": "n", "permissions": [], "metadata": {"x": "x".repeat(5 << 20)}}]});
    assert_eq!(tenant.admin.post(&bulk, &large).await.status, 413);
    assert_eq!(tenant.admin.get(&path).await.json().as_array().map(Vec::len), Some(2), "no key was created");
}

#[tokio::test]
async fn a_thousand_keys_are_deleted_in_one_call() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let made = tenant.admin.post(&format!("{path}/bulk_create"), &json!({"keys": keys(1_000)})).await.json();
    let made = made["keys"].as_array().expect("keys").clone();
    let code = async |key: &Value| {
        tenant.admin.post("/api_keys/verify", &json!({"key": key["key"]})).await.json()["code"].clone()
    };
    assert_eq!(code(&made[7]).await, "VALID");
    let bulk = format!("{path}/bulk_delete");
    for (wrong, status) in [
        (json!({}), 400),
        (json!({"ids": []}), 400),
        (json!({"ids": "x"}), 400),
        (json!({"ids": [1]}), 400),
        (json!({"ids": vec!["x"; 1_001]}), 400),
        (json!({"ids": [made[0]["id"]], "force": true}), 400),
    ] {
        assert_eq!(tenant.admin.post(&bulk, &wrong).await.status, status, "{wrong}");
    }
    let wrong = json!({"ids": [made[0]["id"], "nonsense", made[1]["id"], ""]});
    let refused = tenant.admin.post(&bulk, &wrong).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["ids[1]".to_owned(), "ids[3]".to_owned()]));
    assert_eq!(code(&made[0]).await, "VALID", "nothing was deleted");
    // Keys of others and unknown keys are not found. Repeated ids count once.
    let mut ids: Vec<Value> = made[..996].iter().map(|key| key["id"].clone()).collect();
    ids.extend([json!(other.key_id), json!("00000000-0000-7000-8000-000000000000"), ids[0].clone()]);
    let deleted = tenant.admin.post(&bulk, &json!({"ids": ids})).await;
    let expected = json!({"deleted": 996, "not_found": ids[996..998]});
    assert_eq!((deleted.status, deleted.json()), (200, expected), "{}", deleted.text);
    assert_eq!((code(&made[7]).await, code(&made[999]).await), (json!("INVALID_API_KEY"), json!("VALID")));
    assert_eq!(other.admin.get("/auth/check-key").await.status, 200);
    assert_eq!(tenant.admin.get(&path).await.json().as_array().map(Vec::len), Some(5));
    let log = app.audit(&tenant.org_id).await;
    assert_eq!(log.iter().filter(|event| event.action == "api_key.delete").count(), 996);
    let again = tenant.admin.post(&bulk, &json!({"ids": ids[..3]})).await.json();
    assert_eq!(again, json!({"deleted": 0, "not_found": ids[..3]}));
}
