//! The signed lists of revoked tokens that have not expired: one for all organizations, and one per organization. They are created
//! together, at most a few times per second, independent of the number of requests.
//!
//! Each time, the live token groups are read without their permissions. The permissions of a group are read once, and compared
//! with those of its key again only when the key has changed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Weak},
};

use domain::{
    Error, Outage,
    auth::{token::TokenGroup, tokens::Tokens},
    clock::{Clock, Timestamp},
    id::{KeyId, OrganizationId, TokenGroupId},
    verify::cached_key::CachedKey,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::body::Bytes;
use tokio::sync::Mutex;

use super::keyring::Keyring;

/// How long created lists are returned, in milliseconds.
const LIST_AGE_MS: u64 = 250;

/// The same with more than [`MAX_SMALL_LIST_GROUPS`] live token groups, in milliseconds.
const LARGE_LIST_AGE_MS: u64 = 1_000;

/// The maximum number of live token groups that are read every [`LIST_AGE_MS`].
const MAX_SMALL_LIST_GROUPS: usize = 1_000;

/// How long a key is treated as deleted before it is looked up again, in milliseconds: it may have been restored.
const DELETED_KEY_RECHECK_MS: u64 = 10_000;

/// The number of keys that are looked up at the same time: those that are not cached are read by one statement.
const MAX_CONCURRENT_LOOKUPS: usize = 256;

/// The number of token groups whose permissions are read by one statement.
const MAX_GROUPS_PER_READ: usize = 100;

/// Revoked tokens.
#[derive(Clone, Debug, Default)]
pub struct RevokedTokens {
    /// The revoked token groups.
    pub groups: BTreeSet<TokenGroupId>,
    /// Deleted keys: all their tokens are revoked. Only in the list of an organization.
    pub keys: BTreeSet<KeyId>,
    /// Organizations with too many revoked token groups: all their tokens count as revoked. Only in the list of all organizations.
    pub organizations: BTreeSet<OrganizationId>,
}

/// The cached lists.
pub struct RevokedList {
    lists: Mutex<Lists>,
    max_listed_groups: usize,
}

#[derive(Default)]
struct Lists {
    states: HashMap<TokenGroupId, GroupState>,
    cached: Option<CachedLists>,
}

/// The state of a token group when it was last checked.
#[derive(Clone)]
enum GroupState {
    /// The key did not exist at this time.
    KeyDeleted(Timestamp),
    /// The key, and whether it has all permissions of the tokens.
    KeyFound(Weak<CachedKey>, bool),
}

struct CachedLists {
    created_at: Timestamp,
    /// How long the lists are returned, in milliseconds.
    max_age_ms: u64,
    all: Bytes,
    by_organization: HashMap<OrganizationId, RevokedTokens>,
    /// The signed lists of organizations, created on the first request.
    signed: HashMap<OrganizationId, Bytes>,
}

impl RevokedList {
    /// No lists yet. `max_listed_groups`: the maximum number of revoked token groups of one organization in the list of all.
    #[must_use]
    pub fn new(max_listed_groups: usize) -> Self {
        Self { lists: Mutex::default(), max_listed_groups }
    }

    /// The signed list of an organization, at most 1 s old. `organization`: `None` for the list of all organizations; `issuer`:
    /// [`Keyring::issuer`].
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn get(
        &self,
        organization: Option<OrganizationId>,
        tokens: &Arc<Tokens>,
        (keyring, issuer): (&Arc<Keyring>, &str),
        clock: &dyn Clock,
    ) -> Result<Bytes, Error> {
        // Held while the lists are created, so that concurrent requests wait for them instead of creating them, too.
        let mut lists = self.lists.lock().await;
        let now = clock.now();
        let is_new =
            |cached: &CachedLists| cached.created_at <= now && now.millis_since(cached.created_at) < cached.max_age_ms;
        if !lists.cached.as_ref().is_some_and(is_new) {
            let max_listed_groups = self.max_listed_groups;
            let new = create_lists(&mut lists.states, tokens, (keyring, issuer), now, max_listed_groups).await?;
            lists.cached = Some(new);
        }
        let cached =
            lists.cached.as_mut().ok_or_else(|| Outage::Broken("creating the list of revoked tokens failed".into()))?;
        let Some(organization) = organization else { return Ok(cached.all.clone()) };
        if let Some(signed) = cached.signed.get(&organization) {
            return Ok(signed.clone());
        }
        let revoked = cached.by_organization.get(&organization);
        let sign = |revoked| Bytes::from(keyring.sign_revoked(issuer, Some(organization), revoked, cached.created_at));
        match revoked {
            // Not cached, because the id may be of no organization.
            None => Ok(sign(&RevokedTokens::default())),
            Some(revoked) => Ok(cached.signed.entry(organization).or_insert(sign(revoked)).clone()),
        }
    }
}

async fn create_lists(
    stored_states: &mut HashMap<TokenGroupId, GroupState>,
    tokens: &Arc<Tokens>,
    (keyring, issuer): (&Arc<Keyring>, &str),
    now: Timestamp,
    max_listed_groups: usize,
) -> Result<CachedLists, Error> {
    let live = tokens.live().await?;
    let max_age_ms = if live.len() > MAX_SMALL_LIST_GROUPS { LARGE_LIST_AGE_MS } else { LIST_AGE_MS };
    let (of_rules, live): (Vec<TokenGroup>, Vec<TokenGroup>) =
        live.into_iter().partition(|group| group.trust_rule.is_some());
    let valid_of_rules = tokens.valid_groups_of_rules(&of_rules).await?;
    // The cached lists are replaced only after everything was read: the request that waits for this may be cancelled.
    let (previous_states, mut states) = (&*stored_states, HashMap::with_capacity(stored_states.len()));
    let is_deleted = |group: &TokenGroup| {
        let is_recent = |at: Timestamp| at <= now && now.millis_since(at) < DELETED_KEY_RECHECK_MS;
        matches!(previous_states.get(&group.id), Some(GroupState::KeyDeleted(at)) if is_recent(*at))
    };
    let keys = stream::iter(live).map(|group| {
        let is_deleted = is_deleted(&group);
        async move {
            let key = if is_deleted || group.is_revoked() { None } else { tokens.key_of(&group).await? };
            Ok::<_, Outage>((group, key))
        }
    });
    let keys: Vec<(TokenGroup, Option<Arc<CachedKey>>)> =
        keys.buffer_unordered(MAX_CONCURRENT_LOOKUPS).try_collect().await?;
    let mut unread = Vec::new();
    for (group, key) in &keys {
        match (key, previous_states.get(&group.id)) {
            (None, Some(GroupState::KeyDeleted(at))) if is_deleted(group) => {
                states.insert(group.id, GroupState::KeyDeleted(*at));
            }
            (None, _) => {
                states.insert(group.id, GroupState::KeyDeleted(now));
            }
            (Some(key), Some(GroupState::KeyFound(checked_key, is_permitted)))
                if checked_key.ptr_eq(&Arc::downgrade(key)) =>
            {
                states.insert(group.id, GroupState::KeyFound(checked_key.clone(), *is_permitted));
            }
            (Some(key), _) if tokens.may_have_tokens(key) => unread.push((group.id, key)),
            // Revoked, independent of the permissions.
            (Some(_), _) => {}
        }
    }
    for unread in unread.chunks(MAX_GROUPS_PER_READ) {
        let keys_by_group: HashMap<TokenGroupId, &Arc<CachedKey>> = unread.iter().copied().collect();
        for (id, permissions) in tokens.permissions(unread.iter().map(|(id, _)| *id).collect()).await? {
            if let Some(key) = keys_by_group.get(&id) {
                states.insert(id, GroupState::KeyFound(Arc::downgrade(key), key.allows_all(&permissions)));
            }
        }
    }
    let mut permitted: HashSet<TokenGroupId> =
        states.iter().filter(|(_, state)| matches!(state, GroupState::KeyFound(_, true))).map(|(id, _)| *id).collect();
    *stored_states = states;
    permitted.extend(&valid_of_rules);
    let keys: Vec<_> = keys.into_iter().chain(of_rules.into_iter().map(|group| (group, None))).collect();
    let (tokens, keyring, issuer) = (tokens.clone(), keyring.clone(), issuer.to_owned());
    // On a blocking thread: there may be tens of thousands of groups.
    let assembled = tokio::task::spawn_blocking(move || {
        let (all, by_organization) = assemble(&keys, &permitted, &tokens, max_listed_groups);
        (Bytes::from(keyring.sign_revoked(&issuer, None, &all, now)), by_organization)
    });
    let (all, by_organization) = assembled.await.map_err(|error| Outage::Broken(Box::new(error)))?;
    Ok(CachedLists { created_at: now, max_age_ms, all, by_organization, signed: HashMap::new() })
}

/// The revoked tokens of all organizations and of each. `permitted`: the groups whose key has all permissions of their tokens, and
/// those of trust rules that are valid.
///
/// The list of all names the groups of deleted keys one by one, for services that check only groups. So one organization could
/// make it long for everyone: one with too many groups is named as a whole.
fn assemble(
    keys: &[(TokenGroup, Option<Arc<CachedKey>>)],
    permitted: &HashSet<TokenGroupId>,
    tokens: &Tokens,
    max_listed_groups: usize,
) -> (RevokedTokens, HashMap<OrganizationId, RevokedTokens>) {
    let is_valid = |group: &TokenGroup, key: Option<&Arc<CachedKey>>| {
        let is_held = group.trust_rule.is_some() || key.is_some_and(|key| tokens.may_have_tokens(key));
        is_held && permitted.contains(&group.id)
    };
    // A key whose secret was revoked may have another one.
    let with_secrets = keys.iter().filter(|(_, key)| key.is_some());
    let existing: HashSet<KeyId> = with_secrets.filter_map(|(group, _)| group.key).collect();
    let (mut groups, mut by_organization) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, RevokedTokens>::new());
    for (group, key) in keys.iter().filter(|(group, key)| !is_valid(group, key.as_ref())) {
        groups.entry(group.organization).or_default().push(group.id);
        let organization_tokens = by_organization.entry(group.organization).or_default();
        match group.key.filter(|id| key.is_none() && !group.is_revoked() && !existing.contains(id)) {
            Some(deleted) => organization_tokens.keys.insert(deleted),
            None => organization_tokens.groups.insert(group.id),
        };
    }
    let mut all = RevokedTokens::default();
    for (organization, groups) in groups {
        if groups.len() > max_listed_groups {
            all.organizations.insert(organization);
        } else {
            all.groups.extend(groups);
        }
    }
    (all, by_organization)
}
