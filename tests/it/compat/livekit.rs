//! The LiveKit API: the examples of its documents, and its errors.

use api::config::{Config, SignUpMode};
use harness::{KeySpec, Scheme, TestApp, test_config};
use serde_json::{Value, json};

const CREATE: &str = "/auth/create-key";
const CHECK: &str = "/auth/check-key";

/// The request of both documents, byte for byte.
const EXAMPLE: &str = r#"{
           "user_name": "John Doe",
           "org_name": "Acme Corp",
           "user_email": "john@example.com"
         }"#;

#[tokio::test]
async fn the_examples_of_the_livekit_documents_work() {
    let app = TestApp::start().await;
    let anyone = app.anyone().with("content-type", "application/json");
    let created = anyone.send("POST", CREATE, Some(EXAMPLE.into())).await;
    assert_eq!(created.status, 200);
    let body = created.json();
    assert_eq!(body["success"], true);
    assert_eq!(body["message"], "API key created successfully, Store it securely");
    let data = body["data"].as_object().expect("an object");
    let names: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "api_key",
            "user_name",
            "org_name",
            "user_email",
            "email_verified",
            "user_id",
            "org_id",
            "key_id",
            "can_manage"
        ]
    );
    assert_eq!(
        (&data["user_name"], &data["org_name"], &data["user_email"]),
        (&json!("John Doe"), &json!("Acme Corp"), &json!("john@example.com"))
    );
    let key = data["api_key"].as_str().expect("a text");
    assert!(key.starts_with("lvk_"));

    for scheme in Scheme::ALL {
        let checked = app.anyone().with_key(scheme, key).get(CHECK).await;
        assert_eq!(checked.status, 200, "{scheme:?}");
        assert_eq!(
            checked.json(),
            json!({
                "success": true,
                "message": "API key is valid",
                "data": {
                    "user_name": "John Doe",
                    "org_name": "Acme Corp",
                    "user_email": "john@example.com",
                    "created_at": "2026-11-21T08:00:00.250000",
                    "email_verified": false,
                    "user_id": data["user_id"],
                    "org_id": data["org_id"],
                    "key_id": data["key_id"],
                    "can_manage": true,
                }
            })
        );
    }

    let invalid = app.anyone().post(CREATE, &json!({"user_name": "John", "user_email": "not an address"})).await;
    assert_eq!(invalid.status, 400);
    assert_eq!(invalid.text, r#"{"success":false,"message":"Invalid email address","data":null}"#);
    let wrong = app.anyone().with_key(Scheme::Header, "lvk_a1b2c3d4e5f6...").get(CHECK).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.text, r#"{"success":false,"message":"Invalid API key","data":null}"#);
    assert_eq!(wrong.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn sign_up_trims_and_keeps_names_and_addresses() {
    let app = TestApp::start().await;
    let sign_up = |body: Value| {
        let anyone = app.anyone();
        async move { anyone.post(CREATE, &body).await }
    };
    let answer = sign_up(json!({
        "user_name": "  Ünï ", "user_email": " First.Last@Example.COM ", "org_name": "  ",
        "api_key": "ignored", "whatever": {"else": 1},
    }));
    let data = answer.await.json()["data"].clone();
    assert_eq!(data["user_name"], "Ünï");
    assert_eq!(data["user_email"], "First.Last@Example.COM");
    assert_eq!(data["org_name"], "", "an empty name is returned as empty");
    let answer = sign_up(json!({"user_name": "n", "user_email": "a@example.com", "org_name": null})).await;
    assert_eq!(answer.json()["data"]["org_name"], Value::Null);
    let answer = sign_up(json!({"user_name": "n", "user_email": "b@example.com"})).await;
    assert_eq!(answer.json()["data"].get("org_name"), Some(&Value::Null), "always present");
    for taken in ["first.last@example.com", "FIRST.LAST@EXAMPLE.COM"] {
        let answer = sign_up(json!({"user_name": "n", "user_email": taken})).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["message"], "User with this email already exists");
    }
}

#[tokio::test]
async fn sign_up_never_joins_an_organization_by_name() {
    let app = TestApp::start().await;
    let sign_up = |email| json!({"user_name": "n", "user_email": email, "org_name": "Acme"});
    let one = app.anyone().post(CREATE, &sign_up("one@example.com")).await.json();
    let two = app.anyone().post(CREATE, &sign_up("two@example.com")).await.json();
    assert_ne!(one["data"]["org_id"], two["data"]["org_id"]);
}

#[tokio::test]
async fn invalid_livekit_input_is_reported_in_the_envelope() {
    let app = TestApp::start().await;
    let json = app.anyone().with("content-type", "application/json");
    let long = "x".repeat(101);
    let cases: Vec<(String, u16, &str)> = vec![
        ("{}".into(), 400, "user_name is required"),
        (r#"{"user_name":"n"}"#.into(), 400, "user_email is required"),
        (r#"{"user_name":1,"user_email":"a@example.com"}"#.into(), 400, "user_name must be a string"),
        (r#"{"user_name":"n","user_email":1}"#.into(), 400, "Invalid email address"),
        (r#"{"user_name":"n","user_email":null}"#.into(), 400, "Invalid email address"),
        (r#"{"user_name":"  ","user_email":"a@example.com"}"#.into(), 400, "user_name must be 1 to 100 characters"),
        (
            format!(r#"{{"user_name":"{long}","user_email":"a@example.com"}}"#),
            400,
            "user_name must be 1 to 100 characters",
        ),
        (
            format!(r#"{{"user_name":"n","user_email":"a@example.com","org_name":"{long}"}}"#),
            400,
            "org_name must be at most 100 characters",
        ),
        (
            r#"{"user_name":"n","user_email":"a@example.com","org_name":["Acme"]}"#.into(),
            400,
            "org_name must be a string",
        ),
        (
            r#"{"user_name":"a\u0000b","user_email":"a@example.com"}"#.into(),
            400,
            "user_name must not contain control characters",
        ),
        ("[]".into(), 400, "The body must be a JSON object"),
    ];
    for (body, status, message) in cases {
        let answer = json.send("POST", CREATE, Some(body.clone().into_bytes())).await;
        let expected = json!({"success": false, "message": message, "data": null});
        assert_eq!((answer.status, answer.json()), (status, expected), "{body}");
    }
    for body in ["", "{", r#"{"user_name":"a","user_name":"b","user_email":"a@example.com"}"#, "\u{feff}{}"] {
        let answer = json.send("POST", CREATE, Some(body.into())).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| text.starts_with("The body is not valid JSON")));
    }
    let answer = json.send("POST", CREATE, Some(b"{\"user_name\":\"\xff\"}".to_vec())).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn concurrent_sign_ups_with_one_address_create_one_user() {
    let app = TestApp::start_with(|config| config.sign_up_rate = 1_000).await;
    let attempts = (0..50).map(|n| {
        let anyone = app.anyone();
        let body = json!({"user_name": format!("n{n}"), "user_email": "race@example.com"});
        async move { anyone.post(CREATE, &body).await }
    });
    let answers = futures_util::future::join_all(attempts).await;
    let successes = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(successes, 1);
    let taken = json!({"success": false, "message": "User with this email already exists", "data": null});
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((answer.status, answer.json()), (400, taken.clone()));
    }
}

#[tokio::test]
async fn sign_up_can_be_closed() {
    let app = TestApp::start_with(|config| config.sign_up = SignUpMode::Closed).await;
    let answer = app.anyone().with("content-type", "application/json").send("POST", CREATE, Some("{".into())).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json(), json!({"success": false, "message": "Sign-up is closed", "data": null}));
    assert_eq!(answer.header("www-authenticate"), "");
}

#[tokio::test]
async fn sign_up_is_open_by_default_only_on_a_loopback_address() {
    let app = TestApp::start_with(|config| {
        config.sign_up = SignUpMode::Automatic;
        config.public_url = None;
    })
    .await;
    let body = json!({"user_name": "n", "user_email": "a@example.com"});
    assert_eq!(app.anyone().post(CREATE, &body).await.status, 200);
    let config = |listen: &str| Config {
        listen: listen.parse().expect("an address"),
        sign_up: SignUpMode::Automatic,
        public_url: None,
        ..test_config("sqlite::memory:")
    };
    for (listen, is_open) in [
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:8080", true),
        ("0.0.0.0:8080", false),
        ("[::]:8080", false),
        ("192.0.2.1:8080", false),
    ] {
        assert_eq!(config(listen).is_sign_up_open(), is_open, "{listen}");
    }
    assert!(Config { sign_up: SignUpMode::Open, ..config("0.0.0.0:8080") }.is_sign_up_open());
    assert!(!Config { sign_up: SignUpMode::Closed, ..config("127.0.0.1:8080") }.is_sign_up_open());
}

#[tokio::test]
async fn sign_up_is_rate_limited_by_client_address() {
    let app = TestApp::start_with(|config| {
        config.sign_up_rate = 1;
        config.trusted_proxies = api::http::client_ip::TrustedProxies(vec!["127.0.0.0/8".parse().expect("a network")]);
    })
    .await;
    let from = |address: &str| app.anyone().with("x-forwarded-for", address);
    let bad = json!({"user_name": "n", "user_email": "bad"});
    assert_eq!(from("203.0.113.9").post(CREATE, &bad).await.status, 400, "counted as well");
    let body = json!({"user_name": "n", "user_email": "b@example.com"});
    let limited = from("6.6.6.6, 203.0.113.9").post(CREATE, &body).await;
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let unit = if wait == 1 { "second" } else { "seconds" };
    let message = format!("Too many attempts from this IP address; try again in {wait} {unit}");
    assert_eq!(limited.json(), json!({"success": false, "message": message, "data": null}));
    assert_eq!(from("203.0.113.10").post(CREATE, &body).await.status, 200, "another address");
}

#[tokio::test]
async fn sign_up_ignores_credentials_and_refuses_other_sites() {
    let app = TestApp::start().await;
    let body = json!({"user_name": "n", "user_email": "a@example.com"});
    let cross = app.anyone().with("sec-fetch-site", "cross-site").post(CREATE, &body).await;
    assert_eq!((cross.status, &cross.json()["success"]), (403, &json!(false)));
    let answer = app.anyone().with("authorization", "Basic x").with("x-api-key", "bad").post(CREATE, &body).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_key_of_the_organization_itself_has_no_user() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (key_id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let data = app.caller(&key).get(CHECK).await.json()["data"].clone();
    assert_eq!(data["user_name"], Value::Null);
    assert_eq!(data["user_email"], Value::Null);
    assert_eq!(data["org_name"], "Acme");
    assert_eq!(data["key_id"], key_id.as_str());
    assert_eq!(data["created_at"], "2026-11-21T08:00:00.250000");
}

#[tokio::test]
async fn framework_errors_have_the_livekit_envelope() {
    let app = TestApp::start().await;
    for (method, path, status) in
        [("GET", "/auth/nothing", 404), ("GET", "/auth", 404), ("DELETE", CREATE, 405), ("POST", CHECK, 405)]
    {
        let answer = app.anyone().send(method, path, None).await;
        assert_eq!((answer.status, &answer.json()["data"]), (status, &Value::Null), "{method} {path}");
        assert_eq!(answer.json()["success"], false);
    }
    let text = app.anyone().with("content-type", "text/plain").send("POST", CREATE, Some("x".into())).await;
    assert_eq!((text.status, &text.json()["success"]), (415, &json!(false)));
    let large = app.anyone().send("POST", CREATE, Some(vec![b' '; 65_537])).await;
    assert_eq!((large.status, &large.json()["success"]), (413, &json!(false)));
}
