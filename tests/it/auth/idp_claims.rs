//! The claims of a token: permissions, organizations and conditions; and the error for an unknown user.

use api::process::system::SystemClock;
use domain::clock::Clock;
use harness::{Process, Provider, SigningKey, TestDatabase};
use serde_json::{Value, json};

use crate::auth::idp::{fixture, platform_of, status, with, without};

#[tokio::test]
async fn words_that_are_no_permissions_are_left_out_and_counted() {
    let fixture = fixture(|_| ()).await;
    fixture.join(&fixture.tenant, "ada", &["api_keys:read", "files:read"]).await;
    let held = async |said: Value| {
        let me = fixture.caller_with(&with(&fixture.claims("ada"), "permissions", said)).get("/me").await;
        assert_eq!(me.status, 200, "{}", me.text);
        me.json()["organization"]["permissions"].clone()
    };
    let ignored = async || {
        let text = fixture.app.anyone().get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix("claviger_provider_permissions_ignored_total "));
        line.expect("the counter").parse::<u64>().expect("a number")
    };
    assert_eq!(ignored().await, 0);
    assert_eq!(held(json!("files:read openid https://graph/x a:b:c")).await, json!(["files:read"]));
    assert_eq!(ignored().await, 2);
    assert_eq!(
        held(json!(["files:read", 7, ["api_keys:read"], {"api_keys:read": {}}, null])).await,
        json!(["files:read"])
    );
    assert_eq!(held(json!({"files:read": {"1": "x"}, "api_keys:read": true})).await, json!(["files:read"]));
    assert_eq!(held(json!(["x".repeat(65)])).await, json!([]));
    let many: Vec<String> = (0..700).map(|n| format!("r{n}")).chain(["api_keys:read".to_owned()]).collect();
    assert_eq!(held(json!(many)).await, json!([]), "none of the first 256 is one of the user's");
    assert_eq!(ignored().await, 2 + 4 + 1 + 1 + 445);
}

#[tokio::test]
async fn a_permission_map_gives_what_it_says_and_nothing_else() {
    for is_authoritative in [false, true] {
        let fixture = fixture(|entry| {
            entry["authoritative"] = json!(is_authoritative);
            entry["claims"] = json!({"permissions": ["/realm_access/roles", "scope"]});
            entry["permission_map"] =
                json!({"Reader": ["api_keys:read"], "all files": ["files:*"], "root": ["*"], "none": []});
        })
        .await;
        fixture.join(&fixture.tenant, "ada", &["api_keys:read", "files:read"]).await;
        let held = async |claims: &Value| {
            let me = fixture.caller_with(claims).get("/me").await;
            assert_eq!(me.status, 200, "{}", me.text);
            me.json()["organization"]["permissions"].clone()
        };
        let good = fixture.claims("ada");
        let roles = |roles: Value| with(&good, "realm_access", json!({"roles": roles}));
        assert_eq!(held(&good).await, json!([]), "without the claim");
        assert_eq!(held(&roles(json!(["Reader"]))).await, json!(["api_keys:read"]));
        assert_eq!(held(&roles(json!(["*", "api_keys:read", "reader", "none"]))).await, json!([]));
        assert_eq!(held(&with(&good, "scope", json!("Reader openid"))).await, json!(["api_keys:read"]));
        let both = with(&roles(json!([])), "scope", json!("Reader"));
        assert_eq!(held(&both).await, json!([]), "the first claim that is there counts");
        let nested = with(&good, "realm_access", json!({"roles": {"roles": ["Reader"]}}));
        assert_eq!(held(&nested).await, json!([]));
        let literal = with(&good, "/realm_access/roles", json!(["root"]));
        assert_eq!(held(&literal).await, json!([]), "a pointer is no name");
        let (files, all) = if is_authoritative {
            (json!(["files:*"]), json!(["*"]))
        } else {
            (json!(["files:read"]), json!(["api_keys:read", "files:read"]))
        };
        assert_eq!(held(&roles(json!(["all files"]))).await, files);
        assert_eq!(held(&roles(json!(["root"]))).await, all);
    }
}

#[tokio::test]
async fn an_organization_that_is_named_by_its_external_id_is_the_only_one() {
    let fixture = fixture(|entry| {
        entry["organization_by"] = json!("external_id");
        entry["claims"] = json!({"organization": "org"});
    })
    .await;
    let (app, acme) = (&fixture.app, &fixture.tenant);
    let other = app.tenant("Other").await;
    let platform = app.platform().await;
    let name = async |org_id: &str, external_id: Value| {
        let named = platform.patch(&format!("/orgs/{org_id}"), &json!({"external_id": external_id})).await;
        assert_eq!(named.status, 200, "{}", named.text);
    };
    name(&acme.org_id, json!("org_1")).await;
    for tenant in [acme, &other] {
        fixture.join(tenant, "ada", &["api_keys:read"]).await;
    }
    let keys = |org_id: &str| format!("/orgs/{org_id}/api_keys");
    let says = |named: &str| fixture.caller_with(&with(&fixture.claims("ada"), "org", json!(named)));
    let ada = says("org_1");
    assert_eq!(ada.get("/me").await.json()["organization"]["id"], json!(acme.org_id));
    assert_eq!((ada.get(&keys(&acme.org_id)).await.status, ada.get(&keys(&other.org_id)).await.status), (200, 404));
    // An unknown organization does not count as none: the user acts in no organization.
    for named in ["org_2", "ORG_1", acme.org_id.as_str()] {
        let answer = says(named).get(&keys(&acme.org_id)).await;
        assert_eq!(answer.status, 403, "{named}: {}", answer.text);
        assert!(answer.json()["message"].as_str().expect("a text").contains(named), "{}", answer.text);
    }
    for value in [json!(["org_1", "org_1"]), json!(7), json!(""), json!({"org_1": 1}), json!("a".repeat(256))] {
        assert_eq!(
            status(&fixture.caller_with(&with(&fixture.claims("ada"), "org", value.clone()))).await,
            401,
            "{value}"
        );
    }
    // Only the platform can give the external id to another organization.
    let path = format!("/orgs/{}", other.org_id);
    assert_eq!(other.admin.patch(&path, &json!({"external_id": "org_3"})).await.status, 403);
    name(&acme.org_id, Value::Null).await;
    assert_eq!(status(&ada).await, 403);
    name(&other.org_id, json!("org_1")).await;
    assert_eq!(ada.get("/me").await.json()["organization"]["id"], json!(other.org_id));
    // The platform has an external id, too, and is not one of the tenants.
    name(&platform_of(&platform).await, json!("org_9")).await;
    assert_eq!(status(&says("org_9")).await, 403);
}

#[tokio::test]
async fn an_unknown_user_is_told_whom_to_add() {
    let fixture = fixture(|_| ()).await;
    let token = fixture.key.sign(&fixture.claims("o\"dd|subject"));
    let answer = fixture.app.caller(&token).get("/me").await;
    assert_eq!((answer.status, answer.json()["reason"].clone()), (403, json!("organization_required")));
    let message = answer.json()["message"].as_str().expect("a text").to_owned();
    assert!(message.contains(&fixture.provider.issuer()) && message.contains("o\\\"dd|subject"), "{message}");
    assert!(!answer.text.contains(&token));
    let athena = fixture.app.caller(&token).get("/api/auth/api-key/list").await;
    assert_eq!(athena.status, 403, "{}", athena.text);
}

#[tokio::test]
async fn the_log_names_the_user_to_add_and_warns_of_http() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("issuers.json");
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    // To the client this is another machine: only 127.0.0.0/8, ::1 and localhost are this one.
    let elsewhere = provider.jwks().replace("127.0.0.1", "0.0.0.0");
    let entry = with(&provider.entry(&json!("tenants")), "jwks", json!(elsewhere));
    std::fs::write(&path, json!([with(&entry, "insecure_http", json!(true))]).to_string()).expect("a file");
    let (database, issuers) = (TestDatabase::sqlite(), path.display().to_string());
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", &issuers)]);
    let claims = with(&provider.claims("ada", SystemClock.now().millis() / 1_000), "permissions", json!("a:b:c"));
    let token = key.sign(&claims);
    let anyone = process.anyone();
    assert_eq!(anyone.with_bearer(&token).get("/me").await.status, 403);
    process.signal("TERM");
    let log = process.wait().1;
    let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let about = |level: &str, word: &str| {
        let is_it = |event: &&Value| {
            let message = event["message"].as_str().unwrap_or_default();
            event["level"] == level && event["issuer"] == json!(provider.issuer()) && message.contains(word)
        };
        events.iter().find(is_it).unwrap_or_else(|| panic!("{word} in {log}"))
    };
    assert_eq!(about("INFO", "no organization has this user")["subject"], "ada");
    assert_eq!(about("INFO", "permission_map")["word"], "\"a:b:c\"");
    about("WARN", "http");
    assert!(!log.contains(&token) && !log.contains(token.rsplit('.').next().expect("a signature")));
}

#[tokio::test]
async fn conditions_are_checked_before_a_user_is_provisioned() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let app = harness::TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, database) = app.stop().await;
    let mut entry = provider.entry(&json!([tenant.org_id]));
    (entry["create_users"], entry["member_permissions"]) = (json!(true), json!(["api_keys:read"]));
    entry["require"] = json!({"/context/owner": ["acme", "acme-labs"], "verified": true});
    let providers = harness::read_issuers(&json!([entry])).expect("it is valid");
    let app = harness::TestApp::start_on(database, |config| config.providers = providers).await;
    let good = with(&provider.claims("ada", app.now_seconds()), "verified", json!(true));
    let good = with(&good, "context", json!({"owner": "acme"}));
    let says = |claims: &Value| app.caller(&key.sign(claims));
    let owner = |owner: Value| with(&good, "context", json!({"owner": owner}));
    for (what, claims) in [
        ("another owner", owner(json!("eve"))),
        ("a list", owner(json!(["acme"]))),
        ("an object", owner(json!({"acme": true}))),
        ("no owner", owner(Value::Null)),
        ("no context", without(&good, "context")),
        ("the pointer as a name", with(&without(&good, "context"), "/context/owner", json!("acme"))),
        ("the name as a path", with(&without(&good, "context"), "context/owner", json!("acme"))),
        ("not verified", with(&good, "verified", json!(false))),
        ("a string", with(&good, "verified", json!("true"))),
        ("a number", with(&good, "verified", json!(1))),
    ] {
        assert_eq!(status(&says(&claims)).await, 401, "{what}");
    }
    let members = tenant.admin.at(&app.base()).get(&format!("/orgs/{}/members", tenant.org_id)).await.json();
    assert_eq!(members.as_array().map(Vec::len), Some(1), "no one was provisioned");
    for claims in [good.clone(), owner(json!("acme-labs"))] {
        assert_eq!(status(&says(&claims)).await, 200);
    }
}
