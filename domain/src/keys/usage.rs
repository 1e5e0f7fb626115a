//! The usage of keys: series of one key or organization, counts of several keys by day, and the keys that were used most.

use std::collections::BTreeMap;

use super::Keys;
use crate::{
    auth::caller::Authority,
    coded_enum::coded_enum,
    error::Error,
    id::{ExternalId, KeyId, UserId},
    keys::api_key::KeyName,
    usage::{self, Bucket, DayBucket, Outcome, Outcomes, Period},
};

/// The maximum number of keys whose counts are read together.
pub const MAX_KEYS_BY_DAY: usize = 100;

/// The maximum number of entries of a ranking.
pub const MAX_RANKED: u64 = 100;

/// The maximum number of stored counts, each of one key, day and outcome, that a ranking adds up.
pub const MAX_RANKED_COUNTS: u64 = 1_000_000;

coded_enum! {
    /// What a ranking adds up the counts of.
    pub enum RankBy {
        /// Each key.
        ApiKey = "api_key",
        /// All keys of a user; those of the organization itself are together.
        User = "user",
        /// All keys with the same external id; those without one are together.
        ExternalId = "external_id",
    }
}

/// A question for those keys, users or external ids with the most verify requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// What counts are added up.
    pub by: RankBy,
    /// The days.
    pub period: Period,
    /// The outcomes that count. `None`: all.
    pub outcomes: Option<Outcomes>,
    /// The maximum number of entries, at most [`MAX_RANKED`].
    pub limit: u64,
}

/// What an entry of a ranking is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranked {
    /// A key.
    Key {
        /// Its id.
        id: KeyId,
        /// Its name.
        name: Option<KeyName>,
        /// The prefix and first characters of its newest secret.
        start: String,
        /// The user that it belongs to. `None`: the organization.
        user: Option<UserId>,
        /// Its identifier in the client's own system.
        external_id: Option<ExternalId>,
    },
    /// The keys of a user. `None`: those of the organization itself.
    User(Option<UserId>),
    /// The keys with an external id. `None`: those without one.
    ExternalId(Option<ExternalId>),
}

/// An entry of a ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankedCounts {
    /// What it is about.
    pub ranked: Ranked,
    /// The number of verify requests by outcome, without those that are 0.
    pub counts: BTreeMap<Outcome, u64>,
}

/// The number of verify requests of a key with an outcome on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount {
    /// The day.
    pub day: DayBucket,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of verify requests.
    pub count: u64,
}

/// The verify requests of a key on each day of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDays {
    /// The key.
    pub key: KeyId,
    /// Those for which the key was valid, by day.
    pub valid: Vec<u64>,
    /// The others, by day.
    pub refused: Vec<u64>,
}

impl KeyDays {
    fn new(key: KeyId, counts: &[DayCount], period: Period) -> Self {
        let mut days: BTreeMap<DayBucket, (u64, u64)> = period.begun_days().map(|day| (day, (0, 0))).collect();
        for DayCount { day, outcome, count } in counts {
            if let Some((valid, refused)) = days.get_mut(day) {
                *(if *outcome == Outcome::VALID { valid } else { refused }) += count;
            }
        }
        let (valid, refused) = days.into_values().unzip();
        Self { key, valid, refused }
    }
}

impl Keys {
    /// The number of verify requests of a key (`None`: of the whole organization) in each bucket of a period.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn usage(&self, authority: &Authority, key: Option<KeyId>, period: Period) -> Result<Vec<Bucket>, Error> {
        let counts = self.ports.usage_log.counts(authority.organization(), key, period).await?;
        Ok(usage::series(period, &counts))
    }

    /// The number of verify requests of each of these keys, at most [`MAX_KEYS_BY_DAY`], on each day of a period, in the order of
    /// `keys`. Keys outside of the caller's scope are left out.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn usage_by_day(
        &self,
        authority: &Authority,
        keys: &[KeyId],
        period: Period,
    ) -> Result<Vec<KeyDays>, Error> {
        let counts = self.ports.usage_log.counts_by_day(authority.scope(), keys, period).await?;
        Ok(keys.iter().filter_map(|key| Some(KeyDays::new(*key, counts.get(key)?, period))).collect())
    }

    /// The keys, users or external ids with the most verify requests, those with the most first. Deleted keys are left out.
    /// `None`: more than [`MAX_RANKED_COUNTS`] counts are stored for the period and these outcomes.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn ranking(&self, authority: &Authority, ranking: &Ranking) -> Result<Option<Vec<RankedCounts>>, Error> {
        Ok(self.ports.usage_log.rank(authority.scope(), ranking).await?)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_days_of_a_key_include_those_without_requests() {
        let key = KeyId::from_uuid(Uuid::nil());
        let period = Period::days(None, None, Timestamp::from_millis(0), 3).expect("three days");
        let count = |day, code, count| DayCount {
            day: DayBucket(day),
            outcome: Outcomes::parse(code).and_then(|one| one.iter().next()).expect("an outcome"),
            count,
        };
        let counts = [
            count(-2, "VALID", 5),
            count(0, "RATE_LIMITED", 2),
            count(0, "KEY_EXPIRED", 1),
            count(0, "VALID", 3),
            count(1, "VALID", 9),
        ];
        let days = KeyDays::new(key, &counts, period);
        assert_eq!((days.valid, days.refused), (vec![5, 0, 3], vec![0, 0, 3]), "a day after the period is not counted");
    }
}
