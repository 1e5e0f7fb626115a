//! Services that have passkeys or not, that are restarted, and several nodes.

use api::{config::SignUpMode, http::origin::PublicUrl};
use harness::{Authenticator, TestApp, TestDatabase, binary, cluster::Node, signing_key};
use serde_json::{Value, json};

use crate::passkeys::{browser, page, register, registration, sign_in, sign_up, signature};

async fn options(app: &TestApp) -> Value {
    app.anyone().get("/sign_in").await.json()
}

#[tokio::test]
async fn a_service_says_whether_it_has_passkeys() {
    let app = TestApp::start().await;
    assert_eq!(options(&app).await, json!({"providers": [], "passkeys": true, "sign_up": true}));
    // Without a public URL they work at `localhost` only: passkeys of another name would be lost when it changes.
    let app = TestApp::start_with(|config| config.public_url = None).await;
    let elsewhere = browser(&app).with("host", "keys.example");
    assert_eq!(elsewhere.get("/sign_in").await.json()["passkeys"], false);
    assert_eq!(options(&app).await["passkeys"], true, "at localhost, which is this address");
    let local = browser(&app).with("host", "localhost:8080");
    assert_eq!(local.get("/sign_in").await.json()["passkeys"], true);
    let mut device = Authenticator {
        origin: "http://localhost:8080".to_owned(),
        rp_id: "localhost".to_owned(),
        ..Authenticator::default()
    };
    let body = registration(&local, &mut device, &sign_up("Ada")).await;
    assert_eq!(local.post("/passkeys", &body).await.status, 200);
    // The default public URL is the listen address, and the page is opened at `localhost`.
    let app = TestApp::start_with(|config| config.public_url = PublicUrl::parse("http://127.0.0.1:8080").ok()).await;
    let mut device =
        Authenticator { origin: device.origin.clone(), rp_id: device.rp_id.clone(), ..Authenticator::default() };
    assert_eq!(register(&app, &mut device, &sign_up("Ada")).await.status, 200);
    for elsewhere in ["http://keys.example", "https://203.0.113.9"] {
        let app = TestApp::start_with(|config| config.public_url = PublicUrl::parse(elsewhere).ok()).await;
        assert_eq!(options(&app).await["passkeys"], false, "{elsewhere}");
        let refused = browser(&app).post("/session/passkey_options", &json!({})).await;
        assert_eq!((refused.status, &refused.json()["reason"]), (503, &json!("passkeys_unavailable")));
    }
    let app = TestApp::start_with(|config| config.public_url = PublicUrl::parse("https://keys.example/api").ok()).await;
    let mut device = Authenticator::default();
    assert_eq!(register(&app, &mut device, &sign_up("Ada")).await.status, 200, "with a base path");
}

#[tokio::test]
async fn sign_up_can_be_closed_and_is_limited() {
    let app = TestApp::start_with(|config| config.sign_up = SignUpMode::Closed).await;
    assert_eq!(options(&app).await["sign_up"], false);
    let refused = browser(&app).post("/passkey_options", &sign_up("Ada")).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("sign_up_closed")));
    let app = TestApp::start_with(|config| config.sign_up_rate = 2).await;
    let device = &mut Authenticator::default();
    assert_eq!(register(&app, device, &sign_up("Ada")).await.status, 200);
    app.tenant("Acme").await;
    let refused = register(&app, device, &sign_up("Eve")).await;
    assert_eq!((refused.status, &refused.json()["reason"]), (429, &json!("too_many_attempts")), "one limit for both");
}

#[tokio::test]
async fn what_an_account_is_for_is_a_link_or_a_sign_up() {
    let app = TestApp::start().await;
    let wrong = async |body: Value| browser(&app).post("/passkey_options", &body).await.wrong_fields();
    assert_eq!(wrong(json!({})).await, ["user_name", "user_email"]);
    assert_eq!(wrong(json!({"user_name": "", "user_email": "ada"})).await, ["user_name", "user_email"]);
    let both = json!({"invitation": "cvi_x", "user_name": "Ada", "org_name": "Ada Ltd"});
    assert_eq!(wrong(both).await, ["user_name", "org_name"]);
}

#[tokio::test]
async fn a_ceremony_survives_a_restart() {
    let app = TestApp::start().await;
    let mut device = Authenticator::default();
    let body = registration(&browser(&app), &mut device, &sign_up("Ada")).await;
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| ()).await;
    page(&app, &browser(&app).post("/passkeys", &body).await);
    page(&app, &sign_in(&app, &mut device).await);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn one_node_finishes_what_another_began_and_a_signature_is_valid_on_one() {
    let database = TestDatabase::fresh().await;
    let key = signing_key().to_str().expect("a path");
    let settings = [
        ("CLAVIGER_PUBLIC_ORIGIN", "https://keys.example"),
        ("CLAVIGER_SIGNING_KEY_FILE", key),
        ("CLAVIGER_SIGNUP", "open"),
    ];
    let nodes = Node::cluster::<2>(binary(), &database, &settings).await;
    let [first, second] = nodes.each_ref().map(|node| node.process.anyone().with("sec-fetch-site", "same-origin"));
    let mut device = Authenticator::default();
    let body = registration(&first, &mut device, &sign_up("Ada")).await;
    assert_eq!(second.post("/passkeys", &body).await.status, 200);
    let body = signature(&second, &mut device).await;
    let (one, two) = tokio::join!(first.post("/session/passkey", &body), second.post("/session/passkey", &body));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
}
