//! JSON ↔ domain for the import of keys from another system: `POST /orgs/{org_id}/api_keys/import`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    auth::caller::Caller,
    clock::Timestamp,
    keys::{
        ImportOutcome, KeySettingsPatch, LegacyKey, NewKey, Owner, api_key,
        secret::{KeyFormat, LegacyHash},
    },
};
use poem_openapi::{Enum, Object};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{MAX_KEYS_PER_REQUEST, key_format::KeyFormatBody, settings::Settings};
use crate::{
    http::{
        api_error::{ApiError, Fields},
        body::{BULK_LIMIT, Document},
        openapi_types::Nullable,
        rfc3339::Rfc3339,
        strict_json::{JsonFields, document, each, each_object, require_length},
    },
    idempotency::response::{Secrets, StoredResponse},
};

/// Keys from another system.
#[derive(Object)]
#[oai(rename = "ImportApiKeysRequest")]
pub(crate) struct ImportKeys {
    shape: KeyFormatBody,
    /// Whether to check the request only and store nothing; default `false`.
    #[oai(skip_serializing_if_is_none)]
    dry_run: Option<bool>,
    /// 1 to 1,000 keys.
    #[oai(validator(min_items = 1, max_items = 1000))]
    keys: Vec<ImportKey>,
}

document! {
    /// A key from another system.
    #[oai(rename = "LegacyApiKey")]
    struct ImportKey {
        /// SHA-256 hash of the whole secret: 64 hexadecimal digits, or base64url.
        hash: String,
        /// First characters of the secret, to recognize the key by: the prefix or a part of it, and at most 6 characters
        /// more.
        #[oai(skip_serializing_if_is_none)]
        start: Option<String>,
        /// Name: at most 100 characters, at least 1 after trimming.
        #[oai(skip_serializing_if_is_none)]
        name: Option<String>,
        /// Id of the member that the key belongs to; default: the key belongs to the organization.
        #[oai(skip_serializing_if_is_none)]
        user_id: Option<String>,
        /// Whether the key is enabled; default `true`.
        #[oai(skip_serializing_if_is_none)]
        enabled: Option<bool>,
        /// Creation time; default: now.
        #[oai(skip_serializing_if_is_none)]
        created_at: Option<Rfc3339>,
        /// Number of successful verifications.
        #[oai(skip_serializing_if_is_none)]
        request_count: Option<u64>,
        /// Time of the last successful verification.
        #[oai(skip_serializing_if_is_none)]
        last_used_at: Option<Rfc3339>,
        /// Time of the last refill.
        #[oai(skip_serializing_if_is_none)]
        last_refill_at: Option<Rfc3339>,
        ..settings: Settings,
    }
}

impl Document for ImportKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(mut members: JsonFields) -> Result<Self, ApiError> {
        let shape: Option<Map<String, Value>> = members.required("shape");
        let dry_run = members.optional("dry_run");
        let keys: Option<Vec<Map<String, Value>>> = members.required("keys");
        members.finish_strictly()?;
        let (shape, keys) = (shape.unwrap_or_default(), keys.unwrap_or_default());
        let shape = JsonFields::of(Value::Object(shape)).and_then(KeyFormatBody::parse);
        let shape = shape.map_err(|failure| failure.within("shape"))?;
        require_length("keys", keys.len(), MAX_KEYS_PER_REQUEST, "keys")?;
        let keys = each_object("keys", keys, ImportKey::read)?;
        Ok(Self { shape, dry_run, keys })
    }
}

impl ImportKeys {
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }

    /// The format of the secrets, and the keys. `caller` must be allowed to set the limits that the keys have.
    pub(crate) fn into_domain(self, caller: &Caller, now: Timestamp) -> Result<(KeyFormat, Vec<LegacyKey>), ApiError> {
        let format = self.shape.to_domain()?;
        let keys = each("keys", self.keys, |key| key.into_domain(caller, &format, now))?;
        Ok((format, keys))
    }
}

impl ImportKey {
    fn into_domain(self, caller: &Caller, format: &KeyFormat, now: Timestamp) -> Result<LegacyKey, ApiError> {
        self.settings.require_for_new(caller)?;
        let mut fields = Fields::default();
        let hash = parse_legacy_hash(&self.hash);
        if hash.is_none() {
            fields.add("hash", "must be a SHA-256 hash as 64 hexadecimal digits or in base64url");
        }
        let start = self.start.unwrap_or_else(|| format.prefix().to_owned());
        if format.start(&start).is_none() {
            fields.add("start", "must be the prefix or a part of it, and at most 6 characters more");
        }
        let not_in_future = |fields: &mut Fields, name: &str, at: Option<Rfc3339>| {
            let at = at.map(|Rfc3339(at)| at);
            if at.is_some_and(|at| at > now) {
                fields.add(name, "must not be in the future");
            }
            at
        };
        let created_at = not_in_future(&mut fields, "created_at", self.created_at);
        let last_request_at = not_in_future(&mut fields, "last_used_at", self.last_used_at);
        let last_refill_at = not_in_future(&mut fields, "last_refill_at", self.last_refill_at);
        // A key may have expired already.
        let expiry = |at| api_key::beginning(at, now);
        let settings = self.settings.into_domain(self.name, &mut fields, expiry, now);
        let settings = KeySettingsPatch { enabled: self.enabled, ..settings };
        fields.into_result()?;
        let owner = self.user_id.map_or(Owner::Organization, |user| Owner::User(user.parse().ok()));
        Ok(LegacyKey {
            new: NewKey { owner, prefix: None, settings },
            start,
            hash: hash.unwrap_or(LegacyHash::from_bytes([0; 32])),
            created_at,
            request_count: self.request_count.unwrap_or(0),
            last_request_at,
            last_refill_at,
        })
    }
}

/// Parses a SHA-256 hash as other systems write it: 64 hexadecimal digits, or base64url with or without padding.
#[must_use]
pub fn parse_legacy_hash(text: &str) -> Option<LegacyHash> {
    let bytes = if text.len() == 64 {
        blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
    } else {
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().and_then(|bytes| bytes.try_into().ok())
    };
    bytes.map(LegacyHash::from_bytes)
}

/// The result of an import.
#[derive(Object)]
#[oai(rename = "ImportResult")]
pub(crate) struct ImportedKeys {
    /// Whether this was a dry run: nothing was stored.
    dry_run: bool,
    /// Number of keys that were imported, or would be.
    imported: u64,
    /// Number of keys that had been imported before.
    existing: u64,
    /// The result for each key, in the order of the request.
    keys: Vec<ImportedKey>,
}

/// The result for one key.
#[derive(Object)]
#[oai(rename = "ImportedApiKey")]
struct ImportedKey {
    status: ImportStatus,
    /// Id of the new key; null if it had been imported before, and with `dry_run`.
    id: Nullable<Uuid>,
}

/// Whether the key was imported.
#[derive(Enum)]
#[oai(rename = "ImportStatus", rename_all = "lowercase")]
enum ImportStatus {
    /// It was imported, or would be.
    Imported,
    /// It had been imported before.
    Existing,
}

impl StoredResponse for ImportedKeys {
    const SECRETS: Secrets = Secrets::None;
}

impl ImportedKeys {
    pub(crate) fn new(outcomes: &[ImportOutcome], dry_run: bool) -> Self {
        let keys: Vec<ImportedKey> = outcomes
            .iter()
            .map(|outcome| match outcome {
                ImportOutcome::Imported(key) => {
                    let id = Nullable(Some(key.id.uuid()).filter(|_| !dry_run));
                    ImportedKey { status: ImportStatus::Imported, id }
                }
                ImportOutcome::AlreadyImported => ImportedKey { status: ImportStatus::Existing, id: Nullable(None) },
            })
            .collect();
        let existing =
            outcomes.iter().filter(|outcome| matches!(outcome, ImportOutcome::AlreadyImported)).count() as u64;
        Self { dry_run, imported: outcomes.len() as u64 - existing, existing, keys }
    }
}
