//! JSON → domain for keys to be made.

use domain::{
    api_key::{self, KeyName, Metadata},
    caller::Caller,
    clock::Timestamp,
    error::Error,
    keys::{NewKey, Owner},
    organization::ExternalId,
    secret::KeyPrefix,
    text::Invalid,
};
use poem_openapi::Object;
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
    wire::JsonObject,
};

/// What a key may do, when, from where and how often.
#[derive(Object)]
#[oai(rename = "ApiKeySettings")]
pub(super) struct Settings {
    /// What it may do: `read` for that action on every resource, `files:read` for one, `*` for everything. May be empty.
    #[oai(validator(max_items = 256))]
    permissions: Vec<String>,
    /// Permission sets that it has besides: at most 16.
    #[oai(skip_serializing_if_is_none, validator(max_items = 16))]
    permission_sets: Option<Vec<String>>,
    /// What its maker's own system calls it, or whom it is for: at most 255 characters.
    #[oai(skip_serializing_if_is_none)]
    external_id: Option<String>,
    /// Before when it is refused, at most ten years ahead.
    #[oai(skip_serializing_if_is_none)]
    not_before: Option<Moment>,
    /// From where it may be used: 1 to 64 addresses or networks like `203.0.113.0/24`. Without it, from where the key that makes
    /// it may.
    #[oai(skip_serializing_if_is_none, validator(min_items = 1, max_items = 64))]
    allowed_addresses: Option<Vec<String>>,
    /// When it ends, at most ten years ahead; without it, when the key that makes it ends, if ever.
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Moment>,
    /// What to keep with it: an object of at most 8 KiB.
    #[oai(skip_serializing_if_is_none)]
    metadata: Option<JsonObject>,
    #[oai(flatten)]
    limits: Limits,
}

impl Settings {
    pub(super) fn read(members: &mut Members) -> Self {
        Self {
            permissions: members.required("permissions").unwrap_or_default(),
            permission_sets: members.optional("permission_sets"),
            external_id: members.optional("external_id"),
            not_before: members.optional("not_before"),
            allowed_addresses: members.optional("allowed_addresses"),
            expires_at: members.optional("expires_at"),
            metadata: members.optional("metadata"),
            limits: Limits::read(members),
        }
    }

    /// Asks for `org:admin` where there are limits.
    pub(super) fn require_for_new(&self, caller: &Caller) -> Result<(), Error> {
        self.limits.require_for_new(caller)
    }

    /// A key of the organization itself with these settings, nameless and with the standard prefix. What is wrong is noted.
    pub(super) fn into_domain(
        self,
        fields: &mut Fields,
        expiry: impl FnOnce(Timestamp) -> Result<Timestamp, Invalid>,
        now: Timestamp,
    ) -> NewKey {
        let permissions = fields.check("permissions", permissions(&self.permissions)).unwrap_or_default();
        let sets = sets(fields, self.permission_sets);
        let external_id = fields.check_optional("external_id", self.external_id.as_deref().map(ExternalId::parse));
        let expires_at = fields.check_optional("expires_at", self.expires_at.map(|Moment(at)| expiry(at)));
        let not_before = self.not_before.map(|Moment(at)| api_key::beginning(at, now));
        let not_before = fields.check_optional("not_before", not_before);
        let addresses = self.allowed_addresses.as_deref().map(addresses);
        let addresses = fields.check_optional("allowed_addresses", addresses);
        let metadata = self.metadata.map(|JsonObject(map)| Metadata::parse(&Value::Object(map).to_string()));
        let metadata = fields.check_optional("metadata", metadata);
        let quota = self.limits.quota(fields, now);
        let (owner, name, prefix) = (Owner::Organization, None, KeyPrefix::standard());
        NewKey {
            owner,
            name,
            prefix,
            permissions,
            sets,
            external_id,
            not_before,
            expires_at,
            addresses,
            metadata,
            quota,
        }
    }
}

/// A key to be made.
#[derive(Object)]
#[oai(rename = "CreateApiKey")]
pub(super) struct CreateKey {
    /// Its name: 1 to 100 characters after trimming.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    /// What to put in front of its text; `cvg_` without it.
    #[oai(skip_serializing_if_is_none, validator(pattern = "^[A-Za-z0-9_-]{1,32}$"))]
    prefix: Option<String>,
    #[oai(flatten)]
    settings: Settings,
}

impl Document for CreateKey {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let name = members.required("name").unwrap_or_default();
        let prefix = members.optional("prefix");
        let settings = Settings::read(&mut members);
        members.finish_strictly()?;
        Ok(Self { name, prefix, settings })
    }
}

impl CreateKey {
    pub(super) fn into_domain(self, caller: &Caller, now: Timestamp) -> Result<NewKey, Failure> {
        self.settings.require_for_new(caller)?;
        let mut fields = Fields::default();
        let name = fields.check("name", KeyName::parse(&self.name));
        let prefix = self.prefix.as_deref().map_or_else(|| Ok(KeyPrefix::standard()), KeyPrefix::parse);
        let prefix = fields.check("prefix", prefix);
        let new = self.settings.into_domain(&mut fields, |at| api_key::expiry(at, now), now);
        fields.into_result()?;
        Ok(NewKey { name, prefix: prefix.unwrap_or_else(KeyPrefix::standard), ..new })
    }
}
