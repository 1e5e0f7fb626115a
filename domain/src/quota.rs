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

/// What came of some uses that were asked for together. They are served one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spend {
    /// So many were admitted.
    pub admitted: u64,
    /// The quota afterwards; as it was where none was admitted.
    pub after: Quota,
    /// Why the others were not; `None` where all were.
    pub refused: Option<Refusal>,
}

impl Quota {
    /// Whether a use has to be counted before it is answered.
    #[must_use]
    pub const fn is_metered(&self) -> bool {
        self.remaining.is_some() || self.rate_limit.is_some()
    }

    /// Serves `wanted` uses at `now`, or as many of them as there are.
    #[must_use]
    pub fn spend(&self, wanted: u64, now: Timestamp) -> Spend {
        // A clock that went back must not open a new window nor refill twice.
        let now = [self.window_start, self.last_refill_at].into_iter().flatten().fold(now, Ord::max);
        let refill = self.refill.filter(|refill| {
            // A refill that was set after the last one begins its own first interval.
            let begin = self.last_refill_at.map_or(refill.since, |last| last.max(refill.since));
            now.millis_since(begin) >= refill.interval
        });
        let remaining = refill.map(|refill| refill.amount).or(self.remaining);
        let running = self.rate_limit.and_then(|limit| {
            let start = self.window_start.filter(|start| now.millis_since(*start) < limit.window)?;
            Some((start, self.window_count))
        });
        let (window_start, window_count) = running.unwrap_or((now, 0));
        let left_in_window = self.rate_limit.map_or(u64::MAX, |limit| limit.max.saturating_sub(window_count));
        let admitted = wanted.min(remaining.unwrap_or(u64::MAX)).min(left_in_window);
        let refused = (admitted < wanted).then(|| {
            if remaining == Some(admitted) {
                Refusal::UsageExceeded
            } else {
                let window = self.rate_limit.map_or(0, |limit| limit.window);
                Refusal::RateLimited { try_again_in: window.saturating_sub(now.millis_since(window_start)) }
            }
        });
        if admitted == 0 {
            return Spend { admitted, after: *self, refused };
        }
        let after = Self {
            remaining: remaining.map(|remaining| remaining - admitted),
            last_refill_at: if refill.is_some() { Some(now) } else { self.last_refill_at },
            window_start: if self.rate_limit.is_some() { Some(window_start) } else { self.window_start },
            window_count: if self.rate_limit.is_some() { window_count + admitted } else { self.window_count },
            ..*self
        };
        Spend { admitted, after, refused }
    }
}

/// The largest number that every JSON reader keeps exactly: 2^53 − 1 (RFC 8259 §6).
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// A whole number from `min` to 2^53 − 1.
pub fn integer(value: u64, min: u64) -> Result<u64, Invalid> {
    if (min..=MAX_INTEGER).contains(&value) { Ok(value) } else { Err(Invalid::Range { min, max: MAX_INTEGER }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn remaining(remaining: u64) -> Quota {
        Quota { remaining: Some(remaining), ..Quota::default() }
    }

    #[test]
    fn what_remains_is_used_up() {
        let spend = remaining(2).spend(3, at(0));
        assert_eq!((spend.admitted, spend.refused), (2, Some(Refusal::UsageExceeded)));
        assert_eq!(spend.after, remaining(0));
        let spend = spend.after.spend(1, at(0));
        assert_eq!((spend.admitted, spend.after, spend.refused), (0, remaining(0), Some(Refusal::UsageExceeded)));
    }

    #[test]
    fn a_refill_sets_and_does_not_add() {
        let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
        let quota = Quota { refill: Some(refill), ..remaining(99) };
        assert_eq!(quota.spend(1, at(999)).after.remaining, Some(98));
        let spend = quota.spend(1, at(5_000));
        assert_eq!((spend.after.remaining, spend.after.last_refill_at), (Some(2), Some(at(5_000))));
        assert_eq!(spend.after.spend(3, at(5_999)).admitted, 2, "the interval begins with the refill");
        assert_eq!(spend.after.spend(9, at(6_000)).admitted, 3);
        assert_eq!(quota.spend(0, at(9_999)).after, quota, "nothing is written for nothing");
    }

    #[test]
    fn a_window_begins_with_its_first_use() {
        let quota = Quota { rate_limit: Some(RateLimit { max: 2, window: 1_000 }), ..Quota::default() };
        let spend = quota.spend(5, at(300));
        assert_eq!((spend.admitted, spend.refused), (2, Some(Refusal::RateLimited { try_again_in: 1_000 })));
        let again = spend.after.spend(1, at(1_299));
        assert_eq!((again.admitted, again.refused), (0, Some(Refusal::RateLimited { try_again_in: 1 })));
        assert_eq!(again.after, spend.after, "a refused use does not prolong the window");
        assert_eq!(spend.after.spend(1, at(1_300)).after.window_start, Some(at(1_300)));
        assert_eq!(spend.after.spend(1, at(-9_000)).admitted, 0, "a clock that goes back opens no window");
    }

    #[test]
    fn used_up_comes_before_rate_limited() {
        let limit = Some(RateLimit { max: 1, window: 1_000 });
        let both = Quota { rate_limit: limit, ..remaining(1) };
        assert_eq!(both.spend(2, at(0)).refused, Some(Refusal::UsageExceeded));
        let spent = both.spend(1, at(0)).after;
        assert_eq!(spent.spend(1, at(0)).refused, Some(Refusal::UsageExceeded));
        let more = Quota { remaining: Some(5), ..spent };
        assert_eq!(more.spend(1, at(0)).refused, Some(Refusal::RateLimited { try_again_in: 1_000 }));
        assert_eq!(more.spend(1, at(0)).after.remaining, Some(5), "a rate-limited use costs nothing");
    }

    /// The rules once more, one use at a time and in the plainest words.
    #[derive(Clone, Debug)]
    struct Naive {
        quota: Quota,
    }

    impl Naive {
        fn use_once(&mut self, now: Timestamp) -> bool {
            let q = &mut self.quota;
            let mut t = now;
            for mark in [q.window_start, q.last_refill_at].into_iter().flatten() {
                if mark > t {
                    t = mark;
                }
            }
            let mut next = *q;
            if let Some(refill) = q.refill {
                let begin = match q.last_refill_at {
                    Some(last) if last > refill.since => last,
                    _ => refill.since,
                };
                if t.millis() - begin.millis() >= i64::try_from(refill.interval).expect("small") {
                    next.remaining = Some(refill.amount);
                    next.last_refill_at = Some(t);
                }
            }
            if next.remaining == Some(0) {
                return false;
            }
            if let Some(limit) = q.rate_limit {
                let over = q
                    .window_start
                    .is_none_or(|start| t.millis() - start.millis() >= i64::try_from(limit.window).expect("small"));
                if over {
                    next.window_start = Some(t);
                    next.window_count = 0;
                }
                if next.window_count >= limit.max {
                    return false;
                }
                next.window_count += 1;
            }
            next.remaining = next.remaining.map(|remaining| remaining - 1);
            self.quota = next;
            true
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Use(u64),
        Clock(i64),
        SetRemaining(Option<u64>),
        SetRefill(Option<(u64, u64)>),
        SetRate(Option<(u64, u64)>),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u64..8).prop_map(Step::Use),
            4 => (-50_i64..200).prop_map(Step::Clock),
            1 => prop::option::of(0_u64..10).prop_map(Step::SetRemaining),
            1 => prop::option::of((1_u64..6, 1_u64..150)).prop_map(Step::SetRefill),
            1 => prop::option::of((1_u64..6, 1_u64..150)).prop_map(Step::SetRate),
        ]
    }

    proptest! {
        #[test]
        fn folding_uses_is_serving_them_one_by_one(steps in prop::collection::vec(any_step(), 1..60)) {
            let mut quota = Quota::default();
            let mut naive = Naive { quota };
            let mut now = at(0);
            for step in steps {
                match step {
                    Step::Clock(millis) => now = now.plus_millis(millis),
                    Step::SetRemaining(value) => {
                        quota.remaining = value;
                        if value.is_none() {
                            quota.refill = None;
                        }
                        naive.quota = quota;
                    }
                    Step::SetRefill(value) => {
                        quota.refill = value.map(|(amount, interval)| Refill { amount, interval, since: now });
                        if let (Some(refill), None) = (quota.refill, quota.remaining) {
                            quota.remaining = Some(refill.amount);
                        }
                        naive.quota = quota;
                    }
                    Step::SetRate(value) => {
                        quota.rate_limit = value.map(|(max, window)| RateLimit { max, window });
                        naive.quota = quota;
                    }
                    Step::Use(wanted) => {
                        let spend = quota.spend(wanted, now);
                        let admitted = (0..wanted).filter(|_| naive.use_once(now)).count() as u64;
                        prop_assert_eq!(spend.admitted, admitted);
                        prop_assert_eq!(spend.refused.is_some(), admitted < wanted);
                        quota = spend.after;
                        prop_assert_eq!(quota, naive.quota);
                    }
                }
            }
        }

        #[test]
        fn never_more_than_was_granted(granted in 0_u64..50, batches in prop::collection::vec(0_u64..9, 0..30)) {
            let mut quota = remaining(granted);
            let wanted: u64 = batches.iter().sum();
            let mut admitted = 0;
            for batch in batches {
                let spend = quota.spend(batch, at(0));
                admitted += spend.admitted;
                quota = spend.after;
            }
            prop_assert_eq!(admitted, wanted.min(granted));
        }

        #[test]
        fn a_steady_caller_gets_exactly_max_in_each_window(max in 1_u64..6, window in 10_u64..60) {
            let mut quota = Quota { rate_limit: Some(RateLimit { max, window }), ..Quota::default() };
            let window = i64::try_from(window).expect("small");
            for n in 0..5 {
                let mut admitted = 0;
                for millis in 0..window {
                    let spend = quota.spend(1, at(n * window + millis));
                    admitted += spend.admitted;
                    quota = spend.after;
                }
                prop_assert_eq!(admitted, max.min(window.unsigned_abs()));
            }
        }
    }
}
