//! Trust rules: `/orgs/{org_id}/trust_rules`.
mod dto;

use std::sync::Arc;

use domain::{
    auth::{caller::Authority, federation::FederatedLogin},
    organizations::TrustRuleService,
};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, Reading, Writing},
    page::{Page, PageRequest},
};
use crate::routes::trust_rules::dto::{CreateTrustRule, TrustRuleView, UpdateTrustRule};
use crate::{
    auth::authorized::{self, TrustRulesAdmin, TrustRulesRead},
    http::{
        api_error::{ApiError, Fields},
        body::Deferred,
        contract::{Conditional, ErrorResponse, Success, Tag},
        if_match::{IfMatch, Versioned},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
    },
    idempotency::{
        IdempotencyHeader,
        response::{Idempotent, Secrets, StoredResponse},
    },
};

/// The operations on trust rules.
pub struct TrustRuleRoutes {
    /// The trusted identity providers.
    pub federation: Arc<FederatedLogin>,
    /// Creates, reads, changes and deletes trust rules.
    pub rules: Arc<TrustRuleService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::TrustRules")]
impl TrustRuleRoutes {
    /// List the trust rules of an organization
    #[oai(path = "/orgs/:org_id/trust_rules", method = "get", operation_id = "listTrustRules")]
    async fn list_trust_rules(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<TrustRulesRead>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<TrustRuleView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (rules, organization) = (self.rules.clone(), authority.organization());
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { rules.list(&authority, after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/trust_rules?");
        Ok(Page::new(&page_request, &path, found, |rule| rule.id.to_string()).await)
    }

    /// Create a trust rule
    ///
    /// From now on `POST /oauth/token` exchanges tokens of the issuer whose claims have the named values for short-lived tokens
    /// with these permissions. The caller must hold all of the permissions. An organization has at most 100 trust rules.
    #[oai(path = "/orgs/:org_id/trust_rules", method = "post", operation_id = "createTrustRule")]
    async fn create_trust_rule(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<TrustRulesAdmin>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The trust rule to create.
        body: Deferred<CreateTrustRule>,
    ) -> Result<Idempotent<TrustRuleView>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let new = body.into_domain(&self.federation)?;
            self.require_issuer(&authority, Some(&new.issuer)).await?;
            Ok(TrustRuleView::from(&self.rules.create(&authority, new).await?))
        });
        Ok(response.await?)
    }

    /// Get a trust rule
    #[oai(path = "/orgs/:org_id/trust_rules/:rule_id", method = "get", operation_id = "getTrustRule")]
    async fn get_trust_rule(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<TrustRulesRead>,
        /// Id of the trust rule.
        rule_id: Path<RawParam<Id>>,
    ) -> Result<Versioned<TrustRuleView>, ErrorResponse<Reading>> {
        let rule = self.rules.get(&authority, rule_id.id()).await?;
        Ok(Versioned { version: rule.version, body: TrustRuleView::from(&rule) })
    }

    /// Update a trust rule
    ///
    /// Absent fields are unchanged; `null` clears the description, the permissions and the audiences. A change that restricts the
    /// rule revokes the tokens that it has issued: disabling it, another issuer or other claims, fewer permissions or audiences.
    /// The caller must hold all permissions of the rule before and after the change, except to disable it. With `If-Match`, the
    /// rule is only changed if it has one of these versions.
    #[oai(path = "/orgs/:org_id/trust_rules/:rule_id", method = "patch", operation_id = "updateTrustRule")]
    async fn update_trust_rule(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<TrustRulesAdmin>,
        /// Id of the trust rule.
        rule_id: Path<RawParam<Id>>,
        /// The `version` that the trust rule must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
        /// The changes.
        body: Deferred<UpdateTrustRule>,
    ) -> Result<Versioned<TrustRuleView>, ErrorResponse<Conditional<Writing>>> {
        let patch = body.read().await?.into_domain(&self.federation)?;
        self.require_issuer(&authority, patch.issuer.as_deref()).await?;
        let rule = self.rules.update(&authority, rule_id.id(), if_match.versions(), patch).await?;
        Ok(Versioned { version: rule.version, body: TrustRuleView::from(&rule) })
    }

    /// Delete a trust rule
    ///
    /// The tokens that it has issued are revoked. With `If-Match`, the rule is only deleted if it has one of these versions.
    #[oai(path = "/orgs/:org_id/trust_rules/:rule_id", method = "delete", operation_id = "deleteTrustRule")]
    async fn delete_trust_rule(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<TrustRulesAdmin>,
        /// Id of the trust rule.
        rule_id: Path<RawParam<Id>>,
        /// The `version` that the trust rule must have, as `"3"` or `3`; or several versions, separated by commas.
        #[oai(name = "If-Match")]
        if_match: IfMatch,
    ) -> Result<Success<Message>, ErrorResponse<Conditional<Reading>>> {
        self.rules.delete(&authority, rule_id.id(), if_match.versions()).await?;
        Ok(Success(Message { message: "Trust rule deleted successfully".to_owned() }))
    }
}

impl TrustRuleRoutes {
    /// Requires that the organization may trust this issuer. `None`: the issuer is not changed.
    async fn require_issuer(&self, authority: &Authority, issuer: Option<&str>) -> Result<(), ApiError> {
        let Some(issuer) = issuer else { return Ok(()) };
        if self.rules.may_trust(authority, issuer).await? {
            return Ok(());
        }
        let wrong = "must be an identity provider that the operator has configured for this organization; the platform's own \
                     organization has no trust rules";
        Err(ApiError::Invalid(Fields::one("issuer", wrong)))
    }
}

impl StoredResponse for TrustRuleView {
    const SECRETS: Secrets = Secrets::None;
    const HAS_VERSION: bool = true;
}
