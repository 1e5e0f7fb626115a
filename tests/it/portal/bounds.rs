//! One customer of the portal cannot use up the rate limits and list slots of the organization.

use std::num::NonZero;

use domain::{
    clock::Timestamp,
    id::{ExternalId, OrganizationId, UserId},
    keys::key_scope::KeyScope,
};
use futures_util::future::join_all;
use harness::TestApp;
use serde_json::{Value, json};

use super::{assert_failed, create_key, open};

#[tokio::test]
async fn a_session_does_not_use_up_the_rate_limit_of_its_organization() {
    let app = TestApp::start_with(|config| config.management_rate = NonZero::new(60)).await;
    let tenant = app.tenant("Acme").await;
    let customer = open(&app, &tenant, json!({})).await;
    let other = open(&app, &tenant, json!({"external_id": "customer-2"})).await;
    let answers = join_all((0..100).map(|_| customer.get("/portal/session"))).await;
    assert_eq!(other.get("/portal/session").await.status, 200, "another session has its own limit");
    assert_eq!(tenant.admin.get(&tenant.keys()).await.status, 200);
    let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(served.len() >= 19, "{}", served.len());
    assert!(!refused.is_empty());
    let message = "Too many requests of this portal session; try again later";
    for answer in refused {
        assert_eq!(answer.failure(), json!({"message": message, "code": 429, "reason": "rate_limited"}));
        assert_eq!(answer.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn a_customer_creates_at_most_ten_times_as_many_keys_in_an_hour_as_they_may_have() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let member = json!({"external_id": null, "user_id": tenant.user_id});
    for who in [json!({}), member] {
        let session = async |who: &Value| {
            let mut changes = who.clone();
            changes["limits"] = json!({"max_keys": 1});
            open(&app, &tenant, changes).await
        };
        for _ in 0..2 {
            // Two sessions, because the requests of each are limited.
            let customer = session(&who).await;
            for _ in 0..5 {
                let (id, _) = create_key(&customer, "n").await;
                assert_eq!(customer.delete(&format!("/portal/api_keys/{id}")).await.status, 200);
            }
        }
        let refused = session(&who).await.post("/portal/api_keys", &json!({"name": "n"})).await;
        assert_failed(&refused, 409, "portal_key_limit_reached");
        assert!(refused.text.contains("within the last hour"), "{}", refused.text);
        let others = session(&json!({"external_id": "customer-2"})).await;
        let (id, _) = create_key(&others, "n").await;
        assert_eq!(others.delete(&format!("/portal/api_keys/{id}")).await.status, 200);
        app.clock.advance_seconds(3_600);
        create_key(&session(&who).await, "n").await;
    }
}

#[tokio::test]
async fn deleted_keys_of_a_customer_are_counted_by_an_index() {
    let app = TestApp::start().await;
    if app.database.is_postgres() {
        // It reads a table of so few rows without any index.
        return;
    }
    let tenant = app.tenant("Acme").await;
    let organization: OrganizationId = tenant.org_id.parse().expect("an id");
    let user: UserId = tenant.user_id.parse().expect("an id");
    let id = ExternalId::parse("customer-1").expect("an external id");
    let since = Timestamp::from_millis(1_800_000_000_000);
    let store = app.database.store().await;
    for (user, id, index) in
        [(None, Some(&id), "deleted_api_keys_by_external_id"), (Some(user), None, "deleted_api_keys_by_user")]
    {
        let scope = KeyScope { organization, user };
        let plan = store.database.explain_deleted_keys_of(scope, id, since).await.expect("a plan").join("\n");
        let range = "organization_id=? AND ".to_owned() + if user.is_some() { "user_id" } else { "external_id" };
        assert!(plan.contains(index) && plan.contains(&range) && plan.contains("deleted_at>?"), "{plan}");
    }
    store.close().await;
}
