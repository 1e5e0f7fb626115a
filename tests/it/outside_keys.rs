//! The keys of identity providers: where they come from, for how long they are trusted, and for what.

use api::system::SystemClock;
use domain::clock::Clock;
use harness::{Caller, Process, Provider, SigningKey, TestDatabase, written};
use serde_json::{Value, json};

use crate::outside::{status, with, without, world};

#[tokio::test]
async fn the_keys_of_a_provider_are_asked_for_seldom_and_trusted_not_for_long() {
    let world = world(|_| ()).await;
    world.join(&world.tenant, "ada", &["*"]).await;
    let (advance, questions) = (|seconds| world.app.clock.advance_seconds(seconds), || world.provider.questions());
    let ada = |key: &SigningKey| world.app.caller(&key.sign(&world.claims("ada")));
    for _ in 0..3 {
        assert_eq!(status(&ada(&world.key)).await, 200);
    }
    assert_eq!(questions(), 1, "remembered");
    // A new key is heard of by the first token that names it, but not more often than every 30 seconds.
    let next = SigningKey::ed25519("k2");
    world.provider.publish(&[&world.key, &next]);
    for _ in 0..3 {
        assert_eq!(status(&ada(&next)).await, 401);
    }
    assert_eq!(questions(), 1);
    advance(30);
    assert_eq!((status(&ada(&next)).await, questions()), (200, 2));
    // A key that was withdrawn is good for 10 minutes at most.
    world.provider.publish(&[&next]);
    advance(599);
    assert_eq!((status(&ada(&world.key)).await, questions()), (200, 2));
    advance(1);
    assert_eq!((status(&ada(&world.key)).await, questions()), (401, 3));
    // While the provider is away, its keys are good for an hour; then nothing is known about a token.
    let moved = format!("location: {}keys\r\n", world.provider.issuer());
    let good = serde_json::to_string(&json!({"keys": [next.public()]})).expect("JSON");
    for (status_line, headers, body) in [
        ("500 Internal Server Error", "", good.clone()),
        ("302 Found", moved.as_str(), good.clone()),
        ("200 OK", "", "x".repeat(10)),
        ("200 OK", "", format!("{good}{}", " ".repeat(256 * 1024))),
    ] {
        world.provider.answer(status_line, headers, &body);
        advance(3_600);
        let away = ada(&next).get("/me").await;
        assert_eq!((away.status, away.header("retry-after")), (503, "1"), "{status_line}: {}", away.text);
        let asked = questions();
        assert_eq!(status(&ada(&next)).await, 503);
        assert_eq!(status(&ada(&world.key)).await, 503, "nobody knows whether there is such a key");
        assert_eq!(questions(), asked, "not asked again at once, nor at another address");
        world.provider.publish(&[&next]);
        advance(30);
        assert_eq!(status(&ada(&next)).await, 200, "back without a restart");
        world.provider.answer(status_line, headers, &body);
        advance(3_000);
        assert_eq!(status(&ada(&next)).await, 200, "what is known is good meanwhile");
        assert_eq!(status(&ada(&world.key)).await, 503, "what is not known may be new");
        world.provider.publish(&[&next]);
        advance(30);
        assert_eq!(status(&ada(&next)).await, 200);
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_key() {
    let world = world(|_| ()).await;
    world.join(&world.tenant, "ada", &["*"]).await;
    assert_eq!(status(&world.says(&world.claims("ada"))).await, 200);
    world.provider.publish(&[]);
    world.app.clock.advance_seconds(-86_400);
    assert_eq!(status(&world.says(&world.claims("ada"))).await, 401);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = silent.local_addr().expect("an address");
    let world = world(|entry| entry["jwks"] = json!(format!("http://{at}/keys"))).await;
    let answer = world.says(&world.claims("ada")).get("/me").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn who_breaks_off_does_not_ask_again() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = silent.local_addr().expect("an address");
    let world = world(|entry| entry["jwks"] = json!(format!("http://{at}/keys"))).await;
    let token = world.key.sign(&world.claims("ada"));
    for _ in 0..5 {
        let mut stream = tokio::net::TcpStream::connect(world.app.address()).await.expect("it listens");
        let request = format!("GET /me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
        let wait = std::time::Duration::from_millis(50);
        let _ = tokio::time::timeout(wait, tokio::io::AsyncReadExt::read_u8(&mut stream)).await;
    }
    assert_eq!(status(&world.app.caller(&token)).await, 503);
    let mut connections = 0;
    while tokio::time::timeout(std::time::Duration::from_millis(50), silent.accept()).await.is_ok() {
        connections += 1;
    }
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn keys_of_other_kinds_and_uses_are_not_for_tokens() {
    let world = world(|_| ()).await;
    world.join(&world.tenant, "ada", &["*"]).await;
    let token = world.key.sign(&world.claims("ada"));
    let published = serde_json::to_value(world.key.public()).expect("JSON");
    let set = |change: &[(&str, Value)]| {
        let mut key = published.clone();
        for (name, value) in change {
            key[*name] = value.clone();
        }
        world.provider.answer("200 OK", "", &json!({"keys": [key, {"kty": "new", "kid": "k7"}]}).to_string());
        world.app.clock.advance_seconds(3_601);
        world.key.sign(&world.claims("ada"))
    };
    for (change, expected) in [
        (&[("use", json!("sig"))][..], 200),
        (&[("use", json!("enc"))], 401),
        (&[("alg", json!("HS256"))], 401),
        (&[("alg", json!("RS256"))], 401),
        (&[("kty", json!("oct")), ("k", json!("c2VjcmV0"))], 401),
        (&[("crv", json!("X25519"))], 401),
    ] {
        let token = set(change);
        assert_eq!(status(&world.app.caller(&token)).await, expected, "{change:?}");
    }
    assert_eq!(status(&world.app.caller(&token)).await, 401, "it is expired by now");
}

#[tokio::test]
async fn keys_come_from_a_file_too() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("keys.json");
    let world = world(|entry| entry["jwks"] = json!(path)).await;
    world.join(&world.tenant, "ada", &["*"]).await;
    let ada = world.says(&world.claims("ada"));
    assert_eq!(status(&ada).await, 503, "there is no such file");
    std::fs::write(&path, json!({"keys": [world.key.public()]}).to_string()).expect("a file");
    world.app.clock.advance_seconds(30);
    assert_eq!(status(&ada).await, 200);
    assert_eq!(world.provider.questions(), 0);
}

#[tokio::test]
async fn keys_come_by_https_from_who_has_a_certificate() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start_with_tls(&[&key]).await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut entry = provider.entry(&json!("tenants"));
    entry["create_users"] = json!(true);
    std::fs::write(path("issuers.json"), json!([entry]).to_string()).expect("a file");
    std::fs::write(path("certificate.pem"), provider.certificate()).expect("a file");
    let token = key.sign(&provider.claims("ada", SystemClock.now().millis() / 1_000));
    for (certificates, expected) in [(Some(path("certificate.pem")), 200), (None, 503)] {
        let database = TestDatabase::fresh().await;
        let issuers = path("issuers.json");
        let mut settings = vec![("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", issuers.as_str())];
        settings.extend(certificates.as_deref().map(|path| ("SSL_CERT_FILE", path)));
        let process = Process::serve(&settings);
        let ada = Caller::anyone(format!("http://{}", process.address)).with_bearer(&token);
        let me = ada.get("/me").await;
        assert_eq!(me.status, expected, "{}", me.text);
    }
}

#[test]
fn what_an_operator_writes_is_held_against_its_rules() {
    let good = json!({
        "issuer": "https://id.example/", "audiences": ["claviger"], "jwks": "https://id.example/keys",
        "organizations": "tenants",
    });
    assert!(written(&json!([good])).is_ok() && written(&json!([])).is_ok());
    for (name, value, word) in [
        ("issuer", json!(""), "issuer"),
        ("issuer", json!("https://keys.example"), "own tokens"),
        ("audiences", json!([]), "audiences"),
        ("audiences", json!([""]), "audiences"),
        ("token_types", json!([""]), "token_types"),
        ("issuer", json!(["hunter2"]), "issuer"),
        ("audiences", json!("hunter2"), "audiences"),
        ("token_types", json!([]), "token_types"),
        ("jwks", json!("http://id.example/keys"), "jwks"),
        ("jwks", json!("keys.json"), "jwks"),
        ("jwks", json!("ftp://127.0.0.1/keys"), "jwks"),
        ("organizations", json!("all"), "organizations"),
        ("organizations", json!(["acme"]), "organizations"),
        ("member_permissions", json!(["read"]), "create_users"),
        ("member_permissions", json!(["a:b:c"]), "permissions"),
        ("organisations", json!("hunter2"), "unknown field `organisations`"),
        ("claims", json!({"permission": "hunter2"}), "unknown field `permission`"),
        ("claims", json!({"permissions": ["hunter2"]}), "claims.permissions"),
        ("claims", json!({"permissions": ""}), "claims"),
    ] {
        let wrong = written(&json!([with(&good, name, value)])).expect_err(name);
        assert!(wrong.contains(word) && !wrong.contains("hunter2"), "{name}: {wrong}");
    }
    assert!(written(&json!([good, good])).expect_err("twice").contains("twice"));
    assert!(written(&json!([without(&good, "jwks")])).expect_err("no keys").contains("missing field `jwks`"));
    for jwks in ["http://127.0.0.1:8/keys", "http://localhost/keys", "http://[::1]/keys", "/etc/keys.json"] {
        assert!(written(&json!([with(&good, "jwks", json!(jwks))])).is_ok(), "{jwks}");
    }
}
