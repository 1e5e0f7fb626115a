//! The signed lists of tokens that are good no longer: one of all organizations, and one of each. They are made together, a few
//! times a second at most, however many ask for them.
//!
//! The families that are live are read each time, without what they may do: that is read once, and held against the key again
//! only when the key has changed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Weak},
};

use domain::{
    Error, Outage,
    clock::{Clock, Timestamp},
    id::{FamilyId, KeyId, OrganizationId},
    snapshot::Snapshot,
    token::Family,
    tokens::Tokens,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::body::Bytes;
use tokio::sync::Mutex;

use super::keyring::Keyring;

/// For how long lists are handed out again, in milliseconds.
const AGE: u64 = 250;

/// The same where there are more families than [`MANY`].
const AGE_OF_MANY: u64 = 1_000;

/// Live families that can be read four times a second.
const MANY: usize = 1_000;

/// A key that was not there is looked for again after so many milliseconds: it may be restored.
const GONE_FOR: u64 = 10_000;

/// Keys that are looked at together: those that are not remembered are read by one statement.
const TOGETHER: usize = 256;

/// Families whose permissions are read together.
const CHUNK: usize = 100;

/// Tokens that are not to be taken any more.
#[derive(Clone, Debug, Default)]
pub struct RevokedTokens {
    /// By their families.
    pub families: BTreeSet<FamilyId>,
    /// All those of these keys, which are gone; in the list of one organization only.
    pub keys: BTreeSet<KeyId>,
}

/// The newest lists.
#[derive(Default)]
pub struct RevokedList(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    seen: HashMap<FamilyId, Seen>,
    newest: Option<Newest>,
}

/// What is known of a family.
#[derive(Clone)]
enum Seen {
    /// There was no such key then.
    Gone(Timestamp),
    /// This is the key, and whether it holds what the tokens may do.
    Held(Weak<Snapshot>, bool),
}

struct Newest {
    made_at: Timestamp,
    /// Milliseconds until newer ones are made.
    age: u64,
    all: Bytes,
    by_organization: HashMap<OrganizationId, RevokedTokens>,
    /// Those that were asked for.
    signed: HashMap<OrganizationId, Bytes>,
}

impl RevokedList {
    /// The list of an organization, or of all, as it is now or was a moment ago.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn get(
        &self,
        organization: Option<OrganizationId>,
        tokens: &Arc<Tokens>,
        keyring: &Arc<Keyring>,
        clock: &dyn Clock,
    ) -> Result<Bytes, Error> {
        // Who comes while they are made waits for them.
        let mut lists = self.0.lock().await;
        let now = clock.now();
        let is_new = |newest: &Newest| newest.made_at <= now && now.millis_since(newest.made_at) < newest.age;
        if !lists.newest.as_ref().is_some_and(is_new) {
            lists.newest = Some(make(&mut lists.seen, tokens, keyring, now).await?);
        }
        let newest = lists.newest.as_mut().ok_or_else(|| Outage::Broken("the list was not made".into()))?;
        let Some(organization) = organization else { return Ok(newest.all.clone()) };
        if let Some(signed) = newest.signed.get(&organization) {
            return Ok(signed.clone());
        }
        let revoked = newest.by_organization.get(&organization);
        let sign = |revoked| Bytes::from(keyring.sign_revoked(Some(organization), revoked, newest.made_at));
        match revoked {
            // Of organizations that have none, or are none, nothing is remembered.
            None => Ok(sign(&RevokedTokens::default())),
            Some(revoked) => Ok(newest.signed.entry(organization).or_insert(sign(revoked)).clone()),
        }
    }
}

async fn make(
    remembered: &mut HashMap<FamilyId, Seen>,
    tokens: &Arc<Tokens>,
    keyring: &Arc<Keyring>,
    now: Timestamp,
) -> Result<Newest, Error> {
    let live = tokens.live().await?;
    let age = if live.len() > MANY { AGE_OF_MANY } else { AGE };
    // What is remembered stays so until all was read anew: the request that waits for this may be cut off.
    let (known, mut seen) = (&*remembered, HashMap::with_capacity(remembered.len()));
    let is_gone = |family: &Family| {
        let is_recent = |at: Timestamp| at <= now && now.millis_since(at) < GONE_FOR;
        matches!(known.get(&family.id), Some(Seen::Gone(at)) if is_recent(*at))
    };
    let keys = stream::iter(live).map(|family| {
        let is_gone = is_gone(&family);
        async move {
            let key = if is_gone { None } else { tokens.key_of(&family).await? };
            Ok::<_, Outage>((family, key))
        }
    });
    let keys: Vec<(Family, Option<Arc<Snapshot>>)> = keys.buffer_unordered(TOGETHER).try_collect().await?;
    let mut unread = Vec::new();
    for (family, key) in &keys {
        match (key, known.get(&family.id)) {
            (None, Some(Seen::Gone(at))) if is_gone(family) => {
                seen.insert(family.id, Seen::Gone(*at));
            }
            (None, _) => {
                seen.insert(family.id, Seen::Gone(now));
            }
            (Some(key), Some(Seen::Held(known, is_held))) if known.ptr_eq(&Arc::downgrade(key)) => {
                seen.insert(family.id, Seen::Held(known.clone(), *is_held));
            }
            (Some(key), _) if tokens.may_have_tokens(key) => unread.push((family.id, key)),
            // Revoked, whatever its tokens may do.
            (Some(_), _) => {}
        }
    }
    for unread in unread.chunks(CHUNK) {
        let of: HashMap<FamilyId, &Arc<Snapshot>> = unread.iter().copied().collect();
        for (id, permissions) in tokens.permissions(unread.iter().map(|(id, _)| *id).collect()).await? {
            if let Some(key) = of.get(&id) {
                seen.insert(id, Seen::Held(Arc::downgrade(key), key.allows_all(&permissions)));
            }
        }
    }
    let held = seen.iter().filter(|(_, seen)| matches!(seen, Seen::Held(_, true))).map(|(id, _)| *id).collect();
    *remembered = seen;
    let (tokens, keyring) = (tokens.clone(), keyring.clone());
    // Not on a thread that answers requests: there may be tens of thousands.
    let assembled = tokio::task::spawn_blocking(move || {
        let (all, by_organization) = assemble(&keys, &held, &tokens);
        (Bytes::from(keyring.sign_revoked(None, &all, now)), by_organization)
    });
    let (all, by_organization) = assembled.await.map_err(|error| Outage::Broken(Box::new(error)))?;
    Ok(Newest { made_at: now, age, all, by_organization, signed: HashMap::new() })
}

/// What is revoked of these families, of which `held` ones have keys that hold what their tokens may do.
fn assemble(
    keys: &[(Family, Option<Arc<Snapshot>>)],
    held: &HashSet<FamilyId>,
    tokens: &Tokens,
) -> (RevokedTokens, HashMap<OrganizationId, RevokedTokens>) {
    let is_good = |family: &Family, key: Option<&Arc<Snapshot>>| {
        held.contains(&family.id) && key.is_some_and(|key| tokens.may_have_tokens(key))
    };
    // A key with a secret that is gone may have others.
    let with_secrets = keys.iter().filter(|(_, key)| key.is_some());
    let there: HashSet<KeyId> = with_secrets.filter_map(|(family, _)| family.key).collect();
    let (mut all, mut by_organization) = (RevokedTokens::default(), HashMap::<_, RevokedTokens>::new());
    for (family, key) in keys.iter().filter(|(family, key)| !is_good(family, key.as_ref())) {
        all.families.insert(family.id);
        let own = by_organization.entry(family.organization).or_default();
        match family.key.filter(|id| key.is_none() && !there.contains(id)) {
            Some(gone) => own.keys.insert(gone),
            None => own.families.insert(family.id),
        };
    }
    (all, by_organization)
}
