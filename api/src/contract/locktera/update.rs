//! JSON → domain for changes of a key.

use domain::{
    api_key::{self, KeyName, Metadata},
    caller::Caller,
    change::Change,
    clock::Timestamp,
    keys::KeyPatch,
    organization::ExternalId,
    text::Invalid,
};
use poem_openapi::{Object, registry::MetaSchema};
use serde_json::Value;

use super::{
    limits::Limits,
    written::{addresses, permissions, sets},
};
use crate::{
    body::Document,
    failure::{Failure, Fields},
    json::Members,
    time::Moment,
    wire::{JsonObject, ParameterSchema, Patch, Unread},
};

/// What changes of a key; what is absent stays, `null` clears.
#[derive(Object)]
#[oai(rename = "UpdateApiKey")]
pub(super) struct UpdateKey {
    /// Its name: 1 to 100 characters after trimming.
    name: Patch<String>,
    /// Whether it is in use. Switching it off takes nothing but the right to change keys.
    #[oai(skip_serializing_if_is_none)]
    enabled: Option<bool>,
    /// Before when it is refused, at most ten years ahead.
    not_before: Patch<Moment>,
    /// When it ends, at most ten years ahead.
    expires_at: Patch<Moment>,
    /// From where it may be used: 1 to 64 addresses or networks like `203.0.113.0/24`; null: from anywhere.
    allowed_addresses: Patch<Vec<String>>,
    /// What to keep with it: an object of at most 8 KiB.
    metadata: Patch<JsonObject>,
    /// What its maker's own system calls it, or whom it is for: at most 255 characters.
    external_id: Patch<String>,
    /// What it may do.
    permissions: Patch<Vec<String>>,
    /// Permission sets that it has besides: at most 16.
    permission_sets: Patch<Vec<String>>,
    #[oai(flatten)]
    limits: Limits,
}

impl Document for UpdateKey {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let document = Self {
            name: Patch(members.change("name")),
            enabled: members.optional("enabled"),
            not_before: Patch(members.change("not_before")),
            expires_at: Patch(members.change("expires_at")),
            allowed_addresses: Patch(members.change("allowed_addresses")),
            metadata: Patch(members.change("metadata")),
            external_id: Patch(members.change("external_id")),
            permissions: Patch(members.change("permissions")),
            permission_sets: Patch(members.change("permission_sets")),
            limits: Limits::read(&mut members),
        };
        members.finish_strictly()?;
        Ok(document)
    }
}

impl UpdateKey {
    /// What it means, for a caller who may change limits if it does.
    pub(super) fn into_domain(self, caller: &Caller, now: Timestamp) -> Result<KeyPatch, Failure> {
        self.limits.require_for_change(caller)?;
        let mut fields = Fields::default();
        let metadata = |JsonObject(map): JsonObject| Metadata::parse(&Value::Object(map).to_string());
        let patch = KeyPatch {
            name: checked(&mut fields, "name", self.name, |text| KeyName::parse(&text)),
            enabled: self.enabled,
            not_before: checked(&mut fields, "not_before", self.not_before, |Moment(at)| api_key::beginning(at, now)),
            addresses: checked(&mut fields, "allowed_addresses", self.allowed_addresses, |list| addresses(&list)),
            expires_at: checked(&mut fields, "expires_at", self.expires_at, |Moment(at)| api_key::expiry(at, now)),
            metadata: checked(&mut fields, "metadata", self.metadata, metadata),
            external_id: checked(&mut fields, "external_id", self.external_id, |text| ExternalId::parse(&text)),
            permissions: checked(&mut fields, "permissions", self.permissions, |list| permissions(&list)),
            sets: match self.permission_sets.0 {
                Change::Keep => None,
                Change::Clear => Some(Vec::new()),
                Change::Set(texts) => Some(sets(&mut fields, Some(texts))),
            },
            ..KeyPatch::nothing()
        };
        let patch = self.limits.patch(&mut fields, patch);
        fields.into_result()?;
        Ok(patch)
    }
}

fn checked<T, U>(
    fields: &mut Fields,
    name: &str,
    patch: Patch<T>,
    check: impl FnOnce(T) -> Result<U, Invalid>,
) -> Change<U> {
    match patch.0 {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(value) => fields.check(name, check(value)).map_or(Change::Keep, Change::Set),
    }
}

/// The versions that `If-Match` names (RFC 9110 §13.1.1): numbers, each in quotes or not.
#[derive(Debug)]
pub(super) struct Versions;

impl Versions {
    /// `None`: any. What is no version of ours is one that nothing has.
    pub(super) fn read(text: Option<&Unread<Self>>) -> Option<Vec<u64>> {
        let text = text?.text().trim();
        let number = |tag: &str| {
            let tag = tag.trim();
            tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag).parse().ok()
        };
        if text == "*" { None } else { Some(text.split(',').filter_map(number).collect()) }
    }
}

impl ParameterSchema for Versions {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}
