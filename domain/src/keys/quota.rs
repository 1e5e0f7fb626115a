//! The usage limits of a key: remaining uses, their refill, and the rate limit. These are pure functions of the values
//! and the time; the ledger applies them to the stored values.

use crate::{clock::Timestamp, deny_reason::DenyReason, validated_string::ValidationError};

/// Sets the remaining uses to `amount` at the first use after each `interval`. Intervals without a use do not
/// accumulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// The number of remaining uses after a refill.
    pub amount: u64,
    /// The minimum time between two refills, in milliseconds.
    pub interval: u64,
    /// When the refill was configured (UTC): the first interval begins then.
    pub since: Timestamp,
}

/// A rate limit: at most `max` uses in a window. A window begins with the first use after the previous window has
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The maximum number of uses in a window.
    pub max: u64,
    /// The length of a window, in milliseconds.
    pub window: u64,
}

/// The usage limits of a key and their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The number of remaining uses. `None`: unlimited.
    pub remaining: Option<u64>,
    /// How `remaining` is refilled. Never set without `remaining`. `None`: it is not refilled.
    pub refill: Option<Refill>,
    /// When it was last refilled (UTC). `None`: never.
    pub last_refill_at: Option<Timestamp>,
    /// The rate limit. `None`: unlimited.
    pub rate_limit: Option<RateLimit>,
    /// When the current window began (UTC). `None`: no use was counted yet.
    pub window_start: Option<Timestamp>,
    /// The number of uses in the current window.
    pub window_count: u64,
}

/// Consumes several uses of one key at one time, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct QuotaBatch {
    before: Quota,
    state: QuotaState,
    admitted: u64,
}

/// The state of usage limits at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// The time of the state.
    now: Timestamp,
    /// Whether a refill is due at this time. It is included in `remaining`.
    is_refilled: bool,
    /// The number of remaining uses. `None`: unlimited.
    pub remaining: Option<u64>,
    /// The window that a use at this time counts for. `None`: there is no rate limit.
    pub window: Option<Window>,
}

/// A window of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it began (UTC).
    start: Timestamp,
    /// The number of uses in it.
    pub used: u64,
    /// The number of further uses that it allows.
    pub left: u64,
    /// Milliseconds until it ends.
    pub ends_in: u64,
}

impl Quota {
    /// Whether a use must be stored before the request is answered, because there is a usage limit or a rate limit.
    #[must_use]
    pub const fn is_metered(&self) -> bool {
        self.remaining.is_some() || self.rate_limit.is_some()
    }

    /// The state of the limits at `now`.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> QuotaState {
        let refill = self.refill.filter(|refill| self.is_refill_due(*refill, now));
        let window = self.rate_limit.map(|limit| {
            // A clock that was set back a little does not start a new window. A start that is further in the future
            // than a window was set by a wrong clock, and would block the key until that time.
            let running = self.window_start.filter(|start| !now.is_after_period(*start, limit.window));
            let (start, used) = running.map_or((now, 0), |start| (start, self.window_count));
            let ends_in = now.millis_to_end_of(start, limit.window);
            Window { start, used, left: limit.max.saturating_sub(used), ends_in }
        });
        let remaining = refill.map(|refill| refill.amount).or(self.remaining);
        QuotaState { now, is_refilled: refill.is_some(), remaining, window }
    }

    /// The interval begins with the last refill, or when the refill was configured, whichever is later. A time that is
    /// further in the future than an interval was set by a wrong clock, and is ignored.
    fn is_refill_due(&self, refill: Refill, now: Timestamp) -> bool {
        let is_plausible = |time: &Timestamp| time.millis_since(now) <= refill.interval;
        let begin = [self.last_refill_at, Some(refill.since)].into_iter().flatten().filter(is_plausible).max();
        begin.is_none_or(|begin| now.is_after_period(begin, refill.interval))
    }

    /// The quota as a use at `now` finds it: a refill that is due is included, and a window that has ended is
    /// restarted.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        self.state_at(now).apply_to(*self)
    }

    /// The time until which uses change the limits in the same way as at `now`: the end of the current window or of the
    /// current refill interval, whichever is earlier. `None`: a use at `now` begins a window or refills, or a time was
    /// set by a wrong clock.
    #[must_use]
    pub fn unchanged_until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut until = Timestamp::from_millis(i64::MAX);
        let mut end = |start, length| {
            let left = i64::try_from(now.millis_to_end_of(start, length)).unwrap_or(i64::MAX);
            until = until.min(now.plus_millis(left));
        };
        if let Some(limit) = self.rate_limit {
            end(self.window_start.filter(|start| !now.is_after_period(*start, limit.window))?, limit.window);
        }
        if let Some(refill) = self.refill {
            let begin = self.last_refill_at.map_or(refill.since, |last| last.max(refill.since));
            if now.is_after_period(begin, refill.interval) {
                return None;
            }
            end(begin, refill.interval);
        }
        Some(until)
    }

    /// Milliseconds from `now` until the end of the window in which the last use was counted. `None`: there is no rate
    /// limit.
    #[must_use]
    pub fn window_ends_in(&self, now: Timestamp) -> Option<u64> {
        let limit = self.rate_limit?;
        Some(self.window_start.map_or(0, |start| now.millis_to_end_of(start, limit.window)))
    }

    /// Starts a batch of uses at `now`.
    #[must_use]
    pub fn start_batch(&self, now: Timestamp) -> QuotaBatch {
        QuotaBatch { before: *self, state: self.state_at(now), admitted: 0 }
    }
}

impl QuotaState {
    /// The quota after this state is applied to `before`: with a refill that is due, and a restarted window.
    fn apply_to(self, before: Quota) -> Quota {
        Quota {
            remaining: self.remaining,
            last_refill_at: if self.is_refilled { Some(self.now) } else { before.last_refill_at },
            window_start: self.window.map_or(before.window_start, |window| Some(window.start)),
            window_count: self.window.map_or(before.window_count, |window| window.used),
            ..before
        }
    }

    /// Checks whether at least `cost` uses remain.
    pub fn check_remaining(&self, cost: u64) -> Result<(), DenyReason> {
        match self.remaining {
            Some(remaining) if remaining < cost => Err(DenyReason::UsageExceeded { remaining }),
            _ => Ok(()),
        }
    }

    /// Checks whether the window allows another use.
    pub fn check_window(&self) -> Result<(), DenyReason> {
        match self.window {
            Some(Window { left: 0, ends_in, .. }) => Err(DenyReason::RateLimited { try_again_in: ends_in }),
            _ => Ok(()),
        }
    }
}

impl QuotaBatch {
    /// Consumes `cost` remaining uses, and one use of the window. Returns the quota after it.
    ///
    /// # Errors
    /// The deny reason; then nothing was consumed.
    pub fn try_consume(&mut self, cost: u64) -> Result<Quota, DenyReason> {
        self.state.check_remaining(cost)?;
        self.state.check_window()?;
        self.state.remaining = self.state.remaining.map(|remaining| remaining - cost);
        if let Some(window) = &mut self.state.window {
            window.used += 1;
            window.left -= 1;
        }
        self.admitted += 1;
        Ok(self.after())
    }

    /// The number of uses that were admitted.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        self.admitted
    }

    /// The quota after all uses. It is unchanged if none was admitted.
    #[must_use]
    pub fn after(&self) -> Quota {
        if self.admitted == 0 { self.before } else { self.state.apply_to(self.before) }
    }
}

/// The largest integer that every JSON parser represents exactly: 2^53 − 1 (RFC 8259 §6).
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// Checks that a number is from `min` to 2^53 − 1, inclusive.
pub fn integer(value: u64, min: u64) -> Result<u64, ValidationError> {
    if (min..=MAX_INTEGER).contains(&value) { Ok(value) } else { Err(ValidationError::Range { min, max: MAX_INTEGER }) }
}

#[cfg(test)]
mod tests;
