//! The rate limit of management requests of an organization.

use std::num::NonZeroU32;

use harness::{Answer, Caller, TestApp};
use serde_json::json;

/// Sends requests until one is rate limited.
async fn send_until_rate_limited(caller: &Caller, method: &str, path: &str) -> Answer {
    for _ in 0..100 {
        let answer = caller.send(method, path, None).await;
        if answer.status == 429 {
            return answer;
        }
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    panic!("{path} is never too often");
}

#[tokio::test]
async fn the_management_rate_does_not_limit_verification() {
    let app = TestApp::start_with(|config| config.management_rate = NonZeroU32::new(1)).await;
    let tenant = app.tenant("Acme").await;
    let other = app.tenant("Other").await;
    let organization = format!("/orgs/{}", tenant.org_id);
    for path in [
        organization.clone(),
        format!("{organization}/api_keys"),
        format!("{organization}/members"),
        format!("{organization}/permission_sets"),
        format!("{organization}/audit_events"),
        "/orgs".to_owned(),
    ] {
        let answer = send_until_rate_limited(&tenant.admin, "GET", &path).await;
        assert_eq!(answer.header("retry-after"), "1", "{path}");
        let message = "Too many requests for this organization; try again later";
        assert_eq!(answer.failure(), json!({"message": message, "code": 429, "reason": "rate_limited"}), "{path}");
    }
    let answer = send_until_rate_limited(&tenant.admin, "GET", "/api/auth/api-key/list").await;
    assert_eq!((answer.header("retry-after"), &answer.json()["code"]), ("1", &json!("TOO_MANY_REQUESTS")));
    let key = json!({"key": "nonsense"});
    for _ in 0..50 {
        assert_eq!(tenant.admin.post("/api_keys/verify", &key).await.status, 200);
        assert_eq!(tenant.admin.post("/api/auth/api-key/verify", &key).await.status, 200);
        assert_eq!(tenant.admin.get("/auth/check-key").await.status, 200);
        assert_eq!(tenant.admin.get("/me").await.status, 200);
    }
    assert_eq!(
        other.admin.get(&format!("/orgs/{}", other.org_id)).await.status,
        200,
        "another organization has its own limit"
    );
    let foreign = other.admin.get(&organization).await;
    assert_eq!(foreign.status, 404, "a caller of another organization neither counts nor gets 429");
}

#[tokio::test]
async fn the_management_rate_is_unlimited_by_default() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..200 {
        assert_eq!(tenant.admin.get(&format!("/orgs/{}", tenant.org_id)).await.status, 200);
    }
}
