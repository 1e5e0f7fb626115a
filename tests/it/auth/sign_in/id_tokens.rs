//! ID tokens: which are accepted, and what their claims mean.

use harness::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::{Value, json};

use super::{SignIn, assert_failed, header, unsigned};

/// Makes a token with these claims.
type Forge<'a> = &'a dyn Fn(&Value) -> String;

#[tokio::test]
async fn an_id_token_is_for_this_client_and_this_sign_in() {
    let signed = SignIn::start_with(|entry| entry["require"] = json!({"hd": "acme.example"}), |_| ()).await;
    signed.add("ada").await;
    let now = signed.app.now_seconds();
    let changes = [
        ("an expired one", "exp", json!(now), "invalid_answer"),
        ("no expiry", "exp", Value::Null, "invalid_answer"),
        ("the audience of access tokens", "aud", json!("claviger"), "invalid_answer"),
        ("no audience", "aud", json!([]), "invalid_answer"),
        ("several audiences without azp", "aud", json!(["claviger web", "other"]), "invalid_answer"),
        ("issued to another client", "azp", json!("other"), "invalid_answer"),
        ("another nonce", "nonce", json!("x"), "invalid_answer"),
        ("no nonce", "nonce", Value::Null, "invalid_answer"),
        ("another issuer", "iss", json!("https://evil.example/"), "invalid_answer"),
        ("a condition that is not met", "hd", json!("evil.example"), "not_allowed"),
        ("no user", "sub", json!(""), "not_allowed"),
        ("not valid yet", "nbf", json!(now + 60), "not_allowed"),
    ];
    for (what, claim, value, reason) in changes {
        let answer = signed.sign_in("ada", "", |claims| {
            claims["hd"] = json!("acme.example");
            claims[claim] = value;
        });
        assert_failed(&answer.await, reason, what);
    }
    let answer = signed.sign_in("ada", "", |claims| {
        claims["hd"] = json!("acme.example");
        (claims["aud"], claims["azp"]) = (json!(["other", "claviger web"]), json!("claviger web"));
        // As some providers write them.
        (claims["email_verified"], claims["updated_at"]) = (json!("true"), json!("2026-11-30T05:00:00.000Z"));
        (claims["auth_time"], claims["amr"], claims["groups"]) = (json!(now), json!(["pwd"]), json!(["a", "b"]));
    });
    assert_eq!(answer.await.header("location"), "/#/");
}

#[tokio::test]
async fn conditions_of_sign_in_replace_those_of_access_tokens() {
    let signed = SignIn::start_with(
        |entry| {
            entry["require"] = json!({"typ": "Bearer"});
            entry["sign_in"]["require"] = json!({"typ": "ID"});
        },
        |_| (),
    )
    .await;
    signed.add("ada").await;
    let answer = signed.sign_in("ada", "", |claims| claims["typ"] = json!("ID")).await;
    assert_eq!(answer.header("location"), "/#/");
    let answer = signed.sign_in("ada", "", |claims| claims["typ"] = json!("Bearer")).await;
    assert_failed(&answer, "not_allowed", "an access token");
    let claims = signed.provider.claims("ada", signed.app.now_seconds());
    for (kind, status) in [("ID", 401), ("Bearer", 200)] {
        let mut claims = claims.clone();
        claims["typ"] = json!(kind);
        assert_eq!(signed.app.caller(&signed.key.sign(&claims)).get("/me").await.status, status, "{kind}");
    }
}

#[tokio::test]
async fn an_id_token_is_signed_by_a_key_of_the_provider() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let (ec, rsa) = (SigningKey::p256("k2"), SigningKey::rsa("k3"));
    let (larger, other) = (SigningKey::p384("k4"), SigningKey::ed25519("k1"));
    signed.provider.publish(&[&signed.key, &ec, &rsa, &larger]);
    for key in [&ec, &rsa, &larger, &signed.key] {
        let begun = signed.begin("").await;
        let mut claims = signed.claims(&begun, "ada");
        (claims["updated_at"], claims["email_verified"]) = (json!(1_700_000_000), json!(true));
        signed.answer_with_token(&key.sign_as("JWT", &claims));
        let answer = signed.come_back(&begun).await;
        assert_eq!(answer.header("location"), "/#/", "{:?}", key.algorithm);
    }
    let shared = EncodingKey::from_secret(b"s3cret:+");
    let unknown = SigningKey::ed25519("k9");
    let swapped = |claims: &Value| {
        let (valid, other) = (signed.key.sign_as("JWT", claims), signed.key.sign_as("JWT", &json!({"sub": "eve"})));
        let signature = |token: &str| token.rsplit_once('.').map(|(_, signature)| signature.to_owned());
        valid.replace(&signature(&valid).expect("a signature"), &signature(&other).expect("a signature"))
    };
    let forgeries: [(&str, Forge<'_>); 8] = [
        ("a forged signature", &|claims| other.sign_as("JWT", claims)),
        ("the signature of another token", &swapped),
        ("an unknown key", &|claims| unknown.sign_as("JWT", claims)),
        ("the algorithm of another key", &|claims| rsa.sign_with(&header(Algorithm::RS256), claims)),
        ("a shared secret", &|claims| encode(&header(Algorithm::HS256), claims, &shared).expect("a token")),
        ("no signature", &unsigned),
        ("another type", &|claims| signed.key.sign_as("logout+jwt", claims)),
        ("no token", &|_| "x".to_owned()),
    ];
    for (what, forge) in forgeries {
        let begun = signed.begin("").await;
        signed.answer_with_token(&forge(&signed.claims(&begun, "ada")));
        assert_failed(&signed.come_back(&begun).await, "invalid_answer", what);
    }
}

#[tokio::test]
async fn the_claims_of_an_id_token_mean_the_same_as_those_of_an_access_token() {
    let signed = SignIn::start_with(
        |entry| {
            entry["claims"] = json!({"user": "oid", "permissions": "roles", "organization": "tid"});
            entry["permission_map"] = json!({"key-reader": ["api_keys:read"]});
            (entry["organization_by"], entry["create_users"]) = (json!("external_id"), json!(true));
            entry["member_permissions"] = json!(["api_keys:*"]);
        },
        |_| (),
    )
    .await;
    let platform = signed.app.platform().await;
    let organization = json!({"name": "Initech", "external_id": "t-1"});
    let organization = platform.post("/orgs", &organization).await.json();
    let answer = signed.sign_in("a pairwise subject", "", |claims| {
        (claims["oid"], claims["tid"]) = (json!("ada"), json!("t-1"));
        (claims["roles"], claims["name"]) = (json!(["key-reader", "other"]), json!("Ada Lovelace"));
        claims["email"] = json!("ada@initech.example");
    });
    let me = signed.page(&answer.await).get("/me").await.json();
    assert_eq!(me["identity"]["subject"], "ada");
    assert_eq!(me["organization"]["id"], organization["id"]);
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read"]));
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Ada Lovelace"), &json!("ada@initech.example")));
    let answer = signed.sign_in("x", "", |claims| {
        (claims["oid"], claims["tid"], claims["roles"]) = (json!("ada"), json!("t-2"), json!([]));
    });
    assert_failed(&answer.await, "no_membership", "an organization that is not known");
}
