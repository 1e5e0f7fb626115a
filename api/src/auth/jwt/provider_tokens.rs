//! Validates access tokens of identity providers, and returns their claims; also those of ID tokens, which [`crate::auth::sign_in`]
//! has verified. Authorization is not done here.

use std::{
    borrow::Cow,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{
    Error, Outage,
    auth::{
        identity::{NamedOrganization, VerifiedClaims},
        workloads::Workload,
    },
    clock::{Clock, Timestamp},
    deny_reason::DenyReason,
    id::{ExternalId, Identity},
    organizations::{
        trust_rule::{ClaimName, ClaimValue, WorkloadClaims},
        user::{Email, UserName},
    },
    permissions::Permissions,
};
use jsonwebtoken::{Header, Validation, dangerous::insecure_decode_claims, decode, decode_header};
use prometheus::IntCounter;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    claims::{self, ClaimPath, Condition, Granted, OrganizationBy},
    issuers::{KeysAt, Provider},
    jwks::RemoteKeys,
    token_type,
};

/// The tolerated difference between clocks, in seconds.
const LEEWAY: f64 = 30.0;

/// The trusted providers. They can be replaced while they are in use.
pub struct ProviderTokens {
    trusted: RwLock<Vec<Arc<Trusted>>>,
    clock: Arc<dyn Clock>,
    /// Counts the words in permission claims that give no permission.
    left_out: IntCounter,
}

struct Trusted {
    provider: Provider,
    keys: RemoteKeys,
    warned: Warned,
}

/// Which warnings about a provider were logged: each is logged once.
#[derive(Default)]
struct Warned {
    no_permissions: AtomicBool,
    no_organization: AtomicBool,
    left_out: AtomicBool,
}

/// Why a token is invalid. For the service log only; the response does not contain it.
type Reason = Cow<'static, str>;

impl ProviderTokens {
    /// Trusts these providers. `left_out` counts the words in their permission claims that give no permission.
    #[must_use]
    pub fn new(providers: Vec<Provider>, clock: Arc<dyn Clock>, left_out: IntCounter) -> Self {
        let tokens = Self { trusted: RwLock::default(), clock, left_out };
        tokens.replace(providers);
        tokens
    }

    /// Trusts these providers instead. Keys that were read from a URL stay cached, so that a provider that cannot be reached now
    /// is not forgotten; keys in files are read again.
    pub fn replace(&self, providers: Vec<Provider>) {
        let mut current = self.trusted.write().unwrap_or_else(PoisonError::into_inner);
        let trusted = providers.into_iter().map(|provider| {
            let is_same = |known: &&Arc<Trusted>| {
                known.provider.issuer.name == provider.issuer.name
                    && known.provider.keys == provider.keys
                    && !matches!(provider.keys.at, KeysAt::File(_))
            };
            let keys = current.iter().find(is_same).map(|known| known.keys.clone());
            let keys = keys
                .unwrap_or_else(|| RemoteKeys::new(&provider.issuer.name, provider.keys.clone(), self.clock.clone()));
            Arc::new(Trusted { provider, keys, warned: Warned::default() })
        });
        *current = trusted.collect();
    }

    /// The verified claims of a token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the token is invalid; [`Error::Outage`] if the provider's keys cannot be read.
    pub async fn read(&self, token: &str) -> Result<VerifiedClaims, Error> {
        let verified = self.verify_signature(token).await?;
        accepted(verified.and_then(|(trusted, claims)| {
            require_audience(&trusted.provider, &claims)?;
            let conditions = &trusted.provider.conditions;
            self.verify_claims(&trusted, &claims, conditions)
        }))
    }

    /// The public key that an ID token of this issuer names, as a JWK. `None`: the issuer has no such key.
    ///
    /// # Errors
    /// [`Error::Outage`] if the provider's keys cannot be read.
    pub async fn key_of_id_token(&self, issuer: &str, token: &str) -> Result<Option<Arc<Value>>, Error> {
        let (Some(trusted), Ok(header)) = (self.find(issuer), decode_header(token)) else { return Ok(None) };
        let found = trusted.keys.find(header.kid.as_deref(), header.alg).await;
        let key = found.map_err(|error| Error::Outage(Outage::Unavailable(Box::new(error))))?;
        Ok(key.filter(|key| key.allows(header.alg)).map(|key| key.jwk))
    }

    /// What the claims of an ID token of this issuer mean, by the same rules as those of an access token: names of claims,
    /// organization, permissions and conditions (or those for sign-in). The caller has verified its signature, issuer, audience and nonce.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the issuer is not trusted, or the token does not meet its conditions.
    pub fn read_id_token(&self, issuer: &str, claims: &Value) -> Result<VerifiedClaims, Error> {
        let trusted = self.find(issuer).ok_or_else(|| "the issuer is not configured".into());
        accepted(trusted.and_then(|trusted| {
            let own = trusted.provider.sign_in.as_ref().and_then(|client| client.conditions.as_ref());
            self.verify_claims(&trusted, claims, own.unwrap_or(&trusted.provider.conditions))
        }))
    }

    /// The workload with a verified token, and all claims of the token. The permissions claim does not count.
    ///
    /// # Errors
    /// As [`ProviderTokens::read`].
    pub async fn read_workload(&self, token: &str) -> Result<Workload, Error> {
        let verified = self.verify_signature(token).await?;
        accepted(verified.and_then(|(trusted, claims)| {
            let provider = &trusted.provider;
            require_audience(provider, &claims)?;
            self.verify_conditions(&claims, &provider.conditions)?;
            let organization = named_organization(provider, &claims)?;
            let identity = identity(provider, &claims)?;
            Ok(Workload { identity, organization, claims: Box::new(TokenClaims(claims)) })
        }))
    }

    /// The claims of a token with a valid signature, and its provider. Nothing else is verified.
    async fn verify_signature(&self, token: &str) -> Result<Result<(Arc<Trusted>, Value), Reason>, Error> {
        let (trusted, header) = match self.trusted(token) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let found = trusted.keys.find(header.kid.as_deref(), header.alg).await;
        let Some(key) = found.map_err(|error| Error::Outage(Outage::Unavailable(Box::new(error))))? else {
            return Ok(Err("the issuer has no key with this id".into()));
        };
        if !key.allows(header.alg) {
            return Ok(Err("the algorithm does not match the key".into()));
        }
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["iss"]);
        validation.set_issuer(&[&trusted.provider.issuer.name]);
        // Both are checked by the caller: the audience may be in another claim, and the time is that of [`Clock`].
        (validation.validate_aud, validation.validate_exp) = (false, false);
        let Ok(decoded) = decode::<Map<String, Value>>(token, &key.key, &validation) else {
            return Ok(Err("invalid signature or issuer".into()));
        };
        Ok(Ok((trusted, Value::Object(decoded.claims))))
    }

    /// Verifies the lifetime and the conditions of the issuers file. Returns when the token expires.
    fn verify_conditions(&self, claims: &Value, conditions: &[Condition]) -> Result<Timestamp, Reason> {
        let expires_at = expiry(claims, self.clock.now())?;
        if let Some(unmet) = conditions.iter().find(|condition| !condition.is_met(claims)) {
            return Err(format!("the claim {} has none of the values that `require` names", unmet.claim).into());
        }
        Ok(expires_at)
    }

    /// Reads the claims of a token with a valid signature and audience. The conditions are checked before anything else is used.
    fn verify_claims(
        &self,
        trusted: &Trusted,
        claims: &Value,
        conditions: &[Condition],
    ) -> Result<VerifiedClaims, Reason> {
        let provider = &trusted.provider;
        let expires_at = self.verify_conditions(claims, conditions)?;
        let organization = named_organization(provider, claims)?;
        let granted = granted(provider, claims, organization.as_ref())?;
        let (permissions, left_out) = granted.map(|granted| (granted.permissions, granted.left_out)).unzip();
        let verified = verified(provider, claims, organization, permissions, expires_at)?;
        if let Some(left_out) = left_out.filter(|left_out| !left_out.is_empty()) {
            self.left_out.inc_by(left_out.len() as u64);
            trusted.warn_of_left_out(&left_out);
        }
        trusted.warn_of_absent_claims(&verified);
        Ok(verified)
    }

    fn find(&self, issuer: &str) -> Option<Arc<Trusted>> {
        let all = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|trusted| trusted.provider.issuer.name == issuer).cloned()
    }

    /// The provider that the token names as its issuer, and its header, if both are accepted. Nothing is verified yet.
    fn trusted(&self, token: &str) -> Result<(Arc<Trusted>, Header), Reason> {
        #[derive(Deserialize)]
        struct Claimed {
            iss: String,
        }
        let claimed: Claimed = insecure_decode_claims(token).map_err(|_| "not a JWT")?;
        let trusted = self.find(&claimed.iss).ok_or("the issuer is not configured")?;
        let header = decode_header(token).map_err(|_| "unsupported header")?;
        if !trusted.provider.types.contains(&header.typ.as_deref().map(token_type)) {
            return Err("the type is not in the token_types of the issuer".into());
        }
        if header.crit.is_some() || header.zip.is_some() || header.enc.is_some() {
            return Err("the header has unsupported critical extensions".into());
        }
        Ok((trusted, header))
    }
}

impl Trusted {
    /// Warns once that the tokens lack a claim that the issuers file names: its name may be misspelled.
    fn warn_of_absent_claims(&self, verified: &VerifiedClaims) {
        let Provider { issuer, claims, .. } = &self.provider;
        if verified.permissions.is_none() && issuer.requires_permissions && is_first(&self.warned.no_permissions) {
            let (issuer, claim) = (&issuer.name, claims.permissions.to_string());
            let message =
                "a token has no permissions claim, so its user has none; check the configured name of the claim";
            tracing::warn!(target: "claviger", issuer, claim, "{message}");
        }
        if verified.organization.is_none() && claims.names_organization && is_first(&self.warned.no_organization) {
            let (issuer, claim) = (&issuer.name, claims.organization.to_string());
            let message = "a token lacks the claim for the organization, so its user acts in all organizations of which they \
                           are a member; check the configured name of the claim";
            tracing::warn!(target: "claviger", issuer, claim, "{message}");
        }
    }

    /// Logs once a word of a permissions claim that gave no permission.
    fn warn_of_left_out(&self, left_out: &[Option<&str>]) {
        if is_first(&self.warned.left_out) {
            let (issuer, claim) = (&self.provider.issuer.name, self.provider.claims.permissions.to_string());
            let word: String = left_out.iter().copied().flatten().next().unwrap_or("").chars().take(64).collect();
            let message = "words in a permissions claim are no permissions, and were ignored; permission_map gives them a meaning";
            tracing::info!(target: "claviger", issuer, claim, ?word, "{message}");
        }
    }
}

fn is_first(warned: &AtomicBool) -> bool {
    !warned.swap(true, Ordering::Relaxed)
}

/// The result of a verification. Why a token is invalid is only logged.
fn accepted<T>(verified: Result<T, Reason>) -> Result<T, Error> {
    verified.map_err(|reason| {
        tracing::debug!(target: "claviger", %reason, "a token of an identity provider was rejected");
        Error::Unauthenticated(DenyReason::InvalidApiKey)
    })
}

/// The claims of a workload's token, for the conditions of trust rules.
struct TokenClaims(Value);

impl WorkloadClaims for TokenClaims {
    fn find(&self, claim: &ClaimName) -> Option<ClaimValue> {
        match ClaimPath::parse(claim.as_str())?.find(&self.0)? {
            Value::String(text) => Some(ClaimValue::Text(text.clone())),
            Value::Bool(flag) => Some(ClaimValue::Flag(*flag)),
            _ => None,
        }
    }
}

/// A token must be for one of the configured audiences. If the operator has configured another claim than `aud`, a token may lack
/// `aud`, but must not be for others (RFC 7519 §4.1.3).
fn require_audience(provider: &Provider, claims: &Value) -> Result<(), Reason> {
    let is_ours = |value: &Value| value.as_str().is_some_and(|text| provider.audiences.iter().any(|own| own == text));
    let names_us = |value: &Value| match value {
        Value::Array(values) => values.iter().any(is_ours),
        value => is_ours(value),
    };
    if !provider.claims.audience.find(claims).is_some_and(names_us) {
        return Err(format!("the claim {} has none of the audiences", provider.claims.audience).into());
    }
    if claims.get("aud").is_some_and(|audience| !names_us(audience)) {
        return Err("the claim aud has none of the audiences".into());
    }
    Ok(())
}

/// The expiry of a token that is valid now (RFC 7519 §4.1.4, §4.1.5): it has an expiry, which has not passed, and is valid already.
fn expiry(claims: &Value, now: Timestamp) -> Result<Timestamp, Reason> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have 31 bits, of 52")]
    let now = (now.millis() / 1_000) as f64;
    let end = claims.get("exp").and_then(Value::as_f64).ok_or("it has no expiry")?;
    if end + LEEWAY <= now {
        return Err("it is expired".into());
    }
    match claims.get("nbf") {
        Some(begin) if begin.as_f64().is_none_or(|begin| begin - LEEWAY > now) => Err("it is not valid yet".into()),
        _ => Ok(Timestamp::from_millis(millis(end))),
    }
}

/// The organization that a token names. `None`: it names none.
fn named_organization(provider: &Provider, claims: &Value) -> Result<Option<NamedOrganization>, Reason> {
    provider.claims.organization.find(claims).map(|value| named(provider, value)).transpose()
}

/// The organization that a claim with this value names.
fn named(provider: &Provider, value: &Value) -> Result<NamedOrganization, Reason> {
    let text = claims::organization(value).ok_or("the organization claim does not name exactly one organization")?;
    match provider.organization_by {
        OrganizationBy::Id => {
            let id = text.parse().map_err(|_| "the organization claim is not an id; see organization_by")?;
            Ok(NamedOrganization::Id(id))
        }
        OrganizationBy::ExternalId => {
            let id = ExternalId::stored(text).ok().filter(|id| id.as_str() == text);
            Ok(NamedOrganization::ExternalId(id.ok_or("the organization claim is not an external id")?))
        }
    }
}

/// The permissions that the permissions claim gives. `None`: there is no such claim.
fn granted<'a>(
    provider: &Provider,
    claims: &'a Value,
    organization: Option<&NamedOrganization>,
) -> Result<Option<Granted<'a>>, Reason> {
    let Some(value) = provider.claims.permissions.find(claims) else { return Ok(None) };
    let within = match organization {
        Some(NamedOrganization::ExternalId(id)) => Some(id.as_str()),
        Some(NamedOrganization::Id(_)) | None => None,
    };
    let granted = claims::permissions(value, provider.permission_map.as_ref(), within);
    Ok(Some(granted.ok_or("the permissions claim is neither a string, nor a list, nor an object")?))
}

fn verified(
    provider: &Provider,
    claims: &Value,
    organization: Option<NamedOrganization>,
    permissions: Option<Permissions>,
    expires_at: Timestamp,
) -> Result<VerifiedClaims, Reason> {
    let names = &provider.claims;
    Ok(VerifiedClaims {
        identity: identity(provider, claims)?,
        // Name and address are only displayed: invalid ones are ignored.
        name: names.name.text(claims).and_then(UserName::from_provider),
        email: names.email.text(claims).and_then(|email| Email::parse(email).ok()),
        organization,
        permissions,
        expires_at,
        signed_in_at: signed_in_at(claims),
    })
}

/// When the user authenticated: `auth_time` (OpenID Connect Core §2), or else when the token was issued.
fn signed_in_at(claims: &Value) -> Option<Timestamp> {
    let time = |claim: &str| claims.get(claim).and_then(Value::as_f64);
    time("auth_time").or_else(|| time("iat")).map(|seconds| Timestamp::from_millis(millis(seconds)))
}

/// The provider, and the subject of a token.
fn identity(provider: &Provider, claims: &Value) -> Result<Identity, Reason> {
    let subject = provider.claims.user.text(claims).ok_or("it has no user claim that is a string")?;
    if !Identity::is_name(subject) {
        return Err("the user claim is empty, too long or has control characters".into());
    }
    Ok(Identity { issuer: provider.issuer.name.clone(), subject: subject.to_owned() })
}

/// Seconds as milliseconds, saturating.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}
