//! A key or a member has at most 1,024 permissions, including those of its permission sets. More that an older version
//! stored stay valid, but cannot grow.

use domain::keys::secret::LegacyHash;
use futures_util::future::join_all;
use harness::{Answer, Caller, Tenant, TestApp};
use serde_json::{Value, json};

/// The most permissions of a set.
const WIDE: usize = 256;

/// Permissions that are different for each set.
fn permissions(set: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{set}:a{n}")).collect()
}

struct Organization {
    tenant: Tenant,
    path: String,
}

impl Organization {
    async fn of(app: &TestApp) -> Self {
        let tenant = app.tenant("Acme").await;
        let path = format!("/orgs/{}", tenant.org_id);
        Self { tenant, path }
    }

    fn admin(&self) -> &Caller {
        &self.tenant.admin
    }

    async fn post(&self, what: &str, body: &Value) -> Answer {
        self.admin().post(&format!("{}/{what}", self.path), body).await
    }

    async fn patch(&self, what: &str, body: &Value) -> Answer {
        self.admin().patch(&format!("{}/{what}", self.path), body).await
    }

    async fn attach(&self, key: &str, sets: &[String]) -> Answer {
        let path = format!("{}/api_keys/{key}/permission_sets", self.path);
        self.admin().put(&path, &json!({"permission_sets": sets})).await
    }

    /// Permission sets with these numbers of permissions.
    async fn sets(&self, counts: &[usize]) -> Vec<String> {
        let requests = counts.iter().enumerate().map(async |(n, count)| {
            let body = json!({"name": format!("set {n}"), "permissions": permissions(n, *count)});
            id(&self.post("permission_sets", &body).await, "id")
        });
        join_all(requests).await
    }

    async fn member(&self, name: &str, own: usize, sets: &[String]) -> Answer {
        let email = format!("{name}@example.com");
        let body = json!({
            "user_email": email, "user_name": name, "permissions": permissions(100, own), "permission_sets": sets
        });
        self.post("members", &body).await
    }
}

/// A key with `own` own permissions, and these permission sets. Returns its id.
fn key(own: usize, sets: &[String]) -> Value {
    json!({"name": "n", "permissions": permissions(100, own), "permission_sets": sets})
}

fn id(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()[name].as_str().expect("an id").to_owned()
}

fn assert_over_limit(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.text);
    let message = answer.json()["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("more than 1024 permissions"), "{message}");
}

#[tokio::test]
async fn keys_and_members_have_at_most_1024_permissions() {
    let app = TestApp::start().await;
    let org = Organization::of(&app).await;
    let sets = org.sets(&[WIDE; 5]).await;
    let made = org.post("api_keys", &key(0, &sets[..4])).await;
    let (full, text) = (id(&made, "id"), id(&made, "key"));
    for (own, sets) in [(1, &sets[..4]), (0, &sets[..])] {
        assert_over_limit(&org.post("api_keys", &key(own, sets)).await);
        let several = json!({"keys": [key(0, &sets[..1]), key(own, sets)]});
        assert_over_limit(&org.post("api_keys/bulk_create", &several).await);
        assert_over_limit(&org.member("wide", own, sets).await);
    }
    let count =
        async |what: &str| org.admin().get(&format!("{}/{what}", org.path)).await.json().as_array().map(Vec::len);
    assert_eq!((count("api_keys").await, count("members").await), (Some(2), Some(1)), "nothing was created");
    assert_over_limit(&org.attach(&full, &sets).await);
    let map = json!({"keyId": full, "permissions": {"r100": ["a"]}});
    assert_eq!(org.admin().post("/api/auth/api-key/update", &map).await.status, 400);
    let member = format!("members/{}", id(&org.member("full", 0, &sets[..4]).await, "user_id"));
    assert_over_limit(&org.patch(&member, &json!({"permissions": permissions(100, 1)})).await);
    assert_over_limit(&org.patch(&member, &json!({"permission_sets": sets})).await);
    // A permission in two sets counts once.
    let body = json!({"name": "the same", "permissions": permissions(3, WIDE)});
    let same = [&sets[..4], &[id(&org.post("permission_sets", &body).await, "id")]].concat();
    assert_eq!(org.attach(&full, &same).await.status, 200);
    assert_eq!(org.patch(&member, &json!({"permission_sets": same})).await.status, 200);
    let asks = json!({"key": text, "permissions": ["r0:a0", "r3:a255"]});
    assert_eq!(org.admin().post("/api_keys/verify", &asks).await.json()["valid"], true);
    let asks = json!({"key": text, "permissions": ["r4:a0"]});
    assert_eq!(org.admin().post("/api_keys/verify", &asks).await.json()["code"], "INSUFFICIENT_PERMISSIONS");
}

#[tokio::test]
async fn imported_keys_have_at_most_1024_permissions() {
    let app = TestApp::start().await;
    let org = Organization::of(&app).await;
    let sets = org.sets(&[WIDE; 5]).await;
    let text = format!("sk_{}", "a".repeat(64));
    let hash = LegacyHash::of(&text).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let import = async |sets: &[String]| {
        let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "letters"});
        let key = json!({"hash": hash, "permissions": [], "permission_sets": sets});
        org.post("api_keys/import", &json!({"shape": shape, "keys": [key]})).await
    };
    assert_over_limit(&import(&sets).await);
    assert_eq!(import(&sets[..4]).await.status, 200);
}

#[tokio::test]
async fn a_set_cannot_be_widened_beyond_the_limit_of_its_holders() {
    let app = TestApp::start().await;
    let org = Organization::of(&app).await;
    let sets = org.sets(&[WIDE, WIDE, WIDE, 128, 0]).await;
    let widen = async |count: usize| {
        org.patch(&format!("permission_sets/{}", sets[4]), &json!({"permissions": permissions(4, count)})).await
    };
    let wide = id(&org.post("api_keys", &key(100, &sets)).await, "id");
    for other in [&sets[..], &sets[3..], &sets[..1]] {
        org.post("api_keys", &key(1, other)).await;
    }
    assert_eq!(widen(28).await.status, 200, "1,024 in all");
    let refused = widen(29).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains(&format!("The API key {wide}")), "{}", refused.text);
    let now = org.admin().get(&format!("{}/permission_sets/{}", org.path, sets[4])).await.json();
    assert_eq!(now["permissions"].as_array().map(Vec::len), Some(28), "the permission set is unchanged");
    // Renaming it, and replacing a permission, does not widen it.
    let other = [&permissions(4, 27)[..], &["r4:other".to_owned()]].concat();
    let change = json!({"name": "other", "permissions": other});
    assert_eq!(org.patch(&format!("permission_sets/{}", sets[4]), &change).await.status, 200);
    // A deleted key does not count, and is checked when it is restored.
    assert_eq!(org.admin().delete(&format!("{}/api_keys/{wide}", org.path)).await.status, 200);
    assert_eq!(widen(60).await.status, 200);
    assert_over_limit(&org.post(&format!("api_keys/{wide}/restore"), &json!({})).await);
    assert_eq!(widen(28).await.status, 200);
    assert_eq!(org.post(&format!("api_keys/{wide}/restore"), &json!({})).await.status, 200);
    assert_eq!(org.admin().delete(&format!("{}/api_keys/{wide}", org.path)).await.status, 200);
    let member = id(&org.member("wide", 90, &sets).await, "user_id");
    let refused = widen(39).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains(&format!("The member {member}")), "{}", refused.text);
    assert_eq!(widen(38).await.status, 200);
}

#[tokio::test]
async fn stored_permissions_over_the_limit_stay_valid_and_cannot_grow() {
    let app = TestApp::start().await;
    let org = Organization::of(&app).await;
    let sets = org.sets(&[0; 7]).await;
    let made = org.post("api_keys", &key(10, &sets[..6])).await;
    let (wide, text) = (id(&made, "id"), id(&made, "key"));
    let member = id(&org.member("wide", 10, &sets[..6]).await, "user_id");
    let member = format!("members/{member}");
    for (n, set) in sets.iter().enumerate() {
        app.widen_set(set, &permissions(n, WIDE).join(" ")).await;
    }
    let asks = json!({"key": text, "permissions": ["r0:a0", "r5:a255", "r100:a9"]});
    let verdict = org.admin().post("/api_keys/verify", &asks).await.json();
    assert_eq!(
        (&verdict["valid"], verdict["permissions"].as_array().map(Vec::len)),
        (&json!(true), Some(6 * WIDE + 10))
    );
    assert_eq!(app.caller(&text).get("/me").await.json()["organization"]["permissions"], Value::Null);
    let key_path = format!("api_keys/{wide}");
    assert_eq!(org.patch(&key_path, &json!({"name": "other"})).await.status, 200);
    // As many, or fewer.
    let swapped = [&sets[1..6], &sets[6..]].concat();
    assert_eq!(org.attach(&wide, &swapped).await.status, 200);
    assert_eq!(org.patch(&member, &json!({"permission_sets": swapped})).await.status, 200);
    assert_over_limit(&org.attach(&wide, &sets).await);
    assert_over_limit(&org.patch(&member, &json!({"permission_sets": sets})).await);
    assert_over_limit(&org.patch(&member, &json!({"permissions": permissions(100, 11)})).await);
    let narrow = |count| json!({"permissions": permissions(6, count)});
    let set = format!("permission_sets/{}", sets[6]);
    assert_eq!(org.patch(&set, &narrow(100)).await.status, 200);
    assert_eq!(org.patch(&set, &narrow(101)).await.status, 409);
    assert_eq!(org.attach(&wide, &sets[..5]).await.status, 200);
    assert_over_limit(&org.attach(&wide, &sets[..6]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_cannot_exceed_the_permission_limit() {
    let app = TestApp::start().await;
    let org = Organization::of(&app).await;
    let sets = org.sets(&[WIDE, WIDE, WIDE, WIDE, 0]).await;
    let key = id(&org.post("api_keys", &key(0, &sets[..3])).await, "id");
    let (widened, set) = (json!({"permissions": permissions(4, WIDE)}), format!("permission_sets/{}", sets[4]));
    for _ in 0..20 {
        let (attached, widened) = futures_util::join!(org.attach(&key, &sets), org.patch(&set, &widened));
        let statuses = (attached.status, widened.status);
        assert!([(200, 409), (400, 200)].contains(&statuses), "{statuses:?}");
        assert_eq!(org.attach(&key, &sets[..3]).await.status, 200);
        assert_eq!(org.patch(&set, &json!({"permissions": []})).await.status, 200);
    }
}
