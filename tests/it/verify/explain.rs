//! Explained verification: every check with its inputs and its result.

use domain::keys::quota::{Quota, RateLimit};
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::{Value, json};

const PATH: &str = "/api_keys/verify?explain=true";

/// The names of the failed checks, and the result.
fn failed(answer: &Answer) -> (Vec<String>, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let body = answer.json();
    let checks = body["checks"].as_array().expect("checks");
    let failed: Vec<&Value> = checks.iter().filter(|check| check["passed"] == false).collect();
    let first = failed.first().map_or(json!("VALID"), |check| check["code"].clone());
    assert_eq!(
        (&body["code"], &body["valid"]),
        (&first, &json!(failed.is_empty())),
        "the first that fails is the verdict"
    );
    (failed.iter().map(|check| text(&check["check"])).collect(), text(&first))
}

fn inputs(answer: &Answer, check: &str) -> Value {
    let checks = answer.json()["checks"].clone();
    let found = checks.as_array().expect("checks").iter().find(|one| one["check"] == check);
    found.unwrap_or_else(|| panic!("{check}"))["inputs"].clone()
}

async fn ask(caller: &Caller, key: &str, permissions: &[&str]) -> Answer {
    caller.post(PATH, &json!({"key": key, "permissions": permissions})).await
}

#[tokio::test]
async fn explain_lists_every_check_with_its_inputs() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let platform = app.platform().await;
    let key = async |spec: KeySpec| app.key(&tenant.org_id, spec).await;
    let (id, good) = key(KeySpec { expires_in: Some(60), ..KeySpec::with(&["files:read"]) }).await;
    let answer = ask(&tenant.admin, &good, &["files:read"]).await;
    assert_eq!(failed(&answer), (vec![], "VALID".to_owned()));
    assert_eq!((&answer.json()["key_id"], &answer.json()["remaining"]), (&json!(id), &Value::Null));
    let names: Vec<Value> =
        answer.json()["checks"].as_array().expect("checks").iter().map(|check| check["check"].clone()).collect();
    assert_eq!(
        names,
        [
            "key",
            "organization",
            "enabled",
            "not_before",
            "expires_at",
            "address",
            "permissions",
            "remaining",
            "rate_limit"
        ]
        .map(Value::from)
    );
    assert_eq!(
        inputs(&answer, "expires_at"),
        json!({"expires_at": "2026-11-21T08:01:00.250Z", "now": "2026-11-21T08:00:00.250Z"})
    );
    // Checks after the first failed one are listed.
    app.clock.advance_seconds(60);
    let answer = ask(&tenant.admin, &good, &["files:read", "files:write"]).await;
    assert_eq!(failed(&answer).0, ["expires_at", "permissions"]);
    assert_eq!(
        inputs(&answer, "permissions"),
        json!({"needed": ["files:read", "files:write"], "missing": ["files:write"]})
    );
    let bound = json!({"name": "n", "permissions": [], "allowed_addresses": ["10.0.0.0/8"], "not_before": "2027-01-01T00:00:00Z"});
    let bound = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &bound).await.json();
    let answer = tenant.admin.post(PATH, &json!({"key": bound["key"], "context": {"ip": "11.0.0.1"}})).await;
    assert_eq!(failed(&answer), (vec!["not_before".to_owned(), "address".to_owned()], "KEY_NOT_YET_VALID".to_owned()));
    assert_eq!(inputs(&answer, "address"), json!({"allowed_addresses": ["10.0.0.0/8"], "ip": "11.0.0.1"}));
    assert_eq!(inputs(&answer, "not_before")["not_before"], "2027-01-01T00:00:00Z");
    let (_, off) = key(KeySpec { enabled: false, ..KeySpec::with(&[]) }).await;
    let answer = ask(&tenant.admin, &off, &[]).await;
    assert_eq!(failed(&answer), (vec!["enabled".to_owned()], "KEY_DISABLED".to_owned()));
    assert_eq!(inputs(&answer, "enabled"), json!({"enabled": false, "user_is_member": true}));
    let other = app.tenant("Other").await;
    let (_, of_other_user) = key(KeySpec { user_id: Some(other.user_id.clone()), ..KeySpec::with(&[]) }).await;
    let answer = ask(&tenant.admin, &of_other_user, &[]).await;
    assert_eq!(inputs(&answer, "enabled"), json!({"enabled": true, "user_is_member": false}));
    assert_eq!(failed(&answer).0, ["enabled"]);
    let org = format!("/orgs/{}", tenant.org_id);
    assert_eq!(platform.patch(&org, &json!({"suspended": true})).await.status, 200);
    let answer = ask(&platform, &off, &[]).await;
    assert_eq!(failed(&answer).0, ["organization", "enabled"]);
    assert_eq!(inputs(&answer, "organization"), json!({"suspended": true}));
}

#[tokio::test]
async fn explain_counts_no_uses() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let rate_limit = Some(RateLimit { max: 2, window: 60_000 });
    let quota = Quota { remaining: Some(3), rate_limit, ..Quota::default() };
    let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let verify = async || tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json()["code"].clone();
    for _ in 0..5 {
        let answer = ask(&tenant.admin, &key, &[]).await;
        assert_eq!((failed(&answer).1.as_str(), &answer.json()["remaining"]), ("VALID", &json!(3)));
    }
    assert_eq!(app.counts(&id).await, (Some(3), 0, 0));
    assert_eq!((verify().await, verify().await), (json!("VALID"), json!("VALID")));
    app.clock.advance_seconds(15);
    let answer = ask(&tenant.admin, &key, &[]).await;
    assert_eq!(failed(&answer), (vec!["rate_limit".to_owned()], "RATE_LIMITED".to_owned()));
    assert_eq!(inputs(&answer, "rate_limit"), json!({"limit": 2, "used": 2, "reset": 45}));
    assert_eq!(answer.json()["rate_limit"], json!({"limit": 2, "remaining": 0, "reset": 45}));
    assert_eq!(inputs(&answer, "remaining"), json!({"remaining": 1, "cost": 1}));
    app.clock.advance_seconds(45);
    assert_eq!(failed(&ask(&tenant.admin, &key, &[]).await).1, "VALID", "the window is over");
    assert_eq!(verify().await, "VALID");
    app.clock.advance_seconds(60);
    assert_eq!(failed(&ask(&tenant.admin, &key, &[]).await).0, ["remaining"]);
    assert_eq!(app.counts(&id).await.0, Some(0));
}

#[tokio::test]
async fn explain_needs_permission_to_read_keys() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let caller = async |permissions: &[&str]| app.caller(&app.key(&tenant.org_id, KeySpec::with(permissions)).await.1);
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let body = json!({"key": key});
    let verifier = caller(&["api_keys:verify"]).await;
    let refused = verifier.post(PATH, &body).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, "Bearer error=\"insufficient_scope\""));
    assert_eq!(caller(&["api_keys:read"]).await.post(PATH, &body).await.status, 403);
    let both = caller(&["api_keys:verify", "api_keys:read"]).await;
    assert_eq!(both.post(PATH, &body).await.status, 200);
    for (query, status) in [("?explain=yes", 400), ("?explain=", 400), ("?explain=false", 200), ("?other=1", 400)] {
        let answer = verifier.post(&format!("/api_keys/verify{query}"), &body).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
        assert!(status != 200 || answer.json().get("checks").is_none(), "{query}");
    }
    // For keys that the caller cannot see, only the first check is listed.
    let foreign = app.key(&other.org_id, KeySpec::with(&[])).await.1;
    let unknown = json!({"check": "key", "passed": false, "code": "INVALID_API_KEY", "inputs": {}});
    let last = if key.ends_with('x') { 'y' } else { 'x' };
    for text in [foreign.as_str(), "nonsense", &format!("{}{last}", &key[..key.len() - 1])] {
        let answer = ask(&both, text, &[]).await;
        assert_eq!(
            (answer.json()["checks"].clone(), failed(&answer).1.as_str()),
            (json!([unknown]), "INVALID_API_KEY")
        );
        assert_eq!(answer.json()["key_id"], Value::Null);
    }
    let elsewhere = json!({"key": key, "org_id": other.org_id});
    assert_eq!(both.post(PATH, &elsewhere).await.status, 404);
}

#[tokio::test]
async fn explain_names_the_mistake_of_a_copied_secret() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    for (text, problem) in [
        (format!("Bearer {key}"), "It begins with \"Bearer \": send only the secret after it"),
        (format!("\"{key}\""), "It has quotation marks: send only the secret between them"),
        (format!("{} {}", &key[..9], &key[9..]), "It contains whitespace: a secret has none"),
    ] {
        let answer = ask(&tenant.admin, &text, &[]).await;
        assert_eq!(failed(&answer), (vec!["key".to_owned()], "INVALID_API_KEY".to_owned()), "{text}");
        assert_eq!(inputs(&answer, "key"), json!({"problem": problem}));
    }
    assert_eq!(inputs(&ask(&tenant.admin, "cvg_unknown", &[]).await, "key"), json!({}));
}
