//! Every operation of the OpenAPI document, with a request for it.

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

/// An operation, with a request that succeeds if it is permitted.
pub(crate) struct Operation {
    pub(crate) id: &'static str,
    /// The permissions that it needs, separated by spaces. `None`: any valid key.
    pub(crate) permission: Option<&'static str>,
    /// Whether the request names an organization.
    pub(crate) is_tenant_bound: bool,
    /// The status if it is permitted: 200, or, where a success would disturb the other tests, that of an error that follows
    /// the check of permissions.
    pub(crate) permitted: u16,
    /// Method, path and body, in the organization and for one of its keys.
    pub(crate) request: Request,
}

impl Operation {
    /// The permission with which the request can be sent for the keys of the caller's own user. `None`: there is none.
    pub(crate) fn own_permission(&self) -> Option<&'static str> {
        match self.permission? {
            "api_keys:read" if self.id != "getOrganizationUsage" => Some("own_api_keys:read"),
            "api_keys:write" => Some("own_api_keys:write"),
            _ => None,
        }
    }
}

type Request = fn(org_id: &str, key_id: &str) -> (&'static str, String, Option<Value>);

/// The content type and the bytes of a body: a form for the OAuth API, JSON for the others.
pub(crate) fn encoded(path: &str, body: &Value) -> (&'static str, Vec<u8>) {
    if !path.starts_with("/oauth/") {
        return ("application/json", body.to_string().into_bytes());
    }
    let parameters = body.as_object().into_iter().flatten();
    let parameters = parameters.map(|(name, value)| (name, value.as_str().expect("a parameter is a text")));
    let form = Serializer::new(String::new()).extend_pairs(parameters).finish();
    ("application/x-www-form-urlencoded", form.into_bytes())
}

/// The request names an organization or one of its keys.
const TENANT: bool = true;
/// The request names no organization.
const NOWHERE: bool = false;

/// No permission: any valid key.
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
    operation("verifyApiKeysBatch", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/api_keys/verify_batch".to_owned(), Some(json!({"keys": [{"key": "x"}]})))
    }),
    operation("bulkCreateApiKeys", "api_keys:write", TENANT, 200, |org_id, _| {
        let keys = json!({"keys": [{"name": "n", "permissions": []}]});
        ("POST", format!("/orgs/{org_id}/api_keys/bulk_create"), Some(keys))
    }),
    operation("bulkDeleteApiKeys", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/api_keys/bulk_delete"), Some(json!({"ids": [key_id]})))
    }),
    operation("createApiKey", "api_keys:write", TENANT, 200, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/api_keys"), Some(json!({"name": "n", "permissions": []})))
    }),
    operation("getApiKey", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}"), None)
    }),
    operation("getApiKeyDeletion", "api_keys:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/deletion"), None)
    }),
    operation("updateApiKey", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/api_keys/{key_id}"), Some(json!({"name": "n"})))
    }),
    operation("getApiKeyUsage", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/usage"), None)
    }),
    operation("getOrganizationUsage", "api_keys:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/usage"), None)
    }),
    operation("getApiKeysUsage", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/usage/api_keys?ids={key_id}"), None)
    }),
    operation("listTopUsage", "api_keys:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/usage/top"), None)
    }),
    operation("importApiKeys", "org:admin api_keys:write", TENANT, 200, |org_id, _| {
        let shape = json!({"prefix": "sk_", "length": 24, "alphabet": "base64url"});
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
    operation("checkKeyPolicy", "api_keys:read", TENANT, 200, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/key_policy/check"), Some(json!({"key_policy": {}})))
    }),
    operation("getApiKeyPolicy", "api_keys:read", TENANT, 200, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/key_policy"), None)
    }),
    operation("getPreviousSecret", "api_keys:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None)
    }),
    operation("findApiKey", "api_keys:read", TENANT, 404, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/api_keys/find"), Some(json!({"key": "x"})))
    }),
    operation("undoRotation", "api_keys:write", TENANT, 409, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}/newest_secret"), None)
    }),
    operation("revokePreviousSecret", "api_keys:write", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}/previous_secret"), None)
    }),
    operation("deleteApiKey", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/api_keys/{key_id}"), None)
    }),
    operation("listOrganizations", "org:read", NOWHERE, 200, |_, _| ("GET", "/orgs".to_owned(), None)),
    operation("createOrganization", "org:admin", NOWHERE, 403, |_, _| ("POST", "/orgs".to_owned(), Some(json!({})))),
    operation("getOrganization", "org:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}"), None)),
    operation("getService", "org:read", NOWHERE, 403, |_, _| ("GET", "/service".to_owned(), None)),
    operation("updateOrganization", "org:admin", TENANT, 200, |org_id, _| {
        ("PATCH", format!("/orgs/{org_id}"), Some(json!({"name": "n"})))
    }),
    operation("deleteOrganization", "*", TENANT, 400, |org_id, _| ("DELETE", format!("/orgs/{org_id}"), None)),
    operation("restoreOrganization", "org:admin", NOWHERE, 403, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/restore"), None)
    }),
    operation("listMembers", "members:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}/members"), None)),
    operation("addMember", "members:admin", TENANT, 400, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/members"), Some(json!({"permissions": []})))
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
    operation("findUsers", "members:read", NOWHERE, 403, |_, _| {
        ("GET", "/users?email=a%40example.com".to_owned(), None)
    }),
    operation("eraseUsers", "members:admin", NOWHERE, 403, |_, _| {
        ("DELETE", "/users?email=a%40example.com".to_owned(), None)
    }),
    operation("acceptMembership", NONE, NOWHERE, 404, |_, key_id| ("POST", format!("/me/memberships/{key_id}"), None)),
    operation("leaveOrganization", NONE, NOWHERE, 404, |_, key_id| {
        ("DELETE", format!("/me/memberships/{key_id}"), None)
    }),
    operation("endMemberSessions", "members:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/members/{key_id}/sessions"), None)
    }),
    operation("listMemberSessions", "members:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/members/{key_id}/sessions"), None)
    }),
    operation("endMemberSession", "members:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/members/{key_id}/sessions/{key_id}"), None)
    }),
    operation("listInvitations", "members:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/invitations"), None)
    }),
    operation("createInvitation", "members:admin", TENANT, 200, |org_id, _| {
        ("POST", format!("/orgs/{org_id}/invitations"), Some(json!({"user_name": "n", "permissions": []})))
    }),
    operation("getInvitation", "members:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/invitations/{key_id}"), None)
    }),
    operation("revokeInvitation", "members:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/invitations/{key_id}"), None)
    }),
    operation("createRecoveryLink", "members:admin", TENANT, 404, |org_id, key_id| {
        ("POST", format!("/orgs/{org_id}/members/{key_id}/recovery_links"), None)
    }),
    operation("redeemInvitation", NONE, NOWHERE, 403, |_, _| {
        ("POST", "/invitations/redeem".to_owned(), Some(json!({"token": "x"})))
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
    operation("countPermissionSetHolders", "permission_sets:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/permission_sets/{key_id}/holders"), None)
    }),
    operation("updatePermissionSet", "permission_sets:admin", TENANT, 404, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/permission_sets/{key_id}"), Some(json!({"permissions": []})))
    }),
    operation("deletePermissionSet", "permission_sets:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/permission_sets/{key_id}"), None)
    }),
    operation("listTrustRules", "trust_rules:read", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/trust_rules"), None)
    }),
    operation("createTrustRule", "trust_rules:admin", TENANT, 400, |org_id, key_id| {
        let rule = json!({"name": key_id, "issuer": "i", "claims": {"sub": "s"}, "permissions": []});
        ("POST", format!("/orgs/{org_id}/trust_rules"), Some(rule))
    }),
    operation("getTrustRule", "trust_rules:read", TENANT, 404, |org_id, key_id| {
        ("GET", format!("/orgs/{org_id}/trust_rules/{key_id}"), None)
    }),
    operation("updateTrustRule", "trust_rules:admin", TENANT, 404, |org_id, key_id| {
        ("PATCH", format!("/orgs/{org_id}/trust_rules/{key_id}"), Some(json!({"permissions": []})))
    }),
    operation("deleteTrustRule", "trust_rules:admin", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/trust_rules/{key_id}"), None)
    }),
    operation("getPortal", "org:read", TENANT, 200, |org_id, _| ("GET", format!("/orgs/{org_id}/portal"), None)),
    operation("updatePortal", "org:admin", TENANT, 200, |org_id, _| {
        ("PATCH", format!("/orgs/{org_id}/portal"), Some(json!({"name": "n"})))
    }),
    operation("listPortalSessions", "portal_sessions:write", TENANT, 200, |org_id, _| {
        ("GET", format!("/orgs/{org_id}/portal_sessions"), None)
    }),
    operation("createPortalSession", "portal_sessions:write", TENANT, 200, |org_id, key_id| {
        let session = json!({"external_id": key_id, "allowed": [], "permissions_ceiling": []});
        ("POST", format!("/orgs/{org_id}/portal_sessions"), Some(session))
    }),
    operation("revokePortalSession", "portal_sessions:write", TENANT, 404, |org_id, key_id| {
        ("DELETE", format!("/orgs/{org_id}/portal_sessions/{key_id}"), None)
    }),
    operation("setApiKeyPermissionSets", "api_keys:write", TENANT, 200, |org_id, key_id| {
        ("PUT", format!("/orgs/{org_id}/api_keys/{key_id}/permission_sets"), Some(json!({"permission_sets": []})))
    }),
    operation("listPasskeys", NONE, NOWHERE, 403, |_, _| ("GET", "/me/passkeys".to_owned(), None)),
    operation("createPasskeyOptions", NONE, NOWHERE, 403, |_, _| ("POST", "/me/passkey_options".to_owned(), None)),
    operation("addPasskey", NONE, NOWHERE, 403, |_, _| {
        ("POST", "/me/passkeys".to_owned(), Some(json!({"ceremony": "x", "credential": {}})))
    }),
    operation("renamePasskey", NONE, NOWHERE, 403, |_, key_id| {
        ("PATCH", format!("/me/passkeys/{key_id}"), Some(json!({"name": "n"})))
    }),
    operation("removePasskey", NONE, NOWHERE, 403, |_, key_id| ("DELETE", format!("/me/passkeys/{key_id}"), None)),
    operation("openSession", NONE, NOWHERE, 200, |_, _| ("POST", "/session".to_owned(), None)),
    operation("closeSession", NONE, NOWHERE, 404, |_, _| ("DELETE", "/session".to_owned(), None)),
    operation("endSessions", NONE, NOWHERE, 200, |_, _| ("DELETE", "/me/sessions".to_owned(), None)),
    operation("listSessions", NONE, NOWHERE, 200, |_, _| ("GET", "/me/sessions".to_owned(), None)),
    operation("endSession", NONE, NOWHERE, 404, |_, key_id| ("DELETE", format!("/me/sessions/{key_id}"), None)),
    operation("getMe", NONE, NOWHERE, 200, |_, _| ("GET", "/me".to_owned(), None)),
    operation("createToken", NONE, NOWHERE, 200, |_, _| ("POST", "/tokens".to_owned(), Some(json!({"audience": "a"})))),
    operation("introspectToken", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/oauth/introspect".to_owned(), Some(json!({"token": "x"})))
    }),
    operation("revokeToken", NONE, NOWHERE, 200, |_, _| {
        ("POST", "/oauth/revoke".to_owned(), Some(json!({"token": "x"})))
    }),
    operation("checkApiKey", NONE, NOWHERE, 200, |_, _| ("GET", "/auth/check-key".to_owned(), None)),
    operation("createAthenaKey", "api_keys:write", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/create".to_owned(), Some(json!({})))
    }),
    operation("getAthenaKey", "api_keys:read", TENANT, 200, |_, key_id| {
        ("GET", format!("/api/auth/api-key/get?id={key_id}"), None)
    }),
    operation("updateAthenaKey", "api_keys:write", TENANT, 200, |_, key_id| {
        ("POST", "/api/auth/api-key/update".to_owned(), Some(json!({"keyId": key_id, "name": "n"})))
    }),
    operation("deleteAthenaKey", "api_keys:write", TENANT, 200, |_, key_id| {
        ("POST", "/api/auth/api-key/delete".to_owned(), Some(json!({"keyId": key_id})))
    }),
    operation("listAthenaKeys", "api_keys:read", NOWHERE, 200, |_, _| {
        ("GET", "/api/auth/api-key/list".to_owned(), None)
    }),
    operation("verifyAthenaKey", "api_keys:verify", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/verify".to_owned(), Some(json!({"key": "x"})))
    }),
    operation("deleteExpiredAthenaKeys", "api_keys:write", NOWHERE, 200, |_, _| {
        ("POST", "/api/auth/api-key/delete-all-expired-api-keys".to_owned(), Some(json!({})))
    }),
];

/// Operations that need the token of a portal session, for one of the keys of its customer. The last one ends the session.
pub(crate) const PORTAL: &[Operation] = &[
    operation("getPortalSession", NONE, NOWHERE, 200, |_, _| ("GET", "/portal/session".to_owned(), None)),
    operation("listPortalKeys", NONE, NOWHERE, 200, |_, _| ("GET", "/portal/api_keys".to_owned(), None)),
    operation("createPortalKey", NONE, NOWHERE, 200, |_, _| {
        ("POST", "/portal/api_keys".to_owned(), Some(json!({"name": "n"})))
    }),
    operation("getPortalKeyUsage", NONE, NOWHERE, 200, |_, key_id| {
        ("GET", format!("/portal/api_keys/{key_id}/usage"), None)
    }),
    operation("rotatePortalKey", NONE, NOWHERE, 200, |_, key_id| {
        ("POST", format!("/portal/api_keys/{key_id}/rotate"), Some(json!({"grace_seconds": 0})))
    }),
    operation("revokePortalKey", NONE, NOWHERE, 200, |_, key_id| {
        ("DELETE", format!("/portal/api_keys/{key_id}"), None)
    }),
    operation("closePortalSession", NONE, NOWHERE, 200, |_, _| ("DELETE", "/portal/session".to_owned(), None)),
];

/// Operations that need no credential.
pub(crate) const PUBLIC: &[&str] = &[
    "signUp",
    "previewInvitation",
    "openPortalSession",
    "getSignInOptions",
    "createPasskeySignInOptions",
    "signInWithPasskey",
    "createPasskeyRegistrationOptions",
    "registerWithPasskey",
    "getJwks",
    "getRevokedTokens",
    "getRevokedTokensJwt",
    "createOAuthToken",
    "getAuthorizationServerMetadata",
];
