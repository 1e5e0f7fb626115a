//! `claviger import better-auth`: imports the keys of a better-auth database.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, str::FromStr};

use domain::{
    change::Change,
    clock::Timestamp,
    id::{ExternalId, OrganizationId},
    keys::{
        ImportOutcome, KeySettingsPatch, LegacyKey, NewKey, Owner, RateLimitPatch,
        api_key::{KeyName, Metadata},
        quota::MAX_INTEGER,
        secret::{Alphabet, KeyFormat},
    },
    permissions::Permissions,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    compose::{self, Services},
    config,
    http::{rfc3339::Rfc3339, strict_json::FromJson},
    routes::parse_legacy_hash,
};

/// Maximum number of keys in one transaction.
const MAX_KEYS_PER_TRANSACTION: usize = 1_000;

/// The number of characters that the secrets of keys with a prefix have after it. The table does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLength {
    /// The prefix of these keys. `None`: all prefixes that have no length of their own.
    prefix: Option<String>,
    length: u16,
}

impl FromStr for KeyLength {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A prefix cannot contain `=`.
        let (prefix, length) = text.split_once('=').map_or((None, text), |(prefix, length)| (Some(prefix), length));
        let length =
            length.parse().map_err(|_| "it must be a number of characters, or a prefix and a number such as st_=40")?;
        Ok(Self { prefix: prefix.map(str::to_owned), length })
    }
}

/// A row of `apikey` of any version: dates are strings or milliseconds, booleans are booleans or numbers, objects are strings of
/// JSON. Numbers and dates are parsed later, so that errors can name the column.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BetterAuthRow {
    key: String,
    name: Option<String>,
    start: Option<String>,
    prefix: Option<String>,
    /// The user; in newer versions the user or the organization.
    #[serde(alias = "referenceId")]
    user_id: Option<String>,
    enabled: Option<Value>,
    remaining: Option<Value>,
    refill_amount: Option<Value>,
    refill_interval: Option<Value>,
    last_refill_at: Option<Value>,
    rate_limit_enabled: Option<Value>,
    rate_limit_max: Option<Value>,
    rate_limit_time_window: Option<Value>,
    request_count: Option<Value>,
    last_request: Option<Value>,
    expires_at: Option<Value>,
    created_at: Option<Value>,
    permissions: Option<String>,
    metadata: Option<String>,
}

/// Imports all keys. They belong to the organization; the id of a key's user becomes its external id. `can_manage`: `None` is the
/// default of the organization. With `dry_run` nothing is stored. Returns a summary for the operator.
///
/// # Errors
/// The other database cannot be read, or keys cannot be imported: then the message names all of them, and none is imported.
pub async fn import(
    services: &Services,
    url: &str,
    organization: OrganizationId,
    lengths: &[KeyLength],
    can_manage: Option<bool>,
    dry_run: bool,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut by_prefix: BTreeMap<String, Vec<LegacyKey>> = BTreeMap::new();
    let mut wrong = String::new();
    let url = config::parse_database_url(url)
        .map_err(|expected| format!("the URL of better-auth's database must be {expected}"))?;
    let rows = compose::better_auth_keys(&url).await?;
    for row in &rows {
        let row: Value = serde_json::from_str(row)?;
        let id = row["id"].clone();
        match read(row, lengths) {
            Ok((prefix, mut key)) => {
                key.new.settings.can_manage = can_manage;
                by_prefix.entry(prefix).or_default().push(key);
            }
            Err(reason) => writeln!(wrong, "key {id}: {reason}")?,
        }
    }
    if !wrong.is_empty() {
        return Err(format!("nothing was imported:\n{wrong}").into());
    }
    let (mut imported, mut existing, mut formats) = (0, 0, String::new());
    for (prefix, keys) in by_prefix {
        let key_formats = key_formats(&prefix, lengths)?;
        let lengths_after_prefix: Vec<String> =
            key_formats.iter().map(|key_format| key_format.length().to_string()).collect();
        writeln!(formats, "{} keys: {prefix}… and {} characters", keys.len(), lengths_after_prefix.join(" or "))?;
        for keys in keys.chunks(MAX_KEYS_PER_TRANSACTION) {
            let outcomes = services.keys.import_as_operator(organization, &key_formats, keys.to_vec(), dry_run).await?;
            let before = outcomes.iter().filter(|outcome| matches!(outcome, ImportOutcome::AlreadyImported)).count();
            existing += before;
            imported += outcomes.len() - before;
        }
    }
    let count = rows.len();
    if dry_run {
        return Ok(format!("{formats}{count} keys: {imported} would be imported, {existing} imported before"));
    }
    Ok(format!(
        "{formats}{count} keys: {imported} imported, {existing} imported before\n\
         Verify one secret of each format now. If the result is INVALID_API_KEY, its length is different: run the import \
         again with the right --key-length."
    ))
}

/// Converts a row to a key. Returns it with its prefix.
fn read(row: Value, lengths: &[KeyLength]) -> Result<(String, LegacyKey), String> {
    let row = BetterAuthRow::deserialize(row).map_err(|wrong| wrong.to_string())?;
    let prefix = row.prefix.clone().unwrap_or_default();
    let key_formats = key_formats(&prefix, lengths)?;
    let key_format = key_formats.first().ok_or("there is no --key-length for its prefix")?;
    let key = to_legacy_key(row, key_format)?;
    Ok((prefix, key))
}

/// The formats of secrets with this prefix: one for each length that was given for the prefix, or else for all prefixes.
fn key_formats(prefix: &str, lengths: &[KeyLength]) -> Result<Vec<KeyFormat>, String> {
    let lengths_for = |wanted: Option<&str>| -> Vec<u16> {
        let own = lengths.iter().filter(|length| length.prefix.as_deref() == wanted);
        own.map(|length| length.length).collect()
    };
    let own = lengths_for(Some(prefix));
    let lengths = if own.is_empty() { lengths_for(None) } else { own };
    let key_format = |length: u16| KeyFormat::new(prefix, length, Alphabet::Letters);
    let key_formats: Result<Vec<_>, _> = lengths.into_iter().map(key_format).collect();
    key_formats.map_err(|wrong| format!("prefix or --key-length {wrong}"))
}

fn to_legacy_key(row: BetterAuthRow, key_format: &KeyFormat) -> Result<LegacyKey, String> {
    let describe = |name: &str, wrong: &dyn std::fmt::Display| format!("{name} {wrong}");
    let optional_time = |name: &str, value: Option<Value>| {
        value.map(|value| time(&value).ok_or(describe(name, &"is not a time"))).transpose()
    };
    let name = row.name.as_deref().filter(|name| !name.trim().is_empty());
    let external_id = row.user_id.as_deref().map(ExternalId::parse).transpose();
    let flag = |name: &str, value: Option<&Value>| {
        value.map_or(Some(true), is_true).ok_or(describe(name, &"is neither true nor false"))
    };
    let number = |name: &str, value: Option<&Value>| {
        let number = |value: &Value| value.as_u64().filter(|number| *number <= MAX_INTEGER);
        let wrong = format!("is not a number from 0 to {MAX_INTEGER}");
        value.map(|value| number(value).ok_or_else(|| describe(name, &wrong))).transpose()
    };
    let is_limited = flag("rateLimitEnabled", row.rate_limit_enabled.as_ref())?;
    let enabled = flag("enabled", row.enabled.as_ref())?;
    let limit_max = number("rateLimitMax", row.rate_limit_max.as_ref())?;
    let limit_window = number("rateLimitTimeWindow", row.rate_limit_time_window.as_ref())?;
    let limit = limit_max.zip(limit_window).filter(|_| is_limited);
    let created_at = optional_time("createdAt", row.created_at)?;
    let refill_amount = number("refillAmount", row.refill_amount.as_ref())?;
    let (refill_amount, refill_interval) =
        refill_amount.zip(number("refillInterval", row.refill_interval.as_ref())?).unzip();
    let (max, window) = limit.unzip();
    if [refill_amount, refill_interval, max, window].contains(&Some(0)) {
        return Err("a refill or rate limit must not be 0".to_owned());
    }
    let settings = KeySettingsPatch {
        name: Change::to(name.map(KeyName::parse).transpose().map_err(|wrong| describe("name", &wrong))?),
        enabled: Some(enabled),
        permissions: Change::Set(permissions(row.permissions.as_deref())?),
        external_id: Change::to(external_id.map_err(|wrong| describe("userId", &wrong))?),
        expires_at: Change::to(optional_time("expiresAt", row.expires_at)?),
        metadata: Change::to(metadata(row.metadata.as_deref())?),
        remaining: Change::set_or_keep(number("remaining", row.remaining.as_ref())?),
        refill_amount: Change::set_or_keep(refill_amount),
        refill_interval: Change::set_or_keep(refill_interval),
        rate_limit: RateLimitPatch {
            max: Change::set_or_keep(max),
            window: Change::set_or_keep(window),
            ..RateLimitPatch::default()
        },
        ..KeySettingsPatch::default()
    };
    let new = NewKey { owner: Owner::Organization, prefix: None, settings };
    let start =
        row.start.as_deref().and_then(|start| key_format.start(start)).unwrap_or(key_format.prefix()).to_owned();
    Ok(LegacyKey {
        new,
        start,
        hash: parse_legacy_hash(&row.key).ok_or("its hash is not SHA-256 (was a custom hasher used?)")?,
        created_at,
        request_count: number("requestCount", row.request_count.as_ref())?.unwrap_or(0),
        last_request_at: optional_time("lastRequest", row.last_request)?,
        last_refill_at: optional_time("lastRefillAt", row.last_refill_at)?,
    })
}

fn is_true(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        value if *value == 1 || *value == "1" || *value == "true" => Some(true),
        value if *value == 0 || *value == "0" || *value == "false" => Some(false),
        _ => None,
    }
}

/// Parses a time: a string as in JSON or as PostgreSQL writes it, or milliseconds since the Unix epoch.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().map(Timestamp::from_millis),
        value => Rfc3339::from_json(value.clone()).map(|Rfc3339(at)| at),
    }
}

fn permissions(text: Option<&str>) -> Result<Permissions, String> {
    let Some(text) = text.filter(|text| !["", "null"].contains(text)) else { return Ok(Permissions::default()) };
    let map: BTreeMap<String, Vec<String>> =
        serde_json::from_str(text).map_err(|_| "permissions must be an object of arrays".to_owned())?;
    let lists = map.iter().map(|(resource, actions)| (resource.as_str(), actions.iter().map(String::as_str)));
    Permissions::from_map(lists).map_err(|wrong| format!("permissions {wrong}"))
}

/// Parses a JSON object. Some versions store it as a string of JSON within a string.
fn metadata(text: Option<&str>) -> Result<Option<Metadata>, String> {
    let Some(text) = text else { return Ok(None) };
    let value = serde_json::from_str(text).unwrap_or_default();
    let value = if let Value::String(inner) = &value { serde_json::from_str(inner).unwrap_or_default() } else { value };
    let object: Option<Map<String, Value>> = Map::from_json(value);
    let Some(object) = object else { return Ok(None) };
    Metadata::parse(&Value::Object(object).to_string()).map(Some).map_err(|wrong| format!("metadata {wrong}"))
}
