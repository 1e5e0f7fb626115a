//! The query of a request: in the native API it has only parameters of the operation, each once.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use crate::auth::operations::{PROTECTED, encoded};

fn is_native(path: &str) -> bool {
    !["/auth/", "/api/auth/", "/oauth/"].iter().any(|prefix| path.starts_with(prefix))
}

#[tokio::test]
async fn no_operation_ignores_an_unknown_parameter() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let anyone = app.anyone();
    let mut operations = 0;
    for operation in PROTECTED {
        let (key_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
        let (method, path, body) = (operation.request)(&tenant.org_id, &key_id);
        let (kind, body) = body.map(|body| encoded(&path, &body)).unzip();
        let [admin, anyone] =
            [&tenant.admin, &anyone].map(|caller| caller.with("content-type", kind.unwrap_or("application/json")));
        let query = format!("{path}{}explian=true", if path.contains('?') { '&' } else { '?' });
        if !is_native(&path) {
            let answer = admin.send(method, &query, body).await;
            assert_eq!(answer.status, operation.permitted, "{}: {}", operation.id, answer.text);
            continue;
        }
        let refused = admin.send(method, &query, body.clone()).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["explian".to_owned()]), "{}", operation.id);
        let message = refused.json()["fields"]["explian"].as_str().expect("a message").to_owned();
        assert!(message.starts_with("is not a parameter of this operation; "), "{}: {message}", operation.id);
        let anonymous = anyone.send(method, &query, body).await;
        assert_eq!(anonymous.status, 401, "{} is checked after authentication", operation.id);
        operations += 1;
    }
    assert!(operations > 35, "{operations}");
    let revoked = anyone.get("/.well-known/revoked?organization=x").await;
    assert_eq!((revoked.status, revoked.wrong_fields()), (400, vec!["organization".to_owned()]));
    assert_eq!(anyone.get("/.well-known/jwks.json?v=1").await.status, 200);
}

#[tokio::test]
async fn the_documented_parameters_are_known() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let document = app.anyone().get("/openapi.json").await.json();
    let mut parameters = 0;
    for (template, operations) in document["paths"].as_object().expect("paths") {
        let Some(operation) = operations.get("get").filter(|_| is_native(template)) else { continue };
        let path = template.replace("{org_id}", &tenant.org_id).replace("{key_id}", &tenant.key_id);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let shared = parameter["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
            let parameter = shared.unwrap_or(parameter);
            let name = parameter["name"].as_str().expect("a name");
            if parameter["in"] == "query" {
                let answer = tenant.admin.get(&format!("{path}?{name}=x")).await;
                assert!(!answer.text.contains("is not a parameter"), "{template} {name}: {}", answer.text);
                parameters += 1;
            }
        }
    }
    assert!(parameters > 40, "{parameters}");
}

#[tokio::test]
async fn a_misspelled_parameter_has_no_effect() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let quota = domain::keys::quota::Quota { remaining: Some(1), ..domain::keys::quota::Quota::default() };
    let (_, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let refused = tenant.admin.post("/api_keys/verify?explian=true", &json!({"key": key})).await;
    assert_eq!(
        refused.failure(),
        json!({
            "message": "Some fields are invalid", "code": 400, "reason": "invalid_fields",
            "fields": {"explian": "is not a parameter of this operation; did you mean explain?"},
        })
    );
    let verified = tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json();
    assert_eq!((&verified["valid"], &verified["remaining"]), (&json!(true), &json!(0)), "no use was spent before");
}

#[tokio::test]
async fn a_parameter_is_given_once_and_in_utf8() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = tenant.keys();
    for (query, name, message) in [
        ("enbled=false", "enbled", "is not a parameter of this operation; did you mean enabled?"),
        ("limit[]=1", "limit[]", "is not a parameter of this operation; did you mean limit?"),
        ("LIMIT=1", "LIMIT", "is not a parameter of this operation; did you mean limit?"),
        ("enabled=false&enabled=true", "enabled", "must be given only once"),
        ("limit=1&limit=1", "limit", "must be given only once"),
        ("name=%ff", "name", "is not UTF-8: percent-encode the UTF-8 bytes of the value"),
        ("limit=10000000000000000", "limit", "must be a whole number from 1 to 1000"),
        ("limit=0", "limit", "must be a whole number from 1 to 1000"),
        (
            "sort=size&limit=1",
            "sort",
            "must be one of created_at, name, last_used_at, expires_at, request_count, with - in front to reverse it",
        ),
    ] {
        let answer = tenant.admin.get(&format!("{keys}?{query}")).await;
        let fields = Value::Object([(name.to_owned(), json!(message))].into_iter().collect());
        assert_eq!((answer.status, &answer.json()["fields"]), (400, &fields), "{query}");
    }
    for query in ["name=%C3%A9", "name=a+b&enabled=true&", "n%61me=x"] {
        assert_eq!(tenant.admin.get(&format!("{keys}?{query}")).await.status, 200, "{query}");
    }
    let athena = tenant.admin.get("/api/auth/api-key/list?limit=10000000000000000").await.json();
    assert_eq!(athena["message"], "[query.limit] must be a whole number from 0 to 9007199254740991");
    let athena = tenant.admin.get("/api/auth/api-key/list?limit=1&limit=2&LIMIT=x&more=%ff").await;
    assert_eq!(athena.json().as_array().map(Vec::len), Some(1), "Athena's API is lenient: {}", athena.text);
}
