//! The number of verifications: `/orgs/{org_id}/usage` and its subpaths, and `…/api_keys/{key_id}/usage`.

mod dto;

use std::sync::Arc;

use domain::{
    auth::caller::Authority,
    id::KeyId,
    keys::{
        Keys,
        usage::{MAX_RANKED_COUNTS, RankBy, Ranking},
    },
    usage::{Outcomes, Period},
};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use self::dto::{KeyIds, KeysUsageView, RankingSize, TopUsageView};
pub(crate) use self::dto::{UsageView, period};
use super::{
    error::Reading,
    keys::list_query::{self, GranularityName, Instant},
};
use crate::{
    auth::authorized::{self, ApiKeysRead, KeysRead},
    http::{
        api_error::{ApiError, Fields},
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_codes::OneOf,
        openapi_types::{Id, RawParam},
    },
};

/// The default number of days of the counts of several keys.
const DEFAULT_DAYS: i64 = 7;

/// The operations on usage.
pub struct UsageRoutes {
    /// Reads the usage of keys.
    pub keys: Arc<Keys>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Usage")]
impl UsageRoutes {
    /// Get the usage of a key
    ///
    /// The number of verifications by hour or day (UTC) and by outcome, with a point for every period, also without
    /// verifications; at most one second behind.
    #[oai(path = "/orgs/:org_id/api_keys/:key_id/usage", method = "get", operation_id = "getApiKeyUsage")]
    async fn get_api_key_usage(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
        /// Length of a period; default `hour`.
        by: Query<Option<RawParam<GranularityName>>>,
        /// Start; default: 24 hours or 30 days before the end.
        from: Query<Option<RawParam<Instant>>>,
        /// End; default: now.
        until: Query<Option<RawParam<Instant>>>,
    ) -> Result<Success<UsageView>, ErrorResponse<Reading>> {
        let period = period(self.keys.now(), by.0.as_ref(), from.0.as_ref(), until.0.as_ref())?;
        let key = self.keys.get(&authority, key_id.id()).await?;
        Ok(Success(self.series(authority.into_authority(), Some(key.id), period).await?))
    }

    /// Get the usage of an organization
    ///
    /// The sum of all keys, including deleted ones; otherwise as for one key.
    #[oai(path = "/orgs/:org_id/usage", method = "get", operation_id = "getOrganizationUsage")]
    async fn get_organization_usage(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<ApiKeysRead>,
        /// Length of a period; default `hour`.
        by: Query<Option<RawParam<GranularityName>>>,
        /// Start; default: 24 hours or 30 days before the end.
        from: Query<Option<RawParam<Instant>>>,
        /// End; default: now.
        until: Query<Option<RawParam<Instant>>>,
    ) -> Result<Success<UsageView>, ErrorResponse<Reading>> {
        let period = period(self.keys.now(), by.0.as_ref(), from.0.as_ref(), until.0.as_ref())?;
        Ok(Success(self.series(authority.into_authority(), None, period).await?))
    }

    /// Get the usage of several keys
    ///
    /// The number of verifications of up to 100 keys by day (UTC), for a small chart of each key of a page: valid and refused
    /// ones, with a number for every day of the period. Unknown and deleted keys are left out.
    #[oai(path = "/orgs/:org_id/usage/api_keys", method = "get", operation_id = "getApiKeysUsage")]
    async fn get_api_keys_usage(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Ids of the keys, 1 to 100, separated by commas.
        ids: Query<Option<RawParam<KeyIds>>>,
        /// Start, rounded down to the day (UTC); default: 7 days before the end.
        from: Query<Option<RawParam<Instant>>>,
        /// End, rounded up to the day (UTC), at most 31 days after the start; default: now.
        until: Query<Option<RawParam<Instant>>>,
    ) -> Result<Success<KeysUsageView>, ErrorResponse<Reading>> {
        let mut fields = Fields::default();
        let ids = dto::key_ids(&mut fields, "ids", ids.0.as_ref());
        let period = dto::days(fields, self.keys.now(), DEFAULT_DAYS, from.0.as_ref(), until.0.as_ref())?;
        let (keys, authority) = (self.keys.clone(), authority.into_authority());
        let organization = authority.organization();
        let read = async move { keys.usage_by_day(&authority, &ids, period).await };
        Ok(Success(KeysUsageView::new(period, self.lists.read(organization, read).await?)))
    }

    /// List the keys, users or external ids with the most verifications
    ///
    /// Those with the most verifications first, of all outcomes or of one: so a reason for refusals leads to the keys behind
    /// it. Counts are by day (UTC). Deleted keys are left out. 400 if more than 1,000,000 counts, each of a key, day and outcome,
    /// would have to be added up.
    #[oai(path = "/orgs/:org_id/usage/top", method = "get", operation_id = "listTopUsage")]
    async fn list_top_usage(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Whose verifications are added up; default `api_key`.
        group_by: Query<Option<RawParam<OneOf<RankBy>>>>,
        /// Only verifications with this outcome; default: all.
        outcome: Query<Option<RawParam<OneOf<Outcomes>>>>,
        /// Start, rounded down to the day (UTC); default: 7 days before the end.
        from: Query<Option<RawParam<Instant>>>,
        /// End, rounded up to the day (UTC), at most 31 days after the start; default: now.
        until: Query<Option<RawParam<Instant>>>,
        /// Maximum number of items to return, 1 to 100; default 10.
        limit: Query<Option<RawParam<RankingSize>>>,
    ) -> Result<Success<TopUsageView>, ErrorResponse<Reading>> {
        let mut fields = Fields::default();
        let by = list_query::rank_by(&mut fields, "group_by", group_by.0.as_ref());
        let outcomes = list_query::outcomes(&mut fields, "outcome", outcome.0.as_ref());
        let limit = dto::ranking_size(&mut fields, "limit", limit.0.as_ref());
        let period = dto::days(fields, self.keys.now(), DEFAULT_DAYS, from.0.as_ref(), until.0.as_ref())?;
        let ranking = Ranking { by, period, outcomes, limit };
        let (keys, authority) = (self.keys.clone(), authority.into_authority());
        let organization = authority.organization();
        let read = async move { keys.ranking(&authority, &ranking).await };
        let items = self.lists.read(organization, read).await?.ok_or_else(too_many_counts)?;
        Ok(Success(TopUsageView::new(&ranking, items)))
    }
}

impl UsageRoutes {
    async fn series(&self, authority: Authority, key: Option<KeyId>, period: Period) -> Result<UsageView, ApiError> {
        let (keys, organization) = (self.keys.clone(), authority.organization());
        let read = async move { keys.usage(&authority, key, period).await };
        Ok(UsageView::new(period, self.lists.read(organization, read).await?))
    }
}

/// The error for a period with too many counts.
fn too_many_counts() -> ApiError {
    let wrong = format!(
        "begins a period in which more than {MAX_RANKED_COUNTS} counts of keys would have to be added up: take a shorter period, \
         or one outcome"
    );
    ApiError::Invalid(Fields::one("from", wrong))
}
