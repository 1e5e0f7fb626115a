//! The examples of the customers' portal.

use serde_json::json;

use super::{Recorder, text};
use crate::auth::idp::Fixture;

/// The settings, a session, and what its customer does.
pub(super) async fn record(recorder: &mut Recorder, fixture: &Fixture) {
    let (app, admin) = (&fixture.app, &fixture.tenant.admin);
    let org = format!("/orgs/{}", fixture.tenant.org_id);
    let body = json!({
        "name": "Acme", "color": "#3b5bdb", "logo": "data:image/png;base64,iVBORw0KGgo=",
        "origins": ["https://shop.example.com"],
    });
    recorder.send("updatePortal", admin, "PATCH", &format!("{org}/portal"), Some(body)).await;
    recorder.send("getPortal", admin, "GET", &format!("{org}/portal"), None).await;
    let sessions = format!("{org}/portal_sessions");
    let body = json!({
        "external_id": "customer-42", "allowed": ["create", "rotate", "revoke", "usage"],
        "permissions_ceiling": ["files:read", "files:write"],
        "limits": {"max_keys": 5, "max_lifetime_seconds": 7_776_000, "rate_limit_max": 100, "rate_limit_window": 60_000},
        "return_url": "https://shop.example.com/account", "theme": "auto",
    });
    let session = recorder.send("createPortalSession", admin, "POST", &sessions, Some(body)).await;
    let secret = text(&session["url"]).split_once('#').expect("a secret").1;
    let body = Some(json!({"secret": secret}));
    let opened = recorder.send("openPortalSession", &app.anyone(), "POST", "/portal/session", body).await;
    let customer = app.caller(text(&opened["token"]));
    recorder.send("listPortalSessions", admin, "GET", &sessions, None).await;
    recorder.send("getPortalSession", &customer, "GET", "/portal/session", None).await;
    let keys = "/portal/api_keys";
    let body = json!({"name": "Continuous integration", "permissions": ["files:read"]});
    let key = recorder.send("createPortalKey", &customer, "POST", keys, Some(body)).await;
    recorder.send("listPortalKeys", &customer, "GET", keys, None).await;
    let one = format!("{keys}/{}", text(&key["id"]));
    let usage = format!("{one}/usage?by=hour&from=2026-11-21T07:00:00Z&until=2026-11-21T09:00:00Z");
    recorder.send("getPortalKeyUsage", &customer, "GET", &usage, None).await;
    let body = Some(json!({"grace_seconds": 3600}));
    recorder.send("rotatePortalKey", &customer, "POST", &format!("{one}/rotate"), body).await;
    recorder.send("revokePortalKey", &customer, "DELETE", &one, None).await;
    recorder.send("closePortalSession", &customer, "DELETE", "/portal/session", None).await;
    let body = json!({"external_id": "customer-43", "allowed": [], "permissions_ceiling": []});
    let other = admin.post(&sessions, &body).await.json();
    let other = format!("{sessions}/{}", text(&other["id"]));
    recorder.send("revokePortalSession", admin, "DELETE", &other, None).await;
}
