//! The usage of several keys by day: one request for the small charts of a page of keys.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{restart, usage, verify};

fn numbers(key: &Value) -> (&str, &Value, &Value) {
    (key["id"].as_str().expect("an id"), &key["valid"], &key["refused"])
}

#[tokio::test]
async fn several_keys_are_counted_by_day() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (busy_id, busy) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let (idle_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (deleted_id, deleted) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    verify(&tenant.admin, &busy, &["files:read"], (2, "VALID")).await;
    verify(&tenant.admin, &busy, &["files:write"], (1, "INSUFFICIENT_PERMISSIONS")).await;
    verify(&tenant.admin, &deleted, &[], (1, "VALID")).await;
    assert_eq!(tenant.admin.delete(&format!("{}/{deleted_id}", tenant.keys())).await.status, 200);
    let app = restart(app).await;
    app.clock.advance_seconds(24 * 60 * 60);
    let (admin, stranger) = (app.caller(tenant.admin.bearer()), app.caller(other.admin.bearer()));
    verify(&admin, &busy, &[], (3, "VALID")).await;
    let app = restart(app).await;
    app.clock.advance_seconds(60 * 60);
    let (admin, stranger) = (app.caller(admin.bearer()), app.caller(stranger.bearer()));
    // Counts of the same day are added up.
    verify(&admin, &busy, &[], (1, "VALID")).await;
    let app = restart(app).await;
    let (admin, stranger) = (app.caller(admin.bearer()), app.caller(stranger.bearer()));
    let of = |org: &str, query: &str| format!("/orgs/{org}/usage/api_keys?{query}");
    let ids = format!("ids={idle_id},{busy_id},{deleted_id},{},{busy_id}", other.key_id);
    let result = usage(&admin, &of(&tenant.org_id, &ids)).await;
    assert_eq!((&result["from"], &result["until"]), (&json!("2026-11-16T00:00:00Z"), &json!("2026-11-23T00:00:00Z")));
    let keys: Vec<_> = result["keys"].as_array().expect("keys").iter().map(numbers).collect();
    let none = json!([0, 0, 0, 0, 0, 0, 0]);
    let expected =
        [(idle_id.as_str(), &none, &none), (&busy_id, &json!([0, 0, 0, 0, 0, 2, 4]), &json!([0, 0, 0, 0, 0, 1, 0]))];
    assert_eq!(keys, expected, "in the order of the request, each once, without deleted keys and those of others");
    let one_day = format!("ids={busy_id}&from=2026-11-21T23:00:00Z&until=2026-11-22T00:00:00Z");
    let result = usage(&admin, &of(&tenant.org_id, &one_day)).await;
    assert_eq!(numbers(&result["keys"][0]), (busy_id.as_str(), &json!([2]), &json!([1])));
    let foreign = usage(&stranger, &of(&other.org_id, &format!("ids={busy_id}"))).await;
    assert_eq!(foreign["keys"], json!([]), "a key of another organization");
    assert_eq!(stranger.get(&of(&tenant.org_id, &ids)).await.status, 404);
    let own = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["own_api_keys:read"]) };
    let (own_id, own) = app.key(&tenant.org_id, own).await;
    let result = usage(&app.caller(&own), &of(&tenant.org_id, &format!("ids={busy_id},{own_id}"))).await;
    let keys = result["keys"].as_array().expect("keys");
    assert_eq!(keys.iter().map(|key| numbers(key).0).collect::<Vec<_>>(), [own_id.as_str()], "only own keys");
}

#[tokio::test]
async fn counts_by_day_are_bounded_in_keys_and_days() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let get = async |query: &str| tenant.admin.get(&format!("/orgs/{}/usage/api_keys?{query}", tenant.org_id)).await;
    let key = &tenant.key_id;
    let many = |count: usize| format!("ids={}", vec![key.as_str(); count].join(","));
    for (query, field) in [
        (String::new(), "ids"),
        ("ids=".to_owned(), "ids"),
        (format!("ids={key},"), "ids"),
        (format!("ids={key};{key}"), "ids"),
        (many(101), "ids"),
        (format!("ids={key}&from=2026-11-01T00:00:00Z&until=2026-12-02T00:00:01Z"), "from"),
        (format!("ids={key}&from=2026-11-22T00:00:00Z"), "from"),
        (format!("ids={key}&until=tomorrow"), "until"),
        (format!("ids={key}&by=hour"), "by"),
    ] {
        let refused = get(&query).await;
        assert_eq!(
            (refused.status, refused.wrong_fields()),
            (400, vec![field.to_owned()]),
            "{query}: {}",
            refused.text
        );
    }
    assert_eq!(get(&many(100)).await.json()["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(&format!("ids={key}&from=2026-11-01T00:00:00Z&until=2026-12-02T00:00:00Z")).await.status, 200);
}

#[tokio::test]
async fn an_upgrade_counts_the_days_before_it() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    verify(&tenant.admin, &key, &[], (2, "VALID")).await;
    verify(&tenant.admin, &key, &["files:read"], (1, "INSUFFICIENT_PERMISSIONS")).await;
    let app = restart(app).await;
    app.clock.advance_seconds(60 * 60);
    verify(&app.caller(tenant.admin.bearer()), &key, &[], (1, "VALID")).await;
    let app = restart(app).await;
    app.clock.advance_seconds(24 * 60 * 60);
    verify(&app.caller(tenant.admin.bearer()), &key, &[], (4, "VALID")).await;
    let now = app.now_seconds();
    let (_, database) = app.stop().await;
    database.count_days_again().await;
    let app = TestApp::start_on(database, |_| {}).await;
    app.clock.advance_seconds(now - app.now_seconds());
    let admin = app.caller(tenant.admin.bearer());
    let result = usage(&admin, &format!("/orgs/{}/usage/api_keys?ids={id}", tenant.org_id)).await;
    let expected = (id.as_str(), &json!([0, 0, 0, 0, 0, 3, 4]), &json!([0, 0, 0, 0, 0, 1, 0]));
    assert_eq!(numbers(&result["keys"][0]), expected);
}
