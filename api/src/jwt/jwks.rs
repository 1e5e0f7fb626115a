//! The public keys of an identity provider (RFC 7517): read when they are needed, remembered, read again when a token names
//! one that is not known. How often that is done does not depend on how many such tokens come.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use domain::clock::{Clock, Timestamp};
use futures_util::StreamExt;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use reqwest::{Client, redirect::Policy};
use tokio::sync::Mutex;

use super::issuers::KeysAt;

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
    at: KeysAt,
    clock: Arc<dyn Clock>,
    known: RwLock<Arc<Known>>,
    asking: Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Vec<PublicKey>,
    read_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

impl Known {
    /// The key that a token means: the one it names, or the only one there is.
    fn find(&self, id: Option<&str>) -> Option<&PublicKey> {
        match (id, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|key| key.id.as_deref() == id),
        }
    }

    fn is_younger(&self, than: u64, now: Timestamp) -> bool {
        self.read_at.is_some_and(|at| now.millis_since(at) < than)
    }
}

/// The keys cannot be had: nothing is known about a token.
#[derive(Debug)]
pub(super) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of an identity provider cannot be read: {}", self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Keys {
    pub(super) fn new(at: KeysAt, clock: Arc<dyn Clock>) -> Self {
        Self { at, clock, known: RwLock::default(), asking: Mutex::new(()) }
    }

    /// The key that a token means. `None`: the provider has no such key.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Option<PublicKey>, Unreachable> {
        let known = self.known();
        if known.is_younger(FRESH, self.clock.now()) && known.find(id).is_some() {
            return Ok(known.find(id).cloned());
        }
        // One asks; who does not depend on the answer goes on meanwhile.
        let usable = known.find(id).filter(|_| known.is_younger(USABLE, self.clock.now())).cloned();
        let asking = match (usable, self.asking.try_lock()) {
            (Some(key), Err(_)) => return Ok(Some(key)),
            (_, Ok(asking)) => asking,
            (None, Err(_)) => self.asking.lock().await,
        };
        let refreshed = self.refresh().await;
        drop(asking);
        let known = self.known();
        match known.find(id).filter(|_| known.is_younger(USABLE, self.clock.now())) {
            Some(key) => Ok(Some(key.clone())),
            None if known.is_younger(USABLE, self.clock.now()) => Ok(None),
            None => refreshed.map(|()| None),
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys, unless they were asked for a moment ago.
    async fn refresh(&self) -> Result<(), Unreachable> {
        let (known, now) = (self.known(), self.clock.now());
        if known.asked_at.is_some_and(|at| now.millis_since(at) < PAUSE) {
            let was_read = known.read_at.is_some_and(|read| known.asked_at.is_some_and(|asked| read >= asked));
            return if was_read { Ok(()) } else { Err(Unreachable("they could not a moment ago".to_owned())) };
        }
        let read = self.read().await;
        if let Err(error) = &read {
            tracing::warn!(target: "claviger", %error, "an identity provider cannot be asked for its keys");
        }
        let (keys, read_at, outcome) = match read {
            Ok(keys) => (keys, Some(now), Ok(())),
            Err(error) => (known.keys.clone(), known.read_at, Err(error)),
        };
        let next = Arc::new(Known { keys, read_at, asked_at: Some(now) });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = next;
        outcome
    }

    async fn read(&self) -> Result<Vec<PublicKey>, Unreachable> {
        let failed = |error: &dyn fmt::Display| Unreachable(error.to_string());
        let bytes = match &self.at {
            KeysAt::File(path) => read_file(path).map_err(|error| failed(&error))?,
            KeysAt::Url(url) => {
                // Where the keys are is for the operator to say, and not for an answer.
                let client = Client::builder().redirect(Policy::none()).timeout(TIME_LIMIT).build();
                let client = client.map_err(|error| failed(&error))?;
                let response = client.get(url.clone()).send().await;
                let response = response.map_err(|error| failed(&error.without_url()))?;
                if response.status() != reqwest::StatusCode::OK {
                    return Err(failed(&response.status()));
                }
                let mut bytes = Vec::new();
                let mut stream = response.bytes_stream();
                while let Some(chunk) = stream.next().await {
                    bytes.extend_from_slice(&chunk.map_err(|error| failed(&error.without_url()))?);
                    if bytes.len() > SIZE_LIMIT {
                        return Err(failed(&"more than 256 KiB"));
                    }
                }
                bytes
            }
        };
        let set: JwkSet = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
        Ok(set.keys.iter().filter_map(public_key).collect())
    }
}

fn read_file(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    if usize::try_from(length).is_ok_and(|length| length <= SIZE_LIMIT) {
        std::fs::read(path)
    } else {
        Err(io::Error::other("more than 256 KiB"))
    }
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
