//! `claviger import better-auth`: takes over the keys of a better-auth database.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, str::FromStr};

use domain::{
    api_key::{KeyName, Metadata},
    clock::Timestamp,
    id::OrganizationId,
    keys::{NewKey, OldKey, Owner, Taken},
    organization::ExternalId,
    permission::PermissionSet,
    quota::{MAX_INTEGER, Quota, RateLimit, Refill},
    secret::{Alphabet, KeyPrefix, Shape},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    compose::{self, Services},
    config,
    contract::locktera::old_hash,
    json::FromMember,
    time::Moment,
};

/// Keys in one transaction.
const MANY: usize = 1_000;

/// How many letters the secrets of some keys have after their prefix. The table does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLength {
    /// The prefix of these keys; `None`: of all whose prefix has no length of its own.
    prefix: Option<String>,
    length: u16,
}

impl FromStr for KeyLength {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A prefix has no `=`.
        let (prefix, length) = text.split_once('=').map_or((None, text), |(prefix, length)| (Some(prefix), length));
        let length =
            length.parse().map_err(|_| "it must be a number of letters, or a prefix and a number like st_=40")?;
        Ok(Self { prefix: prefix.map(str::to_owned), length })
    }
}

/// A row of `apikey`, in whichever version: dates are texts or milliseconds, booleans are booleans or numbers, objects are JSON
/// in a text. What a number or a date may be is looked at later, so that what is wrong can be told by its name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    name: Option<String>,
    start: Option<String>,
    prefix: Option<String>,
    /// In newer versions the user or the organization.
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

/// Takes over all keys; those of a user are the organization's, with the user's id as their external id. Answers sentences about
/// it.
///
/// # Errors
/// The other database cannot be read; keys that cannot be taken over, all of which are named, and nothing is taken over.
pub async fn import(
    services: &Services,
    url: &str,
    organization: OrganizationId,
    lengths: &[KeyLength],
    dry_run: bool,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let now = services.clock.now();
    let mut by_prefix: BTreeMap<String, Vec<OldKey>> = BTreeMap::new();
    let mut wrong = String::new();
    config::check_database_url(url)
        .map_err(|expected| format!("the URL of better-auth's database must be {expected}"))?;
    let rows = compose::better_auth_keys(url).await?;
    for row in &rows {
        let row: Value = serde_json::from_str(row)?;
        let id = row["id"].clone();
        match read(row, lengths, now) {
            Ok((prefix, key)) => by_prefix.entry(prefix).or_default().push(key),
            Err(reason) => writeln!(wrong, "key {id}: {reason}")?,
        }
    }
    if !wrong.is_empty() {
        return Err(format!("nothing was imported, because of\n{wrong}").into());
    }
    let (mut imported, mut existing, mut formats) = (0, 0, String::new());
    for (prefix, keys) in by_prefix {
        let shapes = shapes(&prefix, lengths)?;
        let letters: Vec<String> = shapes.iter().map(|shape| shape.length().to_string()).collect();
        writeln!(formats, "{} keys: {prefix}… and {} letters", keys.len(), letters.join(" or "))?;
        for keys in keys.chunks(MANY) {
            let taken = services.keys.import_as_operator(organization, &shapes, keys.to_vec(), dry_run).await?;
            let before = taken.iter().filter(|taken| matches!(taken, Taken::Before)).count();
            existing += before;
            imported += taken.len() - before;
        }
    }
    let count = rows.len();
    if dry_run {
        return Ok(format!("{formats}{count} keys: {imported} would be imported, {existing} imported before"));
    }
    Ok(format!(
        "{formats}{count} keys: {imported} imported, {existing} imported before\n\
         Verify one secret of each kind now. If it is INVALID_API_KEY, it has another length: run the import again with its \
         --key-length, which repairs that."
    ))
}

/// A row as a key, with its prefix.
fn read(row: Value, lengths: &[KeyLength], now: Timestamp) -> Result<(String, OldKey), String> {
    let row = Row::deserialize(row).map_err(|wrong| wrong.to_string())?;
    let prefix = row.prefix.clone().unwrap_or_default();
    let shapes = shapes(&prefix, lengths)?;
    let shape = shapes.first().ok_or("there is no --key-length for its prefix")?;
    let key = old_key(row, shape, now)?;
    Ok((prefix, key))
}

/// What secrets with this prefix look like: they have the lengths that were given for it, else those for all.
fn shapes(prefix: &str, lengths: &[KeyLength]) -> Result<Vec<Shape>, String> {
    let of = |wanted: Option<&str>| -> Vec<u16> {
        let own = lengths.iter().filter(|length| length.prefix.as_deref() == wanted);
        own.map(|length| length.length).collect()
    };
    let own = of(Some(prefix));
    let lengths = if own.is_empty() { of(None) } else { own };
    let shape = |length: u16| Shape::new(prefix, length, Alphabet::Letters);
    let shapes: Result<Vec<_>, _> = lengths.into_iter().map(shape).collect();
    shapes.map_err(|wrong| format!("prefix or --key-length {wrong}"))
}

fn old_key(row: Row, shape: &Shape, now: Timestamp) -> Result<OldKey, String> {
    let said = |name: &str, wrong: &dyn std::fmt::Display| format!("{name} {wrong}");
    let moment =
        |name: &str, value: Option<Value>| value.map(|value| time(&value).ok_or(said(name, &"is no time"))).transpose();
    let name = row.name.as_deref().filter(|name| !name.trim().is_empty());
    let external_id = row.user_id.as_deref().map(ExternalId::parse).transpose();
    let flag = |name: &str, value: Option<&Value>| {
        value.map_or(Some(true), is_true).ok_or(said(name, &"is neither true nor false"))
    };
    let number = |name: &str, value: Option<&Value>| {
        let number = |value: &Value| value.as_u64().filter(|number| *number <= MAX_INTEGER);
        let wrong = format!("is no number from 0 to {MAX_INTEGER}");
        value.map(|value| number(value).ok_or_else(|| said(name, &wrong))).transpose()
    };
    let is_limited = flag("rateLimitEnabled", row.rate_limit_enabled.as_ref())?;
    let enabled = flag("enabled", row.enabled.as_ref())?;
    let limit_max = number("rateLimitMax", row.rate_limit_max.as_ref())?;
    let limit_window = number("rateLimitTimeWindow", row.rate_limit_time_window.as_ref())?;
    let limit = limit_max.zip(limit_window).filter(|_| is_limited);
    let created_at = moment("createdAt", row.created_at)?;
    let refill_amount = number("refillAmount", row.refill_amount.as_ref())?;
    let refill = refill_amount.zip(number("refillInterval", row.refill_interval.as_ref())?);
    let refill = refill.map(|(amount, interval)| Refill { amount, interval, since: created_at.unwrap_or(now) });
    let quota = Quota {
        remaining: number("remaining", row.remaining.as_ref())?.or(refill.map(|refill| refill.amount)),
        refill,
        rate_limit: limit.map(|(max, window)| RateLimit { max, window }),
        ..Quota::default()
    };
    let parts = [
        refill.map(|refill| refill.amount),
        refill.map(|refill| refill.interval),
        limit.map(|limit| limit.0),
        limit.map(|limit| limit.1),
    ];
    if parts.into_iter().flatten().any(|part| part == 0) {
        return Err("a refill or rate limit of 0 means nothing".to_owned());
    }
    let new = NewKey {
        owner: Owner::Organization,
        name: name.map(KeyName::parse).transpose().map_err(|wrong| said("name", &wrong))?,
        prefix: KeyPrefix::standard(),
        permissions: permissions(row.permissions.as_deref())?,
        sets: Vec::new(),
        external_id: external_id.map_err(|wrong| said("userId", &wrong))?,
        not_before: None,
        expires_at: moment("expiresAt", row.expires_at)?,
        addresses: None,
        metadata: metadata(row.metadata.as_deref())?,
        quota,
    };
    let start = row.start.as_deref().and_then(|start| shape.start(start)).unwrap_or(shape.prefix()).to_owned();
    Ok(OldKey {
        new,
        enabled,
        start,
        hash: old_hash(&row.key).ok_or("its hash is not SHA-256 (a hasher of its own?)")?,
        created_at,
        request_count: number("requestCount", row.request_count.as_ref())?.unwrap_or(0),
        last_request_at: moment("lastRequest", row.last_request)?,
        last_refill_at: moment("lastRefillAt", row.last_refill_at)?,
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

/// A text as it is written in JSON or by PostgreSQL, or milliseconds.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().map(Timestamp::from_millis),
        value => Moment::from_member(value.clone()).map(|Moment(at)| at),
    }
}

fn permissions(text: Option<&str>) -> Result<PermissionSet, String> {
    let Some(text) = text.filter(|text| !["", "null"].contains(text)) else { return Ok(PermissionSet::default()) };
    let map: BTreeMap<String, Vec<String>> =
        serde_json::from_str(text).map_err(|_| "permissions are no object of lists".to_owned())?;
    let lists = map.iter().map(|(resource, actions)| (resource.as_str(), actions.iter().map(String::as_str)));
    PermissionSet::from_map(lists).map_err(|wrong| format!("permissions {wrong}"))
}

/// An object; some versions write its text as a text once more.
fn metadata(text: Option<&str>) -> Result<Option<Metadata>, String> {
    let Some(text) = text else { return Ok(None) };
    let value = serde_json::from_str(text).unwrap_or_default();
    let value = if let Value::String(inner) = &value { serde_json::from_str(inner).unwrap_or_default() } else { value };
    let object: Option<Map<String, Value>> = Map::from_member(value);
    let Some(object) = object else { return Ok(None) };
    Metadata::parse(&Value::Object(object).to_string()).map(Some).map_err(|wrong| format!("metadata {wrong}"))
}
