//! Short-lived access tokens for services that authorize requests without calling this service. The tokens of a key
//! with the same permissions form a token group. It is revoked when the key no longer has those permissions. Those of a trust rule
//! do, too; they are revoked when the rule is restricted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    auth::{
        caller::Caller,
        token::{Token, TokenGroup, TokenHolder},
    },
    clock::{Clock, Entropy, Timestamp},
    error::{Error, NotExchangeable, Outage},
    id::{Identity, TokenGroupId, TokenId},
    organizations::{
        organization::{Organization, OrganizationKind},
        trust_rule::TrustRule,
    },
    permissions::{Permission, Permissions},
    ports::{AuditLog, MergedEvent, TokenGroups, TrustRules},
    verify::{cached_key::CachedKey, lookup::KeyLookup},
};

/// Issues access tokens, and determines which token groups are revoked.
pub struct Tokens {
    groups: Arc<dyn TokenGroups>,
    rules: Arc<dyn TrustRules>,
    lookup: Arc<KeyLookup>,
    audit_log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What valid tokens were issued for, as it is now.
#[derive(Clone, Debug)]
pub enum ValidHolder {
    /// A key.
    Key(Arc<CachedKey>),
    /// A trust rule of this organization.
    TrustRule(Box<(TrustRule, Organization)>),
}

impl Tokens {
    /// How much longer than its tokens a token group is listed, in milliseconds: the clocks of services may be behind.
    pub const LEEWAY_MS: i64 = 60_000;

    /// Creates the operations from these ports.
    #[must_use]
    pub fn new(
        groups: Arc<dyn TokenGroups>,
        rules: Arc<dyn TrustRules>,
        lookup: Arc<KeyLookup>,
        audit_log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { groups, rules, lookup, audit_log, clock, entropy }
    }

    /// The caller's key, if it may be exchanged for tokens.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`].
    pub fn exchangeable<'a>(&self, caller: &'a Caller) -> Result<&'a Arc<CachedKey>, Error> {
        if caller.origin.session.is_some() {
            return Err(Error::NotExchangeable(NotExchangeable::SessionForToken));
        }
        let key = caller.key().ok_or(Error::NotExchangeable(NotExchangeable::NotAKey))?;
        require_exchangeable(key).map_err(Error::NotExchangeable)?;
        Ok(key)
    }

    /// Issues a token with some of the permissions of the caller's key. It expires after `seconds`, after
    /// [`Token::MAX_TTL_SECONDS`] or with the key, whichever is first.
    ///
    /// # Errors
    /// [`Error::NotExchangeable`] for every credential except the secret of a key, and for keys that have a usage
    /// limit, a rate limit or an IP allowlist, or belong to the platform organization; [`Error::ExceedsPermissions`];
    /// [`Error::TooManyTokens`]; [`Error::TooMany`]; [`Error::Outage`].
    pub async fn issue(&self, caller: &Caller, permissions: Permissions, seconds: u64) -> Result<Token, Error> {
        let key = self.exchangeable(caller)?;
        if !key.allows_all(&permissions) {
            return Err(Error::ExceedsPermissions);
        }
        let now = self.clock.now();
        let expires_at = end_of_life(now, seconds).no_later_than(key.ends_at());
        let (id, organization, secret) = (TokenGroupId::random(&*self.entropy), key.organization(), *key.hash());
        let group = TokenGroup { id, organization, key: Some(key.id()), trust_rule: None, secret };
        let holder = TokenHolder::Key(key.id(), key.user());
        let token = self.create(group, holder, permissions, (now, expires_at)).await?;
        let context = caller.audit_context(organization, Action::CreateToken, None, now);
        self.audit_log.record_merged(MergedEvent::done(context, token.group.uuid()));
        Ok(token)
    }

    /// Issues a token with some of the permissions of a trust rule to a workload whose token the rule accepts. It expires after the
    /// lifetime that the rule sets, also if the workload's own token expires before.
    ///
    /// # Errors
    /// [`Error::ExceedsPermissions`]; [`Error::TooManyTokens`]; [`Error::TooMany`]; [`Error::Outage`].
    pub(crate) async fn issue_by_rule(
        &self,
        rule: &TrustRule,
        workload: &Identity,
        permissions: Permissions,
        origin: RequestContext,
    ) -> Result<Token, Error> {
        if !rule.settings.permissions.covers(&permissions) {
            return Err(Error::ExceedsPermissions);
        }
        let (now, organization) = (self.clock.now(), rule.organization);
        let (id, secret) = (TokenGroupId::random(&*self.entropy), TokenGroup::secret_of_rule(rule.id, rule.generation));
        let group = TokenGroup { id, organization, key: None, trust_rule: Some(rule.id), secret };
        let holder = TokenHolder::Workload(rule.id, workload.clone());
        let life = (now, end_of_life(now, rule.settings.ttl_seconds));
        let token = self.create(group, holder, permissions, life).await?;
        let (actor, action) = (Actor::Unknown, Action::ExchangeToken);
        let context = AuditContext { organization, actor, action, permission: None, origin, at: now };
        self.audit_log.record_merged(MergedEvent::done(context, rule.id.uuid()));
        Ok(token)
    }

    /// Creates a token in a group, which is stored if it is new. `life`: when the token is issued and when it expires.
    async fn create(
        &self,
        group: TokenGroup,
        holder: TokenHolder,
        permissions: Permissions,
        (issued_at, expires_at): (Timestamp, Timestamp),
    ) -> Result<Token, Error> {
        let (organization, expired_before) = (group.organization, issued_at.plus_millis(-Self::LEEWAY_MS));
        let group = self.groups.find_or_create(group, &permissions, expires_at, expired_before).await?;
        let id = TokenId::random(&*self.entropy);
        Ok(Token { id, group, organization, holder, permissions, issued_at, expires_at })
    }

    /// The token groups with tokens that have not expired.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn live(&self) -> Result<Vec<TokenGroup>, Outage> {
        self.groups.live(self.clock.now().plus_millis(-Self::LEEWAY_MS)).await
    }

    /// The key of a token group, as it is now. Every change of the key, its organization or its user is visible in it:
    /// the group is valid while the key [may have tokens](Tokens::may_have_tokens) and has the group's permissions.
    /// `None`: the key does not exist any more.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn key_of(&self, group: &TokenGroup) -> Result<Option<Arc<CachedKey>>, Outage> {
        self.lookup.find(&group.secret).await
    }

    /// What the tokens of a token group were issued for, if they are valid now. `None`: they are revoked, or the group does not
    /// exist.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn valid_holder_of(&self, group: TokenGroupId) -> Result<Option<ValidHolder>, Outage> {
        let Some((group, permissions)) = self.groups.find(group).await? else { return Ok(None) };
        if group.is_revoked() {
            return Ok(None);
        }
        let Some(rule) = group.trust_rule else {
            let key = self.key_of(&group).await?;
            let key = key.filter(|key| self.may_have_tokens(key) && key.allows_all(&permissions));
            return Ok(key.map(ValidHolder::Key));
        };
        let found = self.rules.find_active(rule).await?.filter(|(rule, organization)| {
            group.secret == TokenGroup::secret_of_rule(rule.id, rule.generation)
                && organization.kind == OrganizationKind::Tenant
                && rule.settings.permissions.covers(&permissions)
        });
        Ok(found.map(|found| ValidHolder::TrustRule(Box::new(found))))
    }

    /// Those of these token groups whose tokens were issued by a trust rule and are valid now: the rule is enabled, it has not been
    /// restricted since, and its organization is neither suspended nor deleted.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn valid_groups_of_rules(&self, groups: &[TokenGroup]) -> Result<HashSet<TokenGroupId>, Outage> {
        let of_rules = || groups.iter().filter_map(|group| Some((group, group.trust_rule?)));
        let rules: HashSet<_> = of_rules().map(|(_, rule)| rule).collect();
        if rules.is_empty() {
            return Ok(HashSet::new());
        }
        let active = self.rules.active_generations(rules.into_iter().collect()).await?;
        let secrets: HashMap<_, _> =
            active.into_iter().map(|(rule, generation)| (rule, TokenGroup::secret_of_rule(rule, generation))).collect();
        let is_valid = |group: &TokenGroup, rule| secrets.get(&rule) == Some(&group.secret);
        Ok(of_rules().filter(|(group, rule)| is_valid(group, *rule)).map(|(group, _)| group.id).collect())
    }

    /// Revokes the tokens of a token group: all tokens of one secret, or by one trust rule, with the same permissions. The key that
    /// they were issued for may do this, and callers who may delete keys: for those, see [`Caller::require`]. `holder` is the id of
    /// the key or trust rule in the token. Nothing is done if the group does not exist, was revoked already, or is one that the
    /// caller has no access to.
    ///
    /// # Errors
    /// [`Error::Forbidden`] or [`Error::CannotManage`] for a token of another key of an organization that the caller has access
    /// to, or of a trust rule; [`Error::Outage`].
    pub async fn revoke(&self, caller: &Caller, group: TokenGroupId, holder: Uuid) -> Result<(), Error> {
        let Some((found, _)) = self.groups.find(group).await? else { return Ok(()) };
        let is_own = found.trust_rule.is_none() && caller.key().is_some_and(|own| own.id().uuid() == holder);
        let mut permission = None;
        if !is_own {
            if !caller.can_see(found.organization) {
                return Ok(());
            }
            caller.require_management()?;
            caller.require(&Permission::API_KEYS_WRITE)?;
            permission = Some(Permission::API_KEYS_WRITE);
        }
        let context = caller.audit_context(found.organization, Action::RevokeToken, permission, self.clock.now());
        Ok(self.groups.revoke(group, &context).await?)
    }

    /// Whether a text has the format of the secret of an API key.
    #[must_use]
    pub fn is_secret(&self, text: &str) -> bool {
        self.lookup.parse(text).is_some()
    }

    /// Whether tokens may be issued for a key, and its tokens are valid: the key is valid and exchangeable.
    #[must_use]
    pub fn may_have_tokens(&self, key: &CachedKey) -> bool {
        key.check(self.clock.now(), None).is_ok() && require_exchangeable(key).is_ok()
    }

    /// The permissions of these token groups.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn permissions(&self, groups: Vec<TokenGroupId>) -> Result<Vec<(TokenGroupId, Permissions)>, Outage> {
        self.groups.permissions(groups).await
    }
}

/// The expiry time of a token that is issued at `now`: `seconds` later, but at most [`Token::MAX_TTL_SECONDS`].
fn end_of_life(now: Timestamp, seconds: u64) -> Timestamp {
    now.plus_millis(i64::try_from(seconds.min(Token::MAX_TTL_SECONDS)).unwrap_or(0).saturating_mul(1_000))
}

/// Services accept tokens without a request to this one, so uses of a token are not counted and the client's IP address
/// is not checked. Therefore keys that need either have no tokens. Neither have keys of the platform organization,
/// which may manage all organizations.
fn require_exchangeable(key: &CachedKey) -> Result<(), NotExchangeable> {
    if key.is_metered() {
        return Err(NotExchangeable::Metered);
    }
    if key.addresses().is_some() {
        return Err(NotExchangeable::HasAddresses);
    }
    match key.kind() {
        OrganizationKind::Tenant => Ok(()),
        OrganizationKind::Platform => Err(NotExchangeable::Platform),
    }
}
