//! Whether the clock has been steady for so long that all tokens which have expired by it have really expired.
//!
//! The record of a token group must outlive its tokens: without it the tokens of a revoked key would be accepted again. A clock that
//! jumps ahead ends them in this process only. So nothing is removed for a while after a jump, or after the start, because the
//! process cannot know whether the clock was right before. For the same reason no key is disabled for its age in that time.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{auth::token::Token, clock::Timestamp};

/// How far the clock may get ahead of the time that has passed, in milliseconds: a minute.
const MAX_AHEAD_MS: u64 = 60_000;

/// How long the clock must be steady: longer than any token is valid, by a clock that is behind, too.
const STEADY_FOR: Duration = Duration::from_secs(Token::MAX_TTL_SECONDS + 5 * 60);

/// What the clock showed when it began to be steady, and when that was by the machine's own time, which never jumps.
#[derive(Debug, Default)]
pub(crate) struct SteadyClock(Mutex<Option<(Timestamp, Instant)>>);

impl SteadyClock {
    /// Whether the clock, which shows `now` at `at`, has not jumped ahead for 20 minutes. Called by each run of the worker that owns it.
    pub(crate) fn is_steady(&self, now: Timestamp, at: Instant) -> bool {
        let mut begin = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (shown, since) = *begin.get_or_insert((now, at));
        let passed = at.saturating_duration_since(since);
        let expected = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).saturating_add(MAX_AHEAD_MS);
        if shown <= now && now.millis_since(shown) > expected {
            *begin = Some((now, at));
            return false;
        }
        passed >= STEADY_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_steady_twenty_minutes_after_the_start_and_after_each_jump() {
        let (clock, start) = (SteadyClock::default(), Instant::now());
        // What the clock shows, and the time that has passed, in minutes.
        let is_steady = |shown: i64, passed: u64| {
            clock.is_steady(Timestamp::from_millis(shown * 60_000), start + Duration::from_secs(60 * passed))
        };
        assert!(!is_steady(0, 0) && !is_steady(19, 19));
        assert!(is_steady(20, 20) && is_steady(30, 30));
        assert!(is_steady(33, 32), "a minute is no jump");
        assert!(!is_steady(93, 33), "an hour ahead");
        assert!(!is_steady(112, 52) && is_steady(113, 53), "the clock stayed ahead");
        assert!(is_steady(54, 54), "a clock that is set back ends nothing early");
        assert!(!is_steady(500, 55) && !is_steady(56, 56), "it jumped, and was set back");
        assert!(is_steady(75, 75));
    }
}
