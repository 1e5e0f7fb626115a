//! The JWKS of identity providers: its sources, its cache, and the keys that are accepted.

use api::{auth::jwt::issuers, process::system::SystemClock};
use domain::clock::Clock;
use harness::{Process, Provider, SigningKey, TestDatabase, read_issuers, wait_until, wait_until_read, within};
use serde_json::{Value, json};

use crate::auth::idp::{fixture, status, with, without};

#[tokio::test]
async fn the_jwks_of_a_provider_is_cached_for_a_limited_time() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let (advance, requests) = (|seconds| fixture.app.clock.advance_seconds(seconds), || fixture.provider.requests());
    let ada = |key: &SigningKey| fixture.app.caller(&key.sign(&fixture.claims("ada")));
    for _ in 0..3 {
        assert_eq!(status(&ada(&fixture.key)).await, 200);
    }
    assert_eq!(requests(), 1, "the second one is cached");
    // The first token with a new key causes a fetch, at most every 30 seconds.
    let next = SigningKey::ed25519("k2");
    fixture.provider.publish(&[&fixture.key, &next]);
    for _ in 0..3 {
        assert_eq!(status(&ada(&next)).await, 401);
    }
    assert_eq!(requests(), 1);
    advance(30);
    assert_eq!((status(&ada(&next)).await, requests()), (200, 2));
    // A removed key is accepted for at most 10 minutes.
    fixture.provider.publish(&[&next]);
    advance(599);
    assert_eq!((status(&ada(&fixture.key)).await, requests()), (200, 2));
    advance(1);
    assert_eq!(status(&ada(&fixture.key)).await, 200, "it is read in the background");
    let is_refused = async || match status(&ada(&fixture.key)).await {
        401 => Ok(()),
        other => Err(other),
    };
    wait_until("the withdrawn key to be refused", is_refused).await;
    assert_eq!(requests(), 3);
    // While the provider is unavailable, its cached keys are used for an hour; then tokens get 503. So they are if its set is empty.
    let moved = format!("location: {}keys\r\n", fixture.provider.issuer());
    let good = serde_json::to_string(&json!({"keys": [next.public()]})).expect("JSON");
    for (status_line, headers, body) in [
        ("500 Internal Server Error", "", good.clone()),
        ("302 Found", moved.as_str(), good.clone()),
        ("200 OK", "", "x".repeat(10)),
        ("200 OK", "", r#"{"keys": []}"#.to_owned()),
        ("200 OK", "", format!("{good}{}", " ".repeat(256 * 1024))),
    ] {
        fixture.provider.respond_with(status_line, headers, &body);
        advance(3_600);
        let unavailable = ada(&next).get("/me").await;
        assert_eq!(
            (unavailable.status, unavailable.header("retry-after")),
            (503, "1"),
            "{status_line}: {}",
            unavailable.text
        );
        let asked = requests();
        assert_eq!(status(&ada(&next)).await, 503);
        assert_eq!(status(&ada(&fixture.key)).await, 503, "whether the key exists is unknown");
        assert_eq!(requests(), asked, "no other request is sent, also not to the target of the redirect");
        fixture.provider.publish(&[&next]);
        advance(30);
        assert_eq!(status(&ada(&next)).await, 200, "the keys are fetched again without a restart");
        fixture.provider.respond_with(status_line, headers, &body);
        advance(3_000);
        assert_eq!(status(&ada(&next)).await, 200, "known keys stay valid during the outage");
        assert_eq!(status(&ada(&fixture.key)).await, 503, "an unknown key may be a new one");
        fixture.provider.publish(&[&next]);
        advance(600);
        assert_eq!(status(&ada(&next)).await, 200, "the keys are an hour old, and are read");
    }
}

#[tokio::test]
async fn a_request_whose_key_is_known_does_not_wait_for_a_provider_that_hangs() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let ada = || fixture.caller_with(&fixture.claims("ada"));
    assert_eq!(status(&ada()).await, 200);
    fixture.provider.be_silent(true);
    // Shorter than the time limit of a fetch: these requests must not wait for it.
    let limit = std::time::Duration::from_secs(3);
    fixture.app.clock.advance_seconds(600);
    let requests = async {
        for _ in 0..3 {
            assert_eq!(status(&ada()).await, 200);
        }
    };
    tokio::time::timeout(limit, requests).await.expect("no request waits");
    let is_asked = async || match fixture.provider.requests() {
        2 => Ok(()),
        other => Err(other),
    };
    wait_until("the provider to be asked again", is_asked).await;
    // After an hour the keys are not used any more: a request waits for the fetch, and gets 503.
    fixture.app.clock.advance_seconds(3_000);
    assert_eq!(status(&ada()).await, 503);
    fixture.provider.be_silent(false);
    fixture.app.clock.advance_seconds(30);
    assert_eq!(status(&ada()).await, 200, "it recovers");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_extend_the_jwks_cache() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    assert_eq!(status(&fixture.caller_with(&fixture.claims("ada"))).await, 200);
    fixture.provider.publish(&[&SigningKey::ed25519("next")]);
    fixture.app.clock.advance_seconds(-86_400);
    assert_eq!(status(&fixture.caller_with(&fixture.claims("ada"))).await, 401);
}

#[tokio::test]
async fn a_provider_that_does_not_respond_is_a_503() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = silent.local_addr().expect("an address");
    let fixture = fixture(|entry| entry["jwks"] = json!(format!("http://{at}/keys"))).await;
    let answer = fixture.caller_with(&fixture.claims("ada")).get("/me").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn cancelled_requests_do_not_fetch_the_jwks_again() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = silent.local_addr().expect("an address");
    let fixture = fixture(|entry| entry["jwks"] = json!(format!("http://{at}/keys"))).await;
    let token = fixture.key.sign(&fixture.claims("ada"));
    let mut fetch = None;
    for _ in 0..5 {
        let mut stream = tokio::net::TcpStream::connect(fixture.app.address()).await.expect("it listens");
        let request = format!("GET /me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
        wait_until_read(&stream, fixture.app.address()).await;
        if fetch.is_none() {
            fetch = Some(within("the service to fetch the keys", silent.accept()).await.expect("a connection"));
        }
    }
    assert_eq!(status(&fixture.app.caller(&token)).await, 503);
    // Another fetch would have connected by now.
    let silent = silent.into_std().expect("a listener");
    let further = silent.accept().map_err(|error| error.kind());
    assert_eq!(further.expect_err("another fetch"), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn keys_of_other_types_and_uses_do_not_verify_tokens() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let token = fixture.key.sign(&fixture.claims("ada"));
    let published = serde_json::to_value(fixture.key.public()).expect("JSON");
    let other = serde_json::to_value(SigningKey::ed25519("other").public()).expect("JSON");
    let set = |change: &[(&str, Value)]| {
        let mut key = published.clone();
        for (name, value) in change {
            key[*name] = value.clone();
        }
        let keys = json!({"keys": [key, {"kty": "new", "kid": "k7"}, other]});
        fixture.provider.respond_with("200 OK", "", &keys.to_string());
        fixture.app.clock.advance_seconds(3_601);
        fixture.key.sign(&fixture.claims("ada"))
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
        assert_eq!(status(&fixture.app.caller(&token)).await, expected, "{change:?}");
    }
    assert_eq!(status(&fixture.app.caller(&token)).await, 401, "the token has expired");
}

#[tokio::test]
async fn the_jwks_can_be_a_file() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("keys.json");
    std::fs::write(&path, json!({"keys": []}).to_string()).expect("a file");
    let fixture = fixture(|entry| entry["jwks"] = json!(path)).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    assert_eq!(status(&ada).await, 503, "no key is known");
    std::fs::write(&path, json!({"keys": [fixture.key.public()]}).to_string()).expect("a file");
    fixture.app.clock.advance_seconds(30);
    assert_eq!(status(&ada).await, 200);
    assert_eq!(fixture.provider.requests(), 0);
}

#[tokio::test]
async fn the_jwks_is_fetched_by_https_with_a_trusted_certificate() {
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
        let ada = process.anyone().with_bearer(&token);
        let me = ada.get("/me").await;
        assert_eq!(me.status, expected, "{}", me.text);
    }
}

#[test]
fn an_invalid_issuers_file_is_refused() {
    let good = json!({
        "issuer": "https://id.example/", "audiences": ["claviger"], "jwks": "https://id.example/keys",
        "organizations": "tenants",
    });
    assert!(read_issuers(&json!([good])).is_ok() && read_issuers(&json!([])).is_ok());
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
        ("jwks", json!("/nonexistent/hunter2.json"), "jwks"),
        ("jwks", json!("/"), "jwks"),
        ("organizations", json!("all"), "organizations"),
        ("organizations", json!(["acme"]), "organizations"),
        ("member_permissions", json!(["read"]), "create_users"),
        ("member_permissions", json!(["a:b:c"]), "permissions"),
        ("organisations", json!("hunter2"), "unknown field `organisations`"),
        ("claims", json!({"permission": "hunter2"}), "unknown field `permission`"),
        ("claims", json!({"permissions": [7]}), "[0].claims.permissions"),
        ("claims", json!({"user": []}), "[0].claims.user"),
        ("claims", json!({"user": "/hunter2~"}), "[0].claims.user"),
        ("claims", json!({"audience": ["aud"]}), "[0].claims.audience"),
        ("claims", json!("hunter2"), "[0].claims must be an object"),
        ("organization_by", json!("name"), "[0].organization_by"),
        ("permission_map", json!({"admin": ["a:b:c"]}), "[0].permission_map.admin"),
        ("permission_map", json!({"admin": "hunter2"}), "[0].permission_map.admin"),
        ("permission_map", json!(["hunter2"]), "[0].permission_map"),
        ("require", json!({}), "[0].require"),
        ("require", json!({"ref": []}), "[0].require.ref"),
        ("require", json!({"ref": 7}), "[0].require.ref"),
        ("require", json!({"ref": null}), "[0].require.ref"),
        ("require", json!({"ref": ["a", ["b"]]}), "[0].require.ref"),
        ("require", json!({"": "hunter2"}), "[0].require"),
        ("insecure_http", json!("yes"), "[0].insecure_http"),
        ("create_users", json!(1), "[0].create_users"),
        ("ca_file", json!("ca.pem"), "[0].ca_file"),
        ("ca_file", json!("/nonexistent/hunter2.pem"), "[0].ca_file"),
        ("token_types", json!(["JWT", 7]), "[0].token_types"),
        ("claims", json!({"permissions": ""}), "claims"),
    ] {
        let wrong = read_issuers(&json!([with(&good, name, value)])).expect_err(name);
        assert!(wrong.contains(word) && !wrong.contains("hunter2"), "{name}: {wrong}");
    }
    assert!(read_issuers(&json!([good, good])).expect_err("twice").contains("twice"));
    assert!(read_issuers(&json!([without(&good, "jwks")])).is_ok(), "the keys are found by discovery");
    for issuer in ["accounts", "http://id.example/", "https://id.example/?a"] {
        let entry = with(&without(&good, "jwks"), "issuer", json!(issuer));
        assert!(read_issuers(&json!([entry])).expect_err("no discovery").contains("[0].jwks"), "{issuer}");
    }
    let http = with(&with(&good, "jwks", json!("http://id.example/keys")), "insecure_http", json!(true));
    assert!(read_issuers(&json!([http])).is_ok());
    assert!(read_issuers(&json!([with(&good, "token_types", json!(["JWT", null]))])).is_ok());
    let wrong = json!([{"issuer": "", "jwks": 7, "extra": 1}, good, {"audiences": [], "organizations": "tenants"}, 7]);
    let wrong = read_issuers(&wrong).expect_err("much is wrong");
    for mistake in [
        "[0].issuer",
        "[0] has the missing field `audiences`",
        "[0] has the missing field `organizations`",
        "[0].jwks",
        "[0] has the unknown field `extra`",
        "[2] has the missing field `issuer`",
        "[2].audiences",
        "[3] must be an object",
    ] {
        assert!(wrong.contains(mistake), "{mistake}: {wrong}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let file = file.path().to_str().expect("text");
    for jwks in ["http://127.0.0.1:8/keys", "http://localhost/keys", "http://[::1]/keys", file] {
        assert!(read_issuers(&json!([with(&good, "jwks", json!(jwks))])).is_ok(), "{jwks}");
    }
}

#[test]
fn a_member_that_is_named_twice_is_a_mistake() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("issuers.json");
    let read = |require: &str| {
        let entry = format!(
            r#"[{{"issuer": "https://id.example/", "audiences": ["a"], "organizations": "tenants", "require": {require}}}]"#
        );
        std::fs::write(&path, entry).expect("a file");
        issuers::read(&path, "https://keys.example")
    };
    assert!(read(r#"{"owner": "acme", "ref": "main"}"#).is_ok());
    let wrong = read(r#"{"owner": "acme", "owner": "other"}"#).expect_err("only the last would count");
    assert!(wrong.contains("twice"), "{wrong}");
    assert!(read(r#"{"owner": "acme""#).expect_err("no JSON").contains("invalid JSON"));
}
