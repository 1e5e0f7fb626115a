//! The examples of the APIs of Athena and of the LiveKit agents.

use serde_json::json;

use super::{Recorder, text};
use crate::{auth::idp::Fixture, compat::athena::API};

/// The lifecycle of a key, and a sign-up.
pub(super) async fn record(recorder: &mut Recorder, fixture: &Fixture) {
    let (app, admin) = (&fixture.app, &fixture.tenant.admin);
    let body = json!({
        "name": "Reader", "permissions": {"files": ["read"]}, "remaining": 100, "expiresIn": 86_400, "metadata": {"plan": "pro"},
    });
    let key = recorder.send("createAthenaKey", admin, "POST", &format!("{API}/create"), Some(body)).await;
    recorder.send("getAthenaKey", admin, "GET", &format!("{API}/get?id={}", text(&key["id"])), None).await;
    let body = json!({"keyId": key["id"], "name": "Reader of files", "enabled": true});
    recorder.send("updateAthenaKey", admin, "POST", &format!("{API}/update"), Some(body)).await;
    let body = json!({"key": key["key"], "permissions": {"files": ["read"]}});
    recorder.send("verifyAthenaKey", admin, "POST", &format!("{API}/verify"), Some(body)).await;
    let other = app.tenant("Other").await;
    app.clock.advance_seconds(1);
    let made = other.admin.post(&format!("{API}/create"), &json!({"name": "Of a new organization"})).await.json();
    recorder.send("listAthenaKeys", &other.admin, "GET", &format!("{API}/list?offset=1"), None).await;
    let body = json!({"keyId": made["id"]});
    recorder.send("deleteAthenaKey", &other.admin, "POST", &format!("{API}/delete"), Some(body)).await;
    let path = format!("{API}/delete-all-expired-api-keys");
    recorder.send("deleteExpiredAthenaKeys", admin, "POST", &path, None).await;
    let body = json!({"user_name": "John Doe", "user_email": "john@example.com", "org_name": "Acme Corp"});
    let made = recorder.send("signUp", &app.anyone(), "POST", "/auth/create-key", Some(body)).await;
    let john = app.caller(text(&made["data"]["api_key"]));
    recorder.send("checkApiKey", &john, "GET", "/auth/check-key", None).await;
}
