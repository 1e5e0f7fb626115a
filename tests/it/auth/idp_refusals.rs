//! Invalid tokens of identity providers.

use harness::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::auth::idp::{fixture, status, with, without};

#[tokio::test]
async fn invalid_idp_tokens_are_refused() {
    let fixture = fixture(|_| ()).await;
    fixture.add(&fixture.tenant, "ada", &["*"]).await;
    let (now, good) = (fixture.app.now_seconds(), fixture.claims("ada"));
    let stranger = SigningKey::ed25519("k1");
    let unpublished = SigningKey::ed25519("k9");
    let (ec, rsa) = (SigningKey::p256("k2"), SigningKey::rsa("k3"));
    fixture.provider.publish(&[&fixture.key, &ec, &rsa]);
    let sign = |claims: &Value| fixture.key.sign(claims);
    for claims in [
        good.clone(),
        with(&good, "exp", json!(now - 29)),
        with(&good, "nbf", json!(now + 30)),
        with(&good, "aud", json!(["others", "claviger"])),
        with(&good, "exp", json!(f64::from(i32::MAX) + 0.5)),
    ] {
        assert_eq!(status(&fixture.app.caller(&sign(&claims))).await, 200, "{claims}");
    }
    let none = {
        let part = |value: &Value| {
            let token = fixture.key.sign(value);
            token.split('.').nth(1).expect("claims").to_owned()
        };
        let header = part(&json!({"alg": "none", "typ": "at+jwt", "kid": "k1"}));
        format!("{header}.{}.", part(&good))
    };
    let public = serde_json::to_value(fixture.key.public()).expect("JSON");
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("k1".to_owned()));
        encode(&header, &good, &EncodingKey::from_secret(secret)).expect("a token")
    };
    let header = |change: fn(&mut Header)| {
        let mut header = Header::new(Algorithm::EdDSA);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("k1".to_owned()));
        change(&mut header);
        fixture.key.sign_with(&header, &good)
    };
    let token = sign(&good);
    let (head, rest) = token.split_once('.').expect("parts");
    let (claims, signature) = rest.split_once('.').expect("parts");
    let other_claims = sign(&with(&good, "sub", json!("eve")));
    let other_claims = other_claims.split('.').nth(1).expect("claims");
    let refused = [
        ("no signature", format!("{head}.{claims}.")),
        ("the signature of another", format!("{head}.{other_claims}.{signature}")),
        ("a key that is not the issuer's, by its name", stranger.sign(&good)),
        ("a key that is not published", unpublished.sign(&good)),
        ("the algorithm none", none),
        ("the public key as a secret", hmac(public["x"].as_str().expect("a text").as_bytes())),
        ("the key set as a secret", hmac(public.to_string().as_bytes())),
        ("another algorithm than the key's", {
            let mut header = Header::new(Algorithm::ES256);
            (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some("k3".to_owned()));
            ec.sign_with(&header, &good)
        }),
        ("no type", header(|header| header.typ = None)),
        ("the type of other tokens", header(|header| header.typ = Some("JWT".to_owned()))),
        ("the type of our sessions", header(|header| header.typ = Some("session+jwt".to_owned()))),
        ("what has to be understood", header(|header| header.crit = Some(vec!["exp".to_owned()]))),
        ("no key, of several", header(|header| header.kid = None)),
        ("expired", sign(&with(&good, "exp", json!(now - 30)))),
        ("no end", sign(&without(&good, "exp"))),
        ("an end that is a text", sign(&with(&good, "exp", json!((now + 300).to_string())))),
        ("not yet", sign(&with(&good, "nbf", json!(now + 31)))),
        ("a beginning that is a text", sign(&with(&good, "nbf", json!("0")))),
        ("another audience", sign(&with(&good, "aud", json!("claviger2")))),
        ("no audience", sign(&without(&good, "aud"))),
        ("no audience at all", sign(&with(&good, "aud", json!([])))),
        ("another issuer", sign(&with(&good, "iss", json!("https://evil.example/")))),
        ("no issuer", sign(&without(&good, "iss"))),
        ("no user", sign(&without(&good, "sub"))),
        ("an empty user", sign(&with(&good, "sub", json!("")))),
        ("a user that is a number", sign(&with(&good, "sub", json!(7)))),
        ("a user that is not plain", sign(&with(&good, "sub", json!("a\u{0}")))),
        ("a user that is too long", sign(&with(&good, "sub", json!("a".repeat(256))))),
        ("an organization that is no id", sign(&with(&good, "org_id", json!("acme")))),
        ("several organizations", sign(&with(&good, "org_id", json!([fixture.tenant.org_id, fixture.tenant.org_id])))),
        ("an organization that is a number", sign(&with(&good, "org_id", json!(7)))),
        ("permissions of another kind", sign(&with(&good, "permissions", json!(7)))),
        ("an audience that is an object", sign(&with(&good, "aud", json!({"claviger": 1})))),
        ("an audience in a list in a list", sign(&with(&good, "aud", json!([["claviger"]])))),
        ("more than 8 KiB", sign(&with(&good, "x", json!("x".repeat(8 * 1024))))),
        ("no token", "a.b.c".to_owned()),
        ("dots", "..".to_owned()),
    ];
    for (what, token) in refused {
        let answer = fixture.app.caller(&token).get("/me").await;
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status, challenge), (401, "Bearer error=\"invalid_token\""), "{what}: {}", answer.text);
        assert!(!answer.text.contains(&token), "{what}: it is not repeated");
    }
    let anyone = fixture.app.anyone();
    assert_eq!(status(&anyone.with("x-api-key", &token)).await, 401, "the header accepts keys only");
    assert_eq!(
        status(&anyone.with("cookie", &format!("__Host-apiKeyCookie={token}"))).await,
        401,
        "the cookie accepts keys and sessions only"
    );
}
