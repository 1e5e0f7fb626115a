//! What is asked of verify: JSON → domain.

use std::net::IpAddr;

use domain::{Error, permission::PermissionSet, quota::MAX_INTEGER};
use poem_openapi::Object;
use serde::Deserialize;
use serde_json::Value;

use super::written;
use crate::{
    body::{BULK_LIMIT, Document},
    failure::{Failure, Fields},
    hot::{Asked, Plain, PlainContext, USUAL_COST, is_plain_key},
    json::{FromMember, Members, each},
};

/// A key, and what it should be good for.
#[derive(Object)]
pub(super) struct VerifyApiKey {
    /// The text of the key.
    key: String,
    /// What the key must hold, all of it: `read` for that action on every resource, `files:read` for one.
    #[oai(skip_serializing_if_is_none, validator(max_items = 256))]
    permissions: Option<Vec<String>>,
    #[oai(skip_serializing_if_is_none)]
    context: Option<VerifyContext>,
    /// The organization that the key must belong to; without it the caller's own, for a platform caller any.
    #[oai(skip_serializing_if_is_none)]
    org_id: Option<String>,
    /// What the use takes from `remaining`: 1 without it. With 0 it takes nothing, and is good also where nothing remains.
    #[oai(skip_serializing_if_is_none)]
    cost: Option<u64>,
}

/// What is known about who shows the key.
#[derive(Object)]
pub(super) struct VerifyContext {
    /// Their IP address. Without it a key that may be used from some addresses only is refused.
    #[oai(skip_serializing_if_is_none)]
    ip: Option<String>,
}

/// Keys, and what each should be good for.
#[derive(Object)]
pub(super) struct VerifyApiKeys {
    /// 1 to 100 questions.
    #[oai(validator(min_items = 1, max_items = 100))]
    keys: Vec<VerifyApiKey>,
}

/// The most questions in one call.
const MOST: usize = 100;

impl Document for VerifyApiKey {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let key = members.required("key");
        let permissions = members.optional("permissions");
        let context = members.optional("context");
        let org_id = members.optional("org_id");
        let cost = members.optional("cost");
        members.finish_strictly()?;
        Ok(Self { key: key.unwrap_or_default(), permissions, context, org_id, cost })
    }
}

impl Document for VerifyApiKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(members: Members) -> Result<Self, Failure> {
        Ok(Self { keys: members.only_list("keys", MOST, "questions", VerifyApiKey::read)? })
    }

    fn read_plain(body: &[u8]) -> Option<Self> {
        let Plain(plain): Plain<PlainBatch<'_>> = serde_json::from_slice(body).ok()?;
        let is_plain = (1..=MOST).contains(&plain.keys.len()) && plain.keys.iter().all(|plain| plain.0.is_plain());
        let owned = |Plain(plain): Plain<PlainQuestion<'_>>| VerifyApiKey {
            key: plain.key.to_owned(),
            permissions: plain.permissions.map(|list| list.into_iter().map(ToOwned::to_owned).collect()),
            context: plain.context.map(|context| VerifyContext { ip: context.0.ip().map(ToOwned::to_owned) }),
            org_id: plain.org_id.map(ToOwned::to_owned),
            cost: plain.cost,
        };
        is_plain.then(|| Self { keys: plain.keys.into_iter().map(owned).collect() })
    }
}

impl FromMember for VerifyContext {
    const EXPECTED: &'static str = "an object with the member ip, an IP address";

    fn from_member(value: Value) -> Option<Self> {
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
    pub(super) fn into_asked(self) -> Result<Asked<'static>, Failure> {
        let permissions = self.permissions.unwrap_or_default();
        let permissions = written::permissions(&permissions)
            .map_err(|invalid| Failure::Invalid(Fields::one("permissions", invalid)))?;
        // A text that is no id names no organization, as everywhere.
        let organization = self.org_id.map(|id| id.parse().map_err(|_| Error::NotFound)).transpose()?;
        let from = self.context.and_then(|context| context.ip?.parse().ok());
        let cost = self.cost.unwrap_or(USUAL_COST);
        Ok(Asked { key: self.key.into(), permissions, organization, from, cost })
    }

    /// A question as most clients send it: the same as the two steps above, for bodies that are right.
    pub(super) fn plain(body: &[u8]) -> Option<Asked<'_>> {
        let Plain(plain): Plain<PlainQuestion<'_>> = serde_json::from_slice(body).ok()?;
        if !plain.is_plain() {
            return None;
        }
        let permissions = PermissionSet::from_flat(plain.permissions.iter().flatten().copied()).ok()?;
        let organization = plain.org_id.map(str::parse).transpose().ok()?;
        let from = PlainContext::from(plain.context.as_ref())?;
        Some(Asked { key: plain.key.into(), permissions, organization, from, cost: plain.cost.unwrap_or(USUAL_COST) })
    }
}

impl VerifyApiKeys {
    /// Whether it names very many permissions.
    pub(super) fn is_long(&self) -> bool {
        self.keys.iter().flat_map(|key| &key.permissions).map(Vec::len).sum::<usize>() > 4_096
    }

    pub(super) fn into_asked(self) -> Result<Vec<Asked<'static>>, Failure> {
        each("keys", self.keys, VerifyApiKey::into_asked)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainQuestion<'a> {
    key: &'a str,
    #[serde(borrow, default)]
    permissions: Option<Vec<&'a str>>,
    #[serde(borrow, default)]
    context: Option<Plain<PlainContext<'a>>>,
    org_id: Option<&'a str>,
    cost: Option<u64>,
}

impl PlainQuestion<'_> {
    fn is_plain(&self) -> bool {
        let is_short = self.permissions.as_ref().is_none_or(|list| list.len() <= PermissionSet::MAX);
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
struct PlainBatch<'a> {
    #[serde(borrow)]
    keys: Vec<Plain<PlainQuestion<'a>>>,
}
