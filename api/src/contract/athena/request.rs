//! Bodies → domain: which fields each operation takes, and what they mean.

use domain::{
    Error,
    api_key::{self, KeyName, Metadata},
    clock::Timestamp,
    error::RefillPart,
    id::{KeyId, UserId},
    keys::{KeyPatch, NewKey, Owner, RateLimitPatch},
    permission::PermissionSet,
    quota::{MAX_INTEGER, Quota, RateLimit, Refill},
    secret::KeyPrefix,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::lenient::{Body, Kind, Sent};
use crate::{
    failure::{Failure, Fields},
    hot::{Asked, Plain, PlainContext, PlainMap, USUAL_COST, is_plain_key},
};

/// What the plugin takes for the other one where only one of maximum and window is given: 10 uses in a day.
const DEFAULT_RATE_LIMIT: RateLimit = RateLimit { max: 10, window: 86_400_000 };

/// Ten years, in seconds.
const MAX_EXPIRES_IN: u64 = 315_360_000;

/// A field for the document: name, kind, description.
pub(super) type Field = (&'static str, Kind, &'static str);

pub(super) const CREATE: &[Field] = &[
    ("name", Kind::Text, "A name: 1 to 100 characters."),
    (
        "expiresIn",
        Kind::Integer,
        "Seconds until it expires, up to ten years; without it, when the caller's own key does, if ever.",
    ),
    ("userId", Kind::Text, "The member whom the key belongs to; without it the caller's user. Needs `org:admin`."),
    ("prefix", Kind::Text, "What stands in front of the key: 1 to 32 of `A-Z a-z 0-9 _ -`; `cvg_` without it."),
    ("remaining", Kind::Integer, "Uses that are left; without it any number. Needs `org:admin`."),
    ("metadata", Kind::Object, "An object to keep with it, at most 8 KiB."),
    ("refillAmount", Kind::Integer, "What a refill sets `remaining` to. Needs `org:admin`."),
    ("refillInterval", Kind::Integer, "Milliseconds between two refills. Needs `org:admin`."),
    ("rateLimitTimeWindow", Kind::Integer, "Milliseconds of a window in which uses are counted. Needs `org:admin`."),
    ("rateLimitMax", Kind::Integer, "The most uses in a window. Needs `org:admin`."),
    ("rateLimitEnabled", Kind::Boolean, "Whether the window counts; false wins over the two. Needs `org:admin`."),
    ("permissions", Kind::Permissions, "What it may do: resource to actions. Needs `org:admin`."),
];

pub(super) const UPDATE: &[Field] = &[
    ("keyId", Kind::Text, "The key."),
    ("userId", Kind::Text, "Whose key it is; another's key is then unknown. Needs `org:admin`."),
    ("name", Kind::Text, "A name; null: none."),
    ("enabled", Kind::Boolean, "Whether it is in use."),
    ("remaining", Kind::Integer, "Uses that are left; null: any number, and no refill. Needs `org:admin`."),
    ("refillAmount", Kind::Integer, "What a refill sets `remaining` to. Needs `org:admin`."),
    ("refillInterval", Kind::Integer, "Milliseconds between two refills. Needs `org:admin`."),
    ("metadata", Kind::Object, "An object to keep with it; null: none."),
    ("expiresIn", Kind::Integer, "Seconds from now until it expires; null: never."),
    ("rateLimitEnabled", Kind::Boolean, "Whether the window counts. Needs `org:admin`."),
    ("rateLimitTimeWindow", Kind::Integer, "Milliseconds of a window in which uses are counted. Needs `org:admin`."),
    ("rateLimitMax", Kind::Integer, "The most uses in a window. Needs `org:admin`."),
    ("permissions", Kind::Permissions, "What it may do; null: nothing. Needs `org:admin`."),
];

/// Some fields may be set by callers with `org:admin` only.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    /// What was asked for.
    pub(super) request: T,
    /// Whether one of those fields is in it.
    pub(super) needs_admin: bool,
}

/// An update of a key.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) key: Option<KeyId>,
    /// Whose key is meant, where it is said; the text may name nobody.
    pub(super) user: Option<String>,
    pub(super) patch: KeyPatch,
}

/// The limits as they are sent, in both operations.
struct Limits {
    remaining: Sent<u64>,
    refill_amount: Sent<u64>,
    refill_interval: Sent<u64>,
    window: Sent<u64>,
    max: Sent<u64>,
    enabled: Sent<bool>,
}

impl Limits {
    fn read(body: &mut Body) -> Self {
        Self {
            remaining: body.integer("remaining", 0, MAX_INTEGER),
            refill_amount: body.integer("refillAmount", 1, MAX_INTEGER),
            refill_interval: body.integer("refillInterval", 1, MAX_INTEGER),
            window: body.integer("rateLimitTimeWindow", 1, MAX_INTEGER),
            max: body.integer("rateLimitMax", 1, MAX_INTEGER),
            enabled: body.boolean("rateLimitEnabled"),
        }
    }

    fn integers(&self) -> [&Sent<u64>; 5] {
        [&self.remaining, &self.refill_amount, &self.refill_interval, &self.window, &self.max]
    }

    fn have_values(&self) -> bool {
        self.integers().into_iter().any(Sent::is_value) || self.enabled.is_value()
    }

    fn are_absent(&self) -> bool {
        self.integers().into_iter().all(Sent::is_absent) && self.enabled.is_absent()
    }
}

pub(super) fn create(members: Map<String, Value>, now: Timestamp) -> Result<Guarded<NewKey>, Failure> {
    let mut body = Body::new(members);
    let name = body.text("name", KeyName::parse).given();
    let expires_at = body.integer("expiresIn", 1, MAX_EXPIRES_IN).given().map(|seconds| after(now, seconds));
    let user = body.text("userId", |text| Ok(text.parse::<UserId>().ok())).given();
    let prefix = body.text("prefix", KeyPrefix::parse).given();
    let metadata = body.object("metadata").given();
    let limits = Limits::read(&mut body);
    let permissions = body.permissions("permissions").given();
    body.finish()?;
    let needs_admin = user.is_some() || permissions.is_some() || limits.have_values();
    let request = NewKey {
        owner: user.map_or(Owner::Caller, Owner::User),
        name,
        prefix: prefix.unwrap_or_else(KeyPrefix::standard),
        permissions: permissions.unwrap_or_default(),
        expires_at: expires_at.map(|at| expiry(at, now)).transpose()?,
        metadata: metadata.map(stored).transpose()?,
        quota: quota(limits, now)?,
        not_before: None,
        addresses: None,
        sets: Vec::new(),
        external_id: None,
    };
    Ok(Guarded { request, needs_admin })
}

fn quota(limits: Limits, now: Timestamp) -> Result<Quota, Failure> {
    let refill = match (limits.refill_amount.given(), limits.refill_interval.given()) {
        (Some(amount), Some(interval)) => Some(Refill { amount, interval, since: now }),
        (None, None) => None,
        (None, Some(_)) => return Err(Error::RefillWithout(RefillPart::Amount).into()),
        (Some(_), None) => return Err(Error::RefillWithout(RefillPart::Interval).into()),
    };
    let patch = rate_limit(limits.enabled.given(), limits.max.given(), limits.window.given());
    Ok(Quota { remaining: limits.remaining.given(), refill, rate_limit: patch, ..Quota::default() })
}

fn rate_limit(enabled: Option<bool>, max: Option<u64>, window: Option<u64>) -> Option<RateLimit> {
    let asked_for = enabled.unwrap_or(max.is_some() || window.is_some());
    asked_for.then(|| RateLimit {
        max: max.unwrap_or(DEFAULT_RATE_LIMIT.max),
        window: window.unwrap_or(DEFAULT_RATE_LIMIT.window),
    })
}

pub(super) fn update(members: Map<String, Value>, now: Timestamp) -> Result<Guarded<Update>, Failure> {
    let mut body = Body::new(members);
    let key = body.text("keyId", |text| Ok(text.parse::<KeyId>().ok()));
    let key = body.require("keyId", key).flatten();
    let user = body.text("userId", |text| Ok(text.to_owned()));
    let user = body.not_null("userId", user);
    let name = body.text("name", KeyName::parse);
    let enabled = body.boolean("enabled");
    let enabled = body.not_null("enabled", enabled);
    let metadata = body.object("metadata");
    let expires_in = body.integer("expiresIn", 1, MAX_EXPIRES_IN);
    let limits = Limits::read(&mut body);
    let rate_limit_enabled = body.not_null("rateLimitEnabled", limits.enabled.clone());
    let permissions = body.permissions("permissions");
    body.finish()?;
    let needs_admin = user.is_some() || !limits.are_absent() || !permissions.is_absent();
    let patch = KeyPatch {
        name: name.change(),
        enabled,
        expires_at: expires_in.change().try_map(|seconds| expiry(after(now, seconds), now))?,
        metadata: metadata.change().try_map(stored)?,
        permissions: permissions.change(),
        remaining: limits.remaining.change(),
        refill_amount: limits.refill_amount.change(),
        refill_interval: limits.refill_interval.change(),
        rate_limit: RateLimitPatch {
            enabled: rate_limit_enabled,
            max: limits.max.change(),
            window: limits.window.change(),
            default: DEFAULT_RATE_LIMIT,
        },
        ..KeyPatch::nothing()
    };
    Ok(Guarded { request: Update { key, user, patch }, needs_admin })
}

pub(super) fn verify(members: Map<String, Value>) -> Result<Asked<'static>, Failure> {
    let mut body = Body::new(members);
    let key = body.text("key", |text| Ok(text.to_owned()));
    let key = body.require("key", key);
    let permissions = body.permissions("permissions");
    let permissions = body.not_null("permissions", permissions).unwrap_or_default();
    let from = body.address("context");
    body.finish()?;
    let key = key.unwrap_or_default().into();
    Ok(Asked { key, permissions, organization: None, from, cost: USUAL_COST })
}

/// A verify as most clients send it: the same as [`verify`], for bodies without any leniency.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainVerify<'a> {
    key: &'a str,
    #[serde(borrow, default)]
    permissions: PlainMap<'a>,
    #[serde(borrow, default)]
    context: Option<Plain<PlainContext<'a>>>,
}

pub(super) fn plain_verify(body: &[u8]) -> Option<Asked<'_>> {
    let Plain(PlainVerify { key, permissions, context }) = serde_json::from_slice(body).ok()?;
    let lists = permissions.0.iter().map(|(resource, actions)| (*resource, actions.iter().copied()));
    let permissions = PermissionSet::from_map(lists).ok()?;
    let from = PlainContext::from(context.as_ref())?;
    let asked = Asked { key: key.into(), permissions, organization: None, from, cost: USUAL_COST };
    is_plain_key(key).then_some(asked)
}

/// The one field of a delete.
pub(super) fn key_id(members: Map<String, Value>) -> Result<Option<KeyId>, Failure> {
    let mut body = Body::new(members);
    let key = body.text("keyId", |text| Ok(text.parse::<KeyId>().ok()));
    let key = body.require("keyId", key);
    body.finish()?;
    Ok(key.flatten())
}

fn after(now: Timestamp, seconds: u64) -> Timestamp {
    now.plus_millis(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000))
}

fn expiry(at: Timestamp, now: Timestamp) -> Result<Timestamp, Failure> {
    api_key::expiry(at, now).map_err(|invalid| Failure::Invalid(Fields::one("expiresIn", invalid)))
}

fn stored(map: Map<String, Value>) -> Result<Metadata, Failure> {
    Metadata::parse(&Value::Object(map).to_string())
        .map_err(|invalid| Failure::Invalid(Fields::one("metadata", invalid)))
}
