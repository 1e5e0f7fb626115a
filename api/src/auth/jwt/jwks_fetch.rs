//! Reads the public keys of an identity provider (RFC 7517) from a file or by HTTP, and selects those that can verify signatures.

use std::{error::Error, fmt, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    issuers::{KeySource, KeysAt},
    provider_http::{Anything, TIME_LIMIT, get, may_use, read_file, with_causes},
};

/// A key that verifies signatures of tokens.
#[derive(Clone)]
pub(super) struct PublicKey {
    pub(super) id: Option<String>,
    /// The algorithms that the key is for: the one that the provider names, or else those of the key's type.
    algorithms: &'static [Algorithm],
    pub(super) key: DecodingKey,
    /// The key as the provider publishes it.
    pub(super) jwk: Arc<Value>,
}

impl PublicKey {
    /// Whether a token may be signed with this key by this algorithm.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// The keys cannot be read, so nothing is known about a token.
#[derive(Clone, Debug)]
pub(super) struct Unreachable(pub(super) Arc<str>);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the JWKS of an identity provider: {}", self.0)
    }
}

impl Error for Unreachable {}

/// The usable keys of a provider, at least one. A set without one is a failure: more likely the provider made a mistake than it
/// has withdrawn all its keys, and then users should not be locked out at once.
pub(super) async fn read(source: &KeySource) -> Result<Arc<[PublicKey]>, Unreachable> {
    let keys = tokio::time::timeout(TIME_LIMIT, keys(source)).await;
    keys.unwrap_or_else(|_| Err("no answer within 5 seconds".into()))
        .map_err(|error| Unreachable(with_causes(&*error).into()))
}

async fn keys(source: &KeySource) -> Result<Arc<[PublicKey]>, Anything> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let bytes = match &source.at {
        KeysAt::File(path) => read_file(path).await?,
        KeysAt::Url(url) => get(source, url).await?,
        KeysAt::Discovery { url, issuer } => {
            let jwks = discover(source, url, issuer).await?;
            get(source, &jwks).await?
        }
    };
    let set: Set = serde_json::from_slice(&bytes).map_err(|_| "it is not a JWKS: {\"keys\": […]}")?;
    let usable: Arc<[PublicKey]> = set.keys.iter().filter_map(public_key).collect();
    if usable.is_empty() { Err("it has no key that can verify signatures".into()) } else { Ok(usable) }
}

/// The URL of the keys in the provider's metadata. The metadata must name this issuer (OIDC Discovery 1.0 §4.3).
async fn discover(source: &KeySource, at: &Url, issuer: &str) -> Result<Url, Anything> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let bytes = get(source, at).await?;
    let metadata: Metadata =
        serde_json::from_slice(&bytes).map_err(|_| "the provider's metadata lack issuer or jwks_uri")?;
    if metadata.issuer != issuer {
        return Err("the provider's metadata are of another issuer; set jwks, or correct issuer".into());
    }
    let url = Url::parse(&metadata.jwks_uri)?;
    if may_use(source, at, &url) { Ok(url) } else { Err("jwks_uri of the provider is not an https URL".into()) }
}

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// The algorithms of a key whose `alg` is `named`: only that one, if it fits the type of the key.
fn algorithms(parameters: &AlgorithmParameters, named: Option<&str>) -> Option<&'static [Algorithm]> {
    let all: &'static [Algorithm] = match parameters {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::RSA(_) => &RSA,
        _ => return None,
    };
    let Some(named) = named else { return Some(all) };
    // RFC 9864 names the algorithm after the curve.
    let named: Algorithm = if named == "Ed25519" { Algorithm::EdDSA } else { named.parse().ok()? };
    all.chunks(1).find(|one| one.contains(&named))
}

/// A key that can verify signatures. `None`: the key has another type or use.
fn public_key(value: &Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    if !is_for_signatures {
        return None;
    }
    let named = value.get("alg").map(|alg| alg.as_str().ok_or(())).transpose().ok()?;
    let algorithms = algorithms(&jwk.algorithm, named)?;
    Some(PublicKey {
        id: jwk.common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(&jwk).ok()?,
        jwk: Arc::new(value.clone()),
    })
}
