//! JSON ↔ domain for usage, the number of verifications over time: `…/api_keys/{key_id}/usage` and `/orgs/{org_id}/usage`.

use std::collections::BTreeMap;

use domain::{
    clock::Timestamp,
    usage::{Bucket, Granularity, InvalidPeriod, Outcome, Period},
};
use poem_openapi::{Enum, Object};

use super::list_query::{self, GranularityName, Instant};
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{JsonMap, RawParam},
    rfc3339::Rfc3339,
};

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
    let describe = |wrong| match wrong {
        InvalidPeriod::Reversed => Fields::one("from", "must be before until"),
        InvalidPeriod::TooLong => {
            Fields::one("from", format_args!("must be at most {} periods before until", granularity.max_buckets()))
        }
    };
    Period::new(granularity, from, until, now).map_err(|wrong| ApiError::Invalid(describe(wrong)))
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
    /// Number of successful verifications.
    valid: u64,
    /// Number of failed verifications.
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

fn counts(counts: &BTreeMap<Outcome, u64>) -> JsonMap<u64> {
    JsonMap(counts.iter().map(|(outcome, count)| (outcome.code().to_owned(), *count)).collect())
}
