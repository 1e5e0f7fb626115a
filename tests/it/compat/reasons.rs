//! Reasons of errors, and the other codes that the OpenAPI document lists. That an error has a reason whose status is that of the
//! response is asserted for every request of every test, in the harness.

use api::{http::openapi_codes::VerdictCode, routes::ErrorReason};
use domain::{
    audit::{EventOutcome, context::Action},
    deny_reason::DenyCode,
    keys::quota::Quota,
    permissions::Permission,
};
use harness::{Answer, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::{auth::sessions::sign_in, compat::openapi::resolve};

#[track_caller]
fn assert_reason(answer: &Answer, reason: &str) {
    assert_eq!(answer.json()["reason"], reason, "{} {}", answer.status, answer.text);
}

#[tokio::test]
async fn the_document_lists_the_codes_of_the_service() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    let verdicts: Vec<&str> = [VerdictCode::VALID].into_iter().chain(DenyCode::CODES).collect();
    let permissions = Permission::SERVICE.map(|permission| permission.flat());
    for (name, codes) in [
        ("ErrorReason", json!(ErrorReason::ALL.map(ErrorReason::code).to_vec())),
        ("AuditAction", json!(Action::CODES.to_vec())),
        ("AuditOutcome", json!(EventOutcome::CODES)),
        ("DenyCode", json!(DenyCode::CODES)),
        ("VerdictCode", json!(verdicts)),
        ("ServicePermission", json!(permissions)),
    ] {
        assert_eq!(schemas[name]["enum"], codes, "{name}");
        assert_eq!(schemas[name]["type"], "string", "{name}");
    }
    let required = schemas["ApiError"]["required"].as_array().expect("an array");
    assert!(required.contains(&json!("reason")), "{required:?}");
    let refers_to = |place: &Value, schema: &str| {
        let reference = place.get("$ref").or_else(|| place.pointer("/allOf/0/$ref"));
        reference == Some(&json!(format!("#/components/schemas/{schema}")))
    };
    for (object, field, schema) in [
        ("ApiError", "reason", "ErrorReason"),
        ("AuditEvent", "action", "AuditAction"),
        ("AuditEvent", "outcome", "AuditOutcome"),
        ("AuditEvent", "permission", "ServicePermission"),
        ("Verdict", "code", "VerdictCode"),
        ("VerifyCheck", "code", "DenyCode"),
        ("AthenaVerdictError", "code", "DenyCode"),
    ] {
        assert!(refers_to(&schemas[object]["properties"][field], schema), "{object} {field}");
    }
    let parameters =
        document["paths"]["/orgs/{org_id}/audit_events"]["get"]["parameters"].as_array().expect("an array");
    let mut parameters = parameters.iter().map(|parameter| resolve(&document, parameter));
    let outcome = parameters.find(|parameter| parameter["name"] == "outcome").expect("the parameter");
    assert!(refers_to(&outcome["schema"], "AuditOutcome"), "{outcome}");
}

#[tokio::test]
async fn requests_without_permission_have_the_reason_for_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let with = async |spec: KeySpec| app.caller(&app.key(&tenant.org_id, spec).await.1);
    let anyone = app.anyone();
    assert_reason(&anyone.get("/me").await, "unauthenticated");
    assert_reason(&anyone.with_bearer("nonsense").get("/me").await, "invalid_credential");
    let expired = with(KeySpec { expires_in: Some(-1), ..KeySpec::with(&["*"]) }).await;
    assert_reason(&expired.get("/me").await, "invalid_credential");
    let nothing = with(KeySpec::with(&[])).await;
    assert_reason(&nothing.get(&keys).await, "permission_required");
    let cannot_manage = with(KeySpec { can_manage: false, ..KeySpec::with(&["*"]) }).await;
    assert_reason(&cannot_manage.get(&keys).await, "cannot_manage");
    let writer = with(KeySpec::with(&["api_keys:write"])).await;
    let more = json!({"name": "n", "permissions": ["files:read"]});
    assert_reason(&writer.post(&keys, &more).await, "exceeds_permissions");
    let short = with(KeySpec { expires_in: Some(60), ..KeySpec::with(&["*"]) }).await;
    let expires_later = json!({"name": "n", "permissions": [], "expires_at": "2027-01-01T00:00:00Z"});
    assert_reason(&short.post(&keys, &expires_later).await, "exceeds_expiry");
    assert_reason(&tenant.admin.post("/orgs", &json!({"name": "n"})).await, "platform_only");
    let session = sign_in(&app, &tenant.admin).await;
    assert_reason(&session.send("POST", "/session", None).await, "session_cannot_create_session");
    let token = json!({"audience": "a"});
    assert_reason(&session.post("/tokens", &token).await, "session_cannot_create_token");
    let rotate = format!("{keys}/{}/rotate", tenant.key_id);
    assert_reason(&session.post(&rotate, &json!({"grace_seconds": 0})).await, "session_cannot_rotate_own_key");
    let quota = Quota { remaining: Some(1), ..Quota::default() };
    let metered = with(KeySpec { quota, ..KeySpec::with(&[]) }).await;
    assert_reason(&metered.post("/tokens", &token).await, "metered_key_not_exchangeable");
    let restricted = json!({"name": "n", "permissions": [], "allowed_addresses": ["127.0.0.1"]});
    let restricted = tenant.admin.post(&keys, &restricted).await.json();
    let restricted = app.caller(restricted["key"].as_str().expect("a key"));
    assert_reason(&restricted.post("/tokens", &token).await, "restricted_key_not_exchangeable");
    assert_reason(&app.platform().await.post("/tokens", &token).await, "platform_key_not_exchangeable");
}

#[tokio::test]
async fn requests_that_are_wrong_have_the_reason_for_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let key = format!("{keys}/{}", tenant.key_id);
    let admin = &tenant.admin;
    assert_reason(&admin.get("/nothing").await, "unknown_path");
    assert_reason(&admin.send("PUT", "/me", None).await, "method_not_allowed");
    let json = admin.with("content-type", "application/json");
    assert_reason(&json.send("POST", &keys, Some(b"{".to_vec())).await, "malformed_body");
    let text = admin.with("content-type", "text/plain");
    assert_reason(&text.send("POST", &keys, Some(b"{}".to_vec())).await, "unsupported_media_type");
    assert_reason(&json.send("POST", &keys, Some(vec![b' '; 70_000])).await, "body_too_large");
    assert_reason(&admin.post(&keys, &json!({})).await, "invalid_fields");
    assert_reason(&admin.get(&format!("{keys}?limit=0")).await, "invalid_fields");
    assert_reason(&admin.patch(&key, &json!({})).await, "nothing_to_change");
    let unknown = "00000000-0000-7000-8000-000000000000";
    assert_reason(&admin.get(&format!("{keys}/{unknown}")).await, "not_found");
    let with_unknown = json!({"name": "n", "permissions": [], "permission_sets": [unknown]});
    assert_reason(&admin.post(&keys, &with_unknown).await, "permission_set_not_found");
    let other_version = admin.with("if-match", "9");
    assert_reason(&other_version.patch(&key, &json!({"name": "n"})).await, "version_mismatch");
    let once = admin.with("idempotency-key", "k");
    let body = |name: &str| json!({"name": name, "permissions": []});
    assert_eq!(once.post(&keys, &body("a")).await.status, 200);
    assert_reason(&once.post(&keys, &body("b")).await, "idempotency_key_reused");
}

#[tokio::test]
async fn conflicts_have_the_reason_for_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, platform) = (&tenant.admin, app.platform().await);
    let org = format!("/orgs/{}", tenant.org_id);
    let sets = format!("{org}/permission_sets");
    let set = json!({"name": "readers", "permissions": ["files:read"]});
    let made = admin.post(&sets, &set).await.json();
    assert_reason(&admin.post(&sets, &set).await, "name_taken");
    let member = json!({
        "user_email": "m@example.com", "user_name": "m", "permissions": [], "permission_sets": [made["id"]],
    });
    assert_eq!(admin.post(&format!("{org}/members"), &member).await.status, 200);
    assert_reason(&admin.post(&format!("{org}/members"), &member).await, "already_member");
    let set = format!("{sets}/{}", made["id"].as_str().expect("an id"));
    assert_reason(&admin.delete(&set).await, "permission_set_in_use");
    let last = format!("{org}/members/{}", tenant.user_id);
    assert_reason(&admin.patch(&last, &json!({"permissions": []})).await, "last_administrator");
    let external = json!({"name": "n", "external_id": "crm-1"});
    assert_eq!(platform.post("/orgs", &external).await.status, 200);
    assert_reason(&platform.post("/orgs", &external).await, "external_id_taken");
    assert_reason(&platform.patch(&org, &json!({"external_id": "crm-1"})).await, "external_id_taken");
    let me = platform.get("/me").await.json();
    let own = me["organization"]["id"].as_str().expect("an id");
    assert_reason(&platform.delete(&format!("/orgs/{own}?confirm={own}")).await, "platform_protected");
    let (key_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let rotate = format!("{org}/api_keys/{key_id}/rotate");
    let undo = format!("{org}/api_keys/{key_id}/newest_secret");
    assert_reason(&admin.delete(&undo).await, "no_previous_secret");
    let rotated = admin.post(&rotate, &json!({"grace_seconds": 3_600})).await;
    let used = admin.post("/api_keys/verify", &json!({"key": rotated.json()["key"]})).await;
    assert_eq!(used.json()["code"], "VALID");
    assert_reason(&admin.post(&rotate, &json!({"grace_seconds": 3_600})).await, "rotation_in_progress");
    assert_reason(&admin.delete(&undo).await, "newest_secret_used");
    let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "hex"});
    let supplied =
        |name: &str| json!({"name": name, "permissions": [], "secret": {"sha256": "ab".repeat(32), "shape": shape}});
    assert_eq!(admin.post(&format!("{org}/api_keys"), &supplied("one")).await.status, 200);
    assert_reason(&admin.post(&format!("{org}/api_keys"), &supplied("two")).await, "secret_in_use");
    let caps = json!({"max_api_keys": 1, "max_members": 1, "max_permission_sets": 1});
    assert_eq!(platform.patch(&org, &caps).await.status, 200);
    let key = json!({"name": "n", "permissions": []});
    assert_reason(&admin.post(&format!("{org}/api_keys"), &key).await, "key_limit_reached");
    let other = json!({"user_email": "o@example.com", "user_name": "o", "permissions": []});
    assert_reason(&admin.post(&format!("{org}/members"), &other).await, "member_limit_reached");
    let writers = json!({"name": "writers", "permissions": []});
    assert_reason(&admin.post(&sets, &writers).await, "permission_set_limit_reached");
}
