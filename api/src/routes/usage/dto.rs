//! JSON ↔ domain for usage, the number of verifications over time.

use std::collections::{BTreeMap, HashSet};

use domain::{
    clock::Timestamp,
    id::KeyId,
    keys::usage::{KeyDays, MAX_KEYS_BY_DAY, MAX_RANKED, RankBy, Ranked, RankedCounts, Ranking},
    usage::{Bucket, Granularity, InvalidPeriod, MAX_DAYS_OF_KEYS, Outcome, Period},
};
use poem_openapi::{Enum, Object, registry::MetaSchema};

use crate::{
    http::{
        api_error::{ApiError, Fields},
        openapi_codes::Code,
        openapi_types::{JsonMap, Nullable, ParameterSchema, RawParam},
        rfc3339::Rfc3339,
    },
    routes::keys::list_query::{self, GranularityName, Instant},
};

/// The parameter `ids`: ids of keys, separated by commas.
#[derive(Debug)]
pub(super) struct KeyIds;

impl ParameterSchema for KeyIds {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

/// Parses the ids of 1 to 100 keys. An id that is given twice counts once.
pub(super) fn key_ids(fields: &mut Fields, name: &str, text: Option<&RawParam<KeyIds>>) -> Vec<KeyId> {
    let ids: Option<Vec<KeyId>> =
        text.and_then(|text| text.text().split(',').take(MAX_KEYS_BY_DAY + 1).map(|id| id.parse().ok()).collect());
    let Some(mut ids) = ids.filter(|ids| ids.len() <= MAX_KEYS_BY_DAY) else {
        fields.add(name, format!("must be the ids of 1 to {MAX_KEYS_BY_DAY} keys, separated by commas"));
        return Vec::new();
    };
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

/// The parameter `limit` of a ranking.
#[derive(Debug)]
pub(super) struct RankingSize;

impl ParameterSchema for RankingSize {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(100.0), ..MetaSchema::new_with_format("integer", "int32") }
    }
}

/// The number of entries of a ranking without the parameter `limit`.
const DEFAULT_RANKED: u64 = 10;

pub(super) fn ranking_size(fields: &mut Fields, name: &str, text: Option<&RawParam<RankingSize>>) -> u64 {
    let Some(text) = text.map(RawParam::text) else { return DEFAULT_RANKED };
    let size = text.parse().ok().filter(|size| !text.starts_with('+') && (1..=MAX_RANKED).contains(size));
    size.unwrap_or_else(|| {
        fields.add(name, format!("must be a whole number from 1 to {MAX_RANKED}"));
        DEFAULT_RANKED
    })
}

/// The days of counts of several keys, with `default` days if `from` is absent.
///
/// # Errors
/// [`ApiError::Invalid`] with the names of invalid parameters, also those that are in `fields` already.
pub(super) fn days(
    mut fields: Fields,
    now: Timestamp,
    default: i64,
    from: Option<&RawParam<Instant>>,
    until: Option<&RawParam<Instant>>,
) -> Result<Period, ApiError> {
    let from = list_query::instant(&mut fields, "from", from);
    let until = list_query::instant(&mut fields, "until", until);
    fields.into_result()?;
    Period::days(from, until, now, default).map_err(|wrong| invalid_period(wrong, MAX_DAYS_OF_KEYS))
}

/// The period of a usage series, with the defaults for parameters that are absent.
///
/// # Errors
/// [`ApiError::Invalid`] with the names of invalid parameters.
pub(crate) fn period(
    now: Timestamp,
    by: Option<&RawParam<GranularityName>>,
    from: Option<&RawParam<Instant>>,
    until: Option<&RawParam<Instant>>,
) -> Result<Period, ApiError> {
    let mut fields = Fields::default();
    let granularity = list_query::granularity(&mut fields, "by", by);
    let from = list_query::instant(&mut fields, "from", from);
    let until = list_query::instant(&mut fields, "until", until);
    fields.into_result()?;
    let max = granularity.max_buckets();
    Period::new(granularity, from, until, now).map_err(|wrong| invalid_period(wrong, max))
}

fn invalid_period(wrong: InvalidPeriod, max_buckets: i64) -> ApiError {
    ApiError::Invalid(match wrong {
        InvalidPeriod::Reversed => Fields::one("from", "must be before until"),
        InvalidPeriod::TooLong => {
            Fields::one("from", format_args!("must be at most {max_buckets} periods before until"))
        }
    })
}

/// The number of verifications over time.
#[derive(Object)]
#[oai(rename = "Usage")]
pub(crate) struct UsageView {
    by: GranularityView,
    /// Start of the first period.
    from: Rfc3339,
    /// End of the last period.
    until: Rfc3339,
    /// Totals: outcome to number.
    total: JsonMap<u64>,
    /// One point for each period.
    series: Vec<BucketView>,
}

/// The verifications of one period.
#[derive(Object)]
#[oai(rename = "UsagePoint")]
struct BucketView {
    /// Start of the period.
    at: Rfc3339,
    /// Number of valid verifications.
    valid: u64,
    /// Number of refused verifications.
    refused: u64,
    /// Outcome to number: `VALID`, or why the key was invalid. Every point has all outcomes of the series.
    outcomes: JsonMap<u64>,
}

/// Length of a period.
#[derive(Enum)]
#[oai(rename = "UsageStep", rename_all = "lowercase")]
enum GranularityView {
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
}

impl UsageView {
    pub(crate) fn new(period: Period, buckets: Vec<Bucket>) -> Self {
        let mut total: BTreeMap<Outcome, u64> = BTreeMap::from([(Outcome::VALID, 0)]);
        for (outcome, count) in buckets.iter().flat_map(|bucket| &bucket.counts) {
            *total.entry(*outcome).or_default() += count;
        }
        Self {
            by: match period.step {
                Granularity::Hour => GranularityView::Hour,
                Granularity::Day => GranularityView::Day,
            },
            from: Rfc3339(period.from.begin()),
            until: Rfc3339(period.until.begin()),
            total: counts(&total),
            series: buckets.into_iter().map(BucketView::from).collect(),
        }
    }
}

impl From<Bucket> for BucketView {
    fn from(Bucket { at, counts: by_outcome }: Bucket) -> Self {
        let valid = by_outcome.get(&Outcome::VALID).copied().unwrap_or_default();
        let refused = by_outcome.values().sum::<u64>() - valid;
        Self { at: Rfc3339(at), valid, refused, outcomes: counts(&by_outcome) }
    }
}

/// The number of verifications of several keys by day.
#[derive(Object)]
#[oai(rename = "KeysUsage")]
pub(super) struct KeysUsageView {
    /// Start of the first day.
    from: Rfc3339,
    /// End of the last day.
    until: Rfc3339,
    /// The keys that the caller can access, in the order of the request.
    keys: Vec<KeyDaysView>,
}

/// The verifications of a key by day.
#[derive(Object)]
#[oai(rename = "KeyUsage")]
struct KeyDaysView {
    /// Id of the key.
    id: String,
    /// Number of valid verifications on each day of the period.
    valid: Vec<u64>,
    /// Number of refused verifications on each day of the period.
    refused: Vec<u64>,
}

impl KeysUsageView {
    pub(super) fn new(period: Period, keys: Vec<KeyDays>) -> Self {
        let view = |KeyDays { key, valid, refused }| KeyDaysView { id: key.to_string(), valid, refused };
        Self {
            from: Rfc3339(period.from.begin()),
            until: Rfc3339(period.until.begin()),
            keys: keys.into_iter().map(view).collect(),
        }
    }
}

/// The keys, users or external ids with the most verifications.
#[derive(Object)]
#[oai(rename = "TopUsage")]
pub(super) struct TopUsageView {
    group_by: Code<RankBy>,
    /// Start of the first day.
    from: Rfc3339,
    /// End of the last day.
    until: Rfc3339,
    /// Those with the most verifications first.
    ranked: Vec<RankedView>,
}

/// The verifications of a key, of a user's keys, or of the keys with an external id.
#[derive(Object)]
#[oai(rename = "TopUsageItem")]
struct RankedView {
    /// Id of the key; `null` unless `group_by` is `api_key`.
    api_key_id: Nullable<String>,
    /// Name of the key; `null` if it has none.
    name: Nullable<String>,
    /// Visible start of the key's newest secret; `null` unless `group_by` is `api_key`.
    start: Nullable<String>,
    /// Id of the user that the key or the keys belong to; `null` for keys of the organization, and for external ids.
    user_id: Nullable<String>,
    /// Identifier of the key or the keys in your own system; `null` for keys without one, and for users.
    external_id: Nullable<String>,
    /// Number of valid verifications that were added up.
    valid: u64,
    /// Number of refused verifications that were added up.
    refused: u64,
    /// Outcome to number, of those that were added up and are not 0.
    outcomes: JsonMap<u64>,
}

impl TopUsageView {
    pub(super) fn new(ranking: &Ranking, ranked: Vec<RankedCounts>) -> Self {
        Self {
            group_by: Code::new(ranking.by.code()),
            from: Rfc3339(ranking.period.from.begin()),
            until: Rfc3339(ranking.period.until.begin()),
            ranked: ranked.into_iter().map(RankedView::from).collect(),
        }
    }
}

impl From<RankedCounts> for RankedView {
    fn from(RankedCounts { ranked, counts: by_outcome }: RankedCounts) -> Self {
        let valid = by_outcome.get(&Outcome::VALID).copied().unwrap_or_default();
        let refused = by_outcome.values().sum::<u64>() - valid;
        let none = Self {
            api_key_id: Nullable(None),
            name: Nullable(None),
            start: Nullable(None),
            user_id: Nullable(None),
            external_id: Nullable(None),
            valid,
            refused,
            outcomes: counts(&by_outcome),
        };
        match ranked {
            Ranked::Key { id, name, start, user, external_id } => Self {
                api_key_id: Nullable(Some(id.to_string())),
                name: Nullable(name.map(|name| name.as_str().to_owned())),
                start: Nullable(Some(start)),
                user_id: Nullable(user.map(|user| user.to_string())),
                external_id: Nullable(external_id.map(|id| id.as_str().to_owned())),
                ..none
            },
            Ranked::User(user) => Self { user_id: Nullable(user.map(|user| user.to_string())), ..none },
            Ranked::ExternalId(id) => Self { external_id: Nullable(id.map(|id| id.as_str().to_owned())), ..none },
        }
    }
}

fn counts(counts: &BTreeMap<Outcome, u64>) -> JsonMap<u64> {
    JsonMap(counts.iter().map(|(outcome, count)| (outcome.code().to_owned(), *count)).collect())
}
