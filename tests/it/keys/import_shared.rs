//! Secrets that several organizations have imported: each has its own key, and cannot see the others.

use harness::{Answer, Caller, Tenant, TestApp};
use serde_json::{Value, json};

use crate::keys::import::{code, import, key, secret};

/// Imports a secret. Returns the id of its key.
async fn import_one(tenant: &Tenant, text: &str) -> String {
    let answer = import(&tenant.admin, &tenant.org_id, &[key(text, &json!({"permissions": ["api_keys:read"]}))]).await;
    assert_eq!(answer.json()["imported"], 1, "{}", answer.text);
    answer.json()["keys"][0]["id"].as_str().expect("an id").to_owned()
}

async fn verify(caller: &Caller, text: &str, org_id: Option<&str>) -> (Value, Value) {
    let mut body = json!({"key": text});
    if let Some(org_id) = org_id {
        body["org_id"] = json!(org_id);
    }
    let answer = caller.post("/api_keys/verify", &body).await.json();
    (answer["code"].clone(), answer["key_id"].clone())
}

fn valid(id: &str) -> (Value, Value) {
    (json!("VALID"), json!(id))
}

fn invalid() -> (Value, Value) {
    (json!("INVALID_API_KEY"), Value::Null)
}

async fn alarms(tenant: &Tenant) -> Vec<Value> {
    let log = tenant.admin.get(&format!("/orgs/{}/audit_events?outcome=alarm", tenant.org_id)).await.json();
    log.as_array().expect("an array").clone()
}

async fn me(app: &TestApp, text: &str) -> Answer {
    app.caller(text).get("/me").await
}

#[tokio::test]
async fn a_secret_imported_by_several_organizations_is_valid_in_each() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (one, two, three) = (app.tenant("One").await, app.tenant("Two").await, app.tenant("Three").await);
    let old = secret(0);
    // Importing a hash first, without the secret, does not block others.
    let (first, second) = (import_one(&two, &old).await, import_one(&one, &old).await);
    assert_eq!(verify(&one.admin, &old, None).await, valid(&second));
    assert_eq!(verify(&two.admin, &old, None).await, valid(&first));
    assert_eq!(verify(&one.admin, &old, Some(&one.org_id)).await, valid(&second));
    assert_eq!(verify(&three.admin, &old, None).await, invalid());
    for (tenant, id) in [(&one, &second), (&two, &first)] {
        assert_eq!(
            verify(&platform, &old, Some(&tenant.org_id)).await,
            valid(id),
            "also by the platform, with the organization"
        );
        let explained = tenant.admin.post("/api_keys/verify?explain=true", &json!({"key": old})).await.json();
        assert_eq!((&explained["code"], &explained["key_id"]), (&json!("VALID"), &json!(id)));
    }
    assert_eq!(verify(&platform, &old, Some(&three.org_id)).await, invalid());
    assert_eq!((alarms(&one).await, alarms(&two).await), (vec![], vec![]), "no verification was ambiguous");
    // Without a named organization it is invalid.
    assert_eq!(verify(&platform, &old, None).await, invalid());
    assert_eq!(me(&app, &old).await.status, 401);
    for (tenant, id) in [(&one, &second), (&two, &first)] {
        let reported = alarms(tenant).await;
        assert_eq!(
            (reported.len(), &reported[0]["action"]),
            (1, &json!("api_key.use_contested_secret")),
            "{reported:?}"
        );
        assert_eq!(reported[0]["target_id"], json!(id));
        assert!(!reported[0].to_string().contains(if tenant.org_id == one.org_id { &two.org_id } else { &one.org_id }));
    }
    // Changes of one key do not affect the other.
    let path = |tenant: &Tenant, id: &str| format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let disabled = one.admin.patch(&path(&one, &second), &json!({"enabled": false})).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    assert_eq!(verify(&one.admin, &old, None).await.0, "KEY_DISABLED");
    assert_eq!(verify(&two.admin, &old, None).await, valid(&first));
    assert_eq!(two.admin.delete(&path(&two, &first)).await.status, 200);
    assert_eq!(verify(&two.admin, &old, None).await, invalid());
    assert_eq!(one.admin.patch(&path(&one, &second), &json!({"enabled": true})).await.status, 200);
    // One organization has it.
    assert_eq!(verify(&platform, &old, None).await, valid(&second));
    assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(one.org_id));
    // Two organizations have it again.
    assert_eq!(two.admin.post(&format!("{}/restore", path(&two, &first)), &json!({})).await.status, 200);
    assert_eq!(me(&app, &old).await.status, 401);
    assert_eq!(verify(&platform, &old, None).await, invalid());
    assert_eq!(verify(&one.admin, &old, None).await, valid(&second));
}

#[tokio::test]
async fn a_restored_organization_contests_an_imported_secret_again() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (one, two) = (app.tenant("One").await, app.tenant("Two").await);
    let old = secret(0);
    for tenant in [&one, &two] {
        let id = import_one(tenant, &old).await;
        assert_eq!(verify(&tenant.admin, &old, None).await, valid(&id));
    }
    assert_eq!(me(&app, &old).await.status, 401, "two organizations have the secret");
    let path = format!("/orgs/{}", two.org_id);
    assert_eq!(two.admin.delete(&format!("{path}?confirm={}", two.org_id)).await.status, 200);
    for _ in 0..2 {
        assert_eq!(
            me(&app, &old).await.json()["organization"]["id"],
            json!(one.org_id),
            "one organization has the secret"
        );
    }
    assert_eq!(platform.post(&format!("{path}/restore"), &json!({})).await.status, 200);
    assert_eq!(me(&app, &old).await.status, 401, "two organizations have the secret again");
    assert_eq!(verify(&platform, &old, None).await, invalid());
}

#[tokio::test]
async fn an_unused_imported_hash_does_not_contest_a_used_secret() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (owner, other) = (app.tenant("Owner").await, app.tenant("Other").await);
    let old = secret(0);
    let id = import_one(&owner, &old).await;
    assert_eq!(me(&app, &old).await.status, 401, "the secret was not used yet");
    assert_eq!(verify(&owner.admin, &old, None).await, valid(&id));
    import_one(&other, &old).await;
    assert_eq!(verify(&platform, &old, None).await, valid(&id));
    assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(owner.org_id));
    assert_eq!(alarms(&owner).await, Vec::<Value>::new());
    // Before its first use, it belongs to no organization.
    let unseen = secret(1);
    let owners = import_one(&owner, &unseen).await;
    let others = import_one(&other, &unseen).await;
    assert_eq!(verify(&platform, &unseen, None).await, invalid());
    assert_eq!((alarms(&owner).await.len(), alarms(&other).await.len()), (1, 1));
    assert_eq!(alarms(&other).await[0]["target_id"], json!(others));
    assert_eq!(verify(&platform, &unseen, Some(&owner.org_id)).await, valid(&owners));
    assert_eq!(
        verify(&platform, &unseen, None).await,
        valid(&owners),
        "found by the verification with the organization"
    );
}

#[tokio::test]
async fn responses_do_not_reveal_imports_of_other_organizations() {
    let app = TestApp::start().await;
    let (one, two) = (app.tenant("One").await, app.tenant("Two").await);
    import_one(&one, &secret(0)).await;
    assert_eq!(code(&one.admin, &secret(0)).await, "VALID");
    let mut answers = Vec::new();
    for n in [0, 1] {
        // The first secret was imported by another organization, the second was not.
        let keys = [key(&secret(n), &json!({}))];
        let path = format!("/orgs/{}/api_keys/import", two.org_id);
        let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "letters"});
        let dry = two.admin.post(&path, &json!({"shape": shape, "keys": keys, "dry_run": true})).await;
        let before = verify(&two.admin, &secret(n), None).await;
        let mut first = import(&two.admin, &two.org_id, &keys).await.json();
        first["keys"][0]["id"] = Value::Null;
        let again = import(&two.admin, &two.org_id, &keys).await.json();
        let after = verify(&two.admin, &secret(n), None).await.0;
        answers.push((dry.json(), before, first, again, after));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].4, "VALID");
}

#[tokio::test]
async fn secrets_imported_by_an_earlier_version_stay_valid() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for (n, is_asked_first) in [(0, true), (1, false)] {
        let old = secret(n);
        let id = import_one(&tenant, &old).await;
        assert_eq!(code(&tenant.admin, &old).await, "VALID");
        app.remove_organization_hash(&tenant.org_id, &old).await;
        if is_asked_first {
            assert_eq!(verify(&tenant.admin, &old, None).await, valid(&id));
        }
        assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(tenant.org_id), "also as a credential");
        assert_eq!(verify(&tenant.admin, &old, None).await, valid(&id));
        assert_eq!(verify(&other.admin, &old, None).await, invalid());
        // An expired secret stays expired.
        let path = format!("/orgs/{}/api_keys/{id}/rotate", tenant.org_id);
        assert_eq!(tenant.admin.post(&path, &json!({"grace_seconds": 0})).await.status, 200);
        assert_eq!(verify(&tenant.admin, &old, None).await, invalid());
        app.remove_organization_hash(&tenant.org_id, &old).await;
        assert_eq!(verify(&tenant.admin, &old, None).await, invalid());
    }
}

#[tokio::test]
async fn weak_key_formats_are_refused_and_stored_ones_stay_valid() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys/import", tenant.org_id);
    let good = key(&secret(0), &json!({"start": ""}));
    for (alphabet, length, expected) in [
        ("letters", 22, "at least 128 bits; this length and alphabet hold 125"),
        ("alphanumeric", 21, "from 22 to 256"),
        ("base64url", 21, "from 22 to 256"),
        ("hex", 31, "at least 128 bits; this length and alphabet hold 124"),
    ] {
        let shape = json!({"prefix": "a_long_prefix_", "length": length, "alphabet": alphabet});
        let refused = tenant.admin.post(&path, &json!({"shape": shape, "keys": [good]})).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["shape.length".to_owned()]), "{alphabet}");
        let reported = refused.json()["fields"]["shape.length"].to_string();
        assert!(reported.contains(expected), "{reported}");
        let enough = json!({"prefix": "a_long_prefix_", "length": length + 1, "alphabet": alphabet});
        let dry = tenant.admin.post(&path, &json!({"shape": enough, "keys": [good], "dry_run": true})).await;
        assert_eq!(dry.status, 200, "{}", dry.text);
    }
    let id = import_one(&tenant, &secret(0)).await;
    let weak = "0123456789abcdef";
    app.weaken_imported_secret(weak).await;
    let key = tenant.admin.bearer().to_owned();
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    assert_eq!(verify(&app.caller(&key), weak, None).await, valid(&id));
}
