//! The request of a verification: JSON → domain.

use std::net::IpAddr;

use domain::{Error, keys::quota::MAX_INTEGER, permissions::Permissions};
use poem_openapi::Object;
use serde::Deserialize;
use serde_json::Value;

use crate::routes::fields;
use crate::{
    http::{
        api_error::{ApiError, Fields},
        body::{BULK_LIMIT, Document},
        strict_json::{FromJson, JsonFields, document, each},
    },
    verify_fast_path::{DEFAULT_COST, ParsedVerify, PlainContext, StrictBody, is_plain_key},
};

document! {
    /// A key to verify, with the requirements that it must meet.
    #[oai(rename = "VerifyApiKeyRequest")]
    pub(crate) struct VerifyApiKey {
        /// The secret.
        key: String,
        /// The permissions that the key must hold, all of them: `read` is that action on every resource, `files:read` on
        /// one.
        #[oai(skip_serializing_if_is_none, validator(max_items = 256))]
        permissions: Option<Vec<String>>,
        #[oai(skip_serializing_if_is_none)]
        context: Option<VerifyContext>,
        /// The organization that the key must belong to; default: the caller's own, for a platform caller any.
        #[oai(skip_serializing_if_is_none)]
        org_id: Option<String>,
        /// Number of uses to take from `remaining`; default 1. With 0 nothing is taken, and the key is valid even if it has
        /// no uses left.
        #[oai(skip_serializing_if_is_none)]
        cost: Option<u64>,
    }
}

/// What is known about the client that sent the key.
#[derive(Object)]
pub(crate) struct VerifyContext {
    /// IP address of the client. Without it, keys with an IP allowlist are invalid.
    #[oai(skip_serializing_if_is_none)]
    ip: Option<String>,
}

/// Keys to verify, each with its requirements.
#[derive(Object)]
#[oai(rename = "VerifyApiKeysBatchRequest")]
pub(crate) struct VerifyApiKeys {
    /// 1 to 100 keys.
    #[oai(validator(min_items = 1, max_items = 100))]
    keys: Vec<VerifyApiKey>,
}

/// Maximum number of keys in one request.
const MAX_KEYS: usize = 100;

impl Document for VerifyApiKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(members: JsonFields) -> Result<Self, ApiError> {
        Ok(Self { keys: members.finish_with_list("keys", MAX_KEYS, "keys", VerifyApiKey::read)? })
    }

    fn read_plain(body: &[u8]) -> Option<Self> {
        let StrictBody(plain): StrictBody<StrictBatch<'_>> = serde_json::from_slice(body).ok()?;
        let is_plain = (1..=MAX_KEYS).contains(&plain.keys.len()) && plain.keys.iter().all(|plain| plain.0.is_plain());
        let owned = |StrictBody(plain): StrictBody<StrictRequest<'_>>| VerifyApiKey {
            key: plain.key.to_owned(),
            permissions: plain.permissions.map(|list| list.into_iter().map(ToOwned::to_owned).collect()),
            context: plain.context.map(|context| VerifyContext { ip: context.0.ip().map(ToOwned::to_owned) }),
            org_id: plain.org_id.map(ToOwned::to_owned),
            cost: plain.cost,
        };
        is_plain.then(|| Self { keys: plain.keys.into_iter().map(owned).collect() })
    }
}

impl FromJson for VerifyContext {
    const EXPECTED: &'static str = "an object with an IP address as ip";

    fn from_json(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else { return None };
        let ip = match members.remove("ip") {
            None | Some(Value::Null) => None,
            Some(Value::String(ip)) => Some(ip).filter(|ip| ip.parse::<IpAddr>().is_ok()).map(Some)?,
            Some(_) => return None,
        };
        members.is_empty().then_some(Self { ip })
    }
}

impl VerifyApiKey {
    pub(crate) fn into_parsed(self) -> Result<ParsedVerify<'static>, ApiError> {
        let permissions = self.permissions.unwrap_or_default();
        let permissions = fields::permissions(&permissions)
            .map_err(|invalid| ApiError::Invalid(Fields::one("permissions", invalid)))?;
        // An invalid id matches no organization, as in all operations.
        let organization = self.org_id.map(|id| id.parse().map_err(|_| Error::NotFound)).transpose()?;
        let from = self.context.and_then(|context| context.ip?.parse().ok());
        let cost = self.cost.unwrap_or(DEFAULT_COST);
        Ok(ParsedVerify { key: self.key.into(), permissions, organization, from, cost })
    }

    /// Parses a body as most clients send it, without copies. `None`: the body needs the full parser, which also says what is
    /// invalid. The result is the same as that of the full parser.
    pub(crate) fn parse_strict(body: &[u8]) -> Option<ParsedVerify<'_>> {
        let StrictBody(plain): StrictBody<StrictRequest<'_>> = serde_json::from_slice(body).ok()?;
        if !plain.is_plain() {
            return None;
        }
        let permissions = Permissions::from_flat(plain.permissions.iter().flatten().copied()).ok()?;
        let organization = plain.org_id.map(str::parse).transpose().ok()?;
        let from = PlainContext::from(plain.context.as_ref())?;
        Some(ParsedVerify {
            key: plain.key.into(),
            permissions,
            organization,
            from,
            cost: plain.cost.unwrap_or(DEFAULT_COST),
        })
    }
}

impl VerifyApiKeys {
    /// Whether the request has more than 4,096 permissions in all. Parsing these would block other requests on the same thread.
    pub(crate) fn is_long(&self) -> bool {
        self.keys.iter().flat_map(|key| &key.permissions).map(Vec::len).sum::<usize>() > 4_096
    }

    pub(crate) fn into_parsed(self) -> Result<Vec<ParsedVerify<'static>>, ApiError> {
        each("keys", self.keys, VerifyApiKey::into_parsed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictRequest<'a> {
    key: &'a str,
    #[serde(borrow, default)]
    permissions: Option<Vec<&'a str>>,
    #[serde(borrow, default)]
    context: Option<StrictBody<PlainContext<'a>>>,
    org_id: Option<&'a str>,
    cost: Option<u64>,
}

impl StrictRequest<'_> {
    fn is_plain(&self) -> bool {
        let is_short = self.permissions.as_ref().is_none_or(|list| list.len() <= Permissions::MAX);
        let has_plain_texts = self.permissions.iter().flatten().chain(&self.org_id).all(|text| !text.contains('$'));
        is_plain_key(self.key)
            && is_short
            && has_plain_texts
            && PlainContext::from(self.context.as_ref()).is_some()
            && self.cost.is_none_or(|cost| cost <= MAX_INTEGER)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictBatch<'a> {
    #[serde(borrow)]
    keys: Vec<StrictBody<StrictRequest<'a>>>,
}
