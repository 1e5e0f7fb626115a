//! The cached public keys of an identity provider. They are read on first use, again in the background, and when a token names an
//! unknown key. The rate of reads is bounded, however many such tokens arrive.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::clock::{Clock, Timestamp};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jsonwebtoken::Algorithm;

pub(super) use super::jwks_fetch::Unreachable;
use super::{
    issuers::KeySource,
    jwks_fetch::{PublicKey, read},
    provider_http::{FRESH, PAUSE, USABLE, is_younger},
};

/// How often keys that were needed once are read again in the background. Shorter than [`FRESH`]: so keys that a provider withdraws
/// are not used for longer than that while it can be reached, although no request waits for it.
const REFRESH_EVERY: Duration = Duration::from_mins(5);

/// The keys of one provider. Clones share one cache.
#[derive(Clone)]
pub(super) struct RemoteKeys(Arc<Cache>);

struct Cache {
    issuer: String,
    source: KeySource,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Arc<[PublicKey]>,
    read_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// Whether the last read failed.
    has_failed: bool,
    /// The read that is in progress.
    refresh: Option<Refresh>,
    /// Whether the keys are read again in the background.
    is_kept_fresh: bool,
}

/// A running read of the keys, which several requests can await. It completes when the result is in the [`State`], also if no
/// request awaits it.
type Refresh = Shared<BoxFuture<'static, ()>>;

impl State {
    /// The key of a token, if the keys are not too old: the one that it names, or the only one there is. Of several with one name,
    /// one that allows the algorithm. If none has the name, the only one without a name that allows the algorithm.
    fn find(&self, id: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Option<&PublicKey> {
        if !is_younger(self.read_at, USABLE, now) {
            return None;
        }
        match (id, &*self.keys) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => {
                let named = || keys.iter().filter(|key| key.id.as_deref() == id);
                let mut unnamed = keys.iter().filter(|key| key.id.is_none() && key.allows(algorithm));
                let only_unnamed = unnamed.next().filter(|_| unnamed.next().is_none());
                named().find(|key| key.allows(algorithm)).or_else(|| named().next()).or(only_unnamed)
            }
        }
    }
}

impl RemoteKeys {
    pub(super) fn new(issuer: &str, source: KeySource, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Cache { issuer: issuer.to_owned(), source, clock, state: Mutex::default() }))
    }

    /// The key of a token. `None`: the provider has no such key. If the key is known, this does not wait for the provider.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<PublicKey>, Unreachable> {
        let refresh = {
            let (mut state, now) = (self.0.state(), self.0.clock.now());
            let known = state.find(id, algorithm, now).cloned();
            let is_fresh = is_younger(state.read_at, FRESH, now);
            let refresh = if known.is_some() && is_fresh { None } else { self.0.refresh(&mut state, now) };
            match (known, refresh) {
                (Some(key), _) => return Ok(Some(key)),
                (None, Some(refresh)) => refresh,
                (None, None) => return state.unknown(),
            }
        };
        refresh.await;
        let (state, now) = (self.0.state(), self.0.clock.now());
        match state.find(id, algorithm, now) {
            Some(key) => Ok(Some(key.clone())),
            None => state.unknown(),
        }
    }
}

impl State {
    /// The result for a key that is not cached.
    fn unknown(&self) -> Result<Option<PublicKey>, Unreachable> {
        if self.has_failed { Err(Unreachable("the last attempt failed".into())) } else { Ok(None) }
    }
}

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The read in progress, or a new one. `None`: the last one was a moment ago.
    fn refresh(self: &Arc<Self>, state: &mut State, now: Timestamp) -> Option<Refresh> {
        // A read that has ended is still there only if its task was cancelled.
        let current = state.refresh.take().filter(|refresh| refresh.peek().is_none());
        if current.is_some() {
            state.refresh.clone_from(&current);
            return current;
        }
        if is_younger(state.asked_at, PAUSE, now) {
            return None;
        }
        let cache = Arc::downgrade(self);
        let source = self.source.clone();
        #[expect(clippy::disallowed_methods, reason = "it changes only a cache, and ends by itself within seconds")]
        let task = tokio::spawn(async move {
            let keys = read(&source).await;
            if let Some(cache) = cache.upgrade() {
                cache.store(keys, now);
            }
        });
        let refresh = task.map(|_| ()).boxed().shared();
        (state.asked_at, state.refresh) = (Some(now), Some(refresh.clone()));
        if !state.is_kept_fresh {
            state.is_kept_fresh = true;
            self.keep_fresh();
        }
        Some(refresh)
    }

    fn store(&self, keys: Result<Arc<[PublicKey]>, Unreachable>, asked_at: Timestamp) {
        let mut state = self.state();
        state.refresh = None;
        state.has_failed = keys.is_err();
        match keys {
            Ok(keys) => (state.keys, state.read_at) = (keys, Some(asked_at)),
            Err(error) => {
                tracing::warn!(target: "claviger", issuer = self.issuer, %error, "reading the JWKS of an issuer failed");
            }
        }
    }

    /// Reads the keys again in the background, until they are dropped.
    fn keep_fresh(self: &Arc<Self>) {
        let cache = Arc::downgrade(self);
        #[expect(clippy::disallowed_methods, reason = "it changes only a cache, and shutdown need not wait for it")]
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(REFRESH_EVERY).await;
                let Some(cache) = cache.upgrade() else { return };
                let now = cache.clock.now();
                cache.refresh(&mut cache.state(), now);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::auth::jwt::issuers::KeysAt;

    #[derive(Default)]
    struct SetClock(AtomicI64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    fn set_of(id: &str) -> String {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "{id}", "x": "{x}"}}]}}"#)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_read_again_in_the_background_without_a_request() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), set_of("a")).expect("written");
        let clock = Arc::new(SetClock::default());
        let source = KeySource { at: KeysAt::File(file.path().to_owned()), insecure_http: false, ca_file: None };
        let keys = RemoteKeys::new("https://id.example/", source, clock.clone());
        let is_known = async || keys.find(Some("a"), Algorithm::EdDSA).await.expect("the file is there").is_some();
        assert!(is_known().await);
        std::fs::write(file.path(), set_of("b")).expect("written");
        clock.0.store(5 * 60 * 1_000, Ordering::SeqCst);
        assert!(is_known().await, "a request does not read keys that are five minutes old");
        tokio::time::sleep(REFRESH_EVERY + Duration::from_secs(1)).await;
        assert!(!is_known().await, "the key was withdrawn");
    }

    /// The keys in a file with this content.
    fn keys_of(content: &str) -> (tempfile::NamedTempFile, RemoteKeys, Arc<SetClock>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        let clock = Arc::new(SetClock::default());
        let source = KeySource { at: KeysAt::File(file.path().to_owned()), insecure_http: false, ca_file: None };
        let keys = RemoteKeys::new("https://id.example/", source, clock.clone());
        (file, keys, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_without_a_usable_key_is_a_failed_read() {
        let (file, keys, clock) = keys_of(&set_of("a"));
        let find = async |id| keys.find(Some(id), Algorithm::EdDSA).await;
        assert!(find("a").await.expect("read").is_some());
        for empty in [r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}"#] {
            std::fs::write(file.path(), empty).expect("written");
            clock.0.fetch_add(30_000, Ordering::SeqCst);
            let failure = find("b").await.err().map(|failure| failure.to_string());
            assert!(failure.is_some(), "whether the key exists is unknown: {empty}");
            assert!(find("a").await.expect("known").is_some(), "known keys stay: {empty}");
        }
    }

    #[tokio::test]
    async fn the_only_key_without_a_name_verifies_tokens_that_name_a_key() {
        let named = set_of("a");
        let unnamed = named.replace(r#""kid": "a", "#, "");
        let both = |one: &str, other: &str| {
            let inner = |set: &str| set.trim_start_matches(r#"{"keys": ["#).trim_end_matches("]}").to_owned();
            format!(r#"{{"keys": [{}, {}]}}"#, inner(one), inner(other))
        };
        for (set, is_found) in [
            (unnamed.clone(), true),
            (both(&named, &unnamed), true),
            (both(&unnamed, &unnamed), false),
            (named.clone(), false),
        ] {
            let (_file, keys, _) = keys_of(&set);
            let found = keys.find(Some("b"), Algorithm::EdDSA).await.expect("read");
            assert_eq!(found.map(|key| key.id), is_found.then_some(None), "{set}");
        }
        let (_file, keys, _) = keys_of(&unnamed);
        assert!(keys.find(Some("b"), Algorithm::RS256).await.expect("read").is_none(), "of another type");
    }
}
