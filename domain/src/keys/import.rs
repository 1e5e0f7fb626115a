//! Taking over keys of another system, by the hashes that it kept: whoever has a key goes on with it and notices nothing.

use std::{collections::HashSet, sync::Arc};

use super::{Keys, NewKey, checks::Checks};
use crate::{
    act::{Act, Action, Actor, Origin},
    api_key::{ApiKey, Creator},
    audit::Outcome,
    caller::Authority,
    clock::Timestamp,
    error::{Error, Outage},
    id::{KeyId, OrganizationId},
    ports::{Holder, Imported, Notable},
    secret::{ImportedText, KeyPrefix, OldHash, Shape},
    snapshot::Snapshot,
};

/// A key of another system.
#[derive(Clone, Debug)]
pub struct OldKey {
    /// Its settings.
    pub new: NewKey,
    /// Whether it is in use.
    pub enabled: bool,
    /// What its secret begins with, to recognize it by.
    pub start: String,
    /// The hash of its secret.
    pub hash: OldHash,
    /// When it was made; `None`: now.
    pub created_at: Option<Timestamp>,
    /// Verifies that found it good.
    pub request_count: u64,
    /// The last of them.
    pub last_request_at: Option<Timestamp>,
    /// When it was last refilled.
    pub last_refill_at: Option<Timestamp>,
}

/// What became of a key of another system, in the order in which they were given.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is ours from now on, or would be.
    Over(Box<ApiKey>),
    /// It has been for a while.
    Before,
}

impl Keys {
    /// Takes over keys whose secrets have this shape: all or none, but for those that were taken over before. With `dry_run`
    /// nothing is stored.
    ///
    /// # Errors
    /// Those of [`Keys::create_many`]; [`Error::TooManyShapes`].
    pub async fn import(
        &self,
        authority: &Authority,
        shape: &Shape,
        keys: Vec<OldKey>,
        dry_run: bool,
    ) -> Result<Vec<Taken>, Error> {
        let mut checks = Checks::new(self, authority);
        let mut made = Vec::with_capacity(keys.len());
        for old in keys {
            let new = NewKey { prefix: shape.key_prefix(), ..old.new.clone() };
            let key = self.make_for(&mut checks, new, old.start.clone()).await?;
            made.push(Imported { key: of_old(key, &old), hash: old.hash });
        }
        let shapes = std::slice::from_ref(shape);
        self.take_over(authority.organization(), shapes, made, dry_run, &authority.act(Action::ImportKey, self.now()))
            .await
    }

    /// The same by the operator, on the machine itself. The keys belong to the organization. Each secret has one of the shapes,
    /// which have the same prefix; of which one it is nothing tells.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such organization; [`Error::TooManyShapes`]; [`Error::Outage`].
    pub async fn import_as_operator(
        &self,
        organization: OrganizationId,
        shapes: &[Shape],
        keys: Vec<OldKey>,
        dry_run: bool,
    ) -> Result<Vec<Taken>, Error> {
        if !self.ports.accounts.has_organization(organization).await? {
            return Err(Error::NotFound);
        }
        let now = self.now();
        let prefix = shapes.first().map_or_else(KeyPrefix::standard, Shape::key_prefix);
        let made = keys.into_iter().map(|old| {
            let id = KeyId::generate(&*self.ports.clock, &*self.ports.entropy);
            let begin = (prefix.clone(), old.start.clone());
            let NewKey { name, permissions, external_id, expires_at, metadata, quota, .. } = old.new.clone();
            let key = ApiKey {
                name,
                expires_at,
                metadata,
                permissions,
                external_id,
                quota,
                ..ApiKey::beginning_with(id, organization, begin, Creator::Operator, now)
            };
            Imported { key: of_old(key, &old), hash: old.hash }
        });
        let (actor, action, origin) = (Actor::Operator, Action::ImportKey, Origin::default());
        let act = Act { organization, actor, action, permission: None, origin, at: now };
        self.take_over(organization, shapes, made.collect(), dry_run, &act).await
    }

    async fn take_over(
        &self,
        organization: OrganizationId,
        shapes: &[Shape],
        made: Vec<Imported>,
        dry_run: bool,
        act: &Act,
    ) -> Result<Vec<Taken>, Error> {
        let hashes: Vec<OldHash> = made.iter().map(|imported| imported.hash).collect();
        // Given twice, the second one has been taken over before.
        let mut known: HashSet<OldHash> = self.ports.imports.known(organization, &hashes).await?.into_iter().collect();
        let mut taken = Vec::with_capacity(made.len());
        let mut rest = Vec::new();
        for imported in made {
            if known.insert(imported.hash) {
                taken.push(Taken::Over(Box::new(imported.key.clone())));
                rest.push(imported);
            } else {
                taken.push(Taken::Before);
            }
        }
        // Also where all keys are there: they may have been taken over with another shape, which is not theirs.
        if !dry_run {
            self.ports.imports.import(shapes, rest, act).await?;
        }
        Ok(taken)
    }

    /// The key with an imported text: that of `organization`, whatever others have imported. `None` for the organization: that of
    /// the only one that has it; where several have it, it is nobody's, and an alarm for each. A text that was not shown yet is
    /// found by its first verify only, from which on it is found like any other.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn find_imported(
        &self,
        text: &ImportedText,
        organization: Option<OrganizationId>,
        may_be_first: bool,
    ) -> Result<Option<Arc<Snapshot>>, Outage> {
        if let Some(organization) = organization {
            return self.find_imported_in(organization, text, may_be_first).await;
        }
        // What is remembered about the holder may be over: then it is read.
        for _ in 0..2 {
            let organization = match self.ports.imports.find_holder(&text.old).await? {
                Holder::Nobody => return Ok(None),
                Holder::One { was_shown: false, .. } if !may_be_first => return Ok(None),
                Holder::One { organization, .. } => organization,
                Holder::Several(keys) => {
                    self.alarm_holders(keys);
                    return Ok(None);
                }
            };
            if let Some(key) = self.find_imported_in(organization, text, may_be_first).await? {
                return Ok(Some(key));
            }
            self.ports.imports.forget_holder(&text.old);
        }
        Ok(None)
    }

    async fn find_imported_in(
        &self,
        organization: OrganizationId,
        text: &ImportedText,
        may_be_first: bool,
    ) -> Result<Option<Arc<Snapshot>>, Outage> {
        let hash = text.old.in_organization(organization);
        if let Some(key) = self.find(&hash).await? {
            return Ok(Some(key));
        }
        if self.ports.imports.adopt(organization, text, may_be_first, self.now()).await? {
            self.ports.snapshots.read(&hash).await
        } else {
            Ok(None)
        }
    }

    /// Tells each organization that somebody else has imported the same secret.
    fn alarm_holders(&self, keys: Vec<(OrganizationId, KeyId)>) {
        for (organization, key) in keys {
            let (actor, action, origin) = (Actor::Unknown, Action::UseContestedSecret, Origin::default());
            let act = Act { organization, actor, action, permission: None, origin, at: self.now() };
            let reason = "two organizations have imported it".to_owned();
            self.ports.log.gather(Notable { act, outcome: Outcome::Alarm, reason, target: key.uuid() });
        }
    }
}

/// What a key brings with it.
fn of_old(mut key: ApiKey, old: &OldKey) -> ApiKey {
    key.enabled = old.enabled;
    key.created_at = old.created_at.unwrap_or(key.created_at);
    key.request_count = old.request_count;
    key.last_request_at = old.last_request_at;
    key.quota.last_refill_at = old.last_refill_at;
    key
}
