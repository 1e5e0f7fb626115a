//! How clients authenticate themselves.

use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{KeySpec, Scheme, TestApp};
use serde_json::json;

use crate::oauth::requests::{FORM, INTROSPECT, REVOKE, TOKEN, assert_error, basic, form, post, with_basic};

#[tokio::test]
async fn introspection_and_revocation_take_every_credential_and_client_secrets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:verify"])).await;
    for path in [INTROSPECT, REVOKE] {
        let ok = async |caller: harness::Caller, parameters: &[(&str, &str)], what: &str| {
            let answer = post(&caller, path, parameters).await;
            assert_eq!(answer.status, 200, "{path} {what}: {}", answer.text);
        };
        for scheme in Scheme::ALL {
            ok(app.anyone().with_key(scheme, &key), &[("token", "x")], "documented").await;
        }
        ok(with_basic(&app, &id, &key), &[("token", "x")], "Basic").await;
        ok(with_basic(&app, "anything", &key), &[("token", "x")], "Basic with any user").await;
        ok(with_basic(&app, "", &key), &[("token", "x")], "Basic without a user").await;
        let post_secret = [("token", "x"), ("client_id", id.as_str()), ("client_secret", key.as_str())];
        ok(app.anyone(), &post_secret, "form").await;
        // RFC 6749 §2.3.1: both parts are form-encoded, so every character may be.
        let encoded = key.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let header = format!("bASIC   {}", STANDARD.encode(format!("a%20b+c:{encoded}")));
        ok(app.anyone().with("authorization", &header), &[("token", "x")], "percent-encoded").await;

        let anonymous = post(&app.anyone(), path, &[("token", "x")]).await;
        assert_error(&anonymous, 401, "invalid_client");
        assert_eq!(anonymous.header("www-authenticate"), "Bearer");
        let wrong = post(&app.caller("wrong"), path, &[("token", "x")]).await;
        assert_error(&wrong, 401, "invalid_token");
        assert_eq!(wrong.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        let two = [
            (with_basic(&app, &id, &key).with_bearer(&key), vec![("token", "x")]),
            (with_basic(&app, &id, &key).with_key(Scheme::Header, &key), vec![("token", "x")]),
            (with_basic(&app, &id, &key).with("authorization", &basic(&id, &key)), vec![("token", "x")]),
            (with_basic(&app, &id, &key), post_secret.to_vec()),
            (app.caller(&key), post_secret.to_vec()),
        ];
        for (caller, parameters) in two {
            let description = assert_error(&post(&caller, path, &parameters).await, 400, "invalid_request");
            assert!(description.contains("one way only"), "{description}");
        }
        for malformed in ["Basic", "Basic !", "Basic eA==", "Basic /zo=", &basic(&id, ""), &basic(&id, "eyJ.e.s")] {
            let answer = post(&app.anyone().with("authorization", malformed), path, &[("token", "x")]).await;
            assert_error(&answer, 401, "invalid_client");
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{malformed}");
        }
    }
    let without = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await.1;
    let refused = post(&with_basic(&app, "a", &without), INTROSPECT, &[("token", "x")]).await;
    assert_error(&refused, 403, "insufficient_scope");
    let cannot_manage = KeySpec { can_manage: false, ..KeySpec::with(&["*"]) };
    let cannot_manage = app.key(&tenant.org_id, cannot_manage).await.1;
    let refused = post(&with_basic(&app, "a", &cannot_manage), INTROSPECT, &[("token", "x")]).await;
    assert_error(&refused, 403, "insufficient_scope");
}

#[tokio::test]
async fn the_token_endpoint_takes_the_id_and_the_secret_of_a_key_in_one_place() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let (other_id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let (id, key) = (id.as_str(), key.as_str());
    let grant = [("grant_type", "client_credentials"), ("audience", "storage")];
    let with = |more: &[(&'static str, &str)]| {
        grant.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
    };
    let send = async |caller: &harness::Caller, parameters: Vec<(&str, String)>| {
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post(caller, TOKEN, &parameters).await
    };
    let (anyone, basic) = (app.anyone(), with_basic(&app, id, key));
    for (caller, parameters) in [
        (&basic, with(&[])),
        (&with_basic(&app, &id.to_uppercase(), key), with(&[])),
        (&basic, with(&[("client_id", id)])),
        (&anyone, with(&[("client_id", id), ("client_secret", key)])),
    ] {
        let answer = send(caller, parameters).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for (caller, parameters) in [
        (&basic, with(&[("client_id", id), ("client_secret", key)])),
        (&basic, with(&[("client_secret", key)])),
        (&basic, with(&[("client_id", &other_id)])),
    ] {
        assert_error(&send(caller, parameters).await, 400, "invalid_request");
    }
    for (caller, parameters) in [
        (&anyone, with(&[])),
        (&anyone, with(&[("client_id", id)])),
        (&anyone, with(&[("client_secret", key)])),
        (&anyone, with(&[("client_id", &other_id), ("client_secret", key)])),
        (&anyone, with(&[("client_id", "x"), ("client_secret", key)])),
        (&anyone, with(&[("client_id", id), ("client_secret", "wrong")])),
        (&with_basic(&app, &other_id, key), with(&[])),
        (&with_basic(&app, "", key), with(&[])),
        (&app.caller(key), with(&[])),
    ] {
        let answer = send(caller, parameters).await;
        assert_error(&answer, 401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"claviger\", charset=\"UTF-8\"");
    }
    // Nothing that was sent is repeated.
    let odd = form(&[("grant_type", "client_credentials"), ("client_id", "SECRET1"), ("client_secret", "SECRET2")]);
    let answer = anyone.with("content-type", FORM).send("POST", TOKEN, Some(odd.into_bytes())).await;
    assert!(!answer.text.contains("SECRET"), "{}", answer.text);
    assert_eq!(answer.json()["error"], json!("invalid_client"));
}
