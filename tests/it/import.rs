//! Keys of another system: taken over by their hashes, good from the first verify on.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::secret::OldHash;
use harness::{Answer, Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

/// A text that another system has made.
pub(crate) fn text(n: u8) -> String {
    format!("sk_{}", char::from(b'a' + n).to_string().repeat(64))
}

fn hex(text: &str) -> String {
    OldHash::of(text).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn shape() -> Value {
    json!({"prefix": "sk_", "length": 64, "alphabet": "letters"})
}

pub(crate) fn key(text: &str, more: &Value) -> Value {
    let mut key = json!({"hash": hex(text), "start": &text[..6], "permissions": ["files:read"]});
    key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    key
}

pub(crate) async fn import(caller: &Caller, org_id: &str, keys: &[Value]) -> Answer {
    caller.post(&format!("/orgs/{org_id}/api_keys/import"), &json!({"shape": shape(), "keys": keys})).await
}

pub(crate) async fn code(caller: &Caller, text: &str) -> String {
    let answer = caller.post("/api_keys/verify", &json!({"key": text})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["code"].as_str().expect("a code").to_owned()
}

async fn listed(tenant: &Tenant) -> usize {
    let list = tenant.admin.get(&format!("/orgs/{}/api_keys", tenant.org_id)).await;
    list.json().as_array().expect("an array").len()
}

#[tokio::test]
async fn who_has_a_key_goes_on_with_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let old = text(0);
    assert_eq!(code(&tenant.admin, &old).await, "INVALID_API_KEY");
    let settings = json!({
        "name": "from before", "metadata": {"a": 1}, "remaining": 5, "created_at": "2020-01-02T03:04:05Z",
        "request_count": 7, "last_used_at": "2026-01-01T00:00:00Z", "external_id": "user-1",
        "permissions": ["api_keys:read", "api_keys:write", "api_keys:verify", "files:read"]
    });
    let dry = json!({"shape": shape(), "dry_run": true, "keys": [key(&old, &settings)]});
    let answer = tenant.admin.post(&format!("/orgs/{}/api_keys/import", tenant.org_id), &dry).await;
    assert_eq!(
        answer.json(),
        json!({"dry_run": true, "imported": 1, "existing": 0, "keys": [{"status": "imported", "id": null}]})
    );
    assert_eq!((listed(&tenant).await, code(&tenant.admin, &old).await), (1, "INVALID_API_KEY".to_owned()));
    let answer = import(&tenant.admin, &tenant.org_id, &[key(&old, &settings)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.json()["keys"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/orgs/{}/api_keys/{id}", tenant.org_id);
    let shown = tenant.admin.get(&path).await.json();
    assert_eq!(
        (&shown["start"], &shown["prefix"], &shown["created_at"], &shown["request_count"], &shown["last_used_at"]),
        (&json!("sk_aaa"), &json!("sk_"), &json!("2020-01-02T03:04:05Z"), &json!(7), &json!("2026-01-01T00:00:00Z"))
    );
    // It opens nothing until it has been verified once.
    assert_eq!(app.caller(&old).get(&path).await.status, 401);
    assert_eq!(code(&tenant.admin, &old).await, "VALID");
    assert_eq!(app.caller(&old).get(&path).await.status, 200);
    assert_eq!(app.caller(&old).get(&path).await.json()["remaining"], 4);
    let other = app.tenant("Other").await;
    assert_eq!(code(&other.admin, &old).await, "INVALID_API_KEY", "it is nobody else's");
    // Its next text is one of ours.
    let rotated = tenant.admin.post(&format!("{path}/rotate"), &json!({"grace_seconds": 60})).await.json();
    let new = rotated["key"].as_str().expect("a text");
    assert!(new.starts_with("sk_") && new.len() == 3 + 49, "{new}");
    assert_eq!((code(&tenant.admin, &old).await, code(&tenant.admin, new).await), ("VALID".into(), "VALID".into()));
    app.clock.advance_seconds(60);
    assert_eq!(
        (code(&tenant.admin, &old).await, code(&tenant.admin, new).await),
        ("INVALID_API_KEY".into(), "VALID".into())
    );
    assert_eq!(tenant.admin.delete(&path).await.status, 200);
    assert_eq!(code(&tenant.admin, new).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn hashes_are_taken_as_others_write_them() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let base64 = |text: &str| URL_SAFE_NO_PAD.encode(OldHash::of(text).bytes());
    let written = [hex(&text(0)), hex(&text(1)).to_uppercase(), base64(&text(2)), format!("{}=", base64(&text(3)))];
    let keys: Vec<Value> = written.iter().map(|hash| json!({"hash": hash, "permissions": []})).collect();
    assert_eq!(import(&tenant.admin, &tenant.org_id, &keys).await.json()["imported"], 4);
    for n in 0..4 {
        assert_eq!(code(&tenant.admin, &text(n)).await, "VALID", "{n}");
    }
    assert_eq!(code(&tenant.admin, &text(4)).await, "INVALID_API_KEY");
    assert_eq!(code(&tenant.admin, &text(0).to_uppercase()).await, "INVALID_API_KEY");
}

#[tokio::test]
async fn a_key_without_a_prefix_gets_ours_when_it_is_rotated() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let old = "Z".repeat(64);
    let shape = json!({"length": 64, "alphabet": "letters"});
    let body = json!({"shape": shape, "keys": [{"hash": hex(&old), "start": "ZZZZZZ", "permissions": []}]});
    let answer = tenant.admin.post(&format!("/orgs/{}/api_keys/import", tenant.org_id), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.json()["keys"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(code(&tenant.admin, &old).await, "VALID");
    let athena = tenant.admin.post("/api/auth/api-key/verify", &json!({"key": old})).await.json();
    assert_eq!((&athena["key"]["prefix"], &athena["key"]["start"]), (&Value::Null, &json!("ZZZZZZ")));
    let got = tenant.admin.get(&format!("/api/auth/api-key/get?id={id}")).await.json();
    assert_eq!((&got["prefix"], &got["start"]), (&Value::Null, &json!("ZZZZZZ")));
    let path = format!("/orgs/{}/api_keys/{id}/rotate", tenant.org_id);
    let rotated = tenant.admin.post(&path, &json!({"grace_seconds": 60})).await.json();
    assert_eq!(rotated["prefix"], "cvg_");
    let new = rotated["key"].as_str().expect("a text");
    assert_eq!((code(&tenant.admin, &old).await, code(&tenant.admin, new).await), ("VALID".into(), "VALID".into()));
}

#[tokio::test]
async fn what_was_taken_over_before_stays_as_it_is() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = [key(&text(0), &json!({})), key(&text(1), &json!({})), key(&text(0), &json!({"name": "twice"}))];
    let first = import(&tenant.admin, &tenant.org_id, &keys).await.json();
    assert_eq!(
        (&first["imported"], &first["existing"], &first["keys"][2]["status"]),
        (&json!(2), &json!(1), &json!("existing"))
    );
    assert_eq!(code(&tenant.admin, &text(0)).await, "VALID");
    let again =
        import(&tenant.admin, &tenant.org_id, &[keys.as_slice(), &[key(&text(2), &json!({}))]].concat()).await.json();
    assert_eq!((&again["imported"], &again["existing"]), (&json!(1), &json!(3)));
    assert_eq!((listed(&tenant).await, code(&tenant.admin, &text(0)).await), (4, "VALID".to_owned()));
    // Twice at once, it is there once.
    let keys = [key(&text(3), &json!({}))];
    let racers = (0..4).map(|_| import(&tenant.admin, &tenant.org_id, &keys));
    let statuses: Vec<u16> = futures_util::future::join_all(racers).await.iter().map(|answer| answer.status).collect();
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    assert_eq!(listed(&tenant).await, 5);
}

#[tokio::test]
async fn a_shape_that_was_wrong_is_repaired_by_importing_again() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let old = format!("sk_{}", "q".repeat(40));
    let keys = [key(&old, &json!({}))];
    assert_eq!(import(&tenant.admin, &tenant.org_id, &keys).await.json()["imported"], 1);
    assert_eq!(code(&tenant.admin, &old).await, "INVALID_API_KEY", "not of the shape that was told");
    let body = |dry_run| json!({"shape": {"prefix": "sk_", "length": 40, "alphabet": "letters"}, "keys": keys, "dry_run": dry_run});
    for (dry_run, expected) in [(true, "INVALID_API_KEY"), (false, "VALID")] {
        let path = format!("/orgs/{}/api_keys/import", tenant.org_id);
        let again = tenant.admin.post(&path, &body(dry_run)).await.json();
        assert_eq!((&again["imported"], &again["existing"]), (&json!(0), &json!(1)));
        app.forget_everything();
        assert_eq!(code(&tenant.admin, &old).await, expected, "{dry_run}");
    }
}

#[tokio::test]
async fn a_key_that_is_rotated_before_it_was_shown_ends_its_old_text() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys: Vec<Value> = (0..3).map(|n| key(&text(n), &json!({}))).collect();
    let made = import(&tenant.admin, &tenant.org_id, &keys).await.json();
    let path =
        |n: usize| format!("/orgs/{}/api_keys/{}", tenant.org_id, made["keys"][n]["id"].as_str().expect("an id"));
    let rotate = async |n: usize, grace: u64| {
        tenant.admin.post(&format!("{}/rotate", path(n)), &json!({"grace_seconds": grace})).await.status
    };
    assert_eq!(rotate(0, 0).await, 200);
    assert_eq!(code(&tenant.admin, &text(0)).await, "INVALID_API_KEY", "at once");
    assert_eq!((rotate(1, 60).await, rotate(1, 60).await), (200, 409), "it goes on");
    assert_eq!(rotate(2, 60).await, 200);
    assert_eq!(tenant.admin.delete(&format!("{}/previous_secret", path(2))).await.status, 200);
    assert_eq!(code(&tenant.admin, &text(2)).await, "INVALID_API_KEY", "ended before its time");
    assert_eq!(code(&tenant.admin, &text(1)).await, "VALID");
    app.clock.advance_seconds(60);
    assert_eq!(code(&tenant.admin, &text(1)).await, "INVALID_API_KEY", "after its time");
}

#[tokio::test]
async fn who_shows_it_first_may_be_many() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for n in 0..5 {
        // Called unknown a moment ago, and at once by many.
        assert_eq!(code(&tenant.admin, &text(n)).await, "INVALID_API_KEY");
        import(&tenant.admin, &tenant.org_id, &[key(&text(n), &json!({}))]).await;
        let old = text(n);
        let codes = futures_util::future::join_all((0..16).map(|_| code(&tenant.admin, &old))).await;
        assert!(codes.iter().all(|code| code == "VALID"), "{codes:?}");
    }
}

#[tokio::test]
async fn what_was_deleted_can_be_taken_over_anew() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for n in 0..2 {
        let made = import(&tenant.admin, &tenant.org_id, &[key(&text(n), &json!({"name": "wrong"}))]).await.json();
        if n == 1 {
            assert_eq!(code(&tenant.admin, &text(n)).await, "VALID");
        }
        let path = format!("/orgs/{}/api_keys/{}", tenant.org_id, made["keys"][0]["id"].as_str().expect("an id"));
        assert_eq!(tenant.admin.delete(&path).await.status, 200);
        assert_eq!(code(&tenant.admin, &text(n)).await, "INVALID_API_KEY");
        let owner = if n == 0 { &other } else { &tenant };
        let again = import(&owner.admin, &owner.org_id, &[key(&text(n), &json!({"name": "right"}))]).await;
        assert_eq!(again.json()["imported"], 1, "{}", again.text);
        let verdict = owner.admin.post("/api_keys/verify", &json!({"key": text(n)})).await.json();
        assert_eq!((&verdict["code"], &verdict["name"]), (&json!("VALID"), &json!("right")));
    }
}

#[tokio::test]
async fn shapes_are_few_for_each_organization() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let import = async |tenant: &Tenant, length: u64| {
        let shape = json!({"length": length, "alphabet": "hex"});
        let hash = format!("{length:064x}");
        let body = json!({"shape": shape, "keys": [{"hash": hash, "permissions": []}]});
        tenant.admin.post(&format!("/orgs/{}/api_keys/import", tenant.org_id), &body).await.status
    };
    for length in 40..45 {
        assert_eq!(import(&tenant, length).await, 200);
    }
    assert_eq!((import(&tenant, 45).await, import(&other, 45).await), (409, 200));
}

#[tokio::test]
async fn nobody_imports_more_than_they_hold() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let caller = async |permissions: &[&str], expires_in| {
        let spec = KeySpec { expires_in, ..KeySpec::with(permissions) };
        app.caller(&app.key(&tenant.org_id, spec).await.1)
    };
    let keys = [key(&text(0), &json!({}))];
    for (caller, status) in [
        (caller(&["api_keys:write", "files:read"], None).await, 403),
        (caller(&["org:admin"], None).await, 403),
        (caller(&["org:admin", "files:*"], None).await, 200),
    ] {
        assert_eq!(import(&caller, &tenant.org_id, &keys).await.status, status);
    }
    let short = caller(&["*"], Some(60)).await;
    let made = import(&short, &tenant.org_id, &[key(&text(1), &json!({}))]).await;
    let path = format!("/orgs/{}/api_keys/{}", tenant.org_id, made.json()["keys"][0]["id"].as_str().expect("an id"));
    assert_eq!(
        tenant.admin.get(&path).await.json()["expires_at"],
        "2026-11-21T08:01:00.250Z",
        "no longer than its maker"
    );
    let other = app.tenant("Other").await;
    assert_eq!(import(&other.admin, &tenant.org_id, &keys).await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_place() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys/import", tenant.org_id);
    let good = key(&text(0), &json!({}));
    for (body, field) in [
        (json!({"shape": shape(), "keys": []}), "keys"),
        (json!({"shape": shape(), "keys": vec![good.clone(); 1_001]}), "keys"),
        (json!({"shape": {"length": 15, "alphabet": "hex"}, "keys": [good]}), "shape.length"),
        (json!({"shape": {"length": 31, "alphabet": "hex"}, "keys": [good]}), "shape.length"),
        (json!({"shape": {"prefix": "a b", "length": 64, "alphabet": "hex"}, "keys": [good]}), "shape.prefix"),
        (json!({"shape": {"length": 64, "alphabet": "greek"}, "keys": [good]}), "shape.alphabet"),
        (json!({"shape": {"length": 64, "alphabet": "hex", "x": 1}, "keys": [good]}), "shape.x"),
        (json!({"keys": [good]}), "shape"),
        (json!({"shape": shape(), "keys": [good, {"permissions": []}]}), "keys[1].hash"),
        (json!({"shape": shape(), "keys": [{"hash": "abc", "permissions": []}]}), "keys[0].hash"),
        (json!({"shape": shape(), "keys": [key(&text(0), &json!({"start": "sk_abcdefg"}))]}), "keys[0].start"),
        (json!({"shape": shape(), "keys": [key(&text(0), &json!({"key": text(0)}))]}), "keys[0].key"),
        (
            json!({"shape": shape(), "keys": [key(&text(0), &json!({"created_at": "2027-01-01T00:00:00Z"}))]}),
            "keys[0].created_at",
        ),
        (json!({"shape": shape(), "keys": [key(&text(0), &json!({"permissions": ["a:b:c"]}))]}), "keys[0].permissions"),
    ] {
        let refused = tenant.admin.post(&path, &body).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![field.to_owned()]), "{}", refused.text);
    }
    let stranger = key(&text(0), &json!({"user_id": "01a1fd1e-8cfa-74df-85f1-9534e4d89595"}));
    assert_eq!(import(&tenant.admin, &tenant.org_id, &[stranger]).await.status, 404, "no member");
    assert_eq!(listed(&tenant).await, 1, "all or none");
    let old = key(&text(0), &json!({"expires_at": "2020-01-01T00:00:00Z"}));
    assert_eq!(import(&tenant.admin, &tenant.org_id, &[old]).await.status, 200, "what is expired comes along");
    assert_eq!(code(&tenant.admin, &text(0)).await, "KEY_EXPIRED");
}
