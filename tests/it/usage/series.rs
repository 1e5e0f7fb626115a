//! The usage of a key or an organization by hour and by day.

use domain::{
    clock::Clock,
    keys::quota::{Quota, RateLimit},
};
use harness::{Answer, KeySpec, Tenant, TestApp};
use serde_json::{Value, json};

use super::{restart, usage, verify};

/// The buckets that are not empty: time, valid and refused verifications.
fn points(usage: &Value) -> Vec<(String, u64, u64)> {
    let series = usage["series"].as_array().expect("a series").iter();
    let number = |point: &Value, name: &str| point[name].as_u64().expect("a number");
    let result = series.map(|point| {
        (point["at"].as_str().expect("a time").to_owned(), number(point, "valid"), number(point, "refused"))
    });
    result.filter(|(_, valid, refused)| valid + refused > 0).collect()
}

#[tokio::test]
async fn usage_is_reported_by_hour_day_and_outcome() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let other = app.tenant("Other").await;
    let rate_limit = Some(RateLimit { max: 2, window: 3_600_000 });
    let metered = Quota { remaining: Some(3), rate_limit, ..Quota::default() };
    let (plain_id, plain) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    let (metered_id, metered) = app.key(&tenant.org_id, KeySpec { quota: metered, ..KeySpec::with(&[]) }).await;
    verify(&tenant.admin, &plain, &["files:read"], (3, "VALID")).await;
    verify(&tenant.admin, &metered, &[], (2, "VALID")).await;
    verify(&tenant.admin, &metered, &[], (1, "RATE_LIMITED")).await;
    verify(&tenant.admin, &plain, &["files:write"], (1, "INSUFFICIENT_PERMISSIONS")).await;
    // Uses are buffered for up to one second.
    let app = restart(app).await;
    app.clock.advance_seconds(60 * 60);
    let (admin, stranger) = (app.caller(tenant.admin.bearer()), app.caller(other.admin.bearer()));
    verify(&admin, &plain, &[], (2, "VALID")).await;
    verify(&admin, &metered, &[], (1, "VALID")).await;
    verify(&admin, &metered, &[], (1, "USAGE_EXCEEDED")).await;
    // Verifications of keys that the caller cannot see, and explanations, are not counted.
    verify(&stranger, &plain, &[], (1, "INVALID_API_KEY")).await;
    let question = json!({"key": plain});
    assert_eq!(admin.post("/api_keys/verify?explain=true", &question).await.json()["code"], "VALID");
    let app = restart(app).await;
    let (admin, stranger) = (app.caller(admin.bearer()), app.caller(stranger.bearer()));
    let of = |key: &str, query: &str| format!("/orgs/{}/api_keys/{key}/usage?{query}", tenant.org_id);
    let of_all = |query: &str| format!("/orgs/{}/usage?{query}", tenant.org_id);
    let (eight, nine) = ("2026-11-21T08:00:00Z".to_owned(), "2026-11-21T09:00:00Z".to_owned());
    let result = usage(&admin, &of(&plain_id, "")).await;
    assert_eq!(points(&result), [(eight.clone(), 3, 1), (nine.clone(), 2, 0)]);
    assert_eq!(result["total"], json!({"VALID": 5, "INSUFFICIENT_PERMISSIONS": 1}));
    assert_eq!(
        (&result["by"], &result["from"], &result["until"]),
        (&json!("hour"), &json!("2026-11-20T10:00:00Z"), &json!("2026-11-21T10:00:00Z"))
    );
    let series = result["series"].as_array().expect("a series");
    assert_eq!(series.len(), 24, "hours without verifications are included");
    assert_eq!(series[0]["outcomes"], json!({"VALID": 0, "INSUFFICIENT_PERMISSIONS": 0}));
    let result = usage(&admin, &of(&metered_id, "")).await;
    assert_eq!(points(&result), [(eight.clone(), 2, 1), (nine.clone(), 1, 1)]);
    assert_eq!(result["total"], json!({"VALID": 3, "USAGE_EXCEEDED": 1, "RATE_LIMITED": 1}));
    let result = usage(&admin, &of_all("")).await;
    assert_eq!(points(&result), [(eight, 5, 2), (nine.clone(), 3, 1)]);
    let result = usage(&admin, &of_all("by=day")).await;
    assert_eq!(points(&result), [("2026-11-21T00:00:00Z".to_owned(), 8, 3)]);
    assert_eq!(result["series"].as_array().map(Vec::len), Some(30));
    let late = of_all("from=2026-11-21T09:00:00Z&until=2026-11-21T10:00:00Z");
    assert_eq!(points(&usage(&admin, &late).await), [(nine, 3, 1)]);
    // Later uses are added, for each organization.
    verify(&admin, &plain, &[], (1, "VALID")).await;
    let app = restart(app).await;
    let (admin, stranger) = (app.caller(admin.bearer()), app.caller(stranger.bearer()));
    assert_eq!(usage(&admin, &of(&plain_id, "")).await["total"]["VALID"], 6);
    assert_eq!(usage(&stranger, &format!("/orgs/{}/usage", other.org_id)).await["total"], json!({"VALID": 0}));
    let of_stranger = format!("/orgs/{}/api_keys/{plain_id}/usage", other.org_id);
    assert_eq!((stranger.get(&of_stranger).await.status, stranger.get(&of_all("")).await.status), (404, 404));
}

#[tokio::test]
async fn an_invalid_usage_period_is_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let get = async |tenant: &Tenant, query: &str| -> Answer {
        tenant.admin.get(&format!("/orgs/{}/usage?{query}", tenant.org_id)).await
    };
    for (query, name) in [
        ("by=minute", "by"),
        ("from=yesterday", "from"),
        ("until=x", "until"),
        ("from=2026-11-21T09:00:00Z", "from"),
        ("from=2026-11-21T07:00:00Z&until=2026-11-21T07:00:00Z", "from"),
        ("from=2026-10-01T00:00:00Z", "from"),
        ("by=day&from=2025-10-01T00:00:00Z", "from"),
    ] {
        let refused = get(&tenant, query).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![name.to_owned()]), "{query}: {}", refused.text);
    }
    assert_eq!(get(&tenant, "by=day&from=2025-11-01T00:00:00Z").await.status, 200);
}

#[tokio::test]
async fn usage_past_retention_is_purged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    verify(&tenant.admin, &key, &[], (1, "VALID")).await;
    let app = restart(app).await;
    let admin = app.caller(tenant.admin.bearer());
    let path = format!("/orgs/{}/usage", tenant.org_id);
    let store = app.database.store().await;
    let at = |hours: i64| app.clock.now().plus_millis(hours * 60 * 60 * 1_000);
    store.purge(at(90 * 24), None, true).await.expect("purged");
    assert_eq!(usage(&admin, &path).await["total"], json!({"VALID": 1}), "usage is kept for 90 days");
    assert_eq!(
        app.database.stored_usage().await,
        (1, 1, 1),
        "the hours of a key and an organization, the day of a key"
    );
    store.purge(at(90 * 24 + 1), None, true).await.expect("purged");
    assert_eq!(usage(&admin, &path).await["total"], json!({"VALID": 0}));
    assert_eq!(app.database.stored_usage().await, (0, 0, 1), "other hours of the day are not due");
    store.purge(at(91 * 24), None, true).await.expect("purged");
    assert_eq!(app.database.stored_usage().await, (0, 0, 0), "a day is purged although no hour is due");
    store.close().await;
}
