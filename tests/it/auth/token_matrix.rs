//! Every operation × every other credential: access tokens of identity providers, and sessions.

use harness::{Caller, KeySpec};
use serde_json::{Value, json};

use crate::auth::{
    credentials::call,
    idp::fixture,
    operations::{Operation, PROTECTED},
    sessions::sign_in,
};

/// The kind of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An access token.
    Token,
    /// A session that was opened with an access token.
    SessionOfToken,
    /// A session that was opened with a key.
    SessionOfKey,
}

/// The status of a permitted request.
fn permitted(operation: &Operation, kind: Kind) -> u16 {
    let in_session = kind != Kind::Token;
    match operation.id {
        // It is about a key.
        "checkApiKey" if kind != Kind::SessionOfKey => 401,
        // Only persons can redeem an invitation, and this token is unknown.
        "redeemInvitation" if kind != Kind::SessionOfKey => 404,
        // Only keys can be exchanged for tokens, and a session cannot create sessions.
        "createToken" => 403,
        // Only a key can create one.
        "createPortalSession" if kind != Kind::SessionOfKey => 403,
        "openSession" if in_session => 403,
        "closeSession" if in_session => 200,
        _ => operation.permitted,
    }
}

#[tokio::test]
async fn every_operation_checks_tokens_and_sessions() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let other = app.tenant("Other").await;
    fixture.join(tenant, "ada", &["*"]).await;
    fixture.join(&other, "eve", &["*"]).await;
    let token = |subject: &str, permissions: Option<&str>| {
        let mut claims = fixture.claims(subject);
        claims["permissions"] = permissions.map_or(Value::Null, |all| json!(all.split(' ').collect::<Vec<_>>()));
        fixture.caller_with(&claims)
    };
    let key = async |org_id: &str, permission: Option<&str>| {
        let permissions = permission.into_iter().flat_map(|all| all.split(' ')).collect::<Vec<_>>();
        app.caller(&app.key(org_id, KeySpec::with(&permissions)).await.1)
    };
    for operation in PROTECTED {
        let right = operation.permission.or(Some("other:thing"));
        for kind in [Kind::Token, Kind::SessionOfToken, Kind::SessionOfKey] {
            let callers = if kind == Kind::SessionOfKey {
                [key(&tenant.org_id, right).await, key(&tenant.org_id, Some("other:thing")).await, {
                    key(&other.org_id, Some("*")).await
                }]
            } else {
                [token("ada", right), token("ada", Some("other:thing")), token("eve", None)]
            };
            let call = async |caller: &Caller| {
                let caller = if kind == Kind::Token { caller.clone() } else { sign_in(app, caller).await };
                let victim = app.key(&tenant.org_id, KeySpec::with(&[])).await.0;
                call(&caller, operation, &tenant.org_id, &victim).await
            };
            let name = format!("{} {kind:?}", operation.id);
            let expected = permitted(operation, kind);
            let [right, without_permission, foreign] = &callers;
            let answer = call(right).await;
            assert_eq!(answer.status, expected, "{name}: right: {}", answer.text);
            let answer = call(without_permission).await;
            let without = if operation.permission.is_some() { 403 } else { expected };
            assert_eq!(answer.status, without, "{name}: powerless: {}", answer.text);
            let answer = call(foreign).await;
            let elsewhere = if operation.is_tenant_bound { 404 } else { expected };
            assert_eq!(answer.status, elsewhere, "{name}: wrong tenant: {}", answer.text);
        }
        let mut claims = fixture.claims("ada");
        claims["exp"] = json!(app.now_seconds() - 60);
        let ended = sign_in(app, &token("ada", None)).await;
        assert_eq!(ended.delete("/session").await.status, 200);
        for (what, bad) in [("an expired token", fixture.caller_with(&claims)), ("a session that has ended", ended)] {
            let answer = call(&bad, operation, &tenant.org_id, &tenant.key_id).await;
            let challenge = answer.header("www-authenticate");
            assert_eq!((answer.status, challenge), (401, "Bearer error=\"invalid_token\""), "{}: {what}", operation.id);
        }
    }
}
