//! The keys, users and external ids with the most verifications.

use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use super::{restart, usage, verify};

async fn top(caller: &Caller, org_id: &str, query: &str) -> Vec<Value> {
    let result = usage(caller, &format!("/orgs/{org_id}/usage/top?{query}")).await;
    result["ranked"].as_array().expect("a list").clone()
}

/// What identifies each item, and its outcomes.
fn outcomes<'a>(items: &'a [Value], id: &str) -> Vec<(&'a Value, &'a Value)> {
    items.iter().map(|item| (&item[id], &item["outcomes"])).collect()
}

/// A key that is created by the API.
async fn create(tenant: &Tenant, body: Value) -> (Value, String) {
    let answer = tenant.admin.post(&tenant.keys(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let key = answer.json();
    (key["id"].clone(), key["key"].as_str().expect("a secret").to_owned())
}

#[tokio::test]
async fn the_most_used_keys_users_and_external_ids_are_found_by_outcome() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let files = json!(["files:read"]);
    let (web, web_key) =
        create(&tenant, json!({"name": "Web", "permissions": files, "external_id": "customer-1"})).await;
    let (mobile, mobile_key) =
        create(&tenant, json!({"name": "Mobile", "permissions": files, "external_id": "customer-1", "own": true}))
            .await;
    let (batch, batch_key) = create(&tenant, json!({"name": "Batch", "permissions": files})).await;
    let (gone, gone_key) = create(&tenant, json!({"name": "Gone", "permissions": files})).await;
    let (_, foreign_key) = create(&other, json!({"name": "Foreign", "permissions": files})).await;
    let admin = &tenant.admin;
    verify(admin, &web_key, &["files:read"], (6, "VALID")).await;
    verify(admin, &web_key, &["files:write"], (1, "INSUFFICIENT_PERMISSIONS")).await;
    verify(admin, &mobile_key, &["files:read"], (2, "VALID")).await;
    verify(admin, &mobile_key, &["files:write"], (3, "INSUFFICIENT_PERMISSIONS")).await;
    verify(admin, &batch_key, &[], (4, "VALID")).await;
    verify(admin, &gone_key, &[], (20, "VALID")).await;
    verify(&other.admin, &foreign_key, &[], (30, "VALID")).await;
    let disabled = json!({"enabled": false});
    let batch_path = format!("{}/{}", tenant.keys(), batch.as_str().expect("an id"));
    assert_eq!(admin.patch(&batch_path, &disabled).await.status, 200);
    verify(admin, &batch_key, &[], (2, "KEY_DISABLED")).await;
    let gone_path = format!("{}/{}", tenant.keys(), gone.as_str().expect("an id"));
    assert_eq!(admin.delete(&gone_path).await.status, 200);
    let app = restart(app).await;
    let (admin, stranger) = (app.caller(tenant.admin.bearer()), app.caller(other.admin.bearer()));
    let of = async |query: &str| top(&admin, &tenant.org_id, query).await;
    let (permission, disabled) = ("INSUFFICIENT_PERMISSIONS", "KEY_DISABLED");
    let of_web = json!({"VALID": 6, permission: 1});
    let of_mobile = json!({"VALID": 2, permission: 3});
    let of_batch = json!({"VALID": 4, disabled: 2});

    let keys = of("").await;
    let expected = [(&web, &of_web), (&batch, &of_batch), (&mobile, &of_mobile)];
    assert_eq!(outcomes(&keys, "api_key_id"), expected, "without deleted keys and those of others");
    let whole = json!({
        "api_key_id": web, "name": "Web", "start": web_key[..10], "user_id": null, "external_id": "customer-1",
        "valid": 6, "refused": 1, "outcomes": of_web,
    });
    assert_eq!(keys[0], whole);
    assert_eq!((&keys[2]["name"], &keys[2]["user_id"]), (&json!("Mobile"), &json!(tenant.user_id)));
    assert_eq!(of("limit=1").await, [whole]);

    let refused = of("outcome=REFUSED").await;
    assert_eq!(
        outcomes(&refused, "api_key_id"),
        [(&mobile, &json!({permission: 3})), (&batch, &json!({disabled: 2})), (&web, &json!({permission: 1}))]
    );
    assert_eq!((&refused[0]["valid"], &refused[0]["refused"]), (&json!(0), &json!(3)));
    assert_eq!(outcomes(&of("outcome=KEY_DISABLED").await, "api_key_id"), [(&batch, &json!({disabled: 2}))]);
    let valid = of("outcome=VALID&limit=2").await;
    assert_eq!(outcomes(&valid, "api_key_id"), [(&web, &json!({"VALID": 6})), (&batch, &json!({"VALID": 4}))]);
    assert_eq!(of("outcome=RATE_LIMITED").await, [] as [Value; 0]);

    let users = of("group_by=user").await;
    let of_organization = json!({"VALID": 10, permission: 1, disabled: 2});
    assert_eq!(outcomes(&users, "user_id"), [(&Value::Null, &of_organization), (&json!(tenant.user_id), &of_mobile)]);
    assert!(users.iter().all(|user| user["api_key_id"].is_null() && user["start"].is_null()));
    let external_ids = of("group_by=external_id").await;
    assert_eq!(
        outcomes(&external_ids, "external_id"),
        [(&json!("customer-1"), &json!({"VALID": 8, permission: 4})), (&Value::Null, &of_batch)]
    );
    let refused = of("group_by=external_id&outcome=KEY_DISABLED").await;
    assert_eq!(outcomes(&refused, "external_id"), [(&Value::Null, &json!({disabled: 2}))]);

    assert_eq!(of("from=2026-11-20T00:00:00Z&until=2026-11-21T00:00:00Z").await, [] as [Value; 0]);
    assert_eq!(of("from=2026-11-21T00:00:00Z&until=2026-11-21T00:00:01Z").await.len(), 3, "whole days");
    assert_eq!(top(&stranger, &other.org_id, "").await.len(), 1);
    assert_eq!(stranger.get(&format!("/orgs/{}/usage/top", tenant.org_id)).await.status, 404);
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:read"]) };
    let own = app.caller(&app.key(&tenant.org_id, own).await.1);
    assert_eq!(outcomes(&top(&own, &tenant.org_id, "").await, "api_key_id"), [(&mobile, &of_mobile)]);
    let users = top(&own, &tenant.org_id, "group_by=user").await;
    assert_eq!(outcomes(&users, "user_id"), [(&json!(tenant.user_id), &of_mobile)]);
}

#[tokio::test]
async fn an_invalid_ranking_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let get = async |query: &str| tenant.admin.get(&format!("/orgs/{}/usage/top?{query}", tenant.org_id)).await;
    for (query, fields) in [
        ("group_by=owner", vec!["group_by"]),
        ("outcome=valid", vec!["outcome"]),
        // It is not known which key it was about.
        ("outcome=INVALID_API_KEY", vec!["outcome"]),
        ("limit=0", vec!["limit"]),
        ("limit=101", vec!["limit"]),
        ("limit=%2B5", vec!["limit"]),
        ("from=2026-11-01T00:00:00Z&until=2026-12-02T00:00:01Z", vec!["from"]),
        ("from=2026-11-22T00:00:00Z", vec!["from"]),
        ("from=x&limit=x&outcome=x&group_by=x", vec!["from", "group_by", "limit", "outcome"]),
    ] {
        let refused = get(query).await;
        let mut wrong = refused.wrong_fields();
        wrong.sort_unstable();
        assert_eq!((refused.status, wrong), (400, fields.iter().map(ToString::to_string).collect()), "{query}");
    }
    assert_eq!(get("limit=100&from=2026-11-01T00:00:00Z&until=2026-12-02T00:00:00Z").await.status, 200);
}

#[tokio::test]
async fn a_ranking_of_too_many_counts_is_refused() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let get = async |tenant: &Tenant, query: &str| {
        tenant.admin.get(&format!("/orgs/{}/usage/top?limit=1{query}", tenant.org_id)).await
    };
    let (today, yesterday) = (20_778, 20_777);
    app.database.fill_usage_days(&tenant.org_id, &tenant.key_id, (today, 0), 1_000_000).await;
    let answer = get(&tenant, "").await;
    assert_eq!((answer.status, &answer.json()["ranked"][0]["valid"]), (200, &json!(1)), "{}", answer.text);
    app.database.fill_usage_days(&tenant.org_id, &tenant.key_id, (yesterday, 8), 1).await;
    let refused = get(&tenant, "").await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["from".to_owned()]), "{}", refused.text);
    assert!(refused.text.contains("take a shorter period, or one outcome"), "{}", refused.text);
    // A shorter period, one outcome, and other organizations are answered.
    assert_eq!(get(&tenant, "&from=2026-11-21T00:00:00Z").await.status, 200);
    let limited = get(&tenant, "&outcome=RATE_LIMITED").await;
    assert_eq!((limited.status, &limited.json()["ranked"][0]["refused"]), (200, &json!(1)), "{}", limited.text);
    assert_eq!(get(&other, "").await.status, 200);
}
