//! A token of an identity provider → what the provider says about a user. Whether a user may do anything is not decided here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use domain::{
    Error, Outage,
    clock::{Clock, Timestamp},
    id::OrganizationId,
    identity::{Identity, Vouched},
    permission::PermissionSet,
    refusal::Refusal,
    user::{Email, UserName},
};
use jsonwebtoken::{Validation, dangerous::insecure_decode_claims, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{issuers::Provider, jwks::Keys, token_type};

/// How far clocks may differ, in seconds.
const LEEWAY: f64 = 30.0;

/// The providers that are believed.
pub struct Outside {
    trusted: Vec<Trusted>,
    clock: Arc<dyn Clock>,
}

struct Trusted {
    provider: Provider,
    keys: Keys,
    /// Whether it was said that the tokens lack the claim for permissions.
    said_no_permissions: AtomicBool,
    /// The same of the claim for the organization.
    said_no_organization: AtomicBool,
}

/// Why a token proves nothing. For the operator's log; who shows one learns only that it is not good.
type Reason = &'static str;

impl Outside {
    /// Believes these.
    #[must_use]
    pub fn new(providers: Vec<Provider>, clock: Arc<dyn Clock>) -> Self {
        let trusted = providers.into_iter().map(|provider| {
            let keys = Keys::new(&provider.issuer.name, provider.keys.clone(), clock.clone());
            Trusted {
                provider,
                keys,
                said_no_permissions: AtomicBool::default(),
                said_no_organization: AtomicBool::default(),
            }
        });
        Self { trusted: trusted.collect(), clock }
    }

    /// What a provider says by this token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where it proves nothing; [`Error::Outage`] where the provider's keys cannot be had.
    pub async fn read(&self, token: &str) -> Result<Vouched, Error> {
        match self.prove(token).await {
            Ok(proven) => proven.map_err(|reason| {
                tracing::debug!(target: "claviger", reason, "a token is refused");
                Error::Unauthenticated(Refusal::InvalidApiKey)
            }),
            Err(error) => Err(Error::Outage(Outage::Unavailable(Box::new(error)))),
        }
    }

    async fn prove(&self, token: &str) -> Result<Result<Vouched, Reason>, super::jwks::Unreachable> {
        let (trusted, header) = match self.trusted(token) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(key) = trusted.keys.find(header.kid.as_deref()).await? else {
            return Ok(Err("the issuer has no such key"));
        };
        if header.alg != key.algorithm {
            return Ok(Err("the algorithm is not that of the key"));
        }
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["iss", "aud"]);
        validation.set_issuer(&[&trusted.provider.issuer.name]);
        validation.set_audience(&trusted.provider.audiences);
        // By our own clock, below.
        validation.validate_exp = false;
        let Ok(decoded) = decode::<Map<String, Value>>(token, &key.key, &validation) else {
            return Ok(Err("the signature, the issuer or the audience does not hold"));
        };
        let read =
            in_time(&decoded.claims, self.clock.now()).and_then(|()| vouched(&trusted.provider, &decoded.claims));
        Ok(read.inspect(|vouched| trusted.tell_what_lacks(vouched)))
    }

    /// The provider whose token this claims to be, and the header, if both are of a kind that is taken.
    fn trusted(&self, token: &str) -> Result<(&Trusted, jsonwebtoken::Header), Reason> {
        #[derive(Deserialize)]
        struct Claimed {
            iss: String,
        }
        let claimed: Claimed = insecure_decode_claims(token).map_err(|_| "it is no token")?;
        let trusted = self.trusted.iter().find(|trusted| trusted.provider.issuer.name == claimed.iss);
        let trusted = trusted.ok_or("nobody believes the issuer")?;
        let header = decode_header(token).map_err(|_| "the header is not of a kind that is taken")?;
        if !trusted.provider.types.contains(&token_type(header.typ.as_deref().unwrap_or_default())) {
            return Err("the type is not one of the issuer's");
        }
        if header.crit.is_some() || header.zip.is_some() || header.enc.is_some() {
            return Err("the header asks for what is not understood");
        }
        Ok((trusted, header))
    }
}

impl Trusted {
    /// Says once that the tokens lack a claim that the operator has asked for: its name may be misspelled.
    fn tell_what_lacks(&self, vouched: &Vouched) {
        let Provider { issuer, claims, .. } = &self.provider;
        let is_first = |said: &AtomicBool| !said.swap(true, Ordering::Relaxed);
        if vouched.permissions.is_none() && issuer.requires_permissions && is_first(&self.said_no_permissions) {
            let (issuer, claim) = (&issuer.name, claims.permissions());
            let message =
                "a token lacks the claim for permissions, so its user may do nothing; is this the claim's name?";
            tracing::warn!(target: "claviger", issuer, claim, "{message}");
        }
        if vouched.organization.is_none() && claims.names_organization() && is_first(&self.said_no_organization) {
            let (issuer, claim) = (&issuer.name, claims.organization());
            let message = "a token lacks the claim for the organization, so its user acts wherever they are a member; is \
                           this the claim's name?";
            tracing::warn!(target: "claviger", issuer, claim, "{message}");
        }
    }
}

/// RFC 7519 §4.1.4 and 5: it has an end, which is not over, and its beginning has come.
fn in_time(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Reason> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 have 31 bits, of 52")]
    let now = (now.millis() / 1_000) as f64;
    let end = claims.get("exp").and_then(Value::as_f64).ok_or("it has no end")?;
    if end + LEEWAY <= now {
        return Err("it is expired");
    }
    match claims.get("nbf") {
        None => Ok(()),
        Some(begin) if begin.as_f64().is_some_and(|begin| begin - LEEWAY <= now) => Ok(()),
        Some(_) => Err("its time has not come"),
    }
}

fn vouched(provider: &Provider, claims: &Map<String, Value>) -> Result<Vouched, Reason> {
    let names = &provider.claims;
    let claim = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let subject = claim(&names.user).and_then(Value::as_str).ok_or("it names no user")?;
    if !Identity::is_name(subject) {
        return Err("what the issuer calls the user is empty, too long or not plain");
    }
    let organization = claim(names.organization()).map(|value| {
        let id = value.as_str().and_then(|text| text.parse::<OrganizationId>().ok());
        id.ok_or("the organization is no id")
    });
    let permissions = claim(names.permissions()).map(|value| permissions(value).ok_or("the permissions are none"));
    let text = |name: &str| claim(name).and_then(Value::as_str);
    let expires_at = claims.get("exp").and_then(Value::as_f64).map_or(i64::MAX, millis);
    Ok(Vouched {
        identity: Identity { issuer: provider.issuer.name.clone(), subject: subject.to_owned() },
        // For people to look at: what is not fit for that is left out.
        name: text(&names.name).and_then(|name| UserName::parse(name).ok()),
        email: text(&names.email).and_then(|email| Email::parse(email).ok()),
        organization: organization.transpose()?,
        permissions: permissions.transpose()?,
        expires_at: Timestamp::from_millis(expires_at),
    })
}

/// Seconds as milliseconds; a number that is too large is the last one there is.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

fn permissions(value: &Value) -> Option<PermissionSet> {
    match value {
        Value::String(text) => PermissionSet::from_flat(text.split_ascii_whitespace()).ok(),
        Value::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            PermissionSet::from_flat(texts?).ok()
        }
        _ => None,
    }
}
