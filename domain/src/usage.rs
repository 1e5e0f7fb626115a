//! How often keys were verified, hour by hour and outcome by outcome.

use std::collections::BTreeMap;

use crate::{clock::Timestamp, refusal::Refusal};

/// What came of a verify, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome(u8);

/// Every outcome that is counted for a key: its number, which is stored and never changes, and its word.
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
    /// The key was good.
    pub const VALID: Self = Self(0);

    /// It was refused. `None`: it is not known which key that was.
    #[must_use]
    pub const fn of(refusal: Refusal) -> Option<Self> {
        Some(Self(match refusal {
            Refusal::InvalidApiKey => return None,
            Refusal::OrganizationSuspended => 1,
            Refusal::KeyDisabled => 2,
            Refusal::KeyNotYetValid => 3,
            Refusal::KeyExpired => 4,
            Refusal::AddressNotAllowed => 5,
            Refusal::InsufficientPermissions => 6,
            Refusal::UsageExceeded { .. } => 7,
            Refusal::RateLimited { .. } => 8,
        }))
    }

    /// The outcome with this number, from storage.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        OUTCOMES.iter().find(|(own, _)| i16::from(*own) == number).map(|(own, _)| Self(*own))
    }

    /// Its number, for storage.
    #[must_use]
    pub const fn number(self) -> i16 {
        // Lossless, and `from` is not for constants.
        self.0 as i16
    }

    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        OUTCOMES.iter().find(|(own, _)| *own == self.0).map_or("", |(_, code)| code)
    }
}

/// Hours since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

const HOUR_MILLIS: i64 = 60 * 60 * 1_000;
const HOURS_OF_DAY: i64 = 24;

impl Hour {
    /// The hour that a moment is in.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        Self(at.millis().div_euclid(HOUR_MILLIS))
    }

    /// When it begins.
    #[must_use]
    pub const fn begin(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(HOUR_MILLIS))
    }
}

/// What a point of a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
}

impl Step {
    const fn hours(self) -> i64 {
        match self {
            Self::Hour => 1,
            Self::Day => HOURS_OF_DAY,
        }
    }

    /// The most points in a series: 31 days of hours, 400 days.
    #[must_use]
    pub const fn most(self) -> i64 {
        match self {
            Self::Hour => 31 * HOURS_OF_DAY,
            Self::Day => 400,
        }
    }

    /// Without a wish: a day of hours, 30 days.
    const fn usual(self) -> i64 {
        match self {
            Self::Hour => HOURS_OF_DAY,
            Self::Day => 30,
        }
    }
}

/// Which hours a series is about: whole steps, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// What its points are about.
    pub step: Step,
    /// The first hour.
    pub from: Hour,
    /// The hour after the last.
    pub until: Hour,
}

/// A period that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPeriod {
    /// It ends before it begins.
    Reversed,
    /// It has more points than a series may have.
    TooLong,
}

impl Period {
    /// The steps that touch the time from `from` to before `until`; without the one, the usual number of them; without the
    /// other, up to and with the one that `now` is in.
    pub fn new(
        step: Step,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, NoPeriod> {
        let hours = step.hours();
        let begin = |at: Timestamp| Hour::of(at).0.div_euclid(hours) * hours;
        let until = match until {
            // The step that ends at this moment is the last one.
            Some(until) => begin(until.plus_millis(-1)) + hours,
            None => begin(now) + hours,
        };
        let from = from.map_or(until - step.usual() * hours, begin);
        if from >= until {
            return Err(NoPeriod::Reversed);
        }
        if (until - from) / hours > step.most() {
            return Err(NoPeriod::TooLong);
        }
        Ok(Self { step, from: Hour(from), until: Hour(until) })
    }

    /// All of its hours.
    pub fn hours(self) -> impl Iterator<Item = Hour> {
        (self.from.0..self.until.0).map(Hour)
    }
}

/// So many verifies had this outcome in this hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// When.
    pub hour: Hour,
    /// What came of them.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
}

/// A point of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// When its step begins.
    pub at: Timestamp,
    /// How many verifies had which outcome; every outcome of the whole series is in it.
    pub counts: BTreeMap<Outcome, u64>,
}

/// A point for every step of a period, also where nothing was counted.
#[must_use]
pub fn series(period: Period, counts: &[Count]) -> Vec<Point> {
    let none: BTreeMap<Outcome, u64> = counts.iter().map(|count| (count.outcome, 0)).collect();
    let hours = period.step.hours();
    let begins = (period.from.0..period.until.0).step_by(usize::try_from(hours).unwrap_or(1)).map(Hour);
    let mut points: Vec<Point> = begins.map(|hour| Point { at: hour.begin(), counts: none.clone() }).collect();
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
    fn outcomes_are_told_as_they_are_stored() {
        for (number, code) in OUTCOMES {
            let outcome = Outcome::from_number(number.into()).expect("known");
            assert_eq!((outcome.number(), outcome.code()), (i16::from(number), code));
        }
        assert_eq!(Outcome::from_number(9), None);
        assert_eq!(Outcome::of(Refusal::InvalidApiKey), None);
        for refusal in [Refusal::KeyDisabled, Refusal::AddressNotAllowed, Refusal::RateLimited { try_again_in: 1 }] {
            assert_eq!(Outcome::of(refusal).map(Outcome::code), Some(refusal.code()));
        }
    }

    #[test]
    fn a_period_is_whole_steps() {
        let now = at(100).plus_millis(1_800_000);
        let period =
            |step, from, until| Period::new(step, from, until, now).map(|period| (period.from.0, period.until.0));
        assert_eq!(period(Step::Hour, None, None), Ok((77, 101)), "the running hour is in it");
        assert_eq!(period(Step::Day, None, None), Ok((120 - 30 * 24, 120)));
        assert_eq!(period(Step::Hour, Some(at(50)), Some(at(52))), Ok((50, 52)));
        assert_eq!(period(Step::Hour, Some(at(50).plus_millis(1)), Some(at(52).plus_millis(1))), Ok((50, 53)));
        assert_eq!(period(Step::Day, Some(at(50)), Some(at(52))), Ok((48, 72)));
        assert_eq!(period(Step::Hour, Some(at(52)), Some(at(52))), Err(NoPeriod::Reversed));
        assert_eq!(period(Step::Hour, Some(at(102)), None), Err(NoPeriod::Reversed));
        assert_eq!(period(Step::Hour, Some(at(0)), Some(at(31 * 24))), Ok((0, 31 * 24)));
        assert_eq!(period(Step::Hour, Some(at(0)), Some(at(31 * 24 + 1))), Err(NoPeriod::TooLong));
        assert_eq!(period(Step::Day, Some(at(0)), Some(at(401 * 24))), Err(NoPeriod::TooLong));
        assert_eq!(period(Step::Hour, Some(Timestamp::from_millis(i64::MIN)), None), Err(NoPeriod::TooLong));
    }

    #[test]
    fn a_series_has_a_point_for_every_step() {
        let count = |hour, outcome, count| Count { hour: Hour(hour), outcome: Outcome(outcome), count };
        let counts = [count(24, 0, 2), count(25, 0, 3), count(25, 7, 1), count(72, 0, 9), count(96, 0, 5)];
        let period = Period { step: Step::Day, from: Hour(24), until: Hour(96) };
        let told: Vec<_> = series(period, &counts)
            .into_iter()
            .map(|point| (point.at, point.counts.into_iter().map(|(outcome, count)| (outcome.0, count)).collect()))
            .collect();
        let expected: Vec<(Timestamp, Vec<(u8, u64)>)> =
            vec![(at(24), vec![(0, 5), (7, 1)]), (at(48), vec![(0, 0), (7, 0)]), (at(72), vec![(0, 9), (7, 0)])];
        assert_eq!(told, expected, "what is not in the period is not in the series");
    }
}
