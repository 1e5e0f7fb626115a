//! Managing trust rules. A caller can only create and extend rules within their own permissions; a rule stays when its creator is
//! removed.

use std::sync::Arc;

use super::{require_permissions, require_unrestricted};
use crate::{
    audit::context::Action,
    auth::{caller::Authority, federation::FederatedLogin, step_up::require_fresh_sign_in},
    change::Change,
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    id::TrustRuleId,
    keys::settings::Description,
    optimistic::{require_version, until_stored},
    organizations::{
        organization::OrganizationKind,
        trust_rule::{ClaimConditions, TokenAudiences, TrustRule, TrustRuleName, TrustRuleSettings},
    },
    permissions::Permissions,
    ports,
};

/// A change of a trust rule. `None`: the field is not changed.
#[derive(Clone, Debug, Default)]
pub struct TrustRulePatch {
    /// The name.
    pub name: Option<TrustRuleName>,
    /// The description.
    pub description: Change<Description>,
    /// The issuer.
    pub issuer: Option<String>,
    /// The conditions.
    pub conditions: Option<ClaimConditions>,
    /// The permissions of the issued tokens.
    pub permissions: Option<Permissions>,
    /// The audiences of the issued tokens.
    pub audiences: Option<TokenAudiences>,
    /// The lifetime of the issued tokens, in seconds.
    pub ttl_seconds: Option<u64>,
    /// Whether it is enabled.
    pub enabled: Option<bool>,
}

impl TrustRulePatch {
    /// Whether it changes no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { name, description, issuer, conditions, permissions, audiences, ttl_seconds, enabled } = self;
        name.is_none()
            && description.is_keep()
            && issuer.is_none()
            && conditions.is_none()
            && permissions.is_none()
            && audiences.is_none()
            && ttl_seconds.is_none()
            && enabled.is_none()
    }

    /// The settings after the change.
    fn apply(&self, before: &TrustRuleSettings) -> TrustRuleSettings {
        let before = before.clone();
        TrustRuleSettings {
            name: self.name.clone().unwrap_or(before.name),
            description: self.description.clone().apply(before.description),
            issuer: self.issuer.clone().unwrap_or(before.issuer),
            conditions: self.conditions.clone().unwrap_or(before.conditions),
            permissions: self.permissions.clone().unwrap_or(before.permissions),
            audiences: self.audiences.clone().unwrap_or(before.audiences),
            ttl_seconds: self.ttl_seconds.unwrap_or(before.ttl_seconds),
            enabled: self.enabled.unwrap_or(before.enabled),
        }
    }
}

/// Manages the trust rules of organizations.
pub struct TrustRuleService {
    rules: Arc<dyn ports::TrustRules>,
    organizations: Arc<dyn ports::Organizations>,
    federation: Arc<FederatedLogin>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl TrustRuleService {
    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(
        rules: Arc<dyn ports::TrustRules>,
        organizations: Arc<dyn ports::Organizations>,
        federation: Arc<FederatedLogin>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { rules, organizations, federation, clock, entropy }
    }

    /// Whether the organization may have trust rules for this issuer: the operator has configured the issuer for it, and it is not
    /// the platform organization, whose keys have no tokens either.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the organization does not exist; [`Error::Outage`].
    pub async fn may_trust(&self, authority: &Authority, issuer: &str) -> Result<bool, Error> {
        let organization = self.organizations.find(authority.organization()).await?.ok_or(Error::NotFound)?;
        Ok(organization.kind == OrganizationKind::Tenant && self.federation.allows(issuer, &organization))
    }

    /// Lists at most `limit` trust rules, sorted by id, beginning after `after` (`None`: with the first).
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        authority: &Authority,
        after: Option<TrustRuleId>,
        limit: u64,
    ) -> Result<Vec<TrustRule>, Error> {
        Ok(self.rules.list(authority.organization(), after, limit).await?)
    }

    /// One trust rule (`None`: the request has no valid id).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Outage`].
    pub async fn get(&self, authority: &Authority, rule: Option<TrustRuleId>) -> Result<TrustRule, Error> {
        let rule = rule.ok_or(Error::NotFound)?;
        self.rules.find(authority.organization(), rule).await?.ok_or(Error::NotFound)
    }

    /// Creates a trust rule. [`TrustRuleService::may_trust`] must be checked before.
    ///
    /// # Errors
    /// [`Error::ExceedsPermissions`]; [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if the rule has permissions
    /// and the caller's key has an expiry or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::NameTaken`];
    /// [`Error::CapReached`]; [`Error::Outage`].
    pub async fn create(&self, authority: &Authority, settings: TrustRuleSettings) -> Result<TrustRule, Error> {
        let now = self.clock.now();
        require_permissions(authority, &settings.permissions)?;
        require_unrestricted(authority, &Permissions::default(), &settings.permissions, now)?;
        require_fresh_sign_in(authority.caller(), now)?;
        let rule = TrustRule {
            id: TrustRuleId::generate(&*self.clock, &*self.entropy),
            organization: authority.organization(),
            settings,
            generation: 0,
            version: 0,
            created_at: now,
            updated_at: now,
        };
        self.rules.create(&rule, &authority.audit_context(Action::CreateTrustRule, now)).await?;
        Ok(rule)
    }

    /// Updates a trust rule (`None`: the request has no valid id), and returns the updated rule. With `only`, its current version
    /// must be one of these. If the patch sets the issuer, [`TrustRuleService::may_trust`] must be checked before. A change that
    /// restricts the rule revokes its tokens.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::NothingToChange`]; [`Error::ExceedsPermissions`] if the caller
    /// does not have all permissions of the rule before and after the update, unless the rule is only disabled;
    /// [`Error::ExceedsExpiry`] and [`Error::ExceedsAddresses`] if the update extends the rule and the caller's key has an expiry
    /// or an IP allowlist; [`Error::FreshSignInRequired`]; [`Error::NameTaken`]; [`Error::ConcurrentChanges`];
    /// [`Error::Outage`].
    pub async fn update(
        &self,
        authority: &Authority,
        rule: Option<TrustRuleId>,
        only: Option<&[u64]>,
        patch: TrustRulePatch,
    ) -> Result<TrustRule, Error> {
        let id = rule.ok_or(Error::NotFound)?;
        let _lock = self.rules.lock_for_change(authority.organization(), id).await?;
        until_stored(|| async {
            let before = self.get(authority, rule).await?;
            require_version(before.version, only)?;
            if patch.is_empty() {
                return Err(Error::NothingToChange);
            }
            let settings = patch.apply(&before.settings);
            let now = self.clock.now();
            check_update(authority, &before.settings, &settings, now)?;
            let after = TrustRule {
                generation: before.generation + u64::from(settings.restrict(&before.settings)),
                version: before.version + 1,
                updated_at: now,
                settings,
                ..before
            };
            let context = authority.audit_context(Action::UpdateTrustRule, now);
            Ok(self.rules.update(&after, before.version, &context).await?.then_some(after))
        })
        .await
    }

    /// Deletes a trust rule (`None`: the request has no valid id), and revokes its tokens. With `only`, its current version must be
    /// one of these.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::VersionMismatch`]; [`Error::FreshSignInRequired`]; [`Error::ConcurrentChanges`];
    /// [`Error::Outage`].
    pub async fn delete(
        &self,
        authority: &Authority,
        rule: Option<TrustRuleId>,
        only: Option<&[u64]>,
    ) -> Result<(), Error> {
        let id = rule.ok_or(Error::NotFound)?;
        let _lock = self.rules.lock_for_change(authority.organization(), id).await?;
        until_stored(|| async {
            let before = self.get(authority, rule).await?;
            require_version(before.version, only)?;
            let now = self.clock.now();
            require_fresh_sign_in(authority.caller(), now)?;
            let context = authority.audit_context(Action::DeleteTrustRule, now);
            Ok(self.rules.delete(&before, &context).await?.then_some(()))
        })
        .await
    }
}

/// Requires that the caller may change a rule in this way.
fn check_update(
    authority: &Authority,
    before: &TrustRuleSettings,
    after: &TrustRuleSettings,
    now: Timestamp,
) -> Result<(), Error> {
    require_fresh_sign_in(authority.caller(), now)?;
    // Disabling a rule needs no permissions of the rule, because it only restricts it.
    if *after == (TrustRuleSettings { enabled: false, ..before.clone() }) {
        return Ok(());
    }
    require_permissions(authority, &before.permissions)?;
    require_permissions(authority, &after.permissions)?;
    let had = if after.extend(before) { &Permissions::default() } else { &after.permissions };
    require_unrestricted(authority, had, &after.permissions, now)
}
