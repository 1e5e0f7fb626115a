//! Tests of usage limits, by examples and against a reference implementation.

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn remaining(remaining: u64) -> Quota {
    Quota { remaining: Some(remaining), ..Quota::default() }
}

/// The result of several uses that were requested together.
#[derive(Debug)]
struct Spend {
    admitted: u64,
    after: Quota,
    /// Why the last of them was denied. `None`: it was admitted.
    refused: Option<DenyReason>,
}

impl Quota {
    /// Consumes uses that cost 1 each.
    fn spend(&self, wanted: u64, now: Timestamp) -> Spend {
        let mut batch = self.start_batch(now);
        let refused = (0..wanted).map(|_| batch.try_consume(1)).last().and_then(Result::err);
        Spend { admitted: batch.admitted(), after: batch.after(), refused }
    }
}

const EXHAUSTED: DenyReason = DenyReason::UsageExceeded { remaining: 0 };

#[test]
fn a_use_takes_its_whole_cost_or_nothing() {
    let quota = Quota { rate_limit: Some(RateLimit { max: 3, window: 1_000 }), ..remaining(10) };
    let mut batch = quota.start_batch(at(0));
    assert_eq!(batch.try_consume(7).map(|after| (after.remaining, after.window_count)), Ok((Some(3), 1)));
    assert_eq!(batch.try_consume(4), Err(DenyReason::UsageExceeded { remaining: 3 }));
    assert_eq!(batch.try_consume(3).map(|after| (after.remaining, after.window_count)), Ok((Some(0), 2)));
    assert_eq!(
        batch.try_consume(0).map(|after| (after.remaining, after.window_count)),
        Ok((Some(0), 3)),
        "a cost of 0"
    );
    assert_eq!(batch.try_consume(0), Err(DenyReason::RateLimited { try_again_in: 1_000 }));
    assert_eq!(batch.try_consume(1), Err(EXHAUSTED), "exhausted comes before rate-limited");
    assert_eq!((batch.admitted(), batch.after().remaining, batch.after().window_count), (3, Some(0), 3));
    assert_eq!(remaining(5).start_batch(at(0)).try_consume(u64::MAX), Err(DenyReason::UsageExceeded { remaining: 5 }));
}

#[test]
fn remaining_uses_are_counted_down_to_zero() {
    let spend = remaining(2).spend(3, at(0));
    assert_eq!((spend.admitted, spend.refused), (2, Some(EXHAUSTED)));
    assert_eq!(spend.after, remaining(0));
    let spend = spend.after.spend(1, at(0));
    assert_eq!((spend.admitted, spend.after, spend.refused), (0, remaining(0), Some(EXHAUSTED)));
}

#[test]
fn a_refill_sets_the_remaining_uses() {
    let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
    let quota = Quota { refill: Some(refill), ..remaining(99) };
    assert_eq!(quota.spend(1, at(999)).after.remaining, Some(98));
    let spend = quota.spend(1, at(5_000));
    assert_eq!((spend.after.remaining, spend.after.last_refill_at), (Some(2), Some(at(5_000))));
    assert_eq!(spend.after.spend(3, at(5_999)).admitted, 2, "the interval begins with the refill");
    assert_eq!(spend.after.spend(9, at(6_000)).admitted, 3);
    assert_eq!(quota.spend(0, at(9_999)).after, quota, "no use, no change");
}

#[test]
fn a_rate_limit_window_begins_with_its_first_use() {
    let quota = Quota { rate_limit: Some(RateLimit { max: 2, window: 1_000 }), ..Quota::default() };
    let spend = quota.spend(5, at(300));
    assert_eq!((spend.admitted, spend.refused), (2, Some(DenyReason::RateLimited { try_again_in: 1_000 })));
    let again = spend.after.spend(1, at(1_299));
    assert_eq!((again.admitted, again.refused), (0, Some(DenyReason::RateLimited { try_again_in: 1 })));
    assert_eq!(again.after, spend.after, "a denied use does not change the window");
    assert_eq!(spend.after.spend(1, at(1_300)).after.window_start, Some(at(1_300)));
    let back = spend.after.spend(1, at(-700));
    let refused = Some(DenyReason::RateLimited { try_again_in: 2_000 });
    assert_eq!(
        (back.admitted, back.refused),
        (0, refused),
        "a clock that goes back by one window does not begin a new one"
    );
    let far_back = spend.after.spend(5, at(-701));
    assert_eq!(
        (far_back.admitted, far_back.after.window_start),
        (2, Some(at(-701))),
        "a start further in the future is ignored"
    );
}

#[test]
fn exhausted_comes_before_rate_limited() {
    let limit = Some(RateLimit { max: 1, window: 1_000 });
    let both = Quota { rate_limit: limit, ..remaining(1) };
    assert_eq!(both.spend(2, at(0)).refused, Some(EXHAUSTED));
    let spent = both.spend(1, at(0)).after;
    assert_eq!(spent.spend(1, at(0)).refused, Some(EXHAUSTED));
    let more = Quota { remaining: Some(5), ..spent };
    assert_eq!(more.spend(1, at(0)).refused, Some(DenyReason::RateLimited { try_again_in: 1_000 }));
    assert_eq!(more.spend(1, at(0)).after.remaining, Some(5), "a rate-limited use takes no remaining use");
}

#[test]
fn a_refill_with_a_future_time_does_not_block_the_next() {
    const YEAR: i64 = 365 * 24 * 60 * 60 * 1_000;
    let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
    let ahead = Quota { refill: Some(refill), last_refill_at: Some(at(YEAR)), ..remaining(0) };
    let spend = ahead.spend(9, at(1_000));
    assert_eq!((spend.admitted, spend.after.last_refill_at), (3, Some(at(1_000))));
    assert_eq!(spend.after.spend(9, at(1_999)).admitted, 0, "one refill per interval");
    // If the refill was configured by that clock, there is still one refill per interval.
    let refill = Refill { since: at(YEAR), ..refill };
    let set_ahead = Quota { refill: Some(refill), last_refill_at: None, ..remaining(0) };
    let spend = set_ahead.spend(9, at(5_000));
    assert_eq!((spend.admitted, spend.after.spend(9, at(5_999)).admitted), (3, 0));
    assert_eq!(spend.after.spend(9, at(6_000)).admitted, 3);
    let near = Quota { refill: Some(Refill { since: at(1_000), ..refill }), ..set_ahead };
    assert_eq!(near.spend(9, at(0)).admitted, 0, "a start in the near future is accepted");
}

#[test]
fn the_quota_at_a_time_is_that_of_a_use_at_that_time() {
    let refill = Refill { amount: 3, interval: 1_000, since: at(0) };
    let rate_limit = Some(RateLimit { max: 2, window: 500 });
    let quota = Quota { refill: Some(refill), rate_limit, window_start: Some(at(0)), window_count: 2, ..remaining(0) };
    assert_eq!(quota.at(at(499)), quota);
    let found = quota.at(at(1_200));
    assert_eq!((found.remaining, found.window_count, found.window_ends_in(at(1_200))), (Some(3), 0, Some(500)));
    assert_eq!(quota.window_ends_in(at(499)), Some(1));
    assert_eq!(Quota { window_start: None, ..quota }.window_ends_in(at(499)), Some(0), "no window has begun");
    assert_eq!(Quota { rate_limit: None, ..quota }.window_ends_in(at(0)), None);
}

/// Reference implementation: one use at a time, without optimizations.
#[derive(Clone, Debug)]
struct ReferenceQuota {
    quota: Quota,
}

impl ReferenceQuota {
    fn use_once(&mut self, now: Timestamp) -> bool {
        let q = &mut self.quota;
        let mut next = *q;
        if let Some(refill) = q.refill {
            let interval = i64::try_from(refill.interval).expect("small");
            let mut is_due = true;
            for begin in [Some(refill.since), q.last_refill_at].into_iter().flatten() {
                let elapsed = now.millis() - begin.millis();
                if -interval <= elapsed && elapsed < interval {
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
                let elapsed = now.millis() - start.millis();
                elapsed < -window || elapsed >= window
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
enum Event {
    Use(u64),
    Clock(i64),
    SetRemaining(Option<u64>),
    SetRefill(Option<(u64, u64)>),
    SetRate(Option<(u64, u64)>),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u64..8).prop_map(Event::Use),
        4 => (-50_i64..200).prop_map(Event::Clock),
        1 => prop::option::of(0_u64..10).prop_map(Event::SetRemaining),
        1 => prop::option::of((1_u64..6, 1_u64..150)).prop_map(Event::SetRefill),
        1 => prop::option::of((1_u64..6, 1_u64..150)).prop_map(Event::SetRate),
    ]
}

/// An offset from now, in milliseconds, of a time that a clock may have set: near, or years away.
fn any_offset() -> impl Strategy<Value = i64> {
    prop_oneof![-3_000_i64..3_000, -100_000_000_000_i64..100_000_000_000]
}

proptest! {
    #[test]
    fn a_batch_of_uses_equals_single_uses(steps in prop::collection::vec(any_event(), 1..60)) {
        let mut quota = Quota::default();
        let mut reference = ReferenceQuota { quota };
        let mut now = at(0);
        for step in steps {
            match step {
                Event::Clock(millis) => now = now.plus_millis(millis),
                Event::SetRemaining(value) => {
                    quota.remaining = value;
                    if value.is_none() {
                        quota.refill = None;
                    }
                    reference.quota = quota;
                }
                Event::SetRefill(value) => {
                    quota.refill = value.map(|(amount, interval)| Refill { amount, interval, since: now });
                    if let (Some(refill), None) = (quota.refill, quota.remaining) {
                        quota.remaining = Some(refill.amount);
                    }
                    reference.quota = quota;
                }
                Event::SetRate(value) => {
                    quota.rate_limit = value.map(|(max, window)| RateLimit { max, window });
                    reference.quota = quota;
                }
                Event::Use(wanted) => {
                    let spend = quota.spend(wanted, now);
                    let admitted = (0..wanted).filter(|_| reference.use_once(now)).count() as u64;
                    prop_assert_eq!(spend.admitted, admitted);
                    prop_assert_eq!(spend.refused.is_some(), admitted < wanted);
                    quota = spend.after;
                    prop_assert_eq!(quota, reference.quota);
                }
            }
        }
    }

    #[test]
    fn no_more_uses_are_admitted_than_remain(granted in 0_u64..50, batches in prop::collection::vec(0_u64..9, 0..30)) {
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
    fn a_rate_limit_window_admits_at_most_its_maximum(
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
        prop_assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= length), "windows overlap: {starts:?}");
    }

    #[test]
    fn a_window_with_any_start_ends_at_the_reported_time(
        window in 1_u64..1_000, start in any_offset(),
    ) {
        let rate_limit = Some(RateLimit { max: 1, window });
        let quota = Quota { rate_limit, window_start: Some(at(start)), window_count: 1, ..Quota::default() };
        let waiting = quota.state_at(at(0)).window.expect("a window").ends_in;
        prop_assert!(waiting <= 2 * window);
        let after = |millis: u64| at(i64::try_from(millis).expect("small"));
        if let Err(deny_reason) = quota.state_at(at(0)).check_window() {
            prop_assert_eq!(deny_reason, DenyReason::RateLimited { try_again_in: waiting });
            prop_assert!(quota.state_at(after(waiting - 1)).check_window().is_err(), "not before `try_again_in`");
            prop_assert_eq!(quota.state_at(after(waiting)).check_window(), Ok(()), "admitted after `try_again_in`");
        }
    }

    #[test]
    fn a_refill_with_any_times_happens_once_per_interval(
        interval in 1_u64..300, last in any_offset(), since in any_offset(),
    ) {
        let refill = Refill { amount: 1, interval, since: at(since) };
        let quota = Quota { refill: Some(refill), last_refill_at: Some(at(last)), ..remaining(0) };
        let interval = i64::try_from(interval).expect("small");
        // Each of the two times can delay the refill by two intervals.
        let first = (0..=4 * interval).map(|millis| quota.spend(1, at(millis))).find(|spend| spend.admitted == 1);
        let after = first.expect("a refill").after;
        let refilled = after.last_refill_at.expect("a refill time");
        for millis in 0..interval {
            prop_assert_eq!(after.state_at(refilled.plus_millis(millis)).remaining, Some(0));
        }
    }

    #[test]
    fn uses_change_the_limits_in_the_same_way_until_the_stated_time(
        refill in prop::option::of((any_offset(), prop::option::of(any_offset()))),
        window_start in prop::option::of(prop::option::of(any_offset())),
        (interval, window) in (1_u64..4_000, 1_u64..4_000), wanted in 1_u64..6, moment in 0.0..1.0,
    ) {
        let quota = Quota {
            refill: refill.map(|(since, _)| Refill { amount: 4, interval, since: at(since) }),
            last_refill_at: refill.and_then(|(_, last)| last).map(at),
            rate_limit: window_start.map(|_| RateLimit { max: 3, window }),
            window_start: window_start.flatten().map(at),
            window_count: 1,
            ..remaining(3)
        };
        let result = |time| { let spend = quota.spend(wanted, time); (spend.admitted, spend.after) };
        let starts = |after: Quota| (after.window_start, after.last_refill_at) != (quota.window_start, quota.last_refill_at);
        match quota.unchanged_until(at(0)) {
            None => {
                let is_wrong = |time: Timestamp| time.millis_since(at(0)) > interval;
                let times = quota.refill.map(|refill| refill.since).into_iter().chain(quota.last_refill_at);
                let is_by_wrong_clock = times.into_iter().any(is_wrong);
                prop_assert!(starts(result(at(0)).1) || is_by_wrong_clock, "a use at this time begins a window or refills");
            }
            Some(until) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any time in between")]
                let between = at(((until.millis().min(at(9_000).millis()) - 1 - at(0).millis()) as f64 * moment) as i64);
                prop_assert_eq!(result(between), result(at(0)));
                prop_assert!(until.millis() == i64::MAX || starts(result(until).1), "not longer than stated");
            }
        }
    }

    #[test]
    fn a_steady_caller_gets_the_maximum_in_each_window(max in 1_u64..6, window in 10_u64..60) {
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
