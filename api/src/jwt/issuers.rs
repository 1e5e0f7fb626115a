//! Which identity providers are believed: the file that the operator writes, and its rules.

use std::{collections::HashSet, fs, path::Path};

use domain::{
    id::OrganizationId,
    identity::{Destinations, Identity, Issuer, Newcomers},
    permission::PermissionSet,
};
use serde::Deserialize;
use url::Url;

use super::token_type;
use crate::address::is_this_machine;

/// What the operator writes about one identity provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    audiences: Vec<String>,
    jwks: String,
    organizations: Organizations,
    #[serde(default)]
    claims: Claims,
    #[serde(default = "access_token")]
    token_types: Vec<String>,
    #[serde(default)]
    create_users: bool,
    member_permissions: Option<Vec<String>>,
    #[serde(default)]
    authoritative: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Organizations {
    /// `"tenants"`.
    Word(String),
    These(Vec<String>),
}

/// The names of the claims that are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// Who, at the provider.
    pub user: String,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// The id of the only organization that they act in.
    organization: Option<String>,
    /// The most that they may do: a list, or a text with spaces between (RFC 8693 §4.2).
    permissions: Option<String>,
}

impl Claims {
    /// The claim for the only organization.
    #[must_use]
    pub fn organization(&self) -> &str {
        self.organization.as_deref().unwrap_or("org_id")
    }

    /// Whether the operator has named it.
    #[must_use]
    pub fn names_organization(&self) -> bool {
        self.organization.is_some()
    }

    /// The claim for permissions.
    #[must_use]
    pub fn permissions(&self) -> &str {
        self.permissions.as_deref().unwrap_or("permissions")
    }
}

impl Default for Claims {
    fn default() -> Self {
        let name = str::to_owned;
        Self { user: name("sub"), email: name("email"), name: name("name"), organization: None, permissions: None }
    }
}

/// The type of access tokens (RFC 9068 §2.1).
fn access_token() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

/// Where the public keys of a provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(std::path::PathBuf),
    /// By https; by http on this machine.
    Url(Url),
}

/// An identity provider, and how its tokens are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// How far it is believed.
    pub issuer: Issuer,
    /// Whom its tokens are for: one of these.
    pub audiences: Vec<String>,
    /// Its public keys.
    pub keys: KeysAt,
    /// The names of the claims.
    pub claims: Claims,
    /// The types of its tokens, in lower case and without `application/`.
    pub types: Vec<String>,
}

/// The providers in a file. What is wrong is said by the names of members, without their values.
pub fn read(path: &Path, own_origin: &str) -> Result<Vec<Provider>, String> {
    let text = fs::read(path).map_err(|error| format!("a file that can be read: {error}"))?;
    let mut json = serde_json::Deserializer::from_slice(&text);
    let entries: Vec<Entry> = serde_path_to_error::deserialize(&mut json).map_err(|error| no_list(&error))?;
    json.end()
        .map_err(|error| format!("one JSON list and nothing after it, which it is not at line {}", error.line()))?;
    let mut names = HashSet::new();
    let check = |(place, entry): (usize, Entry)| {
        let provider = provider(entry, own_origin).map_err(|wrong| format!("right about provider {place}: {wrong}"))?;
        if !names.insert(provider.issuer.name.clone()) {
            return Err(format!("right about provider {place}: the issuer is there twice"));
        }
        Ok(provider)
    };
    entries.into_iter().enumerate().map(check).collect()
}

/// What is wrong with the list, by the name of the member. A value is not repeated: it may have been meant for another file, and
/// be secret.
fn no_list(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, error) = (error.path(), error.inner());
    let message = error.to_string();
    let names_a_member =
        ["unknown field", "missing field", "duplicate field"].iter().any(|begin| message.starts_with(begin));
    let wrong = match message.split(" at line ").next() {
        Some(named) if names_a_member => named,
        _ if error.is_data() => "it is of another type than expected",
        _ => "this is no JSON",
    };
    format!(
        "a JSON list of identity providers, which it is not at line {}, column {} ({path}): {wrong}",
        error.line(),
        error.column()
    )
}

fn provider(entry: Entry, own_origin: &str) -> Result<Provider, &'static str> {
    if !Identity::is_name(&entry.issuer) {
        return Err("issuer must be 1 to 255 bytes, none a control character");
    }
    if entry.issuer == own_origin {
        return Err("issuer must be somebody else: this service does not take its own tokens");
    }
    let is_bare = |texts: &[String]| texts.is_empty() || texts.iter().any(String::is_empty);
    if is_bare(&entry.audiences) || is_bare(&entry.token_types) {
        return Err("audiences and token_types must not be empty, nor anything in them");
    }
    let claims = [&entry.claims.user, &entry.claims.email, &entry.claims.name];
    let named = [&entry.claims.organization, &entry.claims.permissions];
    if claims.into_iter().chain(named.into_iter().flatten()).any(String::is_empty) {
        return Err("claims must not name an empty claim");
    }
    let permissions = |texts: &[String]| PermissionSet::from_flat(texts.iter().map(String::as_str));
    let member_permissions = entry.member_permissions.as_deref().map(permissions).transpose();
    let member_permissions = member_permissions.map_err(|_| "member_permissions must be permissions")?;
    let newcomers = match (entry.create_users, member_permissions) {
        (false, None) => Newcomers::Refused,
        (true, None) => Newcomers::Made,
        (true, Some(permissions)) => Newcomers::Members(permissions),
        (false, Some(_)) => return Err("member_permissions need create_users"),
    };
    let destinations = match entry.organizations {
        Organizations::Word(word) if word == "tenants" => Destinations::Tenants,
        Organizations::Word(_) => return Err("organizations must be \"tenants\" or a list of ids"),
        Organizations::These(ids) => {
            let ids: Result<Vec<OrganizationId>, _> = ids.iter().map(|id| id.parse()).collect();
            Destinations::These(ids.map_err(|_| "organizations must be \"tenants\" or a list of ids")?)
        }
    };
    Ok(Provider {
        issuer: Issuer {
            name: entry.issuer,
            destinations,
            newcomers,
            is_authoritative: entry.authoritative,
            requires_permissions: entry.authoritative || entry.claims.permissions.is_some(),
        },
        audiences: entry.audiences,
        keys: keys_at(&entry.jwks)?,
        claims: entry.claims,
        types: entry.token_types.iter().map(|text| token_type(text)).collect(),
    })
}

fn keys_at(text: &str) -> Result<KeysAt, &'static str> {
    let wrong = "jwks must be an absolute path, an https URL, or an http URL on 127.0.0.1, [::1] or localhost";
    if text.starts_with('/') {
        return Ok(KeysAt::File(text.into()));
    }
    let url = Url::parse(text).map_err(|_| wrong)?;
    if url.scheme() == "https" || url.scheme() == "http" && is_this_machine(&url) {
        Ok(KeysAt::Url(url))
    } else {
        Err(wrong)
    }
}
