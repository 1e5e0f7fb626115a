//! The limits of a key in request bodies: JSON → domain.

use domain::{
    Error,
    auth::caller::Caller,
    change::Change,
    keys::{KeySettingsPatch, RateLimitPatch},
    permissions::Permission,
};

use crate::http::{api_error::Fields, openapi_types::Patch, strict_json::document};

document! {
    /// How often a key may be used.
    #[oai(rename = "ApiKeyLimits")]
    pub(crate) struct KeyLimits {
        /// Uses left; null: unlimited, and no refill.
        remaining: Patch<u64>,
        /// Value that a refill sets `remaining` to, at least 1; requires `refill_interval`.
        #[oai(validator(minimum(value = "1")))]
        refill_amount: Patch<u64>,
        /// Time between two refills, in milliseconds, at least 1.
        #[oai(validator(minimum(value = "1")))]
        refill_interval: Patch<u64>,
        /// Maximum number of uses per window, at least 1; requires `rate_limit_window`.
        #[oai(validator(minimum(value = "1")))]
        rate_limit_max: Patch<u64>,
        /// Window of the rate limit, in milliseconds, at least 1.
        #[oai(validator(minimum(value = "1")))]
        rate_limit_window: Patch<u64>,
    }
}

impl KeyLimits {
    /// Requires `org:admin` if a new key has limits. `null` is the same as absent.
    pub(crate) fn require_for_new(&self, caller: &Caller) -> Result<(), Error> {
        self.require(caller, |limit| matches!(limit, Change::Set(_)))
    }

    /// Requires `org:admin` if limits of a key are set or cleared.
    pub(crate) fn require_for_change(&self, caller: &Caller) -> Result<(), Error> {
        self.require(caller, |limit| !limit.is_keep())
    }

    fn require(&self, caller: &Caller, is_change: fn(&Change<u64>) -> bool) -> Result<(), Error> {
        let limits = [
            &self.remaining,
            &self.refill_amount,
            &self.refill_interval,
            &self.rate_limit_max,
            &self.rate_limit_window,
        ];
        if limits.iter().any(|limit| is_change(&limit.0)) { caller.require(&Permission::ORG_ADMIN) } else { Ok(()) }
    }

    /// Validates each limit, and records what is invalid in `fields`.
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
        require_both(fields, ("rate_limit_max", &self.rate_limit_max), ("rate_limit_window", &self.rate_limit_window));
        require_both(fields, ("refill_amount", &self.refill_amount), ("refill_interval", &self.refill_interval));
        if self.remaining.0 == Change::Clear && matches!(self.refill_amount.0, Change::Set(_)) {
            fields.add("remaining", "must not be null with a refill");
        }
    }

    /// Adds these limits to `patch`. Invalid ones are recorded in `fields`.
    pub(crate) fn patch(&self, fields: &mut Fields, patch: KeySettingsPatch) -> KeySettingsPatch {
        self.check(fields);
        KeySettingsPatch {
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

/// Records an error if only one of two limits is set, or only one is cleared: each requires the other.
fn require_both(fields: &mut Fields, one: (&str, &Patch<u64>), other: (&str, &Patch<u64>)) {
    let is_set = |limit: &Patch<u64>| matches!(limit.0, Change::Set(_));
    for ((name, limit), (missing, other)) in [(one, other), (other, one)] {
        if is_set(limit) && !is_set(other) {
            fields.add(missing, format_args!("is required with {name}"));
        }
        if limit.0 == Change::Clear && other.0.is_keep() {
            fields.add(missing, format_args!("must be null if {name} is"));
        }
    }
}
