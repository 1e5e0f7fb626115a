//! Sends forms, and checks errors; and requests that are no valid forms.

use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{Answer, Caller, KeySpec, TestApp};
use serde_json::json;
use url::form_urlencoded::{Serializer, byte_serialize};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const INTROSPECT: &str = "/oauth/introspect";
pub(crate) const TOKEN: &str = "/oauth/token";
pub(crate) const REVOKE: &str = "/oauth/revoke";

pub(crate) fn form(parameters: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// Sends a form.
pub(crate) async fn post(caller: &Caller, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let answer = caller.with("content-type", FORM).send("POST", path, Some(form(parameters).into_bytes())).await;
    assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    answer
}

/// The value of `Authorization` for an id and a secret (RFC 6749 §2.3.1).
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}

/// A caller with an id and a secret in the header.
pub(crate) fn with_basic(app: &TestApp, id: &str, secret: &str) -> Caller {
    app.anyone().with("authorization", &basic(id, secret))
}

/// Asserts that a response is an error of RFC 6749. Returns its description.
pub(crate) fn assert_error(answer: &Answer, status: u16, error: &str) -> String {
    assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{}", answer.text);
    let body = answer.json();
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "{}", answer.text);
    body["error_description"].as_str().expect("a description").to_owned()
}

#[tokio::test]
async fn what_is_no_valid_form_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for path in [INTROSPECT, TOKEN, REVOKE] {
        let send = async |kind: &str, body: Vec<u8>| {
            let caller = if kind.is_empty() { tenant.admin.clone() } else { tenant.admin.with("content-type", kind) };
            caller.send("POST", path, Some(body)).await
        };
        for kind in ["", "application/json", "text/plain", "multipart/form-data; boundary=x"] {
            let answer = send(kind, br#"{"token": "x"}"#.to_vec()).await;
            let description = assert_error(&answer, 400, "invalid_request");
            assert!(description.contains("application/x-www-form-urlencoded"), "{kind}: {description}");
        }
        for (body, word) in [
            ("token=x&token=x", "token must be given only once"),
            ("token=x&grant_type=a&%74oken=y", "token must be given only once"),
            ("a=%ff", "UTF-8"),
            ("", "is required"),
            ("token=&grant_type=", "is required"),
        ] {
            let description = assert_error(&send(FORM, body.as_bytes().to_vec()).await, 400, "invalid_request");
            assert!(description.contains(word), "{path} {body}: {description}");
        }
        let many = (0..65).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert_error(&send(FORM, many.into_bytes()).await, 400, "invalid_request");
        let long_name = format!("{0}=1&{0}=1", "n".repeat(10_000));
        let description = assert_error(&send(FORM, long_name.into_bytes()).await, 400, "invalid_request");
        assert!(description.len() < 100, "{description}");
        let huge = format!("token={}", "x".repeat(65_536));
        assert_error(&send(FORM, huge.into_bytes()).await, 413, "invalid_request");
        let zipped = tenant.admin.with("content-type", FORM).with("content-encoding", "gzip");
        assert_error(&zipped.send("POST", path, Some(b"token=x".to_vec())).await, 400, "invalid_request");
        let other_method = tenant.admin.get(path).await;
        assert_error(&other_method, 405, "invalid_request");
        assert_eq!(other_method.header("allow"), "POST");
    }
    // The media type can have a charset, in any case.
    let caller = tenant.admin.with("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    let answer = caller.send("POST", INTROSPECT, Some(b"token=x&unknown=1".to_vec())).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"active":false}"#), "unknown parameters are ignored");
    assert_error(&tenant.admin.get("/oauth/authorize").await, 404, "invalid_request");
}

#[tokio::test]
async fn failed_clients_count_as_failed_attempts() {
    for path in [INTROSPECT, TOKEN, REVOKE] {
        let app = TestApp::start_with(|config| config.auth_failure_rate = 2).await;
        let tenant = app.tenant("Acme").await;
        let (id, key) = app.key(&tenant.org_id, KeySpec::with(&["*"])).await;
        let grant = [("grant_type", "client_credentials"), ("audience", "a"), ("token", "x")];
        // A valid secret with another id fails at the token endpoint only.
        let wrong = if path == TOKEN { with_basic(&app, &tenant.key_id, &key) } else { with_basic(&app, &id, "wrong") };
        for _ in 0..2 {
            let answer = post(&wrong, path, &grant).await;
            assert_error(&answer, 401, "invalid_client");
            assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{path}");
        }
        let answer = post(&with_basic(&app, &id, "nonsense"), path, &grant).await;
        assert_error(&answer, 429, "temporarily_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
}
