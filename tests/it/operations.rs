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
    pub(crate) request: fn(org_id: &str, key_id: &str) -> (&'static str, String, Option<Value>),
}

pub(crate) const PROTECTED: &[Operation] = &[
    Operation {
        id: "listApiKeys",
        permission: Some("api_keys:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| ("GET", format!("/orgs/{org_id}/api_keys"), None),
    },
    Operation {
        id: "verifyApiKey",
        permission: Some("api_keys:verify"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/api_keys/verify".to_owned(), Some(json!({"key": "x"}))),
    },
    Operation {
        id: "verifyApiKeys",
        permission: Some("api_keys:verify"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/api_keys/verify_batch".to_owned(), Some(json!({"keys": [{"key": "x"}]}))),
    },
    Operation {
        id: "createApiKeys",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| {
            let keys = json!({"keys": [{"name": "n", "permissions": []}]});
            ("POST", format!("/orgs/{org_id}/api_keys/bulk_create"), Some(keys))
        },
    },
    Operation {
        id: "deleteApiKeys",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| {
            ("POST", format!("/orgs/{org_id}/api_keys/bulk_delete"), Some(json!({"ids": [key_id]})))
        },
    },
    Operation {
        id: "createApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| {
            ("POST", format!("/orgs/{org_id}/api_keys"), Some(json!({"name": "n", "permissions": []})))
        },
    },
    Operation {
        id: "getApiKey",
        permission: Some("api_keys:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| ("GET", format!("/orgs/{org_id}/api_keys/{key_id}"), None),
    },
    Operation {
        id: "updateApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| ("PATCH", format!("/orgs/{org_id}/api_keys/{key_id}"), Some(json!({"name": "n"}))),
    },
    Operation {
        id: "rotateApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| {
            ("POST", format!("/orgs/{org_id}/api_keys/{key_id}/rotate"), Some(json!({"grace_seconds": 0})))
        },
    },
    Operation {
        id: "getPreviousSecret",
        permission: Some("api_keys:read"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None),
    },
    Operation {
        id: "endPreviousSecret",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None),
    },
    Operation {
        id: "deleteApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}"), None),
    },
    Operation {
        id: "listOrganizations",
        permission: Some("org:read"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("GET", "/orgs".to_owned(), None),
    },
    Operation {
        id: "createOrganization",
        permission: Some("org:admin"),
        is_tenant_bound: false,
        permitted: 403,
        request: |_, _| ("POST", "/orgs".to_owned(), Some(json!({}))),
    },
    Operation {
        id: "getOrganization",
        permission: Some("org:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| ("GET", format!("/orgs/{org_id}"), None),
    },
    Operation {
        id: "updateOrganization",
        permission: Some("org:admin"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| ("PATCH", format!("/orgs/{org_id}"), Some(json!({"name": "n"}))),
    },
    Operation {
        id: "deleteOrganization",
        permission: Some("org:admin"),
        is_tenant_bound: true,
        permitted: 400,
        request: |org_id, _| ("DELETE", format!("/orgs/{org_id}"), None),
    },
    Operation {
        id: "listMembers",
        permission: Some("members:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| ("GET", format!("/orgs/{org_id}/members"), None),
    },
    Operation {
        id: "addMember",
        permission: Some("members:admin"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| {
            ("POST", format!("/orgs/{org_id}/members"), Some(json!({"user_id": key_id, "permissions": []})))
        },
    },
    Operation {
        id: "getMember",
        permission: Some("members:read"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("GET", format!("/orgs/{org_id}/members/{key_id}"), None),
    },
    Operation {
        id: "updateMember",
        permission: Some("members:admin"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| {
            ("PATCH", format!("/orgs/{org_id}/members/{key_id}"), Some(json!({"permissions": []})))
        },
    },
    Operation {
        id: "removeMember",
        permission: Some("members:admin"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("DELETE", format!("/orgs/{org_id}/members/{key_id}"), None),
    },
    Operation {
        id: "listPermissionSets",
        permission: Some("permission_sets:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, _| ("GET", format!("/orgs/{org_id}/permission_sets"), None),
    },
    Operation {
        id: "createPermissionSet",
        permission: Some("permission_sets:admin"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| {
            ("POST", format!("/orgs/{org_id}/permission_sets"), Some(json!({"name": key_id, "permissions": []})))
        },
    },
    Operation {
        id: "getPermissionSet",
        permission: Some("permission_sets:read"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("GET", format!("/orgs/{org_id}/permission_sets/{key_id}"), None),
    },
    Operation {
        id: "updatePermissionSet",
        permission: Some("permission_sets:admin"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| {
            ("PATCH", format!("/orgs/{org_id}/permission_sets/{key_id}"), Some(json!({"permissions": []})))
        },
    },
    Operation {
        id: "deletePermissionSet",
        permission: Some("permission_sets:admin"),
        is_tenant_bound: true,
        permitted: 404,
        request: |org_id, key_id| ("DELETE", format!("/orgs/{org_id}/permission_sets/{key_id}"), None),
    },
    Operation {
        id: "setApiKeyPermissionSets",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |org_id, key_id| {
            ("PUT", format!("/orgs/{org_id}/api_keys/{key_id}/permission_sets"), Some(json!({"permission_sets": []})))
        },
    },
    Operation {
        id: "openSession",
        permission: None,
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/session".to_owned(), None),
    },
    Operation {
        id: "closeSession",
        permission: None,
        is_tenant_bound: false,
        permitted: 404,
        request: |_, _| ("DELETE", "/session".to_owned(), None),
    },
    Operation {
        id: "getMe",
        permission: None,
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("GET", "/me".to_owned(), None),
    },
    Operation {
        id: "createToken",
        permission: None,
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/tokens".to_owned(), Some(json!({"audience": "a"}))),
    },
    Operation {
        id: "checkKey",
        permission: None,
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("GET", "/auth/check-key".to_owned(), None),
    },
    Operation {
        id: "athenaCreateApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/api/auth/api-key/create".to_owned(), Some(json!({}))),
    },
    Operation {
        id: "athenaGetApiKey",
        permission: Some("api_keys:read"),
        is_tenant_bound: true,
        permitted: 200,
        request: |_, key_id| ("GET", format!("/api/auth/api-key/get?id={key_id}"), None),
    },
    Operation {
        id: "athenaUpdateApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |_, key_id| {
            ("POST", "/api/auth/api-key/update".to_owned(), Some(json!({"keyId": key_id, "name": "n"})))
        },
    },
    Operation {
        id: "athenaDeleteApiKey",
        permission: Some("api_keys:write"),
        is_tenant_bound: true,
        permitted: 200,
        request: |_, key_id| ("POST", "/api/auth/api-key/delete".to_owned(), Some(json!({"keyId": key_id}))),
    },
    Operation {
        id: "athenaListApiKeys",
        permission: Some("api_keys:read"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("GET", "/api/auth/api-key/list".to_owned(), None),
    },
    Operation {
        id: "athenaVerifyApiKey",
        permission: Some("api_keys:verify"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/api/auth/api-key/verify".to_owned(), Some(json!({"key": "x"}))),
    },
    Operation {
        id: "athenaDeleteExpiredApiKeys",
        permission: Some("api_keys:write"),
        is_tenant_bound: false,
        permitted: 200,
        request: |_, _| ("POST", "/api/auth/api-key/delete-all-expired-api-keys".to_owned(), Some(json!({}))),
    },
];

/// Operations that need no credential.
pub(crate) const PUBLIC: &[&str] = &["createKey", "getJwks", "getRevoked"];
