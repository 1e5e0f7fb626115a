//! The issuers file: the identity providers that the operator trusts, and how their tokens are validated.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use domain::{
    auth::identity::{AllowedOrganizations, Issuer, ProvisioningPolicy},
    id::Identity,
    permissions::Permissions,
};
use reqwest::Certificate;
use serde_json::Value;
use url::Url;

use super::{
    claims::{Claim, ClaimPath, Claims, Condition, OrganizationBy, ProviderPermissionMap},
    issuers_fields::{FileObject, Mistakes, list, one_or_more, text},
    issuers_sign_in::{self, SignInClient},
    token_type,
};
use crate::http::{client_ip::is_this_machine, strict_json};

/// The memory that the parsed file may take, in bytes.
const MEMORY: usize = 16 * 1024 * 1024;

/// Where the public keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(Url),
    /// At the URL in the provider's metadata (OIDC Discovery 1.0 §4).
    Discovery {
        /// The URL of the metadata.
        url: Url,
        /// The issuer that they must name.
        issuer: String,
    },
}

/// How the public keys of a provider are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    /// Where the keys are.
    pub at: KeysAt,
    /// Whether they may be read by http from another machine.
    pub insecure_http: bool,
    /// The CA certificates (PEM) that the provider's certificate is validated with, instead of those of the system.
    pub ca_file: Option<PathBuf>,
}

/// An identity provider, and how its tokens are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name, and what its users may do.
    pub issuer: Issuer,
    /// Its tokens must have one of these audiences.
    pub audiences: Vec<String>,
    /// Its public keys.
    pub keys: KeySource,
    /// Its claims.
    pub claims: Claims,
    /// Conditions on further claims.
    pub conditions: Vec<Condition>,
    /// How it names organizations.
    pub organization_by: OrganizationBy,
    /// The permissions that the words in its permissions claim give. `None`: the words are permissions of this service.
    pub permission_map: Option<ProviderPermissionMap>,
    /// The types of its tokens, in lower case and without `application/`. `None` is a token without a type.
    pub types: Vec<Option<String>>,
    /// How people sign in there with the browser. `None`: they cannot; only its access tokens are accepted.
    pub sign_in: Option<SignInClient>,
}

/// The providers in a file, or everything that is wrong with it, as the rest of a sentence that begins with "must be".
pub fn read(path: &Path, own_issuer: &str) -> Result<Vec<Provider>, String> {
    let bytes = fs::read(path).map_err(|error| format!("a readable file: {error}"))?;
    let Value::Array(entries) = document(&bytes)? else {
        return Err("a JSON array of identity providers: [{\"issuer\": …}]".to_owned());
    };
    let (mistakes, mut names, mut sign_in_ids) = (Mistakes::default(), HashSet::new(), HashSet::new());
    let mut providers = Vec::with_capacity(entries.len());
    for (n, entry) in entries.into_iter().enumerate() {
        let path = format!("[{n}]");
        if let Some(issuer) = entry.get("issuer").and_then(Value::as_str)
            && !names.insert(issuer.to_owned())
        {
            mistakes.add(&format!("{path}.issuer"), "is listed twice: merge the entries");
        }
        if let Some(id) = entry.pointer("/sign_in/id").and_then(Value::as_str)
            && !sign_in_ids.insert(id.to_owned())
        {
            mistakes.add(&format!("{path}.sign_in.id"), "is the id of another entry, too: choose another one");
        }
        let entry = FileObject::of(entry, path, &mistakes);
        providers.extend(entry.and_then(|entry| provider(entry, own_issuer)));
    }
    mistakes.into_result().map_err(|wrong| format!("valid: {wrong}"))?;
    Ok(providers)
}

fn document(bytes: &[u8]) -> Result<Value, String> {
    let document = serde_json::from_slice::<Value>(bytes).map_err(|error| {
        format!("a JSON array of identity providers: line {}, column {}: invalid JSON", error.line(), error.column())
    })?;
    // Of two conditions with one name, only the last would count.
    let checked = strict_json::check(bytes, MEMORY);
    checked.map_err(|_| "a JSON array of identity providers, without an object that has a member twice".to_owned())?;
    Ok(document)
}

fn provider(mut entry: FileObject<'_>, own_issuer: &str) -> Option<Provider> {
    let name =
        entry.require("issuer", "the `iss` of its tokens: 1 to 255 bytes, without control characters", |value| {
            text(value).filter(|name| Identity::is_name(name))
        });
    if name.as_deref() == Some(own_issuer) {
        entry.wrong("issuer", "must be another service: this service does not accept its own tokens");
    }
    let audiences = entry.require("audiences", "a list of non-empty strings", |value| list(value, text));
    let allowed_organizations =
        entry.require("organizations", "\"tenants\" or a list of ids of organizations", allowed_organizations);
    let insecure_http = entry.flag("insecure_http");
    let sign_in = issuers_sign_in::read(&mut entry, name.as_deref(), insecure_http);
    let keys = key_source(&mut entry, name.as_deref(), insecure_http, sign_in.is_some());
    let types = entry.take("token_types", TOKEN_TYPES, |value| {
        let optional = |value: &Value| {
            if value.is_null() { Some(None) } else { text(value).map(|text| Some(token_type(&text))) }
        };
        list(value, optional)
    });
    let claims = claims(&mut entry);
    let organization_by = entry.take("organization_by", "\"id\" or \"external_id\"", |value| match value.as_str()? {
        "id" => Some(OrganizationBy::Id),
        "external_id" => Some(OrganizationBy::ExternalId),
        _ => None,
    });
    let permission_map = permission_map(&mut entry);
    let conditions = conditions(&mut entry);
    let is_authoritative = entry.flag("authoritative");
    let provisioning = provisioning(&mut entry);
    entry.finish();
    Some(Provider {
        issuer: Issuer {
            name: name?,
            allowed_organizations: allowed_organizations?,
            provisioning,
            is_authoritative,
            requires_permissions: is_authoritative || claims.names_permissions || permission_map.is_some(),
        },
        audiences: audiences?,
        keys: keys?,
        claims,
        conditions,
        organization_by: organization_by.unwrap_or(OrganizationBy::Id),
        permission_map,
        // The type of access tokens (RFC 9068 §2.1).
        types: types.unwrap_or_else(|| vec![Some("at+jwt".to_owned())]),
        sign_in,
    })
}

const TOKEN_TYPES: &str = "a list of the `typ` of its tokens, such as \"at+jwt\"; null is a token without `typ`";

fn allowed_organizations(value: &Value) -> Option<AllowedOrganizations> {
    if value == "tenants" {
        return Some(AllowedOrganizations::Tenants);
    }
    let ids = value.as_array()?.iter().map(|id| id.as_str()?.parse().ok());
    ids.collect::<Option<_>>().map(AllowedOrganizations::These)
}

fn provisioning(entry: &mut FileObject<'_>) -> ProvisioningPolicy {
    let create_users = entry.flag("create_users");
    let member_permissions = entry.take("member_permissions", PERMISSIONS, permissions);
    match (create_users, member_permissions) {
        (false, None) => ProvisioningPolicy::Reject,
        (true, None) => ProvisioningPolicy::CreateUser,
        (true, Some(permissions)) => ProvisioningPolicy::CreateMember(permissions),
        (false, Some(_)) => {
            entry.wrong("member_permissions", "needs create_users: set that to true, too");
            ProvisioningPolicy::Reject
        }
    }
}

const PERMISSIONS: &str = "a list of at most 256 permissions, such as \"api_keys:read\"";

fn permissions(value: &Value) -> Option<Permissions> {
    let strings: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
    Permissions::from_flat(strings?).ok()
}

const CLAIM: &str = "a claim's name, or a JSON pointer such as \"/realm_access/roles\"";

fn claims(entry: &mut FileObject<'_>) -> Claims {
    let mut object = entry.object("claims");
    let path = |value: &Value| value.as_str().and_then(ClaimPath::parse);
    let mut named = |name: &str| {
        let expected = format!("{CLAIM}, or a list of these");
        object.as_mut()?.take(name, &expected, |value| one_or_more(value, path)).map(Claim)
    };
    let (user, email, name) = (named("user"), named("email"), named("name"));
    let (organization, permissions) = (named("organization"), named("permissions"));
    let audience = object.as_mut().and_then(|object| object.take("audience", CLAIM, path));
    if let Some(object) = object {
        object.finish();
    }
    Claims {
        user: user.unwrap_or_else(|| Claim::named("sub")),
        email: email.unwrap_or_else(|| Claim::named("email")),
        name: name.unwrap_or_else(|| Claim::named("name")),
        audience: audience.map_or_else(|| Claim::named("aud"), |path| Claim(vec![path])),
        names_organization: organization.is_some(),
        organization: organization.unwrap_or_else(|| Claim::named("org_id")),
        names_permissions: permissions.is_some(),
        permissions: permissions.unwrap_or_else(|| Claim::named("permissions")),
    }
}

fn permission_map(entry: &mut FileObject<'_>) -> Option<ProviderPermissionMap> {
    let members = entry.members("permission_map")?;
    let mut map = HashMap::new();
    for (word, value) in members {
        match permissions(&value) {
            Some(permissions) => _ = map.insert(word, permissions),
            None => entry.wrong(&format!("permission_map.{word}"), &format!("must be {PERMISSIONS}")),
        }
    }
    // So that the permissions of a token with all words fit into one set.
    if Permissions::union(map.values()).len() > Permissions::MAX {
        entry.wrong("permission_map", "must give at most 256 different permissions");
    }
    Some(ProviderPermissionMap(map))
}

/// The conditions on further claims in the member `require`.
pub(super) fn conditions(entry: &mut FileObject<'_>) -> Vec<Condition> {
    let Some(members) = entry.members("require") else { return Vec::new() };
    if members.is_empty() {
        entry.wrong(
            "require",
            "must name a claim, such as {\"repository_owner\": \"acme\"}; without conditions, remove it",
        );
    }
    let value = |value: &Value| (value.is_string() || value.is_boolean()).then(|| value.clone());
    let mut conditions = Vec::new();
    for (name, allowed) in members {
        match (ClaimPath::parse(&name), one_or_more(&allowed, value)) {
            (Some(claim), Some(allowed)) => conditions.push(Condition { claim, allowed }),
            (None, _) => entry.wrong("require", &format!("must have members whose name is {CLAIM}")),
            (_, None) => {
                let what = "must be the value that the claim must have, a string or a boolean, or a list of these";
                entry.wrong(&format!("require.{name}"), what);
            }
        }
    }
    conditions
}

/// `has_sign_in`: requests go to the provider also for other things than its keys.
fn key_source(
    entry: &mut FileObject<'_>,
    issuer: Option<&str>,
    insecure_http: bool,
    has_sign_in: bool,
) -> Option<KeySource> {
    let ca_file = entry.take("ca_file", "the absolute path of a file with certificates in PEM", ca_file);
    let jwks = "the absolute path of a file that can be read, an https URL, or an http URL on 127.0.0.1, [::1] or \
                localhost; elsewhere http needs \"insecure_http\": true";
    let is_there = entry.has("jwks");
    let at = entry.take("jwks", jwks, |value| {
        let text = value.as_str()?;
        if text.starts_with('/') { jwks_file(text) } else { url(text, insecure_http).map(KeysAt::Url) }
    });
    let at = if is_there { at } else { discovery(entry, issuer?, insecure_http) };
    if ca_file.is_some() && !has_sign_in && at.as_ref().is_some_and(|at| !at.is_https()) {
        entry.wrong("ca_file", "is only used with https: remove it, or correct jwks");
    }
    Some(KeySource { at: at?, insecure_http, ca_file })
}

/// A file that keys may be read from. A pipe is not opened, because that would wait for a writer.
fn jwks_file(path: &str) -> Option<KeysAt> {
    let kind = fs::metadata(path).ok()?.file_type();
    let can_be_read = !kind.is_dir() && (!kind.is_file() || fs::File::open(path).is_ok());
    can_be_read.then(|| KeysAt::File(path.into()))
}

/// A URL that keys may be read from.
fn url(text: &str, insecure_http: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let may_be_http = insecure_http || is_this_machine(&url);
    (url.scheme() == "https" || url.scheme() == "http" && may_be_http).then_some(url)
}

/// The keys that the metadata of an issuer name.
fn discovery(entry: &FileObject<'_>, issuer: &str, insecure_http: bool) -> Option<KeysAt> {
    let Some(url) = metadata_url(issuer, insecure_http) else {
        entry.wrong("jwks", "is required, unless the issuer is an https URL: set it");
        return None;
    };
    Some(KeysAt::Discovery { url, issuer: issuer.to_owned() })
}

/// The URL of the metadata of an issuer (OIDC Discovery 1.0 §4.1). `None`: the issuer is no URL that may be used.
pub(super) fn metadata_url(issuer: &str, insecure_http: bool) -> Option<Url> {
    let is_plain = |url: &Url| url.query().is_none() && url.fragment().is_none();
    url(issuer, insecure_http).filter(is_plain)?;
    Url::parse(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).ok()
}

impl KeysAt {
    fn is_https(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Url(url) | Self::Discovery { url, .. } => url.scheme() == "https",
        }
    }
}

fn ca_file(value: &Value) -> Option<PathBuf> {
    let path = value.as_str().filter(|text| text.starts_with('/'))?;
    let certificates = Certificate::from_pem_bundle(&fs::read(path).ok()?).ok()?;
    (!certificates.is_empty()).then(|| path.into())
}
