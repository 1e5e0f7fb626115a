//! How often an organization may be managed, where the operator says so.

use std::num::NonZeroU32;

use harness::{Answer, Caller, TestApp};
use serde_json::json;

/// Asks until it is too often.
async fn too_often(caller: &Caller, method: &str, path: &str) -> Answer {
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
async fn an_organization_is_managed_so_often_and_verified_any_number_of_times() {
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
        let answer = too_often(&tenant.admin, "GET", &path).await;
        assert_eq!(answer.header("retry-after"), "1", "{path}");
        let message = "Too many requests for this organization, try again later";
        assert_eq!(answer.failure(), json!({"message": message, "code": 429}), "{path}");
    }
    let answer = too_often(&tenant.admin, "GET", "/api/auth/api-key/list").await;
    assert_eq!((answer.header("retry-after"), &answer.json()["code"]), ("1", &json!("TOO_MANY_REQUESTS")));
    let key = json!({"key": "nonsense"});
    for _ in 0..50 {
        assert_eq!(tenant.admin.post("/api_keys/verify", &key).await.status, 200);
        assert_eq!(tenant.admin.post("/api/auth/api-key/verify", &key).await.status, 200);
        assert_eq!(tenant.admin.get("/auth/check-key").await.status, 200);
        assert_eq!(tenant.admin.get("/me").await.status, 200);
    }
    assert_eq!(other.admin.get(&format!("/orgs/{}", other.org_id)).await.status, 200, "another has its own second");
    let foreign = other.admin.get(&organization).await;
    assert_eq!(foreign.status, 404, "who may not manage it uses up nothing of it, and learns nothing");
}

#[tokio::test]
async fn by_default_an_organization_is_managed_any_number_of_times() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for _ in 0..200 {
        assert_eq!(tenant.admin.get(&format!("/orgs/{}", tenant.org_id)).await.status, 200);
    }
}
