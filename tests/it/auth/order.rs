//! The order of an operation: authenticate, authorize, then read the body; and the permission that is documented for it.

use harness::{KeySpec, TestApp};
use serde_json::Value;

use crate::auth::operations::PROTECTED;

/// All operations of the document.
async fn documented(app: &TestApp) -> Vec<Value> {
    let document = app.anyone().get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths").values();
    paths.filter_map(Value::as_object).flat_map(|path| path.values().cloned()).collect()
}

/// Operations that a key may call that cannot manage the service.
const OPEN_OPERATIONS: [&str; 4] = ["getMe", "createToken", "revokeToken", "checkApiKey"];

#[tokio::test]
async fn a_body_is_read_after_authorization() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let without_permission = app.key(&tenant.org_id, KeySpec::with(&["other:thing"])).await.1;
    let cannot_manage = KeySpec { can_manage: false, ..KeySpec::with(&["*"]) };
    let cannot_manage = app.key(&tenant.org_id, cannot_manage).await.1;
    let documented = documented(&app).await;
    let takes_body = |id: &str| documented.iter().any(|it| it["operationId"] == id && it["requestBody"].is_object());
    let mut bodies = 0;
    for operation in PROTECTED.iter().filter(|operation| takes_body(operation.id)) {
        let (method, path, _) = (operation.request)(&tenant.org_id, &tenant.key_id);
        bodies += 1;
        let callers = [
            (app.anyone(), 401, true),
            (app.caller(&without_permission), 403, operation.permission.is_some()),
            (app.caller(&cannot_manage), 403, !OPEN_OPERATIONS.contains(&operation.id)),
            (tenant.admin.clone(), 400, operation.is_tenant_bound),
        ];
        for (caller, status, applies) in callers {
            let caller = caller.with("content-type", "application/json");
            let answer = caller.send(method, &path, Some(b"{".to_vec())).await;
            assert!(!applies || answer.status == status, "{}: {} {}", operation.id, answer.status, answer.text);
        }
    }
    assert!(bodies > 15, "{bodies}");
}

#[tokio::test]
async fn the_document_names_the_permissions_that_an_operation_needs() {
    let app = TestApp::start().await;
    let documented = documented(&app).await;
    for operation in PROTECTED {
        let found = documented.iter().find(|it| it["operationId"] == operation.id).expect("documented");
        let description = found["description"].as_str().unwrap_or_default();
        let own = operation.own_permission();
        for permission in operation.permission.unwrap_or_default().split_whitespace().chain(own) {
            assert!(description.contains(&format!("`{permission}`")), "{}: {permission}", operation.id);
        }
    }
}
