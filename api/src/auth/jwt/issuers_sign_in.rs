//! How people sign in at a provider with the browser: the object `sign_in` of an entry of the issuers file.

use std::path::Path;

use openidconnect::{ClientId, ClientSecret};
use serde_json::Value;
use url::Url;

use super::{
    claims::Condition,
    issuers::{conditions, metadata_url},
    issuers_fields::{FileObject, list, text},
};
use crate::process::secret_file;

/// The maximum length of the id of a provider, in bytes. It is a part of a URL.
const MAX_ID: usize = 32;

/// The maximum length of the name of a provider, in characters. It is on a button.
const MAX_NAME: usize = 64;

/// This service as a client of a provider (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInClient {
    /// The id of the provider in the URLs of this service.
    pub id: String,
    /// The name of the provider, for people.
    pub name: String,
    /// The id of this service at the provider.
    pub client_id: ClientId,
    /// The secret of this service at the provider. `None`: it is a public client.
    pub client_secret: Option<ClientSecret>,
    /// Conditions on the claims of ID tokens. `None`: those for access tokens.
    pub conditions: Option<Vec<Condition>>,
    /// The scopes that are requested, beside `openid`.
    pub scopes: Vec<String>,
    /// The URL of the provider's metadata.
    pub metadata: Url,
}

/// Reads the member `sign_in` of an entry. `None`: it is absent or wrong.
pub(super) fn read(entry: &mut FileObject<'_>, issuer: Option<&str>, insecure_http: bool) -> Option<SignInClient> {
    let mut object = entry.object("sign_in")?;
    let id =
        object.require("id", "1 to 32 small letters, digits and hyphens", |value| text(value).filter(|id| is_id(id)));
    let name = object.require("name", "1 to 64 characters, without control characters", |value| {
        text(value).filter(|name| name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control))
    });
    let client_id = object.require("client_id", "the id of this service at the provider", text);
    let file =
        "the absolute path of a file with the client secret, which other users cannot read or change: run chmod 600";
    let client_secret = object.take("client_secret_file", file, client_secret);
    let scopes = object.take("scopes", "a list of scopes, such as \"email\"", |value| list(value, scope));
    let conditions = object.has("require").then(|| conditions(&mut object));
    object.finish();
    let metadata = issuer.and_then(|issuer| metadata_url(issuer, insecure_http));
    if metadata.is_none() {
        entry.wrong("sign_in", "needs an issuer that is an https URL: correct the issuer, or remove sign_in");
    }
    Some(SignInClient {
        id: id?,
        name: name?,
        client_id: ClientId::new(client_id?),
        client_secret,
        conditions,
        scopes: scopes.unwrap_or_else(|| ["profile", "email"].map(str::to_owned).into()),
        metadata: metadata?,
    })
}

fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= MAX_ID && text.bytes().all(is_allowed)
}

/// A scope (RFC 6749 §3.3).
fn scope(value: &Value) -> Option<String> {
    text(value).filter(|scope| scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'))
}

/// The secret in a file, without the line break at its end.
fn client_secret(value: &Value) -> Option<ClientSecret> {
    let path = value.as_str().filter(|text| text.starts_with('/'))?;
    let text = secret_file::read(Path::new(path)).ok()?;
    let secret = text.trim_end_matches(['\r', '\n']);
    (!secret.is_empty()).then(|| ClientSecret::new(secret.to_owned()))
}
