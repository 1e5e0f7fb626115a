//! The algorithms of identity providers, and where their keys are found.

use harness::{Provider, SigningKey, TestApp, read_issuers};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use crate::auth::idp::{fixture, status, with, without};

#[tokio::test]
async fn a_token_is_signed_by_an_algorithm_that_fits_the_key() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let (ed, p256, p384) = (SigningKey::ed25519("k"), SigningKey::p256("k"), SigningKey::p384("k"));
    let rsa = SigningKey::rsa("k");
    let cases = [
        (&ed, json!("EdDSA"), Algorithm::EdDSA, 200),
        (&ed, json!("Ed25519"), Algorithm::EdDSA, 200),
        (&ed, Value::Null, Algorithm::EdDSA, 200),
        (&ed, json!("Ed448"), Algorithm::EdDSA, 401),
        (&ed, json!("ES256"), Algorithm::EdDSA, 401),
        (&p256, json!("ES256"), Algorithm::ES256, 200),
        (&p256, Value::Null, Algorithm::ES256, 200),
        (&p256, json!("ES384"), Algorithm::ES256, 401),
        (&p384, json!("ES384"), Algorithm::ES384, 200),
        (&p384, Value::Null, Algorithm::ES384, 200),
        (&p384, json!("Ed25519"), Algorithm::ES384, 401),
        (&rsa, json!("RS256"), Algorithm::RS256, 200),
        (&rsa, json!("RS384"), Algorithm::RS384, 200),
        (&rsa, json!("RS512"), Algorithm::RS512, 200),
        (&rsa, json!("PS256"), Algorithm::PS256, 200),
        (&rsa, json!("PS512"), Algorithm::PS512, 200),
        (&rsa, Value::Null, Algorithm::RS512, 200),
        (&rsa, Value::Null, Algorithm::PS256, 200),
        (&rsa, json!("RS256"), Algorithm::PS256, 401),
        (&rsa, json!("PS256"), Algorithm::RS256, 401),
        (&rsa, json!("RS256"), Algorithm::RS512, 401),
        (&rsa, json!("RSA-OAEP"), Algorithm::RS256, 401),
        (&rsa, json!("HS256"), Algorithm::RS256, 401),
        (&rsa, json!("none"), Algorithm::RS256, 401),
        (&rsa, json!("rs256"), Algorithm::RS256, 401),
        (&rsa, json!(7), Algorithm::RS256, 401),
    ];
    // A set without any usable key would be a failed read.
    let other = with(&serde_json::to_value(p256.public()).expect("JSON"), "kid", json!("other"));
    for (key, named, algorithm, expected) in cases {
        let public = serde_json::to_value(key.public()).expect("JSON");
        let public = if named.is_null() { without(&public, "alg") } else { with(&public, "alg", named.clone()) };
        // An unreadable key in the set does not affect the others.
        fixture.provider.respond_with(
            "200 OK",
            "",
            &json!({"keys": [7, {"kty": "AKP", "kid": "k"}, other, public]}).to_string(),
        );
        fixture.app.clock.advance_seconds(3_600);
        let mut header = Header::new(algorithm);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("k".to_owned()));
        let ada = fixture.app.caller(&key.sign_with(&header, &fixture.claims("ada")));
        assert_eq!(status(&ada).await, expected, "{named} of the key, {algorithm:?} of the token");
    }
}

#[tokio::test]
async fn of_two_keys_with_one_name_the_one_that_fits_is_used() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let keys = [SigningKey::rsa("k"), SigningKey::p256("k"), SigningKey::ed25519("k")];
    fixture.provider.publish(&keys.each_ref());
    for key in &keys {
        assert_eq!(status(&fixture.app.caller(&key.sign(&fixture.claims("ada")))).await, 200, "{:?}", key.algorithm);
    }
    assert_eq!(fixture.provider.requests(), 1);
}

#[tokio::test]
async fn a_token_without_a_type_is_accepted_where_the_file_says_so() {
    for (types, without_type, with_type) in
        [(json!(["JWT"]), 401, 200), (json!([null]), 200, 401), (json!([null, "jwt"]), 200, 200)]
    {
        let fixture = fixture(|entry| entry["token_types"] = types.clone()).await;
        fixture.add(&fixture.tenant, "ada", &["*"]).await;
        let token = |kind: Option<&str>| {
            let mut header = Header::new(Algorithm::EdDSA);
            (header.typ, header.kid) = (kind.map(str::to_owned), Some("k1".to_owned()));
            fixture.app.caller(&fixture.key.sign_with(&header, &fixture.claims("ada")))
        };
        assert_eq!(status(&token(None)).await, without_type, "{types}");
        assert_eq!(status(&token(Some("JWT"))).await, with_type, "{types}");
        assert_eq!(status(&token(Some(""))).await, 401, "{types}");
        assert_eq!(status(&token(Some("session+jwt"))).await, 401, "{types}");
    }
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let fixture = fixture(|entry| _ = entry.as_object_mut().expect("an entry").remove("jwks")).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let ada = || fixture.caller_with(&fixture.claims("ada"));
    assert_eq!((status(&ada()).await, fixture.provider.requests()), (200, 2));
    let (issuer, jwks) = (fixture.provider.issuer(), fixture.provider.jwks());
    for (what, metadata) in [
        ("another issuer", json!({"issuer": "https://id.example/", "jwks_uri": jwks})),
        ("the issuer without its slash", json!({"issuer": issuer.trim_end_matches('/'), "jwks_uri": jwks})),
        ("no issuer", json!({"jwks_uri": jwks})),
        ("no keys", json!({"issuer": issuer})),
        ("keys by http elsewhere", json!({"issuer": issuer, "jwks_uri": jwks.replace("127.0.0.1", "0.0.0.0")})),
        ("keys in a file", json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"})),
        ("too much", json!({"issuer": issuer, "jwks_uri": jwks, "x": "x".repeat(256 * 1024)})),
    ] {
        fixture.provider.describe(&metadata);
        fixture.app.clock.advance_seconds(3_600);
        assert_eq!(status(&ada()).await, 503, "{what}");
    }
    fixture.provider.describe(&json!({"issuer": issuer, "jwks_uri": jwks}));
    fixture.app.clock.advance_seconds(30);
    assert_eq!(status(&ada()).await, 200);
}

#[tokio::test]
async fn a_provider_is_checked_against_its_own_ca_file() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let key = SigningKey::ed25519("k1");
    let (provider, stranger) = (Provider::start_with_tls(&[&key]).await, Provider::start_with_tls(&[]).await);
    for (certificate, expected) in [(provider.certificate(), 200), (stranger.certificate(), 503)] {
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, certificate).expect("a file");
        for has_jwks in [true, false] {
            let mut entry = with(&provider.entry(&json!("tenants")), "ca_file", json!(path));
            entry["create_users"] = json!(true);
            let entry = if has_jwks { entry } else { without(&entry, "jwks") };
            let providers = read_issuers(&json!([entry])).expect("it is valid");
            let app = TestApp::start_with(|config| config.providers = providers).await;
            let ada = app.caller(&key.sign(&provider.claims("ada", app.now_seconds())));
            assert_eq!(status(&ada).await, expected, "jwks: {has_jwks}");
        }
    }
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    let entry = with(&provider.entry(&json!("tenants")), "ca_file", json!(empty));
    assert!(read_issuers(&json!([entry])).expect_err("no certificate").contains("[0].ca_file"));
    let plain = Provider::start(&[&key]).await;
    let path = directory.path().join("ca.pem");
    let entry = with(&plain.entry(&json!("tenants")), "ca_file", json!(path));
    assert!(read_issuers(&json!([entry])).expect_err("http").contains("[0].ca_file"));
}
