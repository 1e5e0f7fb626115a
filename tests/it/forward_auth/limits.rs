//! Limits: uses are counted exactly, and failures count against the network of the visitor.

use domain::keys::quota::Quota;
use futures_util::future::join_all;
use harness::{Caller, KeySpec, TestApp};
use serde_json::json;

use super::{SECRET, assert_allowed, assert_refused, path, with_secret, with_trusted_gateway};

#[tokio::test]
async fn parallel_requests_use_each_use_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (cost, allowed) in [(1, 7), (3, 2), (0, 16)] {
        let quota = Quota { remaining: Some(7), ..Quota::default() };
        let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        let (visitor, path) = (app.caller(&key), path(&tenant, &format!("?cost={cost}")));
        let answers = join_all((0..16).map(|_| visitor.get(&path))).await;
        let (valid, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(valid.len(), allowed, "cost {cost}");
        for answer in refused {
            assert_refused(answer, 429, "usage_exceeded");
        }
        let left = 7 - cost * i64::try_from(allowed).expect("few");
        assert_eq!(app.counts(&id).await, (Some(left), 0, i64::try_from(allowed).expect("few")), "cost {cost}");
    }
}

#[tokio::test]
async fn the_network_of_a_visitor_is_locked_out_but_not_the_gateway() {
    let app = TestApp::start_with(|config| {
        with_trusted_gateway(config);
        config.auth_failure_rate = 1;
    })
    .await;
    locked_out(&app, app.anyone()).await;
    let app = TestApp::start_with(|config| {
        with_secret(config);
        config.auth_failure_rate = 1;
    })
    .await;
    locked_out(&app, app.anyone().with("claviger-gateway", &format!("secret={SECRET}"))).await;
}

async fn locked_out(app: &TestApp, gateway: Caller) {
    let tenant = app.tenant("Acme").await;
    let created = async || {
        let made = tenant.admin.post(&tenant.keys(), &json!({"name": "n", "permissions": []})).await.json();
        made["key"].as_str().expect("a secret").to_owned()
    };
    let (first, second) = (created().await, created().await);
    let path = path(&tenant, "");
    let from = |address: &str| gateway.with("x-forwarded-for", address);
    // A request without a key is no attempt.
    for _ in 0..3 {
        assert_refused(&from("192.0.2.1").get(&path).await, 401, "missing_credential");
    }
    assert_refused(&from("192.0.2.1").with_bearer("wrong").get(&path).await, 401, "invalid_key");
    let answer = from("192.0.2.1").with_bearer(&first).get(&path).await;
    assert_refused(&answer, 429, "too_many_failures");
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let answer = from("192.0.2.1").with_bearer("wrong").get(&format!("{path}?on_limit=403")).await;
    assert_refused(&answer, 403, "too_many_failures");
    // What a visitor writes on the left changes nothing.
    assert_refused(&from("203.0.113.5, 192.0.2.1").with_bearer(&first).get(&path).await, 429, "too_many_failures");
    // Another visitor, and the gateway itself.
    assert_allowed(&from("198.51.100.1").with_bearer(&first).get(&path).await);
    assert_allowed(&gateway.with_bearer(&second).get(&path).await);
}

#[tokio::test]
async fn failures_count_together_with_those_of_the_api() {
    let app = TestApp::start_with(|config| {
        with_trusted_gateway(config);
        config.auth_failure_rate = 1;
        config.forward_auth_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let tenant = app.tenant("Acme").await;
    let visitor = app.anyone().with("x-forwarded-for", "192.0.2.1");
    let gateway = visitor.at(&format!("http://{}", app.forward_auth_address().expect("an address")));
    assert_refused(&gateway.with_bearer("wrong").get(&path(&tenant, "")).await, 401, "invalid_key");
    assert_eq!(visitor.with_bearer("wrong").get("/me").await.status, 429);
}

#[tokio::test]
async fn deleted_keys_members_and_organizations_are_refused_at_once() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let path = path(&tenant, "");
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_allowed(&app.caller(&key).get(&path).await);
    assert_eq!(tenant.admin.delete(&format!("{}/{id}", tenant.keys())).await.status, 200);
    assert_refused(&app.caller(&key).get(&path).await, 401, "invalid_key");

    let members = format!("/orgs/{}/members", tenant.org_id);
    let member = json!({"user_name": "Ada", "user_email": "ada@example.com", "permissions": ["read"]});
    let member = tenant.admin.post(&members, &member).await.json();
    let user_id = member["user_id"].as_str().unwrap_or_else(|| panic!("{member}")).to_owned();
    let own = KeySpec { user_id: Some(user_id.clone()), ..KeySpec::with(&["files:read", "files:write"]) };
    let (_, key) = app.key(&tenant.org_id, own).await;
    let answer = app.caller(&key).get(&path).await;
    assert_allowed(&answer);
    assert_eq!(answer.header("claviger-permissions"), "files:read", "those of the key and of the user");
    let both = format!("{path}?permission=files:write");
    assert_refused(&app.caller(&key).get(&both).await, 403, "insufficient_permissions");
    assert_eq!(tenant.admin.delete(&format!("{members}/{user_id}")).await.status, 200);
    assert_refused(&app.caller(&key).get(&path).await, 401, "disabled");

    assert_allowed(&tenant.admin.get(&path).await);
    let organization = format!("/orgs/{0}?confirm={0}", tenant.org_id);
    assert_eq!(platform.delete(&organization).await.status, 200);
    assert_refused(&tenant.admin.get(&path).await, 401, "invalid_key");
}
