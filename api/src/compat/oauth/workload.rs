//! The exchange of a JWT of an identity provider for a token: for workloads, such as jobs of a CI system, which need no API key.

use domain::{
    Error,
    audit::context::RequestContext,
    auth::workloads::{NoTrustRule, Workload},
    id::{OrganizationId, TrustRuleId},
    organizations::trust_rule::TrustRule,
};
use poem::Request;
use tracing::{Span, field::display};

use super::{OAuth, client::ClientSecret, grant::RequestedToken};
use crate::{
    auth::credentials::Credential,
    http::{
        api_error::{ApiError, OAuthError},
        body::form::Form,
    },
    token_issuer::IssuedToken,
};

/// The same for all tokens that are not valid: why is in the log only.
const INVALID_TOKEN: &str = "subject_token is not a valid token of a configured identity provider";

/// The same for every organization and every trust rule that does not accept the token, whether it exists or not.
const NOT_ACCEPTED: &str = "No enabled trust rule of the organization accepts the subject_token, or not the one in trust_rule_id; \
                            compare the rule's issuer and claims with those of the token";
const SEVERAL: &str = "Several trust rules of the organization accept the subject_token; name one by trust_rule_id";
const SUSPENDED: &str = "The organization is suspended; ask the operator of the service";

fn invalid_request(description: &'static str) -> ApiError {
    ApiError::OAuth(OAuthError::InvalidRequest(description))
}

impl OAuth {
    /// Issues a token in exchange for a JWT, by the only trust rule that accepts it, or by the one that the request names. What is
    /// not accepted counts as a failed attempt. A client that sends an id and a secret must be valid, too; a `client_id` alone is
    /// ignored.
    pub(super) async fn exchange_jwt(
        &self,
        request: &Request,
        form: &Form,
        client: Option<ClientSecret>,
        jwt: &str,
    ) -> Result<IssuedToken, ApiError> {
        if let Some(client) = &client {
            client.authenticate(&self.authenticator, request).await?;
        }
        let organization = form.require("org_id")?.parse::<OrganizationId>();
        let named = form.get("trust_rule_id").map(str::parse::<TrustRuleId>).transpose();
        let Credential { source, request_id, .. } = Credential::of(request);
        let failures = &self.authenticator.failures;
        let workload = match self.authenticator.provider_tokens.read_workload(jwt).await {
            Err(Error::Unauthenticated(_)) => {
                failures.count(&source)?;
                return Err(invalid_request(INVALID_TOKEN));
            }
            workload => workload?,
        };
        // Only now is anything read from the database: anyone may have a valid token of an issuer that many share.
        failures.require(&source)?;
        let found = match (organization, named) {
            (Ok(organization), Ok(named)) => self.issuer.workloads.find_rule(&workload, organization, named).await,
            // What is no id is treated like the id of nothing.
            _ => Err(NoTrustRule::NotAccepted),
        };
        let rule = match found {
            Ok(rule) => rule,
            Err(NoTrustRule::NotAccepted) => {
                failures.count(&source)?;
                return Err(invalid_request(NOT_ACCEPTED));
            }
            Err(NoTrustRule::Several) => return Err(invalid_request(SEVERAL)),
            Err(NoTrustRule::Suspended) => return Err(invalid_request(SUSPENDED)),
            Err(NoTrustRule::Outage(outage)) => return Err(Error::from(outage).into()),
        };
        Span::current().record("org_id", display(rule.organization));
        self.authorizer.count(rule.organization)?;
        let requested = RequestedToken::of(form)?;
        let audience = requested.audience_of(&rule.settings.audiences)?;
        let origin = RequestContext { client: Some(source.address.0), request_id, ..RequestContext::default() };
        let subject = (&rule, &workload);
        let issued = self.issuer.issue_to_workload(subject, audience, requested.permissions, origin).await?;
        log_exchange(&rule, &workload);
        Ok(issued)
    }
}

/// Logs which workload has got a token. The audit log has the trust rule, but no names.
fn log_exchange(rule: &TrustRule, workload: &Workload) {
    let (trust_rule_id, identity) = (rule.id.to_string(), &workload.identity);
    let (issuer, subject) = (&identity.issuer, &identity.subject);
    tracing::info!(target: "claviger", trust_rule_id, issuer, subject, "issued a token to a workload by a trust rule");
}
