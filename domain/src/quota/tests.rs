//! The rules of limits, by examples and against the same rules in plainest words.

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn remaining(remaining: u64) -> Quota {
    Quota { remaining: Some(remaining), ..Quota::default() }
}

/// What came of some uses that were asked for together.
#[derive(Debug)]
struct Spend {
    admitted: u64,
    after: Quota,
    /// Why the last of them was not served.
    refused: Option<Refusal>,
}

impl Quota {
    /// Serves uses that cost 1 each.
    fn spend(&self, wanted: u64, now: Timestamp) -> Spend {
        let mut tally = self.tally(now);
        let refused = (0..wanted).map(|_| tally.take(1)).last().and_then(Result::err);
        Spend { admitted: tally.admitted(), after: tally.after(), refused }
    }
}

const USED_UP: Refusal = Refusal::UsageExceeded { remaining: 0 };

#[test]
fn a_use_costs_what_it_costs_or_nothing() {
    let quota = Quota { rate_limit: Some(RateLimit { max: 3, window: 1_000 }), ..remaining(10) };
    let mut tally = quota.tally(at(0));
    assert_eq!(tally.take(7).map(|after| (after.remaining, after.window_count)), Ok((Some(3), 1)));
    assert_eq!(tally.take(4), Err(Refusal::UsageExceeded { remaining: 3 }));
    assert_eq!(tally.take(3).map(|after| (after.remaining, after.window_count)), Ok((Some(0), 2)));
    assert_eq!(tally.take(0).map(|after| (after.remaining, after.window_count)), Ok((Some(0), 3)), "free of charge");
    assert_eq!(tally.take(0), Err(Refusal::RateLimited { try_again_in: 1_000 }));
    assert_eq!(tally.take(1), Err(USED_UP), "the reasons keep their order");
    assert_eq!((tally.admitted(), tally.after().remaining, tally.after().window_count), (3, Some(0), 3));
    assert_eq!(remaining(5).tally(at(0)).take(u64::MAX), Err(Refusal::UsageExceeded { remaining: 5 }));
}

#[test]
fn what_remains_is_used_up() {
    let spend = remaining(2).spend(3, at(0));
    assert_eq!((spend.admitted, spend.refused), (2, Some(USED_UP)));
    assert_eq!(spend.after, remaining(0));
    let spend = spend.after.spend(1, at(0));
    assert_eq!((spend.admitted, spend.after, spend.refused), (0, remaining(0), Some(USED_UP)));
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
    let back = spend.after.spend(1, at(-700));
    let refused = Some(Refusal::RateLimited { try_again_in: 2_000 });
    assert_eq!((back.admitted, back.refused), (0, refused), "a clock that goes back a window's length opens no window");
    let far_back = spend.after.spend(5, at(-701));
    assert_eq!((far_back.admitted, far_back.after.window_start), (2, Some(at(-701))), "a start further ahead is over");
}

#[test]
fn used_up_comes_before_rate_limited() {
    let limit = Some(RateLimit { max: 1, window: 1_000 });
    let both = Quota { rate_limit: limit, ..remaining(1) };
    assert_eq!(both.spend(2, at(0)).refused, Some(USED_UP));
    let spent = both.spend(1, at(0)).after;
    assert_eq!(spent.spend(1, at(0)).refused, Some(USED_UP));
    let more = Quota { remaining: Some(5), ..spent };
    assert_eq!(more.spend(1, at(0)).refused, Some(Refusal::RateLimited { try_again_in: 1_000 }));
    assert_eq!(more.spend(1, at(0)).after.remaining, Some(5), "a rate-limited use costs nothing");
}

#[test]
fn a_refill_that_a_wrong_clock_made_does_not_block_the_next() {
    const YEAR: i64 = 365 * 24 * 60 * 60 * 1_000;
    let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
    let ahead = Quota { refill: Some(refill), last_refill_at: Some(at(YEAR)), ..remaining(0) };
    let spend = ahead.spend(9, at(1_000));
    assert_eq!((spend.admitted, spend.after.last_refill_at), (3, Some(at(1_000))));
    assert_eq!(spend.after.spend(9, at(1_999)).admitted, 0, "one interval, one refill");
    // Where the refill was set by that clock, each interval has one refill all the same.
    let refill = Refill { since: at(YEAR), ..refill };
    let set_ahead = Quota { refill: Some(refill), last_refill_at: None, ..remaining(0) };
    let spend = set_ahead.spend(9, at(5_000));
    assert_eq!((spend.admitted, spend.after.spend(9, at(5_999)).admitted), (3, 0));
    assert_eq!(spend.after.spend(9, at(6_000)).admitted, 3);
    let near = Quota { refill: Some(Refill { since: at(1_000), ..refill }), ..set_ahead };
    assert_eq!(near.spend(9, at(0)).admitted, 0, "a little ahead is plausible");
}

#[test]
fn what_is_found_at_a_moment_is_what_a_use_would_find() {
    let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
    let rate_limit = Some(RateLimit { max: 2, window: 500 });
    let quota = Quota { refill: Some(refill), rate_limit, window_start: Some(at(0)), window_count: 2, ..remaining(0) };
    assert_eq!(quota.at(at(499)), quota);
    let found = quota.at(at(1_200));
    assert_eq!((found.remaining, found.window_count, found.window_ends_in(at(1_200))), (Some(3), 0, Some(500)));
    assert_eq!(quota.window_ends_in(at(499)), Some(1));
    assert_eq!(Quota { window_start: None, ..quota }.window_ends_in(at(499)), Some(0), "none has begun");
    assert_eq!(Quota { rate_limit: None, ..quota }.window_ends_in(at(0)), None);
}

/// The rules once more, one use at a time and in the plainest words.
#[derive(Clone, Debug)]
struct Naive {
    quota: Quota,
}

impl Naive {
    fn use_once(&mut self, now: Timestamp) -> bool {
        let q = &mut self.quota;
        let mut next = *q;
        if let Some(refill) = q.refill {
            let interval = i64::try_from(refill.interval).expect("small");
            let mut is_due = true;
            for begin in [Some(refill.since), q.last_refill_at].into_iter().flatten() {
                let gone = now.millis() - begin.millis();
                if -interval <= gone && gone < interval {
                    is_due = false;
                }
            }
            if is_due {
                next.remaining = Some(refill.amount);
                next.last_refill_at = Some(now);
            }
        }
        if next.remaining == Some(0) {
            return false;
        }
        if let Some(limit) = q.rate_limit {
            let window = i64::try_from(limit.window).expect("small");
            let over = q.window_start.is_none_or(|start| {
                let gone = now.millis() - start.millis();
                gone < -window || gone >= window
            });
            if over {
                next.window_start = Some(now);
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

/// Milliseconds from now at which some clock may have set a time: near, or years away.
fn any_offset() -> impl Strategy<Value = i64> {
    prop_oneof![-3_000_i64..3_000, -100_000_000_000_i64..100_000_000_000]
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
    fn a_clock_that_goes_forward_never_gives_more_than_max_in_a_window(
        max in 1_u64..6, window in 1_u64..60, steps in prop::collection::vec((0_u64..4, 0_i64..40), 1..80),
    ) {
        let mut quota = Quota { rate_limit: Some(RateLimit { max, window }), ..Quota::default() };
        let (mut now, mut windows) = (at(0), std::collections::BTreeMap::<i64, u64>::new());
        for (wanted, millis) in steps {
            now = now.plus_millis(millis);
            let spend = quota.spend(wanted, now);
            quota = spend.after;
            if spend.admitted > 0 {
                *windows.entry(quota.window_start.expect("counted").millis()).or_default() += spend.admitted;
            }
        }
        prop_assert!(windows.values().all(|admitted| *admitted <= max), "{windows:?}");
        let starts: Vec<i64> = windows.into_keys().collect();
        let length = i64::try_from(window).expect("small");
        prop_assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= length), "no two overlap: {starts:?}");
    }

    #[test]
    fn whatever_start_a_wrong_clock_has_left_a_window_ends_when_it_is_said_to(
        window in 1_u64..1_000, start in any_offset(),
    ) {
        let rate_limit = Some(RateLimit { max: 1, window });
        let quota = Quota { rate_limit, window_start: Some(at(start)), window_count: 1, ..Quota::default() };
        let waiting = quota.standing(at(0)).window.expect("a window").ends_in;
        prop_assert!(waiting <= 2 * window);
        let after = |millis: u64| at(i64::try_from(millis).expect("small"));
        if let Err(refusal) = quota.standing(at(0)).check_window() {
            prop_assert_eq!(refusal, Refusal::RateLimited { try_again_in: waiting });
            prop_assert!(quota.standing(after(waiting - 1)).check_window().is_err(), "not sooner");
            prop_assert_eq!(quota.standing(after(waiting)).check_window(), Ok(()), "the answer said when");
        }
    }

    #[test]
    fn whatever_times_a_wrong_clock_has_left_a_refill_comes_soon_and_once_in_an_interval(
        interval in 1_u64..300, last in any_offset(), since in any_offset(),
    ) {
        let refill = Refill { amount: 1, interval, since: at(since) };
        let quota = Quota { refill: Some(refill), last_refill_at: Some(at(last)), ..remaining(0) };
        let interval = i64::try_from(interval).expect("small");
        // Each of the two times can delay it by two intervals.
        let first = (0..=4 * interval).map(|millis| quota.spend(1, at(millis))).find(|spend| spend.admitted == 1);
        let after = first.expect("it comes").after;
        let refilled = after.last_refill_at.expect("just now");
        for millis in 0..interval {
            prop_assert_eq!(after.standing(refilled.plus_millis(millis)).remaining, Some(0));
        }
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
