//! Two requests at the same moment, of which one changes a permission set or a key policy and the other makes or changes a key:
//! each would be right alone, and together they must not make a key that breaks a policy.

use futures_util::join;
use harness::{Answer, Caller, Tenant, TestApp};
use serde_json::{Value, json};

use super::{create, create_set, id, org, set_policy};
use crate::{
    audit_log::events::{events, log_of},
    keys::import::{key as legacy_key, secret as legacy_secret, shape},
    portal,
};

/// How many pairs of requests each test sends.
const PAIRS: u8 = 20;

/// The ways by which a key is made or changed.
#[derive(Clone, Copy, Debug)]
enum Way {
    Attach,
    ClearAllowlist,
    Create,
    CreateWithSecret,
    BulkCreate,
    Import,
    Restore,
    CreateInPortal,
    Rotate,
}

/// A request that makes or changes a key.
struct Request {
    caller: Caller,
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// The key that it changes. `None`: it makes keys.
    key: Option<String>,
}

impl Request {
    async fn send(&self) -> Answer {
        match &self.body {
            None => self.caller.send(self.method, &self.path, None).await,
            Some(body) => self.caller.send_json(self.method, &self.path, body).await,
        }
    }

    /// The keys that it has made or changed.
    fn keys(&self, answer: &Answer) -> Vec<String> {
        let (body, text) = (answer.json(), |key: &Value| key["id"].as_str().map(ToOwned::to_owned));
        let made = body["keys"].as_array().map_or_else(|| vec![text(&body)], |keys| keys.iter().map(text).collect());
        self.key.clone().map_or_else(|| made.into_iter().flatten().collect(), |key| vec![key])
    }
}

impl Way {
    /// Prepares the `n`th request, for a key with these permission sets.
    async fn prepare(self, app: &TestApp, tenant: &Tenant, sets: &[String], n: u8) -> Request {
        let (admin, keys) = (&tenant.admin, tenant.keys());
        let key = json!({"name": "n", "permissions": [], "permission_sets": sets});
        let with = |name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let request = |method, path: String, body| Request { caller: admin.clone(), method, path, body, key: None };
        let changes = |method, id: &String, part: &str, body| {
            let path = format!("{keys}/{id}{part}");
            Request { key: Some(id.clone()), ..request(method, path, body) }
        };
        match self {
            Self::Create => request("POST", keys, Some(key)),
            Self::CreateWithSecret => {
                let shape = json!({"prefix": "own_", "length": 32, "alphabet": "hex"});
                let secret = json!({"sha256": format!("{:064x}", u64::from(n) + 1), "shape": shape});
                request("POST", keys, Some(with("secret", secret)))
            }
            Self::BulkCreate => {
                let body =
                    json!({"keys": [{"name": "a", "permissions": [], "expires_at": "2030-01-01T00:00:00Z"}, key]});
                request("POST", format!("{keys}/bulk_create"), Some(body))
            }
            Self::Import => {
                let legacy = legacy_key(&legacy_secret(n), &json!({"permissions": [], "permission_sets": sets}));
                request("POST", format!("{keys}/import"), Some(json!({"shape": shape(), "keys": [legacy]})))
            }
            Self::CreateInPortal => {
                let caller = portal::open(app, tenant, json!({"limits": {"max_keys": 100}})).await;
                Request { caller, ..request("POST", "/portal/api_keys".to_owned(), Some(json!({"name": "n"}))) }
            }
            Self::Attach => {
                let id = id(&create(admin, tenant, json!({})).await);
                changes("PUT", &id, "/permission_sets", Some(json!({"permission_sets": sets})))
            }
            Self::ClearAllowlist => {
                let key = with("allowed_addresses", json!(["192.0.2.1"]));
                let id = id(&create(admin, tenant, key).await);
                changes("PATCH", &id, "", Some(json!({"allowed_addresses": null})))
            }
            Self::Restore => {
                let id = id(&create(admin, tenant, key).await);
                assert_eq!(admin.delete(&format!("{keys}/{id}")).await.status, 200);
                changes("POST", &id, "/restore", None)
            }
            Self::Rotate => {
                let id = id(&create(admin, tenant, key).await);
                changes("POST", &id, "/rotate", Some(json!({"grace_seconds": 0})))
            }
        }
    }
}

/// Asserts that a request has succeeded, or was refused because of a policy or of the other request.
#[track_caller]
fn assert_answered(answer: &Answer, way: Way) {
    let reason = if answer.status == 200 { json!("") } else { answer.json()["reason"].clone() };
    let expected = [(200, json!("")), (400, json!("key_policy_violated")), (409, json!("concurrent_changes"))];
    assert!(expected.contains(&(answer.status, reason)), "{way:?}: {}", answer.text);
}

async fn broken_rules(tenant: &Tenant, key: &str) -> Value {
    let state = tenant.admin.get(&format!("{}/{key}/key_policy", tenant.keys())).await;
    assert_eq!(state.status, 200, "{}", state.text);
    state.json()["broken_rules"].clone()
}

/// A permission set gets a permission that needs an IP allowlist, while a key without one gets the set, or a key with the set
/// loses its allowlist.
async fn widen_a_set(way: Way) {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    set_policy(&tenant, json!({"addresses_required_for": ["files:write"]})).await;
    for n in 0..PAIRS {
        let (narrow, wide) = (format!("r{n}:read"), json!({"permissions": [format!("r{n}:read"), "files:write"]}));
        let set = create_set(&tenant, &[&narrow], Value::Null).await;
        let path = format!("{}/permission_sets/{set}", org(&tenant));
        let request = way.prepare(&app, &tenant, &[set], n).await;
        let (widened, changed) = join!(tenant.admin.patch(&path, &wide), request.send());
        assert_answered(&widened, way);
        assert_answered(&changed, way);
        for key in request.keys(&changed).iter().filter(|_| changed.status == 200) {
            let rules = broken_rules(&tenant, key).await;
            assert_eq!(rules, json!([]), "{way:?}, pair {n}: the set {}, the key {}", widened.text, changed.text);
        }
    }
}

/// The sequence number of the latest event about this object. Later changes have higher ones.
async fn last_change(tenant: &Tenant, target: &str) -> u64 {
    let events = events(&tenant.admin, &format!("{}?target={target}&outcome=done&limit=1", log_of(tenant))).await;
    events[0]["seq"].as_u64().expect("a number")
}

/// A key policy is set while a key that it applies to is made or changed. The policy changes no key, so a key that was made
/// before it may break it, but one that was made afterwards must not: the audit log has the order.
async fn set_a_policy(way: Way, of_a_set: bool) {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let rule = if matches!(way, Way::Rotate) { json!({"prefix": "acme_"}) } else { json!({"expiry_required": true}) };
    let body = json!({"key_policy": rule});
    for n in 0..PAIRS {
        set_policy(&tenant, Value::Null).await;
        let sets =
            if of_a_set { vec![create_set(&tenant, &[&format!("r{n}:read")], Value::Null).await] } else { Vec::new() };
        let (path, target) = match sets.first() {
            Some(set) => (format!("{}/permission_sets/{set}", org(&tenant)), set.clone()),
            None => (org(&tenant), tenant.org_id.clone()),
        };
        let request = way.prepare(&app, &tenant, &sets, n).await;
        let (tightened, changed) = join!(tenant.admin.patch(&path, &body), request.send());
        assert_eq!(tightened.status, 200, "{way:?}: {}", tightened.text);
        assert_answered(&changed, way);
        let set_at = last_change(&tenant, &target).await;
        for key in request.keys(&changed).iter().filter(|_| changed.status == 200) {
            if last_change(&tenant, key).await > set_at {
                assert_eq!(broken_rules(&tenant, key).await, json!([]), "{way:?}, pair {n}: {}", changed.text);
            }
        }
    }
}

#[tokio::test]
async fn a_set_is_widened_while_it_is_attached() {
    widen_a_set(Way::Attach).await;
}

#[tokio::test]
async fn a_set_is_widened_while_a_key_loses_its_allowlist() {
    widen_a_set(Way::ClearAllowlist).await;
}

#[tokio::test]
async fn a_set_is_widened_while_a_key_with_it_is_created() {
    widen_a_set(Way::Create).await;
    widen_a_set(Way::CreateWithSecret).await;
}

#[tokio::test]
async fn a_set_is_widened_while_keys_with_it_are_created_together() {
    widen_a_set(Way::BulkCreate).await;
}

#[tokio::test]
async fn a_set_is_widened_while_a_key_with_it_is_imported() {
    widen_a_set(Way::Import).await;
}

#[tokio::test]
async fn a_set_is_widened_while_a_key_with_it_is_restored() {
    widen_a_set(Way::Restore).await;
}

#[tokio::test]
async fn a_set_gets_a_policy_while_keys_with_it_are_made_or_changed() {
    for way in [Way::Attach, Way::ClearAllowlist, Way::Create, Way::CreateWithSecret] {
        set_a_policy(way, true).await;
    }
    for way in [Way::BulkCreate, Way::Import, Way::Restore, Way::Rotate] {
        set_a_policy(way, true).await;
    }
}

#[tokio::test]
async fn an_organization_gets_a_policy_while_keys_are_made_or_changed() {
    for way in [Way::ClearAllowlist, Way::Create, Way::CreateWithSecret, Way::BulkCreate] {
        set_a_policy(way, false).await;
    }
    for way in [Way::Import, Way::Restore, Way::CreateInPortal, Way::Rotate] {
        set_a_policy(way, false).await;
    }
}
