//! `claviger import better-auth`: keys of several formats, and rows that cannot be imported.

use harness::{Process, TestApp, TestDatabase, wait_until};
use serde_json::{Value, json};

/// A secret of better-auth, and its hash in better-auth's form.
fn secret(prefix: &str, letter: char, length: usize) -> (String, String) {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = format!("{prefix}{}", letter.to_string().repeat(length));
    let hash = URL_SAFE_NO_PAD.encode(domain::keys::secret::LegacyHash::of(&text).bytes());
    (text, hash)
}

struct Fixture {
    app: TestApp,
    organization: String,
    verifier: harness::Caller,
    source: TestDatabase,
}

async fn fixture(rows: &[Value]) -> Fixture {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let source = TestDatabase::empty().await;
    source.create_better_auth_keys(rows).await;
    Fixture { app, organization: tenant.org_id, verifier: tenant.admin, source }
}

impl Fixture {
    /// Runs the import. Returns whether it succeeded, and its output.
    fn import(&self, more: &[&str]) -> (bool, String) {
        let settings =
            [("CLAVIGER_DATABASE_URL", self.app.database.url()), ("CLAVIGER_BETTER_AUTH_URL", self.source.url())];
        let arguments = [&["import", "better-auth", "--organization", &self.organization], more].concat();
        let output = Process::run(&arguments, &settings);
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(printed).expect("text"))
    }

    async fn verify(&self, text: &str) -> String {
        self.app.empty_cache();
        let answer = self.verifier.post("/api_keys/verify", &json!({"key": text})).await;
        answer.json()["code"].as_str().expect("a code").to_owned()
    }

    /// Waits until the service accepts an imported secret.
    async fn wait_until_valid(&self, secret: &str) {
        wait_until("the import to take effect", async || {
            let code = self.verify(secret).await;
            (code == "VALID").then_some(()).ok_or(code)
        })
        .await;
    }
}

#[tokio::test]
async fn imported_better_auth_keys_of_several_lengths_are_valid() {
    let keys = [("", 'a', 64), ("st_", 'b', 40), ("st_", 'c', 64), ("pk_", 'd', 48)];
    let keys = keys.map(|(prefix, letter, length)| (prefix, secret(prefix, letter, length)));
    let rows: Vec<Value> = keys
        .iter()
        .enumerate()
        .map(|(n, (prefix, (_, hash)))| json!({"id": format!("k{n}"), "key": hash, "prefix": prefix}))
        .collect();
    let fixture = fixture(&rows).await;
    let codes = async || {
        let mut codes = Vec::new();
        for (_, (text, _)) in &keys {
            codes.push(fixture.verify(text).await);
        }
        codes
    };
    let (good, unknown) = ("VALID", "INVALID_API_KEY");
    // Keys that were imported with a wrong length are unknown.
    let (worked, printed) = fixture.import(&[]);
    assert!(
        worked && printed.contains("4 imported, 0 imported before") && printed.contains("Verify one secret"),
        "{printed}"
    );
    fixture.wait_until_valid(&keys[0].1.0).await;
    assert_eq!(codes().await, [good, unknown, good, unknown]);
    // Importing again with the right lengths repairs them.
    let (worked, printed) = fixture.import(&["--key-length", "64", "--key-length", "st_=40", "--key-length", "pk_=48"]);
    assert!(worked && printed.contains("0 imported, 4 imported before"), "{printed}");
    fixture.wait_until_valid(&keys[1].1.0).await;
    assert_eq!(codes().await, [good; 4]);
}

#[tokio::test]
async fn several_key_lengths_can_be_given_at_once() {
    let keys = [secret("st_", 'b', 40), secret("st_", 'c', 64)];
    let rows: Vec<Value> = keys.iter().map(|(text, hash)| json!({"id": text, "key": hash, "prefix": "st_"})).collect();
    let fixture = fixture(&rows).await;
    let (worked, printed) = fixture.import(&["--key-length", "40", "--key-length", "64"]);
    assert!(worked && printed.contains("2 imported") && printed.contains("40 or 64 characters"), "{printed}");
    for (text, _) in &keys {
        fixture.wait_until_valid(text).await;
    }
    let (worked, printed) = fixture.import(&["--key-length", "pk_=40"]);
    assert!(!worked && printed.contains("there is no --key-length for its prefix"), "{printed}");
}

#[tokio::test]
async fn imported_better_auth_keys_can_manage_by_argument_or_default() {
    let keys = ['a', 'b', 'c'].map(|letter| secret("", letter, 64));
    let rows: Vec<Value> = keys.iter().map(|(text, hash)| json!({"id": text, "key": hash})).collect();
    for (arguments, by_default, expected) in [
        (&["--can-manage", "false"][..], true, false),
        (&["--can-manage", "true"], false, true),
        (&[], false, false),
        (&[], true, true),
    ] {
        let fixture = fixture(&rows).await;
        let org = format!("/orgs/{}", fixture.organization);
        let setting = json!({"keys_can_manage_by_default": by_default});
        assert_eq!(fixture.verifier.patch(&org, &setting).await.status, 200);
        let (worked, printed) = fixture.import(arguments);
        assert!(worked && printed.contains("3 imported"), "{printed}");
        let listed = fixture.verifier.get(&format!("{org}/api_keys?can_manage={expected}")).await.json();
        let listed = listed.as_array().expect("a list").iter().filter(|key| key["created_by"]["type"] == "operator");
        assert_eq!(listed.count(), 3, "{arguments:?}, by default {by_default}");
    }
}

#[tokio::test]
async fn every_invalid_better_auth_row_is_reported() {
    let hash = |letter| secret("", letter, 64).1;
    let fixture = fixture(&[
        json!({"id": "good", "key": hash('a')}),
        json!({"id": "below", "key": hash('b'), "remaining": -5}),
        json!({"id": "plain", "key": "hunter2"}),
        json!({"id": "empty"}),
        json!({"id": "invisible", "key": hash('d'), "name": "a\u{202E}b"}),
        json!({"id": "large", "key": hash('c'), "rateLimitMax": i64::MAX, "rateLimitTimeWindow": 1}),
    ])
    .await;
    let (worked, printed) = fixture.import(&[]);
    assert!(!worked && printed.contains("nothing was imported"), "{printed}");
    for (id, reason) in [
        ("below", "remaining is not a number"),
        ("plain", "its hash is not SHA-256"),
        ("empty", "expected a string"),
        ("invisible", "name must not contain the invisible character U+202E"),
        ("large", "rateLimitMax is not a number"),
    ] {
        let line = printed.lines().find(|line| line.starts_with(&format!("key \"{id}\": "))).unwrap_or_default();
        assert!(line.contains(reason), "{id}: {printed}");
    }
    assert!(!printed.contains("\"good\"") && !printed.contains("hunter2"), "{printed}");
    assert_eq!(fixture.verify(&secret("", 'a', 64).0).await, "INVALID_API_KEY");
}
