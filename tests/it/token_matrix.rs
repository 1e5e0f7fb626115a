//! Every operation × every credential that is no key: access tokens of identity providers, and sessions.

use harness::{Caller, KeySpec};
use serde_json::{Value, json};

use crate::{
    credentials::call,
    operations::{Operation, PROTECTED},
    outside::world,
    sessions::sign_in,
};

/// What stands behind a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An access token.
    Token,
    /// A session that was opened with one.
    SessionOfToken,
    /// A session that was opened with a key.
    SessionOfKey,
}

/// What a caller gets who may do an operation.
fn permitted(operation: &Operation, kind: Kind) -> u16 {
    let in_session = kind != Kind::Token;
    match operation.id {
        // The question is about a key.
        "checkKey" if kind != Kind::SessionOfKey => 401,
        // Only the text of a key becomes a token, and no session opens another.
        "createToken" => 403,
        "openSession" if in_session => 403,
        "closeSession" if in_session => 200,
        _ => operation.permitted,
    }
}

#[tokio::test]
async fn every_operation_with_tokens_and_sessions() {
    let world = world(|_| ()).await;
    let (app, tenant) = (&world.app, &world.tenant);
    let other = app.tenant("Other").await;
    world.join(tenant, "ada", &["*"]).await;
    world.join(&other, "eve", &["*"]).await;
    let token = |subject: &str, permissions: Option<&str>| {
        let mut claims = world.claims(subject);
        claims["permissions"] = permissions.map_or(Value::Null, |permission| json!([permission]));
        world.says(&claims)
    };
    let key = async |org_id: &str, permission: Option<&str>| {
        let permissions = permission.into_iter().collect::<Vec<_>>();
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
            let [right, powerless, foreign] = &callers;
            let answer = call(right).await;
            assert_eq!(answer.status, expected, "{name}: right: {}", answer.text);
            let answer = call(powerless).await;
            let without = if operation.permission.is_some() { 403 } else { expected };
            assert_eq!(answer.status, without, "{name}: powerless: {}", answer.text);
            let answer = call(foreign).await;
            let elsewhere = if operation.is_tenant_bound { 404 } else { expected };
            assert_eq!(answer.status, elsewhere, "{name}: wrong tenant: {}", answer.text);
        }
        let mut claims = world.claims("ada");
        claims["exp"] = json!(app.second() - 60);
        let ended = sign_in(app, &token("ada", None)).await;
        assert_eq!(ended.delete("/session").await.status, 200);
        for (what, bad) in [("an expired token", world.says(&claims)), ("a session that has ended", ended)] {
            let answer = call(&bad, operation, &tenant.org_id, &tenant.key_id).await;
            let challenge = answer.header("www-authenticate");
            assert_eq!((answer.status, challenge), (401, "Bearer error=\"invalid_token\""), "{}: {what}", operation.id);
        }
    }
}
