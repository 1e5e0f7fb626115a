//! A sign-in in progress: what the browser keeps in an encrypted cookie until the provider sends it back.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use domain::clock::Timestamp;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::BegunSignIn;
use crate::{
    auth::{credentials::single_cookie, jwt::keyring::Keyring},
    http::origin::PublicUrl,
};

/// How long a sign-in may take, in milliseconds: 10 minutes.
pub const LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// The maximum number of ended sign-ins in memory: enough for 33 a second during [`LIFETIME_MS`].
const MAX_ENDED: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");

/// The name of the cookie; over HTTPS and at the root with the prefix that other hosts of the site cannot set.
#[must_use]
pub fn cookie_name(url: &PublicUrl) -> &'static str {
    if url.is_https() && url.base_path().is_empty() { "__Host-claviger_sign_in" } else { "claviger_sign_in" }
}

/// A sign-in in progress.
#[derive(Serialize, Deserialize)]
pub struct SignInAttempt {
    /// The id of the provider.
    pub provider: String,
    /// The parameter `state`.
    pub state: String,
    /// The claim `nonce`.
    pub nonce: String,
    /// The secret of PKCE.
    pub verifier: String,
    /// The page of the dashboard to show afterwards. `None`: its first page.
    pub return_to: Option<String>,
    /// The token of an invitation or recovery link to redeem. `None`: there is none.
    pub invitation: Option<String>,
    /// Whether the person has to prove who they are again.
    pub is_fresh: bool,
    /// When it began, in ms since 1970 (UTC).
    pub begun_at: i64,
}

impl SignInAttempt {
    /// A sign-in that begins now.
    #[must_use]
    pub fn new(provider: &str, begun: BegunSignIn, is_fresh: bool, now: Timestamp) -> Self {
        Self {
            provider: provider.to_owned(),
            state: begun.state,
            nonce: begun.nonce,
            verifier: begun.verifier,
            return_to: None,
            invitation: None,
            is_fresh,
            begun_at: now.millis(),
        }
    }

    /// The value of its cookie.
    #[must_use]
    pub fn encrypt(&self, keyring: &Keyring, url: &PublicUrl) -> String {
        keyring.encrypt(cookie_name(url), serde_json::to_string(self).expect("it is JSON"))
    }

    /// The sign-in in the cookie of a request. `None`: there is none, or it is not valid.
    #[must_use]
    pub fn of(headers: &poem::http::HeaderMap, keyring: &Keyring, url: &PublicUrl) -> Option<Self> {
        let encrypted = single_cookie(headers, cookie_name(url)).ok()??;
        serde_json::from_str(&keyring.decrypt(cookie_name(url), &encrypted)?).ok()
    }

    /// Whether an answer with this `state`, of this provider, at this time, is for this sign-in.
    #[must_use]
    pub fn is_answered_by(&self, provider: &str, state: &str, now: Timestamp) -> bool {
        let begun_at = Timestamp::from_millis(self.begun_at);
        let is_in_time = begun_at <= now && now.millis_since(begun_at) < LIFETIME_MS;
        // Compared by their hashes, so that the time of the comparison tells nothing.
        let is_same = |a: &str, b: &str| blake3::hash(a.as_bytes()) == blake3::hash(b.as_bytes());
        is_in_time && self.provider == provider && is_same(&self.state, state)
    }
}

/// The sign-ins that have ended on this node. A browser that sends its cookie again does not repeat one. (At another node the code
/// is refused by the provider, which accepts each code once.)
pub struct EndedSignIns(Mutex<LruCache<String, ()>>);

impl Default for EndedSignIns {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_ENDED)))
    }
}

impl EndedSignIns {
    /// Ends a sign-in. `false`: it has ended before.
    #[must_use]
    pub fn end(&self, attempt: &SignInAttempt) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(attempt.state.clone(), ()).is_none()
    }
}
