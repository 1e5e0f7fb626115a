//! How often a key may be used: what remains, how it refills, and a window in which uses are counted. Arithmetic on values
//! and a `now`, without a clock or a store; the ledger does nothing but apply it.

use crate::{clock::Timestamp, refusal::Refusal, text::Invalid};

/// Sets what remains to `amount` with the first use after every `interval`. Missed intervals do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// What remains after a refill.
    pub amount: u64,
    /// Milliseconds between two refills, at least.
    pub interval: u64,
    /// When the refill was set: the first interval begins here.
    pub since: Timestamp,
}

/// At most `max` uses in a window. The window begins with the first use after the last window has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The most uses in a window.
    pub max: u64,
    /// Milliseconds.
    pub window: u64,
}

/// The limits of a key and how far they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Uses that are left; `None`: any number.
    pub remaining: Option<u64>,
    /// How `remaining` grows again; never without `remaining`.
    pub refill: Option<Refill>,
    /// When it last did.
    pub last_refill_at: Option<Timestamp>,
    /// The window's rule.
    pub rate_limit: Option<RateLimit>,
    /// When the running window began.
    pub window_start: Option<Timestamp>,
    /// Uses in the running window.
    pub window_count: u64,
}

/// Uses of one key at one moment, served one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    before: Quota,
    standing: Standing,
    admitted: u64,
}

/// How far limits are used at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The moment.
    now: Timestamp,
    /// Whether a refill is due, and counted in.
    is_refilled: bool,
    /// Uses that are left; `None`: any number.
    pub remaining: Option<u64>,
    /// The window that a use would fall into, where there is a rule.
    pub window: Option<Window>,
}

/// A window in which uses are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it began.
    start: Timestamp,
    /// Uses in it.
    pub used: u64,
    /// Uses that it has room for.
    pub left: u64,
    /// Milliseconds until it ends.
    pub ends_in: u64,
}

impl Quota {
    /// Whether a use has to be counted before it is answered.
    #[must_use]
    pub const fn is_metered(&self) -> bool {
        self.remaining.is_some() || self.rate_limit.is_some()
    }

    /// How far they are used at `now`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        let refill = self.refill.filter(|refill| self.is_refill_due(*refill, now));
        let window = self.rate_limit.map(|limit| {
            // A clock that went back a little opens no new window. A start that is further ahead than a window was set by a
            // clock that was wrong, and would block the key until that time comes.
            let running = self.window_start.filter(|start| !now.is_after_period(*start, limit.window));
            let (start, used) = running.map_or((now, 0), |start| (start, self.window_count));
            let ends_in = now.millis_to_end_of(start, limit.window);
            Window { start, used, left: limit.max.saturating_sub(used), ends_in }
        });
        let remaining = refill.map(|refill| refill.amount).or(self.remaining);
        Standing { now, is_refilled: refill.is_some(), remaining, window }
    }

    /// The interval begins with the last refill, or when the refill was set, whichever is later. A time that is further ahead
    /// than an interval was set by a clock that was wrong, and does not count.
    fn is_refill_due(&self, refill: Refill, now: Timestamp) -> bool {
        let is_plausible = |time: &Timestamp| time.millis_since(now) <= refill.interval;
        let begin = [self.last_refill_at, Some(refill.since)].into_iter().flatten().filter(is_plausible).max();
        begin.is_none_or(|begin| now.is_after_period(begin, refill.interval))
    }

    /// The quota as a use at `now` finds it: a refill that is due has been made, and a window that is over has begun anew.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        self.standing(now).apply_to(*self)
    }

    /// Milliseconds from `now` until the window ends in which the last use was counted.
    #[must_use]
    pub fn window_ends_in(&self, now: Timestamp) -> Option<u64> {
        let limit = self.rate_limit?;
        Some(self.window_start.map_or(0, |start| now.millis_to_end_of(start, limit.window)))
    }

    /// Begins to serve uses at `now`.
    #[must_use]
    pub fn tally(&self, now: Timestamp) -> Tally {
        Tally { before: *self, standing: self.standing(now), admitted: 0 }
    }
}

impl Standing {
    /// The quota of which this is the state, with a refill that is due and a window that begins anew.
    fn apply_to(self, before: Quota) -> Quota {
        Quota {
            remaining: self.remaining,
            last_refill_at: if self.is_refilled { Some(self.now) } else { before.last_refill_at },
            window_start: self.window.map_or(before.window_start, |window| Some(window.start)),
            window_count: self.window.map_or(before.window_count, |window| window.used),
            ..before
        }
    }

    /// Whether so much remains.
    pub fn check_remaining(&self, cost: u64) -> Result<(), Refusal> {
        match self.remaining {
            Some(remaining) if remaining < cost => Err(Refusal::UsageExceeded { remaining }),
            _ => Ok(()),
        }
    }

    /// Whether the window has room.
    pub fn check_window(&self) -> Result<(), Refusal> {
        match self.window {
            Some(Window { left: 0, ends_in, .. }) => Err(Refusal::RateLimited { try_again_in: ends_in }),
            _ => Ok(()),
        }
    }
}

impl Tally {
    /// Serves a use that takes `cost` from what remains, and counts as one in the window. Answers the quota after it.
    ///
    /// # Errors
    /// Why it is refused; it has taken nothing.
    pub fn take(&mut self, cost: u64) -> Result<Quota, Refusal> {
        self.standing.check_remaining(cost)?;
        self.standing.check_window()?;
        self.standing.remaining = self.standing.remaining.map(|remaining| remaining - cost);
        if let Some(window) = &mut self.standing.window {
            window.used += 1;
            window.left -= 1;
        }
        self.admitted += 1;
        Ok(self.after())
    }

    /// So many were served.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        self.admitted
    }

    /// The quota afterwards; as it was where none was served.
    #[must_use]
    pub fn after(&self) -> Quota {
        if self.admitted == 0 { self.before } else { self.standing.apply_to(self.before) }
    }
}

/// The largest number that every JSON reader keeps exactly: 2^53 − 1 (RFC 8259 §6).
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// A whole number from `min` to 2^53 − 1.
pub fn integer(value: u64, min: u64) -> Result<u64, Invalid> {
    if (min..=MAX_INTEGER).contains(&value) { Ok(value) } else { Err(Invalid::Range { min, max: MAX_INTEGER }) }
}

#[cfg(test)]
mod tests;
