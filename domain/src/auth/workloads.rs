//! Workloads: programs that an identity provider authenticates, such as jobs of a CI system. A trust rule of an organization
//! exchanges their tokens for short-lived tokens of this service.

use std::sync::Arc;

use crate::{
    audit::context::RequestContext,
    auth::{federation::FederatedLogin, identity::NamedOrganization, token::Token, tokens::Tokens},
    error::{Error, Outage},
    id::{Identity, OrganizationId, TrustRuleId},
    organizations::{
        organization::{Organization, OrganizationKind},
        trust_rule::{TrustRule, WorkloadClaims},
    },
    permissions::Permissions,
    ports,
};

/// A workload with a token whose signature, audience, lifetime and configured conditions have been verified.
pub struct Workload {
    /// The provider and the subject.
    pub identity: Identity,
    /// The only organization that the token may be used in. `None`: any.
    pub organization: Option<NamedOrganization>,
    /// All claims of the token.
    pub claims: Box<dyn WorkloadClaims>,
}

/// Why no trust rule is used.
#[derive(Debug)]
pub enum NoTrustRule {
    /// The organization has no trust rule that accepts the token, or none with the requested id, or it does not exist.
    NotAccepted,
    /// Several trust rules accept the token, and the request does not name one.
    Several,
    /// A trust rule accepts the token, but its organization is suspended.
    Suspended,
    /// The database is not available.
    Outage(Outage),
}

impl From<Outage> for NoTrustRule {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage)
    }
}

/// Exchanges tokens of workloads.
pub struct Workloads {
    rules: Arc<dyn ports::TrustRules>,
    organizations: Arc<dyn ports::Organizations>,
    federation: Arc<FederatedLogin>,
    tokens: Arc<Tokens>,
}

impl Workloads {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(
        rules: Arc<dyn ports::TrustRules>,
        organizations: Arc<dyn ports::Organizations>,
        federation: Arc<FederatedLogin>,
        tokens: Arc<Tokens>,
    ) -> Self {
        Self { rules, organizations, federation, tokens }
    }

    /// The only trust rule of an organization that accepts the token of a workload; with `named`, this one. The issuer must still be
    /// configured for the organization.
    ///
    /// # Errors
    /// The same for what does not exist and what does not accept the token: see [`NoTrustRule`].
    pub async fn find_rule(
        &self,
        workload: &Workload,
        organization: OrganizationId,
        named: Option<TrustRuleId>,
    ) -> Result<TrustRule, NoTrustRule> {
        let found = self.organizations.find(organization).await?;
        let organization = found.filter(|found| self.may_act_in(workload, found)).ok_or(NoTrustRule::NotAccepted)?;
        let rules = self.rules.find_enabled(organization.id, &workload.identity.issuer, named).await?;
        let accepts = |rule: &TrustRule| rule.settings.accepts(&workload.identity.issuer, &*workload.claims);
        let mut accepting = rules.into_iter().filter(accepts);
        let rule = accepting.next().ok_or(NoTrustRule::NotAccepted)?;
        if accepting.next().is_some() {
            return Err(NoTrustRule::Several);
        }
        if organization.suspended_at.is_some() { Err(NoTrustRule::Suspended) } else { Ok(rule) }
    }

    /// Whether tokens of the provider may be used in this organization, and the workload's own token does not name another.
    fn may_act_in(&self, workload: &Workload, organization: &Organization) -> bool {
        let is_named = match &workload.organization {
            None => true,
            Some(NamedOrganization::Id(id)) => *id == organization.id,
            Some(NamedOrganization::ExternalId(id)) => organization.external_id.as_ref() == Some(id),
        };
        is_named
            && organization.kind == OrganizationKind::Tenant
            && self.federation.allows(&workload.identity.issuer, organization)
    }

    /// Issues a token by a trust rule, with some of its permissions (`None`: all of them).
    ///
    /// # Errors
    /// [`Error::ExceedsPermissions`]; [`Error::TooManyTokens`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn issue(
        &self,
        rule: &TrustRule,
        workload: &Workload,
        permissions: Option<Permissions>,
        origin: RequestContext,
    ) -> Result<Token, Error> {
        let permissions = permissions.unwrap_or_else(|| rule.settings.permissions.clone());
        self.tokens.issue_by_rule(rule, &workload.identity, permissions, origin).await
    }
}
