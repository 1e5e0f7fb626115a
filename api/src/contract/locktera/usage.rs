//! How often keys were verified: `…/api_keys/{key_id}/usage` and `/orgs/{org_id}/usage`.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    caller::Authority,
    id::KeyId,
    keys::Keys,
    permission::Permission,
    usage::{NoPeriod, Outcome, Period, Point, Step},
};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
};
use serde_json::{Map, Value};

use super::{
    error::Reading,
    parameters::{self, Instant, OfStep},
};
use crate::{
    contract::{Failed, Success, Tag},
    credentials::Credential,
    failure::{Failure, Fields},
    gate::Gate,
    time::Moment,
    wire::{Id, JsonObject, Unread},
};

/// The operations.
pub struct Usage {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Reads.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Usage {
    /// Tell how often a key was verified
    ///
    /// By hour or day (UTC) and by outcome, with a point for every step, also where nothing happened; at most a second behind.
    /// Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/usage", method = "get", operation_id = "getApiKeyUsage")]
    async fn get_api_key_usage(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The key.
        key_id: Path<Unread<Id>>,
        /// What a point is about; `hour` without it.
        by: Query<Option<Unread<OfStep>>>,
        /// The beginning; 24 hours or 30 days before the end without it.
        from: Query<Option<Unread<Instant>>>,
        /// The end; now without it.
        until: Query<Option<Unread<Instant>>>,
    ) -> Result<Success<UsageView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        let period = self.period(by.0.as_ref(), from.0.as_ref(), until.0.as_ref())?;
        let key = self.keys.get(&authority, key_id.id()).await?;
        Ok(Success(self.usage(authority, Some(key.id), period).await?))
    }

    /// Tell how often the keys of an organization were verified
    ///
    /// All of them together, also those that are gone by now; the rest as for one key. Needs the permission `api_keys:read`.
    #[oai(path = "/orgs/:org_id/usage", method = "get", operation_id = "getUsage")]
    async fn get_usage(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// What a point is about; `hour` without it.
        by: Query<Option<Unread<OfStep>>>,
        /// The beginning; 24 hours or 30 days before the end without it.
        from: Query<Option<Unread<Instant>>>,
        /// The end; now without it.
        until: Query<Option<Unread<Instant>>>,
    ) -> Result<Success<UsageView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_READ, org_id.id()).await?;
        let period = self.period(by.0.as_ref(), from.0.as_ref(), until.0.as_ref())?;
        Ok(Success(self.usage(authority, None, period).await?))
    }
}

impl Usage {
    async fn usage(&self, authority: Authority, key: Option<KeyId>, period: Period) -> Result<UsageView, Failure> {
        let (keys, organization) = (self.keys.clone(), authority.organization());
        let read = async move { keys.usage(&authority, key, period).await };
        Ok(UsageView::new(period, self.gate.lists.read(organization, read).await?))
    }

    fn period(
        &self,
        by: Option<&Unread<OfStep>>,
        from: Option<&Unread<Instant>>,
        until: Option<&Unread<Instant>>,
    ) -> Result<Period, Failure> {
        let mut fields = Fields::default();
        let step = parameters::step(&mut fields, "by", by);
        let from = parameters::instant(&mut fields, "from", from);
        let until = parameters::instant(&mut fields, "until", until);
        fields.into_result()?;
        let no_period = |wrong| match wrong {
            NoPeriod::Reversed => Fields::one("from", "must be before until"),
            NoPeriod::TooLong => {
                Fields::one("from", format_args!("must be at most {} points before until", step.most()))
            }
        };
        Period::new(step, from, until, self.keys.now()).map_err(|wrong| Failure::Invalid(no_period(wrong)))
    }
}

/// How often keys were verified.
#[derive(Object)]
#[oai(rename = "Usage")]
struct UsageView {
    by: StepView,
    /// When the first step begins.
    from: Moment,
    /// When the last one ends.
    until: Moment,
    /// All of it: outcome to number.
    total: JsonObject,
    /// Step by step.
    series: Vec<PointView>,
}

/// A step of a series.
#[derive(Object)]
#[oai(rename = "UsagePoint")]
struct PointView {
    /// When it begins.
    at: Moment,
    /// Verifies that found the key good.
    valid: u64,
    /// Those that did not.
    refused: u64,
    /// Outcome to number: `VALID`, or why not. Every point has all outcomes of the series.
    outcomes: JsonObject,
}

/// What a point is about.
#[derive(Enum)]
#[oai(rename = "UsageStep", rename_all = "lowercase")]
enum StepView {
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
}

impl UsageView {
    fn new(period: Period, points: Vec<Point>) -> Self {
        let mut total: BTreeMap<Outcome, u64> = BTreeMap::from([(Outcome::VALID, 0)]);
        for (outcome, count) in points.iter().flat_map(|point| &point.counts) {
            *total.entry(*outcome).or_default() += count;
        }
        Self {
            by: match period.step {
                Step::Hour => StepView::Hour,
                Step::Day => StepView::Day,
            },
            from: Moment(period.from.begin()),
            until: Moment(period.until.begin()),
            total: counts(&total),
            series: points.into_iter().map(PointView::from).collect(),
        }
    }
}

impl From<Point> for PointView {
    fn from(Point { at, counts: by_outcome }: Point) -> Self {
        let valid = by_outcome.get(&Outcome::VALID).copied().unwrap_or_default();
        let refused = by_outcome.values().sum::<u64>() - valid;
        Self { at: Moment(at), valid, refused, outcomes: counts(&by_outcome) }
    }
}

fn counts(counts: &BTreeMap<Outcome, u64>) -> JsonObject {
    let members = counts.iter().map(|(outcome, count)| (outcome.code().to_owned(), Value::from(*count)));
    JsonObject(members.collect::<Map<_, _>>())
}
