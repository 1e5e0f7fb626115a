//! The examples of the OpenAPI document: this test sends a request to every operation and compares what it sent and got with
//! `api/openapi/examples.json`. With `CLAVIGER_UPDATE_EXAMPLES=1` it writes the file.

mod compatible;
mod portal;
mod trust_rules;

use std::{collections::HashMap, path::PathBuf};

use harness::{Answer, Authenticator, Caller, KeySpec, read_issuers, wait_until};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    auth::{
        idp::{Fixture, fixture_with, membership},
        operations::{PORTAL, PROTECTED, PUBLIC, encoded},
    },
    passkeys,
};

/// What was sent and received, by operation.
#[derive(Default)]
struct Recorder {
    examples: Map<String, Value>,
}

impl Recorder {
    /// Sends a request, and records it with its response under the id of an operation.
    async fn send(&mut self, id: &str, caller: &Caller, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = match &body {
            Some(body) => {
                let (kind, bytes) = encoded(path, body);
                caller.with("content-type", kind).send(method, path, Some(bytes)).await
            }
            None => caller.send(method, path, None).await,
        };
        self.record(id, body, &answer)
    }

    fn record(&mut self, id: &str, body: Option<Value>, answer: &Answer) -> Value {
        assert_eq!(answer.status, 200, "{id}: {}", answer.text);
        let response = serde_json::from_str(&answer.text).unwrap_or_else(|_| json!(answer.text));
        let mut example = Map::new();
        example.extend(body.map(|body| ("request".to_owned(), body)));
        example.insert("responses".to_owned(), json!({"200": response}));
        assert!(self.examples.insert(id.to_owned(), example.into()).is_none(), "{id} is recorded once");
        response
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The fields of WebAuthn's JSON whose values are in base64url.
const PASSKEY_BYTES: [&str; 7] =
    ["attestationObject", "authenticatorData", "challenge", "clientDataJSON", "rawId", "signature", "userHandle"];

/// Replaces what is random: ids, secrets, tokens, hashes and cursors. Equal values have equal replacements.
#[derive(Default)]
struct Normalizer {
    replacements: HashMap<String, String>,
    secrets: Vec<(String, String)>,
    count: u64,
}

impl Normalizer {
    fn value(&mut self, name: &str, value: &mut Value) {
        match value {
            Value::Object(members) => {
                // The secret first: `start` is a part of it.
                for secret in ["key", "api_key"] {
                    if let Some(value) = members.get_mut(secret) {
                        self.value(secret, value);
                    }
                }
                members.iter_mut().for_each(|(name, value)| self.value(name, value));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| self.value(name, value)),
            Value::String(text) => *text = self.text(name, text),
            _ => {}
        }
    }

    fn text(&mut self, name: &str, text: &str) -> String {
        let is_known = self.replacements.values().any(|replacement| replacement == text);
        if is_known || text.is_empty() {
            return text.to_owned();
        }
        if name == "url"
            && let Some((page, token)) = text.rsplit_once("/#/invitation/")
        {
            return format!("{page}/#/invitation/{}", self.text("token", token));
        }
        if name == "url"
            && let Some((page, link)) = text.split_once("/portal?session=")
            && let Some((id, secret)) = link.split_once('#')
        {
            return format!("{page}/portal?session={}#{}", self.text("id", id), self.text("secret", secret));
        }
        if name == "start" {
            let secret = self.secrets.iter().find(|(secret, _)| secret.starts_with(text));
            let other = || format!("{}EXAMPLEEXAMPLE", text.find('_').map_or("", |end| &text[..=end]));
            return secret.map_or_else(other, |(_, replacement)| replacement.clone())[..text.len()].to_owned();
        }
        let is_id = text.len() == 36 && Uuid::try_parse(text).is_ok();
        let is_jwt = text.starts_with("ey") && text.matches('.').count() == 2;
        let is_secret =
            ["key", "api_key", "token", "client_secret", "secret"].contains(&name) && text.len() > 20 && !is_jwt;
        let is_digest = ["hash", "request_id", "kid", "x"].contains(&name);
        // What an authenticator sends is shortened: it is long, and different each time.
        if PASSKEY_BYTES.contains(&name) || name == "id" && text.len() == 22 {
            return "AAECAwQFBgcICQoLDA0ODw".to_owned();
        }
        if !(is_id || is_secret || is_jwt || is_digest) {
            return text.to_owned();
        }
        if let Some(replacement) = self.replacements.get(text) {
            return replacement.clone();
        }
        self.count += 1;
        let number = self.count;
        let replacement = if is_id {
            format!("0199f0c2-4d1e-7000-8000-{number:012}")
        } else if is_secret {
            let prefix = text.find('_').map_or("", |end| &text[..=end]);
            let digits = format!("{number:02}EXAMPLE").repeat(text.len());
            format!("{prefix}{}", &digits[..text.len() - prefix.len()])
        } else if is_jwt {
            "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl".to_owned()
        } else {
            let digits = format!("{number:02}5f0c9d").repeat(text.len());
            digits[..text.len()].to_owned()
        };
        if is_secret {
            self.secrets.push((text.to_owned(), replacement.clone()));
        }
        self.replacements.insert(text.to_owned(), replacement.clone());
        replacement
    }
}

/// The keys of an organization, and their verification.
async fn keys(recorder: &mut Recorder, fixture: &Fixture) {
    let (app, admin, keys) = (&fixture.app, &fixture.tenant.admin, fixture.keys());
    let new = json!({
        "name": "Reader of Acme", "permissions": ["files:read"], "can_manage": false,
        "remaining": 1000, "refill_amount": 1000, "refill_interval": 2_592_000_000_u64,
        "rate_limit_max": 100, "rate_limit_window": 60_000, "metadata": {"plan": "pro"},
    });
    let key = recorder.send("createApiKey", admin, "POST", &keys, Some(new)).await;
    let one = format!("{keys}/{}", text(&key["id"]));
    recorder.send("listApiKeys", admin, "GET", &format!("{keys}?name=Reader&limit=10"), None).await;
    let body = json!({"key": key["key"], "permissions": ["files:read"], "context": {"ip": "192.0.2.1"}});
    recorder.send("verifyApiKey", admin, "POST", "/api_keys/verify", Some(body)).await;
    let body = json!({"keys": [
        {"key": key["key"], "permissions": ["files:read"]}, {"key": key["key"], "permissions": ["files:write"]},
    ]});
    recorder.send("verifyApiKeysBatch", admin, "POST", "/api_keys/verify_batch", Some(body)).await;
    let usage = |path: &str| format!("{path}/usage?by=day&from=2026-11-20T00:00:00Z&until=2026-11-22T00:00:00Z");
    let org = format!("/orgs/{}", fixture.tenant.org_id);
    for (id, path) in [("getApiKeyUsage", usage(&one)), ("getOrganizationUsage", usage(&org))] {
        let counted = wait_until("the verifications are counted", async || {
            let answer = admin.get(&path).await;
            let total = &answer.json()["total"];
            let is_counted = total["VALID"] == 2 && total["INSUFFICIENT_PERMISSIONS"] == 1;
            if is_counted { Ok(answer) } else { Err(answer.text) }
        });
        recorder.record(id, None, &counted.await);
    }
    let days = "from=2026-11-20T00:00:00Z&until=2026-11-22T00:00:00Z";
    let several = format!("{org}/usage/api_keys?ids={}&{days}", text(&key["id"]));
    recorder.send("getApiKeysUsage", admin, "GET", &several, None).await;
    let refused = format!("{org}/usage/top?outcome=INSUFFICIENT_PERMISSIONS&{days}");
    recorder.send("listTopUsage", admin, "GET", &refused, None).await;
    let changes = json!({"name": "Reader and writer", "permissions": ["files:read", "files:write"], "rate_limit_max": 200,
        "rate_limit_window": 60_000});
    recorder.send("updateApiKey", admin, "PATCH", &one, Some(changes)).await;
    let body = json!({"grace_seconds": 86_400});
    let rotated = recorder.send("rotateApiKey", admin, "POST", &format!("{one}/rotate"), Some(body.clone())).await;
    recorder.send("getPreviousSecret", admin, "GET", &format!("{one}/previous_secret"), None).await;
    recorder.send("revokePreviousSecret", admin, "DELETE", &format!("{one}/previous_secret"), None).await;
    let secret = json!({"key": rotated["key"]});
    recorder.send("findApiKey", admin, "POST", &format!("{keys}/find"), Some(secret)).await;
    assert_eq!(admin.post(&format!("{one}/rotate"), &body).await.status, 200);
    recorder.send("undoRotation", admin, "DELETE", &format!("{one}/newest_secret"), None).await;
    recorder.send("getApiKey", admin, "GET", &one, None).await;
    let events = format!("/orgs/{}/audit_events?action=api_key.rotate&limit=1", fixture.tenant.org_id);
    recorder.send("listAuditEvents", admin, "GET", &events, None).await;
    recorder.send("deleteApiKey", admin, "DELETE", &one, None).await;
    recorder.send("getApiKeyDeletion", admin, "GET", &format!("{one}/deletion"), None).await;
    recorder.send("restoreApiKey", admin, "POST", &format!("{one}/restore"), None).await;
    app.clock.advance_seconds(60);
    let body = json!({"keys": [{"name": "Customer 1", "permissions": ["files:read"], "external_id": "customer-1"}]});
    let made = recorder.send("bulkCreateApiKeys", admin, "POST", &format!("{keys}/bulk_create"), Some(body)).await;
    let body = json!({"ids": [made["keys"][0]["id"], "ffffffff-0000-7000-8000-000000000000"]});
    recorder.send("bulkDeleteApiKeys", admin, "POST", &format!("{keys}/bulk_delete"), Some(body)).await;
    let body = json!({
        "shape": {"prefix": "old_", "length": 32, "alphabet": "hex"},
        "keys": [{
            "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "name": "Imported", "permissions": ["files:read"],
        }],
    });
    recorder.send("importApiKeys", admin, "POST", &format!("{keys}/import"), Some(body)).await;
}

/// Permission sets, members and the organization.
async fn organization(recorder: &mut Recorder, fixture: &Fixture) {
    let admin = &fixture.tenant.admin;
    let org = format!("/orgs/{}", fixture.tenant.org_id);
    let sets = format!("{org}/permission_sets");
    let body = json!({"name": "Readers", "permissions": ["files:read"]});
    let set = recorder.send("createPermissionSet", admin, "POST", &sets, Some(body)).await;
    let one = format!("{sets}/{}", text(&set["id"]));
    recorder.send("listPermissionSets", admin, "GET", &sets, None).await;
    recorder.send("getPermissionSet", admin, "GET", &one, None).await;
    let body = json!({"permissions": ["files:read", "files:list"]});
    recorder.send("updatePermissionSet", admin, "PATCH", &one, Some(body)).await;
    let key = json!({"name": "With a permission set", "permissions": []});
    let key = admin.post(&fixture.keys(), &key).await.json();
    let key_id = key["id"].clone();
    let path = format!("{}/{}/permission_sets", fixture.keys(), text(&key["id"]));
    let body = json!({"permission_sets": [set["id"]]});
    recorder.send("setApiKeyPermissionSets", admin, "PUT", &path, Some(body)).await;
    let rules = json!({"max_lifetime_days": 90, "expiry_required": true});
    let check = json!({"key_policy": rules, "permission_set_id": set["id"], "limit": 1});
    recorder.send("checkKeyPolicy", admin, "POST", &format!("{org}/key_policy/check"), Some(check)).await;
    let members = format!("{org}/members");
    let body = json!({"user_email": "jo@example.com", "user_name": "Jo", "permissions": ["files:read"]});
    let member = recorder.send("addMember", admin, "POST", &members, Some(body)).await;
    let other = format!("{members}/{}", text(&member["user_id"]));
    recorder.send("listMembers", admin, "GET", &members, None).await;
    recorder.send("getMember", admin, "GET", &other, None).await;
    let body = json!({"permission_sets": [set["id"]]});
    recorder.send("updateMember", admin, "PATCH", &other, Some(body)).await;
    let spec = KeySpec { user_id: Some(text(&member["user_id"]).to_owned()), ..KeySpec::with(&[]) };
    let (_, key) = fixture.app.key(&fixture.tenant.org_id, spec).await;
    let jo = fixture.app.caller(&key).with("user-agent", FIREFOX);
    for _ in 0..2 {
        assert_eq!(jo.send("POST", "/session", None).await.status, 200);
    }
    let sessions = recorder.send("listMemberSessions", admin, "GET", &format!("{other}/sessions?limit=1"), None).await;
    let session = format!("{other}/sessions/{}", text(&sessions[0]["id"]));
    recorder.send("endMemberSession", admin, "DELETE", &session, None).await;
    recorder.send("endMemberSessions", admin, "DELETE", &format!("{other}/sessions"), None).await;
    recorder.send("createRecoveryLink", admin, "POST", &format!("{other}/recovery_links"), None).await;
    recorder.send("countPermissionSetHolders", admin, "GET", &format!("{one}/holders"), None).await;
    recorder.send("removeMember", admin, "DELETE", &other, None).await;
    let invitations = format!("{org}/invitations");
    let body = json!({"user_name": "Grace Hopper", "user_email": "grace@example.com", "permissions": ["files:read"],
        "permission_sets": [set["id"]]});
    let invitation = recorder.send("createInvitation", admin, "POST", &invitations, Some(body)).await;
    let open = format!("{invitations}/{}", text(&invitation["id"]));
    recorder.send("listInvitations", admin, "GET", &invitations, None).await;
    recorder.send("getInvitation", admin, "GET", &open, None).await;
    let token = json!({"token": invitation["token"]});
    let anyone = fixture.app.anyone();
    recorder.send("previewInvitation", &anyone, "POST", "/invitations/preview", Some(token.clone())).await;
    let grace = fixture.caller_with(&fixture.claims("grace"));
    recorder.send("redeemInvitation", &grace, "POST", "/invitations/redeem", Some(token)).await;
    let other = json!({"user_name": "Alan Turing", "permissions": []});
    let other = admin.post(&invitations, &other).await.json();
    let open = format!("{invitations}/{}", text(&other["id"]));
    recorder.send("revokeInvitation", admin, "DELETE", &open, None).await;
    recorder.send("deletePermissionSet", admin, "DELETE", &format!("{one}?detach=true"), None).await;
    recorder.send("getOrganization", admin, "GET", &org, None).await;
    let policy = json!({
        "max_lifetime_days": 90, "expiry_required": true, "addresses_required_for": ["files:write"], "prefix": "acme_",
        "allowed_permissions": [{"permission": "files:*", "description": "Read and write files"}], "can_manage": false,
        "rotation": {"days": 365, "enforce": false}, "disable_unused_after_days": 180,
    });
    let body = json!({"name": "Acme Corporation", "keys_can_manage_by_default": false, "key_policy": policy});
    recorder.send("updateOrganization", admin, "PATCH", &org, Some(body)).await;
    let state = format!("{}/{}/key_policy", fixture.keys(), text(&key_id));
    recorder.send("getApiKeyPolicy", admin, "GET", &state, None).await;
    assert_eq!(admin.patch(&org, &json!({"key_policy": null})).await.status, 200);
}

/// The header `User-Agent` of a browser.
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

/// What only the platform can do.
async fn platform(recorder: &mut Recorder, fixture: &Fixture) {
    let platform = fixture.app.platform().await;
    let body = json!({"name": "Initech", "external_id": "customer-42", "max_api_keys": 1000});
    let made = recorder.send("createOrganization", &platform, "POST", "/orgs", Some(body)).await;
    recorder.send("listOrganizations", &platform, "GET", "/orgs?external_id=customer-42", None).await;
    recorder.send("getService", &platform, "GET", "/service", None).await;
    let id = text(&made["id"]);
    let path = format!("/orgs/{id}?confirm={id}");
    recorder.send("deleteOrganization", &platform, "DELETE", &path, None).await;
    recorder.send("restoreOrganization", &platform, "POST", &format!("/orgs/{id}/restore"), None).await;
    let users = "/users?email=acme%40example.com";
    recorder.send("findUsers", &platform, "GET", users, None).await;
    let gone = fixture.app.tenant("Gone").await;
    recorder.send("eraseUsers", &platform, "DELETE", "/users?email=gone%40example.com", None).await;
    drop(gone);
}

/// The caller, sessions and tokens.
async fn credentials(recorder: &mut Recorder, fixture: &Fixture) {
    let (app, admin) = (&fixture.app, &fixture.tenant.admin);
    recorder.send("getMe", admin, "GET", "/me", None).await;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    fixture.add(&fixture.tenant, "ada", &["files:read"]).await;
    recorder.send("acceptMembership", &ada, "POST", &membership(&fixture.tenant), None).await;
    recorder.send("leaveOrganization", &ada, "DELETE", &membership(&fixture.tenant), None).await;
    let opened = admin.send("POST", "/session", None).await;
    recorder.record("openSession", None, &opened);
    let page = app.anyone().with("cookie", opened.cookie()).with("sec-fetch-site", "same-origin");
    // Sessions of the same millisecond have no order.
    fixture.app.clock.advance_seconds(1);
    assert_eq!(admin.with("user-agent", FIREFOX).send("POST", "/session", None).await.status, 200);
    let sessions = recorder.send("listSessions", &page, "GET", "/me/sessions", None).await;
    let other = sessions.as_array().and_then(|all| all.iter().find(|session| session["current"] == false));
    let other = format!("/me/sessions/{}", text(&other.expect("another session")["id"]));
    recorder.send("endSession", &page, "DELETE", &other, None).await;
    recorder.send("closeSession", &page, "DELETE", "/session", None).await;
    recorder.send("endSessions", admin, "DELETE", "/me/sessions", None).await;
    let body = json!({"audience": "storage", "permissions": ["files:read"], "ttl_seconds": 300});
    recorder.send("createToken", admin, "POST", "/tokens", Some(body)).await;
    let anyone = app.anyone();
    recorder.send("getJwks", &anyone, "GET", "/.well-known/jwks.json", None).await;
    recorder.send("getRevokedTokensJwt", &anyone, "GET", "/.well-known/revoked", None).await;
    recorder.send("getSignInOptions", &anyone, "GET", "/sign_in", None).await;
    recorder.send("getRevokedTokens", &anyone, "GET", "/.well-known/revoked.json", None).await;
}

/// Passkeys: an account, and those of a caller.
async fn people(recorder: &mut Recorder, fixture: &Fixture) {
    let app = &fixture.app;
    let (browser, mut device) = (passkeys::browser(app), Authenticator::default());
    let account = json!({"user_name": "Joan Clarke", "user_email": "joan@example.com", "org_name": "Clarke Ltd"});
    let id = "createPasskeyRegistrationOptions";
    let begun = recorder.send(id, &browser, "POST", "/passkey_options", Some(account.clone())).await;
    let mut body = account;
    body["ceremony"] = begun["ceremony"].clone();
    body["credential"] = device.create(&begun["public_key"]);
    recorder.send("registerWithPasskey", &browser, "POST", "/passkeys", Some(body)).await;
    let id = "createPasskeySignInOptions";
    let begun = recorder.send(id, &browser, "POST", "/session/passkey_options", None).await;
    let body = json!({"ceremony": begun["ceremony"], "credential": device.sign(&begun["public_key"])});
    let opened = browser.post("/session/passkey", &body).await;
    recorder.record("signInWithPasskey", Some(body), &opened);
    let page = passkeys::page(app, &opened);
    // Passkeys of the same millisecond have no order.
    app.clock.advance_seconds(1);
    let begun = recorder.send("createPasskeyOptions", &page, "POST", "/me/passkey_options", None).await;
    let credential = device.create(&begun["public_key"]);
    let body = json!({"ceremony": begun["ceremony"], "credential": credential, "name": "Phone"});
    let added = recorder.send("addPasskey", &page, "POST", "/me/passkeys", Some(body)).await;
    let one = format!("/me/passkeys/{}", text(&added["id"]));
    recorder.send("renamePasskey", &page, "PATCH", &one, Some(json!({"name": "Laptop"}))).await;
    recorder.send("listPasskeys", &page, "GET", "/me/passkeys", None).await;
    recorder.send("removePasskey", &page, "DELETE", &one, None).await;
}

/// The OAuth API.
async fn oauth(recorder: &mut Recorder, fixture: &Fixture) {
    let (app, admin) = (&fixture.app, &fixture.tenant.admin);
    let key =
        json!({"name": "Storage client", "permissions": ["files:read", "files:write"], "external_id": "customer-1"});
    let key = admin.post(&fixture.keys(), &key).await.json();
    let body = json!({"token": key["key"]});
    recorder.send("introspectToken", admin, "POST", "/oauth/introspect", Some(body)).await;
    let body = json!({
        "grant_type": "client_credentials", "client_id": key["id"], "client_secret": key["key"], "scope": "files:read",
        "audience": "storage",
    });
    let token = recorder.send("createOAuthToken", &app.anyone(), "POST", "/oauth/token", Some(body)).await;
    let body = json!({"token": token["access_token"]});
    recorder.send("revokeToken", admin, "POST", "/oauth/revoke", Some(body)).await;
    let path = "/.well-known/oauth-authorization-server";
    recorder.send("getAuthorizationServerMetadata", &app.anyone(), "GET", path, None).await;
}

#[tokio::test]
async fn the_examples_of_the_document_are_what_the_service_answers() {
    // Its keys are never read.
    let entry =
        json!({"issuer": trust_rules::ISSUER, "audiences": ["https://keys.example"], "organizations": "tenants"});
    let workloads = read_issuers(&json!([entry])).expect("valid issuers");
    let sign_in = json!({"id": "acme", "name": "Acme account", "client_id": "claviger"});
    let fixture = fixture_with(|entry| entry["sign_in"] = sign_in, |config| config.providers.extend(workloads)).await;
    let mut recorder = Recorder::default();
    keys(&mut recorder, &fixture).await;
    organization(&mut recorder, &fixture).await;
    trust_rules::record(&mut recorder, &fixture).await;
    portal::record(&mut recorder, &fixture).await;
    platform(&mut recorder, &fixture).await;
    credentials(&mut recorder, &fixture).await;
    people(&mut recorder, &fixture).await;
    oauth(&mut recorder, &fixture).await;
    compatible::record(&mut recorder, &fixture).await;
    let mut missing: Vec<&str> =
        PROTECTED.iter().chain(PORTAL).map(|operation| operation.id).chain(PUBLIC.iter().copied()).collect();
    missing.retain(|id| !recorder.examples.contains_key(*id));
    assert!(missing.is_empty(), "no example of {missing:?}");
    let mut examples = Value::Object(recorder.examples);
    Normalizer::default().value("", &mut examples);
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../api/openapi/examples.json");
    // The port of the provider is random.
    let expected = format!("{examples:#}\n").replace(&fixture.provider.issuer(), "https://id.example.com/");
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let is_update = std::env::var_os("CLAVIGER_UPDATE_EXAMPLES").is_some();
    if is_update {
        std::fs::write(&file, &expected).expect("written");
    }
    let stored = std::fs::read_to_string(&file).expect("the examples");
    assert!(
        stored == expected,
        "api/openapi/examples.json is not what the service answers; run this test with CLAVIGER_UPDATE_EXAMPLES=1"
    );
}
