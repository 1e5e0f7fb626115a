//! `claviger import better-auth`: takes over the keys of a better-auth database.

use std::{collections::BTreeMap, error::Error, fmt::Write as _};

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

/// A row of `apikey`, in whichever version: dates are texts or milliseconds, booleans are booleans or numbers, objects are JSON
/// in a text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: Value,
    key: String,
    name: Option<String>,
    start: Option<String>,
    prefix: Option<String>,
    /// In newer versions the user or the organization.
    #[serde(alias = "referenceId")]
    user_id: Option<String>,
    enabled: Option<Value>,
    remaining: Option<u64>,
    refill_amount: Option<u64>,
    refill_interval: Option<u64>,
    last_refill_at: Option<Value>,
    rate_limit_enabled: Option<Value>,
    rate_limit_max: Option<u64>,
    rate_limit_time_window: Option<u64>,
    request_count: Option<u64>,
    last_request: Option<Value>,
    expires_at: Option<Value>,
    created_at: Option<Value>,
    permissions: Option<String>,
    metadata: Option<String>,
}

/// Takes over all keys; those of a user are the organization's, with the user's id as their external id. Answers a sentence
/// about it.
///
/// # Errors
/// The other database cannot be read; a key that cannot be taken over, all of which are named, and nothing is taken over.
pub async fn import(
    services: &Services,
    url: &str,
    organization: OrganizationId,
    length: u16,
    dry_run: bool,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let now = services.clock.now();
    let mut by_prefix: BTreeMap<String, Vec<OldKey>> = BTreeMap::new();
    let mut wrong = String::new();
    config::check_database_url(url)
        .map_err(|expected| format!("the URL of better-auth's database must be {expected}"))?;
    let rows = compose::better_auth_keys(url).await?;
    for row in &rows {
        let row: Row = serde_json::from_str(row)?;
        let (id, prefix) = (row.id.clone(), row.prefix.clone().unwrap_or_default());
        let key = shape(&prefix, length).and_then(|shape| old_key(row, &shape, now));
        match key {
            Ok(key) => by_prefix.entry(prefix).or_default().push(key),
            Err(reason) => writeln!(wrong, "key {id}: {reason}")?,
        }
    }
    if !wrong.is_empty() {
        return Err(format!("nothing was imported, because of\n{wrong}").into());
    }
    let (mut imported, mut existing) = (0, 0);
    for (prefix, keys) in by_prefix {
        let shape = shape(&prefix, length)?;
        for keys in keys.chunks(MANY) {
            let taken = services.keys.import_as_operator(organization, &shape, keys.to_vec(), dry_run).await?;
            let before = taken.iter().filter(|taken| matches!(taken, Taken::Before)).count();
            existing += before;
            imported += taken.len() - before;
        }
    }
    let would = if dry_run { "would be imported" } else { "imported" };
    Ok(format!("{} keys: {imported} {would}, {existing} imported before", rows.len()))
}

fn shape(prefix: &str, length: u16) -> Result<Shape, String> {
    Shape::new(prefix, length, Alphabet::Letters).map_err(|wrong| format!("prefix or --key-length {wrong}"))
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
    let is_limited = flag("rateLimitEnabled", row.rate_limit_enabled.as_ref())?;
    let enabled = flag("enabled", row.enabled.as_ref())?;
    let limit = row.rate_limit_max.zip(row.rate_limit_time_window).filter(|_| is_limited);
    let created_at = moment("createdAt", row.created_at)?;
    let refill = row.refill_amount.zip(row.refill_interval);
    let refill = refill.map(|(amount, interval)| Refill { amount, interval, since: created_at.unwrap_or(now) });
    let quota = Quota {
        remaining: row.remaining.or(refill.map(|refill| refill.amount)),
        refill,
        rate_limit: limit.map(|(max, window)| RateLimit { max, window }),
        ..Quota::default()
    };
    let numbers =
        [quota.remaining, row.refill_amount, row.refill_interval, row.rate_limit_max, row.rate_limit_time_window];
    if numbers.into_iter().flatten().any(|number| number > MAX_INTEGER) {
        return Err("a limit is larger than 9007199254740991".to_owned());
    }
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
        request_count: row.request_count.unwrap_or(0),
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
