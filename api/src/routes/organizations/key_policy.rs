//! The key policy: its dry run, and what it says about one key. It is set with the organization or the permission set.

pub(crate) mod dto;

use std::sync::Arc;

use domain::keys::Keys;
use poem_openapi::{OpenApi, param::Path};

use self::dto::{CheckPolicy, PolicyReportView, PolicyStateView};
use crate::{
    auth::authorized::{self, KeysRead},
    http::{
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
    },
    routes::error::{Reading, Writing},
};

/// The operations on key policies.
pub struct KeyPolicyRoutes {
    /// Holds keys against policies.
    pub keys: Arc<Keys>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl KeyPolicyRoutes {
    /// Check the keys against a policy
    ///
    /// A dry run: finds the keys that would break this policy, and changes nothing. A request checks at most 10,000 keys that have
    /// not expired, oldest first; `next_cursor` continues. Keys that break a policy when it is set stay valid; they must keep it
    /// when they are changed, unless the change only restricts them. `rotation` with `enforce` and `disable_unused_after_days` are
    /// different: keys that break them are disabled within about ten minutes.
    #[oai(path = "/orgs/:org_id/key_policy/check", method = "post", operation_id = "checkKeyPolicy")]
    async fn check_key_policy(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// The policy to check.
        body: Deferred<CheckPolicy>,
    ) -> Result<Success<PolicyReportView>, ErrorResponse<Writing>> {
        let (keys, organization) = (self.keys.clone(), authority.organization());
        let check = body.read().await?.into_domain(organization)?;
        let authority = authority.into_authority();
        let read =
            async move { keys.check_policy(&authority, &check.policy, check.set, check.start, check.limit).await };
        let report = self.lists.read(organization, read).await?;
        Ok(Success(PolicyReportView::new(&report, organization)))
    }

    /// Get what the policies say about a key
    ///
    /// Which rules of its organization and of its permission sets the key breaks, when its secret is to be rotated, and when the
    /// key would be disabled.
    #[oai(
        path = "/orgs/:org_id/api_keys/:key_id/key_policy",
        method = "get",
        operation_id = "getApiKeyPolicy",
        tag = "Tag::Keys"
    )]
    async fn get_api_key_policy(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<KeysRead>,
        /// Id of the key.
        key_id: Path<RawParam<Id>>,
    ) -> Result<Success<PolicyStateView>, ErrorResponse<Reading>> {
        Ok(Success(PolicyStateView::from(&self.keys.policy_state(&authority, key_id.id()).await?)))
    }
}
