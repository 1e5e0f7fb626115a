//! The number of verify requests of a key per hour or day and outcome.

use std::collections::BTreeMap;

use crate::{clock::Timestamp, coded_enum::coded_enum, deny_reason::DenyReason};

/// The outcome of a verify request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome(u8);

/// All outcomes that are counted for a key: the number, which is stored and must never change, and the code.
const OUTCOMES: [(u8, &str); 9] = [
    (0, "VALID"),
    (1, "ORGANIZATION_SUSPENDED"),
    (2, "KEY_DISABLED"),
    (3, "KEY_NOT_YET_VALID"),
    (4, "KEY_EXPIRED"),
    (5, "ADDRESS_NOT_ALLOWED"),
    (6, "INSUFFICIENT_PERMISSIONS"),
    (7, "USAGE_EXCEEDED"),
    (8, "RATE_LIMITED"),
];

impl Outcome {
    /// The key was valid.
    pub const VALID: Self = Self(0);

    /// The outcome of a denied request. `None`: it is not known which key it was about, so it is not counted.
    #[must_use]
    pub const fn of(deny_reason: DenyReason) -> Option<Self> {
        Some(Self(match deny_reason {
            DenyReason::InvalidApiKey => return None,
            DenyReason::OrganizationSuspended => 1,
            DenyReason::KeyDisabled => 2,
            DenyReason::KeyNotYetValid => 3,
            DenyReason::KeyExpired => 4,
            DenyReason::AddressNotAllowed => 5,
            DenyReason::InsufficientPermissions => 6,
            DenyReason::UsageExceeded { .. } => 7,
            DenyReason::RateLimited { .. } => 8,
        }))
    }

    /// The outcome with this stored number. `None`: no outcome has it.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        OUTCOMES.iter().find(|(own, _)| i16::from(*own) == number).map(|(own, _)| Self(*own))
    }

    /// All outcomes that are counted for a key, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        OUTCOMES.iter().map(|(own, _)| Self(*own))
    }

    /// The number, to be stored.
    #[must_use]
    pub const fn number(self) -> i16 {
        // Lossless; `From` cannot be used in constant functions.
        self.0 as i16
    }

    /// The code, which is sent to clients.
    #[must_use]
    pub fn code(self) -> &'static str {
        OUTCOMES.iter().find(|(own, _)| *own == self.0).map_or("", |(_, code)| code)
    }
}

coded_enum! {
    /// Which outcomes are counted together.
    pub enum Outcomes {
        /// All outcomes except that the key was valid.
        Refused = "REFUSED",
        /// The key was valid.
        Valid = "VALID",
        /// The organization of the key was suspended.
        OrganizationSuspended = "ORGANIZATION_SUSPENDED",
        /// The key was disabled, or its user was not a member of the organization any more.
        KeyDisabled = "KEY_DISABLED",
        /// `not_before` was in the future.
        KeyNotYetValid = "KEY_NOT_YET_VALID",
        /// `expires_at` had passed.
        KeyExpired = "KEY_EXPIRED",
        /// The address was unknown or not allowed.
        AddressNotAllowed = "ADDRESS_NOT_ALLOWED",
        /// The key lacked a requested permission.
        InsufficientPermissions = "INSUFFICIENT_PERMISSIONS",
        /// Fewer uses were left than the use costs.
        UsageExceeded = "USAGE_EXCEEDED",
        /// The rate limit of the key was reached.
        RateLimited = "RATE_LIMITED",
    }
}

impl Outcomes {
    /// The outcomes, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Outcome> {
        Outcome::all().filter(move |outcome| match self {
            Self::Refused => *outcome != Outcome::VALID,
            one => outcome.code() == one.code(),
        })
    }
}

/// An hour (UTC): the number of hours since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HourBucket(pub i64);

const HOUR_MILLIS: i64 = 60 * 60 * 1_000;
const HOURS_OF_DAY: i64 = 24;

impl HourBucket {
    /// The hour that contains a time.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.millis().div_euclid(HOUR_MILLIS))
    }

    /// The start of the hour.
    #[must_use]
    pub const fn begin(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(HOUR_MILLIS))
    }

    /// The day that contains the hour.
    #[must_use]
    pub const fn day(self) -> DayBucket {
        DayBucket(self.0.div_euclid(HOURS_OF_DAY))
    }
}

/// A day (UTC): the number of days since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayBucket(pub i64);

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// An hour.
    Hour,
    /// A day (UTC).
    Day,
}

impl Granularity {
    const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => HOURS_OF_DAY,
        }
    }

    /// The maximum number of buckets in a series: hours of 31 days, or 400 days.
    #[must_use]
    pub const fn max_buckets(self) -> i64 {
        match self {
            Self::Hour => 31 * HOURS_OF_DAY,
            Self::Day => 400,
        }
    }

    /// The default number of buckets: the hours of a day, or 30 days.
    const fn default_buckets(self) -> i64 {
        match self {
            Self::Hour => HOURS_OF_DAY,
            Self::Day => 30,
        }
    }
}

/// The maximum number of days in the counts of several keys.
pub const MAX_DAYS_OF_KEYS: i64 = 31;

/// The period of a series: a whole number of buckets, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The length of a bucket.
    pub step: Granularity,
    /// The first hour (inclusive).
    pub from: HourBucket,
    /// The hour after the last one (exclusive).
    pub until: HourBucket,
}

/// Why a period is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPeriod {
    /// It ends before it begins, or is empty.
    Reversed,
    /// It has more buckets than a series may have.
    TooLong,
}

impl Period {
    /// The buckets that overlap with the time from `from` (inclusive) to `until` (exclusive). Without `from`: the
    /// default number of buckets. Without `until`: up to the bucket that contains `now`.
    pub fn new(
        step: Granularity,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, InvalidPeriod> {
        Self::of_length(step, (from, until), now, (step.default_buckets(), step.max_buckets()))
    }

    /// The days (UTC) of counts of several keys, at most [`MAX_DAYS_OF_KEYS`]: as [`Period::new`], but without `from` it has
    /// `default` days.
    ///
    /// # Errors
    /// As [`Period::new`].
    pub fn days(
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        now: Timestamp,
        default: i64,
    ) -> Result<Self, InvalidPeriod> {
        Self::of_length(Granularity::Day, (from, until), now, (default, MAX_DAYS_OF_KEYS))
    }

    fn of_length(
        step: Granularity,
        (from, until): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
        (default_buckets, max_buckets): (i64, i64),
    ) -> Result<Self, InvalidPeriod> {
        let hours = step.hours();
        let begin = |at: Timestamp| HourBucket::of(at).0.div_euclid(hours) * hours;
        let until = match until {
            // A bucket that ends exactly at this time is the last one.
            Some(until) => begin(until.plus_millis(-1)) + hours,
            None => begin(now) + hours,
        };
        let from = from.map_or(until - default_buckets * hours, begin);
        if from >= until {
            return Err(InvalidPeriod::Reversed);
        }
        if (until - from) / hours > max_buckets {
            return Err(InvalidPeriod::TooLong);
        }
        Ok(Self { step, from: HourBucket(from), until: HourBucket(until) })
    }

    /// All hours of the period.
    pub fn hours(self) -> impl Iterator<Item = HourBucket> {
        (self.from.0..self.until.0).map(HourBucket)
    }

    /// All days that begin in the period.
    pub fn begun_days(self) -> impl Iterator<Item = DayBucket> {
        let first_of = |hour: HourBucket| HourBucket(hour.0 + HOURS_OF_DAY - 1).day().0;
        (first_of(self.from)..first_of(self.until)).map(DayBucket)
    }
}

/// The number of verify requests with an outcome in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The hour.
    pub hour: HourBucket,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of verify requests.
    pub count: u64,
}

/// A bucket of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The start of the bucket (UTC).
    pub at: Timestamp,
    /// The number of verify requests by outcome. It has every outcome of the whole series.
    pub counts: BTreeMap<Outcome, u64>,
}

/// Creates the buckets of a period, including those without verify requests.
#[must_use]
pub fn series(period: Period, counts: &[Count]) -> Vec<Bucket> {
    let none: BTreeMap<Outcome, u64> = counts.iter().map(|count| (count.outcome, 0)).collect();
    let hours = period.step.hours();
    let begins = (period.from.0..period.until.0).step_by(usize::try_from(hours).unwrap_or(1)).map(HourBucket);
    let mut points: Vec<Bucket> = begins.map(|hour| Bucket { at: hour.begin(), counts: none.clone() }).collect();
    for count in counts {
        let place = usize::try_from((count.hour.0 - period.from.0).div_euclid(hours)).ok();
        if let Some(point) = place.and_then(|place| points.get_mut(place)) {
            *point.counts.entry(count.outcome).or_default() += count.count;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * HOUR_MILLIS)
    }

    #[test]
    fn outcome_codes_are_stable() {
        for (number, code) in OUTCOMES {
            let outcome = Outcome::from_number(number.into()).expect("known");
            assert_eq!((outcome.number(), outcome.code()), (i16::from(number), code));
        }
        assert_eq!(Outcome::from_number(9), None);
        assert_eq!(Outcome::of(DenyReason::InvalidApiKey), None);
        for deny_reason in
            [DenyReason::KeyDisabled, DenyReason::AddressNotAllowed, DenyReason::RateLimited { try_again_in: 1 }]
        {
            assert_eq!(Outcome::of(deny_reason).map(Outcome::code), Some(deny_reason.code()));
        }
    }

    #[test]
    fn a_usage_period_is_rounded_to_its_granularity() {
        let now = at(100).plus_millis(1_800_000);
        let period =
            |step, from, until| Period::new(step, from, until, now).map(|period| (period.from.0, period.until.0));
        assert_eq!(period(Granularity::Hour, None, None), Ok((77, 101)), "the current hour is included");
        assert_eq!(period(Granularity::Day, None, None), Ok((120 - 30 * 24, 120)));
        assert_eq!(period(Granularity::Hour, Some(at(50)), Some(at(52))), Ok((50, 52)));
        assert_eq!(period(Granularity::Hour, Some(at(50).plus_millis(1)), Some(at(52).plus_millis(1))), Ok((50, 53)));
        assert_eq!(period(Granularity::Day, Some(at(50)), Some(at(52))), Ok((48, 72)));
        assert_eq!(period(Granularity::Hour, Some(at(52)), Some(at(52))), Err(InvalidPeriod::Reversed));
        assert_eq!(period(Granularity::Hour, Some(at(102)), None), Err(InvalidPeriod::Reversed));
        assert_eq!(period(Granularity::Hour, Some(at(0)), Some(at(31 * 24))), Ok((0, 31 * 24)));
        assert_eq!(period(Granularity::Hour, Some(at(0)), Some(at(31 * 24 + 1))), Err(InvalidPeriod::TooLong));
        assert_eq!(period(Granularity::Day, Some(at(0)), Some(at(401 * 24))), Err(InvalidPeriod::TooLong));
        assert_eq!(
            period(Granularity::Hour, Some(Timestamp::from_millis(i64::MIN)), None),
            Err(InvalidPeriod::TooLong)
        );
    }

    #[test]
    fn counts_of_several_keys_are_of_whole_days() {
        let now = at(100);
        let days = |from, until| {
            Period::days(from, until, now, 7).map(|period| period.begun_days().map(|day| day.0).collect::<Vec<_>>())
        };
        assert_eq!(days(None, None), Ok((-2..5).collect()), "today is included");
        assert_eq!(days(Some(at(49)), Some(at(72))), Ok(vec![2]));
        assert_eq!(days(Some(at(49)), Some(at(72).plus_millis(1))), Ok(vec![2, 3]));
        assert_eq!(days(Some(at(0)), Some(at(31 * 24))).map(|days| days.len()), Ok(31));
        assert_eq!(days(Some(at(0)), Some(at(31 * 24 + 1))), Err(InvalidPeriod::TooLong));
        assert_eq!(days(Some(at(120)), None), Err(InvalidPeriod::Reversed));
        assert_eq!(HourBucket(-1).day(), DayBucket(-1));
    }

    #[test]
    fn every_outcome_can_be_counted_alone() {
        let codes: Vec<&str> = OUTCOMES.iter().map(|(_, code)| *code).collect();
        assert_eq!(Outcomes::CODES[1..], codes[..]);
        for code in codes {
            let outcomes = Outcomes::parse(code).expect("known");
            assert_eq!(outcomes.iter().map(Outcome::code).collect::<Vec<_>>(), [code]);
        }
        let refused: Vec<_> = Outcomes::Refused.iter().map(Outcome::number).collect();
        assert_eq!(refused, (1..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_usage_series_has_a_bucket_for_every_step() {
        let count = |hour, outcome, count| Count { hour: HourBucket(hour), outcome: Outcome(outcome), count };
        let counts = [count(24, 0, 2), count(25, 0, 3), count(25, 7, 1), count(72, 0, 9), count(96, 0, 5)];
        let period = Period { step: Granularity::Day, from: HourBucket(24), until: HourBucket(96) };
        let found: Vec<_> = series(period, &counts)
            .into_iter()
            .map(|point| (point.at, point.counts.into_iter().map(|(outcome, count)| (outcome.0, count)).collect()))
            .collect();
        let expected: Vec<(Timestamp, Vec<(u8, u64)>)> =
            vec![(at(24), vec![(0, 5), (7, 1)]), (at(48), vec![(0, 0), (7, 0)]), (at(72), vec![(0, 9), (7, 0)])];
        assert_eq!(found, expected, "counts outside of the period are not in the series");
    }
}
