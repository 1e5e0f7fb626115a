//! Every operation of the document, and how it is called.

use serde_json::{Value, json};

/// How to call an operation so that a caller who may gets a success.
pub(crate) struct Operation {
    pub(crate) id: &'static str,
    /// The least that it needs; `None`: any good key will do.
    pub(crate) permission: Option<&'static str>,
    /// Whether it names an organization, which can be the wrong one.
    pub(crate) is_tenant_bound: bool,
    /// What a caller who may gets: 200, or, where a success would end what the others need, the refusal that comes after
    /// the permission.
    pub(crate) permitted: u16,
    /// Method, path and body, in the organization and for one of its keys.
    pub(crate) request: Request,
}

type Request = fn(org_id: &str, key_id: &str) -> (&'static str, String, Option<Value>);

/// The operation names an organization, by itself or by one of its keys.
const TENANT: bool = true;
/// It does not.
const NOWHERE: bool = false;

/// No permission: any good key will do.
const NONE: &str = "";

const fn operation(
    id: &'static str,
    permission: &'static str,
    is_tenant_bound: bool,
    permitted: u16,
    request: Request,
) -> Operation {
    let permission = if permission.is_empty() { None } else { Some(permission) };
    Operation { id, permission, is_tenant_bound, permitted, request }
}

pub(crate) const PROTECTED: &[Operation] = &[
    operation("listApiKeys", "api_keys:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/api_keys"), None)
    }),
    operation("verifyApiKey", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/api_keys/verify".to_owned(), Some(json!({"key": "x"})))
    }),
    operation("verifyApiKeys", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/api_keys/verify_batch".to_owned(), Some(json!({"keys": [{"key": "x"}]})))
    }),
    operation("createApiKeys", "api_keys:write", TENANT, 200, |org_id, _| {
        let keys = json!({"keys": [{"name": "n", "permissions": []}]});
        ("POST", format!("/orgs/{org_id}/api_keys/bulk_create"), Some(keys))
    }),
    operation("deleteApiKeys", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/api_keys/bulk_delete"), Some(json!({"ids": [key_id]})))
    }),
    operation("createApiKey", "api_keys:write", TENANT, 200, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/api_keys"), Some(json!({"name": "n", "permissions": []})))
    }),
    operation("getApiKey", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}"), None)
    }),
    operation("updateApiKey", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/api_keys/{key_id}"), Some(json!({"name": "n"})))
    }),
    operation("getApiKeyUsage", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/usage"), None)
    }),
    operation("getUsage", "api_keys:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}/usage"), None)),
    operation("importApiKeys", "org:admin", TENANT, 200, |org_id, _| {
        let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "letters"});
        let key = json!({"hash": "00".repeat(32), "permissions": []});
        let body = json!({"shape": shape, "dry_run": true, "keys": [key]});
        ("POST", format!("/orgs/{org_id}/api_keys/import"), Some(body))
    }),
    operation("listAuditEvents", "audit:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/audit_events"), None)
    }),
    operation("restoreApiKey", "api_keys:write", TENANT, 404, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/api_keys/{key_id}/restore"), None)
    }),
    operation("rotateApiKey", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/api_keys/{key_id}/rotate"), Some(json!({"grace_seconds": 0})))
    }),
    operation("getPreviousSecret", "api_keys:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None)
    }),
    operation("endPreviousSecret", "api_keys:write", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None)
    }),
    operation("deleteApiKey", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}"), None)
    }),
    operation("listOrganizations", "org:read", NOWHERE, 200, |_, _| ("GET", "/orgs".to_owned(), None)),
    operation("createOrganization", "org:admin", NOWHERE, 403, |_, _| ("POST", "/orgs".to_owned(), Some(json!({})))),
    operation("getOrganization", "org:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}"), None)),
    operation("updateOrganization", "org:admin", TENANT, 200, |org_id, _| {
        ("PATCH", format!("/orgs/{org_id}"), Some(json!({"name": "n"})))
    }),
    operation("deleteOrganization", "org:admin", TENANT, 400, |org_id, _| ("DELETE", format!("/orgs/{org_id}"), None)),
    operation("listMembers", "members:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}/members"), None)),
    operation("addMember", "members:admin", TENANT, 404, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/members"), Some(json!({"user_id": key_id, "permissions": []})))
    }),
    operation("getMember", "members:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/members/{key_id}"), None)
    }),
    operation("updateMember", "members:admin", TENANT, 404, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/members/{key_id}"), Some(json!({"permissions": []})))
    }),
    operation("removeMember", "members:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/members/{key_id}"), None)
    }),
    operation("listPermissionSets", "permission_sets:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/permission_sets"), None)
    }),
    operation("createPermissionSet", "permission_sets:admin", TENANT, 200, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/permission_sets"), Some(json!({"name": key_id, "permissions": []})))
    }),
    operation("getPermissionSet", "permission_sets:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/permission_sets/{key_id}"), None)
    }),
    operation("updatePermissionSet", "permission_sets:admin", TENANT, 404, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/permission_sets/{key_id}"), Some(json!({"permissions": []})))
    }),
    operation("deletePermissionSet", "permission_sets:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/permission_sets/{key_id}"), None)
    }),
    operation("setApiKeyPermissionSets", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("PUT", format!("/orgs/{org_id}/api_keys/{key_id}/permission_sets"), Some(json!({"permission_sets": []})))
    }),
    operation("openSession", NONE, NOWHERE, 200, |_, _| ("POST", "/session".to_owned(), None)),
    operation("closeSession", NONE, NOWHERE, 404, |_, _| ("DELETE", "/session".to_owned(), None)),
    operation("getMe", NONE, NOWHERE, 200, |_, _| ("GET", "/me".to_owned(), None)),
    operation("createToken", NONE, NOWHERE, 200, |_, _| ("POST", "/tokens".to_owned(), Some(json!({"audience": "a"})))),
    operation("checkKey", NONE, NOWHERE, 200, |_, _| ("GET", "/auth/check-key".to_owned(), None)),
    operation("athenaCreateApiKey", "api_keys:write", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/create".to_owned(), Some(json!({})))
    }),
    operation("athenaGetApiKey", "api_keys:read", TENANT, 200, |_, key_id| {
        ("GET", format!("/api/auth/api-key/get?id={key_id}"), None)
    }),
    operation("athenaUpdateApiKey", "api_keys:write", TENANT, 200, |_, key_id| {
        ("POST", "/api/auth/api-key/update".to_owned(), Some(json!({"keyId": key_id, "name": "n"})))
    }),
    operation("athenaDeleteApiKey", "api_keys:write", TENANT, 200, |_, key_id| {
        ("POST", "/api/auth/api-key/delete".to_owned(), Some(json!({"keyId": key_id})))
    }),
    operation("athenaListApiKeys", "api_keys:read", NOWHERE, 200, |_, _| {
        ("GET", "/api/auth/api-key/list".to_owned(), None)
    }),
    operation("athenaVerifyApiKey", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/verify".to_owned(), Some(json!({"key": "x"})))
    }),
    operation("athenaDeleteExpiredApiKeys", "api_keys:write", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/delete-all-expired-api-keys".to_owned(), Some(json!({})))
    }),
];

/// Operations that need no credential.
pub(crate) const PUBLIC: &[&str] = &["createKey", "getJwks", "getRevoked"];
