//! Secrets that several organizations have imported: each finds its own key, and learns nothing of the others.

use harness::{Answer, Caller, Tenant, TestApp};
use serde_json::{Value, json};

use crate::import::{code, import, key, text};

/// Imports a text into an organization. Answers the id of its key.
async fn take(tenant: &Tenant, text: &str) -> String {
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
async fn each_organization_finds_its_own_key() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (one, two, three) = (app.tenant("One").await, app.tenant("Two").await, app.tenant("Three").await);
    let old = text(0);
    // Who imports a hash first, without having the text, stops nobody.
    let (first, second) = (take(&two, &old).await, take(&one, &old).await);
    assert_eq!(verify(&one.admin, &old, None).await, valid(&second));
    assert_eq!(verify(&two.admin, &old, None).await, valid(&first));
    assert_eq!(verify(&one.admin, &old, Some(&one.org_id)).await, valid(&second));
    assert_eq!(verify(&three.admin, &old, None).await, invalid());
    for (tenant, id) in [(&one, &second), (&two, &first)] {
        assert_eq!(verify(&platform, &old, Some(&tenant.org_id)).await, valid(id), "once more, and by the platform");
        let explained = tenant.admin.post("/api_keys/verify?explain=true", &json!({"key": old})).await.json();
        assert_eq!((&explained["code"], &explained["key_id"]), (&json!("VALID"), &json!(id)));
    }
    assert_eq!(verify(&platform, &old, Some(&three.org_id)).await, invalid());
    assert_eq!((alarms(&one).await, alarms(&two).await), (vec![], vec![]), "nobody asked whose it is");
    // Where no organization is named, it is nobody's.
    assert_eq!(verify(&platform, &old, None).await, invalid());
    assert_eq!(me(&app, &old).await.status, 401);
    for (tenant, id) in [(&one, &second), (&two, &first)] {
        let told = alarms(tenant).await;
        assert_eq!((told.len(), &told[0]["action"]), (1, &json!("api_key.use_contested_secret")), "{told:?}");
        assert_eq!(told[0]["target_id"], json!(id));
        assert!(!told[0].to_string().contains(if tenant.org_id == one.org_id { &two.org_id } else { &one.org_id }));
    }
    // What one does with its key is nothing to the other.
    let path = |tenant: &Tenant, id: &str| format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let disabled = one.admin.patch(&path(&one, &second), &json!({"enabled": false})).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    assert_eq!(verify(&one.admin, &old, None).await.0, "KEY_DISABLED");
    assert_eq!(verify(&two.admin, &old, None).await, valid(&first));
    assert_eq!(two.admin.delete(&path(&two, &first)).await.status, 200);
    assert_eq!(verify(&two.admin, &old, None).await, invalid());
    assert_eq!(one.admin.patch(&path(&one, &second), &json!({"enabled": true})).await.status, 200);
    // Now there is only one that has it.
    assert_eq!(verify(&platform, &old, None).await, valid(&second));
    assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(one.org_id));
    // And two again.
    assert_eq!(two.admin.post(&format!("{}/restore", path(&two, &first)), &json!({})).await.status, 200);
    assert_eq!(me(&app, &old).await.status, 401);
    assert_eq!(verify(&platform, &old, None).await, invalid());
    assert_eq!(verify(&one.admin, &old, None).await, valid(&second));
}

#[tokio::test]
async fn who_knows_the_hash_only_does_not_count_against_who_has_the_text() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (owner, other) = (app.tenant("Owner").await, app.tenant("Other").await);
    let old = text(0);
    let id = take(&owner, &old).await;
    assert_eq!(me(&app, &old).await.status, 401, "it was not shown yet");
    assert_eq!(verify(&owner.admin, &old, None).await, valid(&id));
    take(&other, &old).await;
    assert_eq!(verify(&platform, &old, None).await, valid(&id));
    assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(owner.org_id));
    assert_eq!(alarms(&owner).await, Vec::<Value>::new());
    // Before anybody has shown it, none is the one.
    let unseen = text(1);
    let owners = take(&owner, &unseen).await;
    let others = take(&other, &unseen).await;
    assert_eq!(verify(&platform, &unseen, None).await, invalid());
    assert_eq!((alarms(&owner).await.len(), alarms(&other).await.len()), (1, 1));
    assert_eq!(alarms(&other).await[0]["target_id"], json!(others));
    assert_eq!(verify(&platform, &unseen, Some(&owner.org_id)).await, valid(&owners));
    assert_eq!(verify(&platform, &unseen, None).await, valid(&owners), "shown by its organization's name");
}

#[tokio::test]
async fn no_answer_tells_whether_somebody_else_has_imported_it() {
    let app = TestApp::start().await;
    let (one, two) = (app.tenant("One").await, app.tenant("Two").await);
    take(&one, &text(0)).await;
    assert_eq!(code(&one.admin, &text(0)).await, "VALID");
    let mut answers = Vec::new();
    for n in [0, 1] {
        // Of the first one another organization has the key, of the second nobody.
        let keys = [key(&text(n), &json!({}))];
        let path = format!("/orgs/{}/api_keys/import", two.org_id);
        let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "letters"});
        let dry = two.admin.post(&path, &json!({"shape": shape, "keys": keys, "dry_run": true})).await;
        let before = verify(&two.admin, &text(n), None).await;
        let mut first = import(&two.admin, &two.org_id, &keys).await.json();
        first["keys"][0]["id"] = Value::Null;
        let again = import(&two.admin, &two.org_id, &keys).await.json();
        let after = verify(&two.admin, &text(n), None).await.0;
        answers.push((dry.json(), before, first, again, after));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].4, "VALID");
}

#[tokio::test]
async fn what_an_earlier_version_has_stored_goes_on() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for (n, is_asked_first) in [(0, true), (1, false)] {
        let old = text(n);
        let id = take(&tenant, &old).await;
        assert_eq!(code(&tenant.admin, &old).await, "VALID");
        app.forget_organizations_hash(&tenant.org_id, &old).await;
        if is_asked_first {
            assert_eq!(verify(&tenant.admin, &old, None).await, valid(&id));
        }
        assert_eq!(me(&app, &old).await.json()["organization"]["id"], json!(tenant.org_id), "as a credential");
        assert_eq!(verify(&tenant.admin, &old, None).await, valid(&id));
        assert_eq!(verify(&other.admin, &old, None).await, invalid());
        // What has ended there does not begin anew here.
        let path = format!("/orgs/{}/api_keys/{id}/rotate", tenant.org_id);
        assert_eq!(tenant.admin.post(&path, &json!({"grace_seconds": 0})).await.status, 200);
        assert_eq!(verify(&tenant.admin, &old, None).await, invalid());
        app.forget_organizations_hash(&tenant.org_id, &old).await;
        assert_eq!(verify(&tenant.admin, &old, None).await, invalid());
    }
}

#[tokio::test]
async fn shapes_that_can_be_guessed_are_refused_and_older_ones_go_on() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys/import", tenant.org_id);
    let good = key(&text(0), &json!({"start": ""}));
    for (alphabet, length, bits) in
        [("letters", 22, 125), ("alphanumeric", 21, 125), ("base64url", 21, 126), ("hex", 31, 124)]
    {
        let shape = json!({"prefix": "a_long_prefix_", "length": length, "alphabet": alphabet});
        let refused = tenant.admin.post(&path, &json!({"shape": shape, "keys": [good]})).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["shape.length".to_owned()]), "{alphabet}");
        let told = refused.json()["fields"]["shape.length"].to_string();
        assert!(told.contains("128") && told.contains(&bits.to_string()), "{told}");
        let enough = json!({"prefix": "a_long_prefix_", "length": length + 1, "alphabet": alphabet});
        let dry = tenant.admin.post(&path, &json!({"shape": enough, "keys": [good], "dry_run": true})).await;
        assert_eq!(dry.status, 200, "{}", dry.text);
    }
    let id = take(&tenant, &text(0)).await;
    let weak = "0123456789abcdef";
    app.weaken_import(weak).await;
    let key = tenant.admin.bearer().to_owned();
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    assert_eq!(verify(&app.caller(&key), weak, None).await, valid(&id));
}
