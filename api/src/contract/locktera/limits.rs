//! The limits of a key, as bodies name them.

use domain::{
    Error,
    caller::Caller,
    change::Change,
    clock::Timestamp,
    keys::{KeyPatch, RateLimitPatch},
    permission::Permission,
    quota::{Quota, RateLimit, Refill},
};
use poem_openapi::Object;

use crate::{failure::Fields, json::Members, wire::Patch};

/// How often a key may be used.
#[derive(Object)]
#[oai(rename = "ApiKeyLimits")]
pub(super) struct Limits {
    /// Uses that are left; null: any number, and no refill.
    remaining: Patch<u64>,
    /// What a refill sets `remaining` to, at least 1; together with `refill_interval`.
    refill_amount: Patch<u64>,
    /// Milliseconds between two refills, at least 1.
    refill_interval: Patch<u64>,
    /// The most uses in a window, at least 1; together with `rate_limit_window`.
    rate_limit_max: Patch<u64>,
    /// Milliseconds of a window, at least 1.
    rate_limit_window: Patch<u64>,
}

impl Limits {
    pub(super) fn read(members: &mut Members) -> Self {
        Self {
            remaining: Patch(members.change("remaining")),
            refill_amount: Patch(members.change("refill_amount")),
            refill_interval: Patch(members.change("refill_interval")),
            rate_limit_max: Patch(members.change("rate_limit_max")),
            rate_limit_window: Patch(members.change("rate_limit_window")),
        }
    }

    /// Asks for `org:admin` where a new key is given limits; `null` is like absent.
    pub(super) fn require_for_new(&self, caller: &Caller) -> Result<(), Error> {
        self.require(caller, |limit| matches!(limit, Change::Set(_)))
    }

    /// Asks for `org:admin` where limits are given or taken.
    pub(super) fn require_for_change(&self, caller: &Caller) -> Result<(), Error> {
        self.require(caller, |limit| !limit.is_keep())
    }

    fn require(&self, caller: &Caller, counts: fn(&Change<u64>) -> bool) -> Result<(), Error> {
        let limits = [
            &self.remaining,
            &self.refill_amount,
            &self.refill_interval,
            &self.rate_limit_max,
            &self.rate_limit_window,
        ];
        if limits.iter().any(|limit| counts(&limit.0)) { caller.require(&Permission::ORG_ADMIN) } else { Ok(()) }
    }

    /// Holds each against its rule.
    fn check(&self, fields: &mut Fields) {
        for (name, limit) in [
            ("refill_amount", &self.refill_amount),
            ("refill_interval", &self.refill_interval),
            ("rate_limit_max", &self.rate_limit_max),
            ("rate_limit_window", &self.rate_limit_window),
        ] {
            if limit.0 == Change::Set(0) {
                fields.add(name, "must be at least 1");
            }
        }
        together(fields, ("rate_limit_max", &self.rate_limit_max), ("rate_limit_window", &self.rate_limit_window));
        together(fields, ("refill_amount", &self.refill_amount), ("refill_interval", &self.refill_interval));
        if self.remaining.0 == Change::Clear && matches!(self.refill_amount.0, Change::Set(_)) {
            fields.add("remaining", "must not be null where there is a refill");
        }
    }

    /// The limits of a new key.
    pub(super) fn quota(&self, fields: &mut Fields, now: Timestamp) -> Quota {
        self.check(fields);
        let [remaining, amount, interval, max, window] = [
            &self.remaining,
            &self.refill_amount,
            &self.refill_interval,
            &self.rate_limit_max,
            &self.rate_limit_window,
        ]
        .map(|limit| limit.0.apply(None));
        let refill = amount.zip(interval).map(|(amount, interval)| Refill { amount, interval, since: now });
        let rate_limit = max.zip(window).map(|(max, window)| RateLimit { max, window });
        Quota { remaining, refill, rate_limit, ..Quota::default() }
    }

    /// What changes of a key that there is.
    pub(super) fn patch(&self, fields: &mut Fields, patch: KeyPatch) -> KeyPatch {
        self.check(fields);
        KeyPatch {
            remaining: self.remaining.0,
            refill_amount: self.refill_amount.0,
            refill_interval: self.refill_interval.0,
            rate_limit: RateLimitPatch {
                max: self.rate_limit_max.0,
                window: self.rate_limit_window.0,
                ..patch.rate_limit
            },
            ..patch
        }
    }
}

/// Two that mean nothing without each other.
fn together(fields: &mut Fields, one: (&str, &Patch<u64>), other: (&str, &Patch<u64>)) {
    let is_set = |limit: &Patch<u64>| matches!(limit.0, Change::Set(_));
    for ((name, limit), (missing, other)) in [(one, other), (other, one)] {
        if is_set(limit) && !is_set(other) {
            fields.add(missing, format_args!("is required with {name}"));
        }
        if limit.0 == Change::Clear && other.0.is_keep() {
            fields.add(missing, format_args!("must be null where {name} is"));
        }
    }
}
