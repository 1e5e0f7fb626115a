//! A change that takes permissions away takes effect on every node within the staleness bound: for keys, sessions, tokens of
//! identity providers, and in the list of revoked tokens.

use std::time::{Duration, Instant};

use api::process::system::SystemClock;
use domain::clock::Clock;
use harness::{
    Caller, Flow, KeySpec, Provider, SigningKey, Tenant, TestApp, TestDatabase, binary, cluster::Node, read_issuers,
    signing_key, wait_until, wait_until_refused,
};
use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::{Value, json};

/// The staleness bound, and the time between two lists of revoked tokens.
const BOUND: Duration = Duration::from_secs(3);

/// A caller who reads keys on one node, with each kind of credential.
struct Reader {
    name: &'static str,
    /// With the credential itself, and with a session that it opened.
    callers: [Caller; 2],
    /// The family of a token that was issued to the key, if the credential is a key.
    family: Option<String>,
}

impl Reader {
    async fn new(name: &'static str, caller: Caller, is_key: bool) -> Self {
        let opened = caller.send("POST", "/session", None).await;
        assert_eq!(opened.status, 200, "{name}: {}", opened.text);
        let cookie = opened.cookie().to_owned();
        let mut family = None;
        if is_key {
            let body = json!({"audience": "a", "permissions": ["api_keys:read"]});
            let made = caller.post("/tokens", &body).await.json();
            let claims: Value = insecure_decode_claims(made["token"].as_str().expect("a token")).expect("claims");
            family = claims["family"].as_str().map(ToOwned::to_owned);
        }
        let page = caller.without("authorization").with("cookie", &cookie);
        Self { name, callers: [caller, page], family }
    }

    /// Opens another session, as soon as the node accepts the credential again.
    async fn sign_in_again(&mut self) {
        let opened = wait_until(&format!("a session of {}", self.name), async || {
            let opened = self.callers[0].send("POST", "/session", None).await;
            if opened.status == 200 { Ok(opened) } else { Err(opened.text) }
        })
        .await;
        self.callers[1] = self.callers[0].without("authorization").with("cookie", opened.cookie());
    }

    /// Whether the caller may read keys. `None`: the credentials and the list of revoked tokens do not agree yet.
    async fn can_read_keys(&self, keys: &str) -> Option<bool> {
        let mut says = Vec::new();
        for caller in &self.callers {
            let status = caller.get(&format!("{keys}?limit=1")).await.status;
            assert!([200, 401, 403].contains(&status), "{}: {status}", self.name);
            says.push(status == 200);
        }
        if let Some(family) = &self.family {
            let list = self.callers[0].without("authorization").get("/.well-known/revoked").await;
            let claims: Value = insecure_decode_claims(&list.text).expect("claims");
            says.push(!claims["revoked"].as_array().expect("a list").contains(&json!(family)));
        }
        says.windows(2).all(|pair| pair[0] == pair[1]).then(|| says[0])
    }
}

type Change = (Caller, &'static str, String, Value);

async fn send((caller, method, path, body): &Change) -> Value {
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    let answer = caller.with("content-type", "application/json").send(method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    answer.json()
}

/// A node that can be cut off, the service that makes the changes, and the readers on the node.
struct Fixture {
    node: Node,
    app: TestApp,
    tenant: Tenant,
    readers: Vec<Reader>,
    /// The names of readers, the change that takes their permission away, and the change that restores it.
    cuts: Vec<(Vec<&'static str>, Change, Option<Change>)>,
}

fn text(id: &Value) -> String {
    id.as_str().expect("an id").to_owned()
}

async fn fixture(database: TestDatabase) -> Fixture {
    let signer = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&signer]).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let issuers = directory.path().join("issuers.json");
    std::fs::write(&issuers, json!([provider.entry(&json!("tenants"))]).to_string()).expect("a file");
    let signing = signing_key().display().to_string();
    let settings = [
        ("CLAVIGER_ISSUERS_FILE", issuers.to_str().expect("a path")),
        ("CLAVIGER_SIGNING_KEY_FILE", signing.as_str()),
        // Readers are refused often.
        ("CLAVIGER_AUTH_FAILURE_RATE", "1000000"),
    ];
    let node = Node::start(binary(), &database, &settings).await;
    let trusted_providers = read_issuers(&json!([provider.entry(&json!("tenants"))])).expect("valid issuers");
    let app = TestApp::start_on(database, |config| config.providers = trusted_providers).await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let (org, admin) = (format!("/orgs/{}", tenant.org_id), tenant.admin.clone());
    let post = async |path: &str, body: Value| send(&(admin.clone(), "POST", format!("{org}/{path}"), body)).await;

    let (read, nothing) = (json!(["api_keys:read"]), json!([]));
    let set = text(&post("permission_sets", json!({"name": "readers", "permissions": read})).await["id"]);
    let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": read});
    let member = text(&post("members", member).await["user_id"]);
    let ada = json!({"issuer": provider.issuer(), "subject": "ada", "user_name": "a", "permissions": read});
    let ada = text(&post("members", ada).await["user_id"]);
    let by_set = post("api_keys", json!({"name": "n", "permissions": [], "permission_sets": [set]})).await;
    let key = async |user_id| {
        let (id, key) = app.key(&tenant.org_id, KeySpec { user_id, ..KeySpec::with(&["api_keys:read"]) }).await;
        (id, node.caller(&key))
    };
    let (_, of_member) = key(Some(member.clone())).await;
    let ((own_id, own), (doomed_id, doomed)) = (key(None).await, key(None).await);
    let (rotated_id, rotated) = key(None).await;
    let token = signer.sign(&provider.claims("ada", SystemClock.now().millis() / 1_000 + 600));
    let readers = vec![
        Reader::new("by set", node.caller(&text(&by_set["key"])), true).await,
        Reader::new("of member", of_member, true).await,
        Reader::new("own", own, true).await,
        Reader::new("doomed", doomed, true).await,
        Reader::new("rotated", rotated, true).await,
        Reader::new("ada", node.caller(&token), false).await,
    ];

    let patch = |path: String, body: Value| (admin.clone(), "PATCH", path, body);
    let permissions =
        |path: &str, permissions: &Value| patch(format!("{org}/{path}"), json!({"permissions": permissions}));
    let delete = |path: String| (admin.clone(), "DELETE", format!("{org}/{path}"), Value::Null);
    let switch = |enabled: bool| {
        let body = json!({"keyId": own_id, "enabled": enabled});
        (admin.clone(), "POST", "/api/auth/api-key/update".to_owned(), body)
    };
    let suspend = |suspended: bool| (platform.clone(), "PATCH", org.clone(), json!({"suspended": suspended}));
    let shrink = |path: &str| (permissions(path, &nothing), Some(permissions(path, &read)));
    let mut cuts = Vec::new();
    let mut cut =
        |names: &[&'static str], (revocation, restoration)| cuts.push((names.to_vec(), revocation, restoration));
    cut(&["by set"], shrink(&format!("permission_sets/{set}")));
    cut(&["of member"], shrink(&format!("members/{member}")));
    cut(&["ada"], shrink(&format!("members/{ada}")));
    cut(&["own"], (switch(false), Some(switch(true))));
    cut(&["by set", "of member", "own", "doomed", "rotated", "ada"], (suspend(true), Some(suspend(false))));
    let rotate = format!("{org}/api_keys/{rotated_id}/rotate");
    cut(&["rotated"], ((admin.clone(), "POST", rotate, json!({"grace_seconds": 0})), None));
    cut(&["doomed"], (delete(format!("api_keys/{doomed_id}")), None));
    // A removed member cannot be restored.
    cut(&["of member"], (delete(format!("members/{member}")), None));
    cut(&["ada"], (delete(format!("members/{ada}")), None));
    Fixture { node, app, tenant, readers, cuts }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn removed_permissions_take_effect_on_every_node() {
    let database = TestDatabase::fresh().await;
    let Fixture { node, app, tenant, mut readers, cuts } = fixture(database).await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    // Each change is made once with the node's change feed and once without it. The last four cannot be undone.
    let (others, last) = cuts.split_at(cuts.len() - 4);
    let mut ended: Vec<&str> = Vec::new();
    for (round, (names, revocation, restoration)) in others.iter().chain(others).chain(last).enumerate() {
        for reader in readers.iter().filter(|reader| !ended.contains(&reader.name)) {
            wait_until(&format!("round {round}: {} to read keys", reader.name), async || {
                let can_read_keys = reader.can_read_keys(&keys).await;
                (can_read_keys == Some(true)).then_some(()).ok_or(can_read_keys)
            })
            .await;
        }
        if round >= others.len() {
            node.proxy.feed(Flow::Lost);
        }
        send(revocation).await;
        let since = Instant::now();
        for reader in readers.iter().filter(|reader| names.contains(&reader.name)) {
            let what = format!("round {round}: {}", reader.name);
            wait_until_refused(&what, since, BOUND, async || reader.can_read_keys(&keys).await != Some(false)).await;
        }
        for reader in readers.iter().filter(|reader| !names.contains(&reader.name) && !ended.contains(&reader.name)) {
            assert_eq!(reader.can_read_keys(&keys).await, Some(true), "round {round}: {} is not affected", reader.name);
        }
        node.proxy.restore();
        match restoration {
            Some(restoration) => {
                send(restoration).await;
                // Enabling a key again does not restore its sessions.
                if names == &["own"] {
                    for reader in readers.iter_mut().filter(|reader| names.contains(&reader.name)) {
                        reader.sign_in_again().await;
                    }
                }
            }
            None => ended.extend(names),
        }
    }
    drop(app);
}
