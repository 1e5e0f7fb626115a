//! Importing keys of another system by the hashes of their secrets: clients continue to use their secrets unchanged.

use std::collections::HashSet;

use super::{Keys, NewKey, checks::Checks};
use crate::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    auth::caller::Authority,
    clock::Timestamp,
    error::Error,
    id::{KeyId, OrganizationId},
    keys::{
        api_key::{ApiKey, Creator},
        policy::{AppliedPolicies, CheckedPolicies},
        secret::{KeyFormat, KeyPrefix, LegacyHash},
        settings::KeySettings,
    },
    optimistic::until_stored,
    ports::Imported,
};

/// A key of another system.
#[derive(Clone, Debug)]
pub struct LegacyKey {
    /// The owner and the settings.
    pub new: NewKey,
    /// The start of its secret, to recognize the key by.
    pub start: String,
    /// The hash of its secret.
    pub hash: LegacyHash,
    /// When it was created (UTC). `None`: now.
    pub created_at: Option<Timestamp>,
    /// The number of successful verify requests so far.
    pub request_count: u64,
    /// The last of these requests (UTC). `None`: never used.
    pub last_request_at: Option<Timestamp>,
    /// When its remaining uses were last refilled (UTC). `None`: never.
    pub last_refill_at: Option<Timestamp>,
}

/// The result for one key of another system. Results are in the order of the request.
#[derive(Clone, Debug)]
pub enum ImportOutcome {
    /// The key was imported; with `dry_run`, it would be.
    Imported(Box<ApiKey>),
    /// The organization has imported the key before.
    AlreadyImported,
}

impl Keys {
    /// Imports keys whose secrets have this format: all of them or none, except for those that were imported before.
    /// With `dry_run` nothing is stored.
    ///
    /// # Errors
    /// The same as for [`Keys::create_many`]; [`Error::TooManyKeyFormats`].
    pub async fn import(
        &self,
        authority: &Authority,
        key_format: &KeyFormat,
        keys: Vec<LegacyKey>,
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, Error> {
        let key_formats = std::slice::from_ref(key_format);
        until_stored(|| async {
            let mut checks = Checks::new(self, authority);
            let mut made = Vec::with_capacity(keys.len());
            for (index, old) in keys.iter().enumerate() {
                let prefix = Some(key_format.key_prefix());
                let key = of_old(self.make_for(&mut checks, &old.new, prefix, old.start.clone()).await?, old);
                checks.require_policies(&key).await.map_err(|error| error.of_listed_key(index))?;
                made.push(Imported { key, hash: old.hash });
            }
            let context = authority.audit_context(Action::ImportKey, self.now());
            self.import_new(key_formats, made, dry_run, checks.into_checked(), &context).await
        })
        .await
    }

    /// Imports keys by the operator, on the command line. The keys belong to the organization. The secret of each key
    /// has one of these formats, which have the same prefix; it is not known which one.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the organization does not exist; [`Error::ListedKeyViolatesPolicy`]; [`Error::TooManyKeyFormats`];
    /// [`Error::ConcurrentChanges`]; [`Error::Outage`].
    pub async fn import_as_operator(
        &self,
        organization: OrganizationId,
        key_formats: &[KeyFormat],
        keys: Vec<LegacyKey>,
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, Error> {
        until_stored(|| self.try_import_as_operator(organization, key_formats, &keys, dry_run)).await
    }

    /// `None`: what the keys were checked against has changed meanwhile, and nothing was stored.
    async fn try_import_as_operator(
        &self,
        organization: OrganizationId,
        key_formats: &[KeyFormat],
        keys: &[LegacyKey],
        dry_run: bool,
    ) -> Result<Option<Vec<ImportOutcome>>, Error> {
        let defaults = self.key_defaults(organization).await?;
        let policies = AppliedPolicies::new(defaults.policy, Vec::new());
        let can_manage = defaults.can_manage && policies.can_manage();
        let defaults = KeySettings { can_manage, ..KeySettings::default() };
        let now = self.now();
        let prefix = key_formats.first().map_or_else(KeyPrefix::default_prefix, KeyFormat::key_prefix);
        let mut made = Vec::with_capacity(keys.len());
        for (index, old) in keys.iter().enumerate() {
            let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
            let begin = (prefix.clone(), old.start.clone());
            // A refill interval has been running since the key was created.
            let settings = old.new.settings.apply(&defaults, old.created_at.unwrap_or(now))?;
            let key = ApiKey { settings, ..ApiKey::beginning_with(id, organization, begin, Creator::Operator, now) };
            let key = of_old(key, old);
            let broken = policies.broken_by_change(&key, now, now);
            if !broken.is_empty() {
                return Err(Error::ListedKeyViolatesPolicy(index, broken));
            }
            made.push(Imported { key, hash: old.hash });
        }
        let (actor, action, origin) = (Actor::Operator, Action::ImportKey, RequestContext::default());
        let context = AuditContext { organization, actor, action, permission: None, origin, at: now };
        self.import_new(key_formats, made, dry_run, Some(policies.checked()), &context).await
    }

    /// `None`: what the keys were checked against has changed meanwhile, and nothing was stored.
    async fn import_new(
        &self,
        key_formats: &[KeyFormat],
        made: Vec<Imported>,
        dry_run: bool,
        checked: Option<CheckedPolicies>,
        context: &AuditContext,
    ) -> Result<Option<Vec<ImportOutcome>>, Error> {
        let hashes: Vec<LegacyHash> = made.iter().map(|imported| imported.hash).collect();
        // If a hash is in the request twice, the second one counts as imported before.
        let known = self.ports.imports.known(context.organization, &hashes).await?;
        let mut known: HashSet<LegacyHash> = known.into_iter().collect();
        let mut outcomes = Vec::with_capacity(made.len());
        let mut rest = Vec::new();
        for imported in made {
            if known.insert(imported.hash) {
                outcomes.push(ImportOutcome::Imported(Box::new(imported.key.clone())));
                rest.push(imported);
            } else {
                outcomes.push(ImportOutcome::AlreadyImported);
            }
        }
        if dry_run {
            return Ok(Some(outcomes));
        }
        // This is done even if no key is new: their secrets may have been imported with another, wrong format.
        match self.ports.imports.import(key_formats, rest, Vec::new(), checked, context).await {
            // Another request of the organization has imported one of them at the same time, so it is known now.
            Err(Error::SecretInUse) => Ok(None),
            imported => Ok(imported?.then_some(outcomes)),
        }
    }
}

/// Adds the history of the imported key.
fn of_old(mut key: ApiKey, old: &LegacyKey) -> ApiKey {
    key.created_at = old.created_at.unwrap_or(key.created_at);
    key.request_count = old.request_count;
    key.last_request_at = old.last_request_at;
    key.last_refill_at = old.last_refill_at;
    key
}
