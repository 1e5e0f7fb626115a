//! The examples of trust rules.

use serde_json::json;

use super::{Recorder, text};
use crate::auth::idp::Fixture;

/// The identity provider of the example of a trust rule.
pub(super) const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A rule, and how it is read, changed and deleted.
pub(super) async fn record(recorder: &mut Recorder, fixture: &Fixture) {
    let admin = &fixture.tenant.admin;
    let rules = format!("/orgs/{}/trust_rules", fixture.tenant.org_id);
    let body = json!({
        "name": "Release job", "description": "Deploys from the main branch", "issuer": ISSUER,
        "claims": {"repository_id": "74", "ref": ["refs/heads/main", "refs/heads/stable"]},
        "permissions": ["files:read", "files:write"], "audiences": ["storage"], "ttl_seconds": 300,
    });
    let rule = recorder.send("createTrustRule", admin, "POST", &rules, Some(body)).await;
    let one = format!("{rules}/{}", text(&rule["id"]));
    recorder.send("listTrustRules", admin, "GET", &rules, None).await;
    recorder.send("getTrustRule", admin, "GET", &one, None).await;
    let body = json!({"claims": {"repository_id": "74", "ref": "refs/heads/main"}, "permissions": ["files:read"]});
    recorder.send("updateTrustRule", admin, "PATCH", &one, Some(body)).await;
    recorder.send("deleteTrustRule", admin, "DELETE", &one, None).await;
}
