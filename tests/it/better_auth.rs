//! `claviger import better-auth`: keys of several configurations, and rows that cannot be taken over.

use std::time::Duration;

use harness::{Process, TestApp, TestDatabase};
use serde_json::{Value, json};

/// A secret of better-auth, and its hash as that keeps it.
fn secret(prefix: &str, letter: char, length: usize) -> (String, String) {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let text = format!("{prefix}{}", letter.to_string().repeat(length));
    let hash = URL_SAFE_NO_PAD.encode(domain::secret::OldHash::of(&text).bytes());
    (text, hash)
}

struct World {
    app: TestApp,
    organization: String,
    verifier: harness::Caller,
    source: TestDatabase,
}

async fn world(rows: &[Value]) -> World {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let source = TestDatabase::empty().await;
    source.make_better_auth(rows).await;
    World { app, organization: tenant.org_id, verifier: tenant.admin, source }
}

impl World {
    /// Runs the import. Answers whether it worked, and what it said.
    fn import(&self, more: &[&str]) -> (bool, String) {
        let settings =
            [("CLAVIGER_DATABASE_URL", self.app.database.url()), ("CLAVIGER_BETTER_AUTH_URL", self.source.url())];
        let arguments = [&["import", "better-auth", "--organization", &self.organization], more].concat();
        let output = Process::run(&arguments, &settings);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    }

    async fn verify(&self, text: &str) -> String {
        self.app.forget_everything();
        let answer = self.verifier.post("/api_keys/verify", &json!({"key": text})).await;
        answer.json()["code"].as_str().expect("a code").to_owned()
    }

    /// Waits until the service has heard of an import, by a secret that is good then.
    async fn heard(&self, text: &str) {
        let heard = async {
            while self.verify(text).await != "VALID" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), heard).await.expect("it hears of the import within a second");
    }
}

#[tokio::test]
async fn keys_of_several_lengths_all_work() {
    let keys = [("", 'a', 64), ("st_", 'b', 40), ("st_", 'c', 64), ("pk_", 'd', 48)];
    let keys = keys.map(|(prefix, letter, length)| (prefix, secret(prefix, letter, length)));
    let rows: Vec<Value> = keys
        .iter()
        .enumerate()
        .map(|(n, (prefix, (_, hash)))| json!({"id": format!("k{n}"), "key": hash, "prefix": prefix}))
        .collect();
    let world = world(&rows).await;
    let codes = async || {
        let mut codes = Vec::new();
        for (_, (text, _)) in &keys {
            codes.push(world.verify(text).await);
        }
        codes
    };
    let (good, unknown) = ("VALID", "INVALID_API_KEY");
    // With a length that is not theirs some are there, and unknown.
    let (worked, said) = world.import(&[]);
    assert!(worked && said.contains("4 imported, 0 imported before") && said.contains("Verify one secret"), "{said}");
    world.heard(&keys[0].1.0).await;
    assert_eq!(codes().await, [good, unknown, good, unknown]);
    // The same import again repairs that, and loses nothing.
    let (worked, said) = world.import(&["--key-length", "64", "--key-length", "st_=40", "--key-length", "pk_=48"]);
    assert!(worked && said.contains("0 imported, 4 imported before"), "{said}");
    world.heard(&keys[1].1.0).await;
    assert_eq!(codes().await, [good; 4]);
}

#[tokio::test]
async fn several_lengths_can_be_given_at_once() {
    let keys = [secret("st_", 'b', 40), secret("st_", 'c', 64)];
    let rows: Vec<Value> = keys.iter().map(|(text, hash)| json!({"id": text, "key": hash, "prefix": "st_"})).collect();
    let world = world(&rows).await;
    let (worked, said) = world.import(&["--key-length", "40", "--key-length", "64"]);
    assert!(worked && said.contains("2 imported") && said.contains("40 or 64 letters"), "{said}");
    for (text, _) in &keys {
        world.heard(text).await;
    }
    let (worked, said) = world.import(&["--key-length", "pk_=40"]);
    assert!(!worked && said.contains("there is no --key-length for its prefix"), "{said}");
}

#[tokio::test]
async fn every_row_that_is_wrong_is_named() {
    let hash = |letter| secret("", letter, 64).1;
    let world = world(&[
        json!({"id": "good", "key": hash('a')}),
        json!({"id": "below", "key": hash('b'), "remaining": -5}),
        json!({"id": "plain", "key": "hunter2"}),
        json!({"id": "empty"}),
        json!({"id": "large", "key": hash('c'), "rateLimitMax": i64::MAX, "rateLimitTimeWindow": 1}),
    ])
    .await;
    let (worked, said) = world.import(&[]);
    assert!(!worked && said.contains("nothing was imported"), "{said}");
    for (id, reason) in [
        ("below", "remaining is no number"),
        ("plain", "its hash is not SHA-256"),
        ("empty", "expected a string"),
        ("large", "rateLimitMax is no number"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("key \"{id}\": "))).unwrap_or_default();
        assert!(line.contains(reason), "{id}: {said}");
    }
    assert!(!said.contains("\"good\"") && !said.contains("hunter2"), "{said}");
    assert_eq!(world.verify(&secret("", 'a', 64).0).await, "INVALID_API_KEY");
}
