//! The public keys of an identity provider (RFC 7517): read when they are needed, remembered, read again when a token names
//! one that is not known. How often that is done does not depend on how many such tokens come.

use std::{
    error::Error,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::clock::{Clock, Timestamp};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use reqwest::{Client, StatusCode, redirect::Policy};
use tokio::{fs::File, io::AsyncReadExt};
use url::Url;

use super::issuers::KeysAt;
use crate::address::is_this_machine;

/// How long an answer may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Its most bytes.
const SIZE_LIMIT: usize = 256 * 1024;
/// For so long keys are good without another look, in milliseconds.
const FRESH: u64 = 10 * 60 * 1_000;
/// For so long they are good where the provider cannot be asked, in milliseconds.
const USABLE: u64 = 60 * 60 * 1_000;
/// So long at least lies between two questions, in milliseconds.
const PAUSE: u64 = 30 * 1_000;

/// A key that tokens are checked with. It goes with one algorithm, whatever a token says.
#[derive(Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of one provider.
pub(super) struct Keys {
    issuer: String,
    at: KeysAt,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Arc<[PublicKey]>,
    read_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// Whether the last answer was none.
    has_failed: bool,
    /// The question that is on its way. Whoever waits for it drives it on; who asked may have gone.
    asking: Option<Asking>,
}

type Asking = Shared<BoxFuture<'static, Result<Arc<[PublicKey]>, Unreachable>>>;

/// The keys cannot be had: nothing is known about a token.
#[derive(Clone, Debug)]
pub(super) struct Unreachable(Arc<str>);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of an identity provider cannot be read: {}", self.0)
    }
}

impl Error for Unreachable {}

/// Whether less than this has passed since. A clock that was set back tells nothing.
fn is_younger(at: Option<Timestamp>, than: u64, now: Timestamp) -> bool {
    at.is_some_and(|at| at <= now && now.millis_since(at) < than)
}

impl State {
    /// The key that a token means: the one it names, or the only one there is.
    fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        match (id, &*self.keys) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|key| key.id.as_deref() == id),
        }
    }

    /// What is known when nobody is asked.
    fn known(&self, id: Option<&str>, now: Timestamp) -> Result<Option<PublicKey>, Unreachable> {
        match self.find(id).filter(|_| is_younger(self.read_at, USABLE, now)) {
            Some(key) => Ok(Some(key.clone())),
            None if self.has_failed => Err(Unreachable("they could not a moment ago".into())),
            None => Ok(None),
        }
    }
}

impl Keys {
    pub(super) fn new(issuer: &str, at: KeysAt, clock: Arc<dyn Clock>) -> Self {
        Self { issuer: issuer.to_owned(), at, clock, state: Mutex::default() }
    }

    /// The key that a token means. `None`: the provider has no such key.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Option<PublicKey>, Unreachable> {
        let asking = {
            let (mut state, now) = (self.state(), self.clock.now());
            if is_younger(state.read_at, FRESH, now) && state.find(id).is_some() {
                return state.known(id, now);
            }
            match &state.asking {
                // Who does not depend on the answer goes on meanwhile.
                Some(asking) => match state.known(id, now) {
                    Ok(Some(key)) => return Ok(Some(key)),
                    _ => asking.clone(),
                },
                None if is_younger(state.asked_at, PAUSE, now) => return state.known(id, now),
                None => {
                    let asking = read(self.at.clone()).boxed().shared();
                    (state.asked_at, state.asking) = (Some(now), Some(asking.clone()));
                    asking
                }
            }
        };
        let answer = asking.clone().await;
        let (mut state, now) = (self.state(), self.clock.now());
        if state.asking.as_ref().is_some_and(|current| current.ptr_eq(&asking)) {
            state.asking = None;
            state.has_failed = answer.is_err();
            match &answer {
                Ok(keys) => (state.keys, state.read_at) = (keys.clone(), state.asked_at),
                Err(error) => {
                    tracing::warn!(target: "claviger", issuer = self.issuer, %error, "a provider has no keys for us");
                }
            }
        }
        state.known(id, now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(at: KeysAt) -> Result<Arc<[PublicKey]>, Unreachable> {
    let bytes = match &at {
        KeysAt::File(path) => {
            tokio::time::timeout(TIME_LIMIT, read_file(path)).await.unwrap_or(Err("no answer".into()))
        }
        KeysAt::Url(url) => fetch(url).await,
    };
    let set = bytes.and_then(|bytes| Ok(serde_json::from_slice::<JwkSet>(&bytes)?));
    let set = set.map_err(|error| Unreachable(with_causes(&*error).into()))?;
    Ok(set.keys.iter().filter_map(public_key).collect())
}

type Anything = Box<dyn Error + Send + Sync>;

async fn fetch(url: &Url) -> Result<Vec<u8>, Anything> {
    // Where the keys are is for the operator to say, and not for an answer.
    let client = Client::builder().redirect(Policy::none()).timeout(TIME_LIMIT);
    // A proxy has another idea of which machine is this one.
    let client = if is_this_machine(url) { client.no_proxy() } else { client };
    let response = client.build()?.get(url.clone()).send().await?;
    if response.status() != StatusCode::OK {
        return Err(response.status().to_string().into());
    }
    let (mut bytes, mut stream) = (Vec::new(), response.bytes_stream());
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        bounded(&bytes)?;
    }
    Ok(bytes)
}

async fn read_file(path: &Path) -> Result<Vec<u8>, Anything> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(SIZE_LIMIT as u64 + 1).read_to_end(&mut bytes).await?;
    bounded(&bytes)?;
    Ok(bytes)
}

fn bounded(bytes: &[u8]) -> Result<(), Anything> {
    if bytes.len() <= SIZE_LIMIT { Ok(()) } else { Err("more than 256 KiB".into()) }
}

/// An error with what brought it about: a client says only at the end why it could not connect.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A key that can check signatures of a kind that is taken. Everything else in a set is for others.
fn public_key(jwk: &Jwk) -> Option<PublicKey> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return None,
    };
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    if !is_for_signatures || jwk.common.key_algorithm.is_some_and(|own| own != named) {
        return None;
    }
    Some(PublicKey { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}
