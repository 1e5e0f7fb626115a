//! The ceremonies of passkeys between two requests. Their state is signed and given to the browser, so any node can finish what
//! another one began, and a ceremony that is not finished leaves nothing behind. A finished one is stored, so that it is valid once.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    Error,
    auth::passkey::UsedCeremony,
    clock::{Clock, Timestamp},
};

use super::dto::CeremonyView;
use crate::{
    auth::{
        credentials::Site,
        jwt::keyring::{CeremonyClaims, Keyring},
        webauthn::{Begun, Rejected, RelyingParty},
    },
    http::{api_error::ApiError, origin::PublicUrl},
};

/// How long a ceremony may last, in milliseconds.
const LIFETIME_MS: i64 = 5 * 60 * 1_000;

/// What a ceremony is for. The state of one kind is not accepted for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CeremonyKind {
    /// To sign in.
    SignIn,
    /// To register a new account.
    NewAccount,
    /// To add a passkey to an account.
    AnotherPasskey,
}

impl CeremonyKind {
    const fn code(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::NewAccount => "new_account",
            Self::AnotherPasskey => "another_passkey",
        }
    }
}

/// A ceremony that a browser has sent back: it has begun here or on another node, and has not expired.
pub(super) struct Pending {
    /// What is needed to check the response.
    pub(super) state: Vec<u8>,
    expires_at: Timestamp,
}

impl Pending {
    /// The ceremony, to be stored as used.
    pub(super) fn used(&self, challenge: [u8; 16]) -> UsedCeremony {
        UsedCeremony { challenge, expires_at: self.expires_at }
    }
}

/// Begins and resumes ceremonies.
pub struct Ceremonies {
    /// The public URL of the settings. `None`: passkeys work at `localhost` only.
    pub public_url: Option<PublicUrl>,
    /// Signs the state. `None`: there is no signing key, and no sessions.
    pub keyring: Option<Arc<Keyring>>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
}

impl Ceremonies {
    /// Whether passkeys work for requests of this site.
    pub(crate) fn are_available(&self, site: &Site) -> bool {
        self.keyring.is_some() && self.party(site).is_ok()
    }

    /// This service as the browser knows it. Without a public URL of the settings only `localhost` counts: passkeys of any other
    /// name would be lost when it changes.
    ///
    /// # Errors
    /// [`ApiError::PasskeysUnavailable`].
    pub(super) fn party(&self, site: &Site) -> Result<RelyingParty, ApiError> {
        let requested = || site.service.as_deref().filter(|url| url.is_this_machine());
        let url = self.public_url.as_ref().or_else(requested).ok_or(ApiError::PasskeysUnavailable)?;
        RelyingParty::at(url).ok_or(ApiError::PasskeysUnavailable)
    }

    /// Signs a ceremony that has begun.
    ///
    /// # Errors
    /// [`ApiError::NotConfigured`] without a signing key.
    pub(super) fn begin(&self, kind: CeremonyKind, begun: Result<Begun, Rejected>) -> Result<CeremonyView, ApiError> {
        let keyring = self.keyring.as_ref().ok_or(ApiError::NotConfigured)?;
        let Ok(begun) = begun else { return Err(ApiError::Defect("a passkey ceremony could not begin".to_owned())) };
        let expires_at = seconds(self.clock.now().plus_millis(LIFETIME_MS));
        let claims = CeremonyClaims {
            purpose: kind.code().to_owned(),
            state: URL_SAFE_NO_PAD.encode(&begun.state),
            exp: expires_at,
        };
        Ok(CeremonyView::new(begun.options, keyring.sign_ceremony(&claims), time(expires_at)))
    }

    /// The ceremony that a browser has sent back.
    ///
    /// # Errors
    /// [`Error::PasskeyRejected`] if this service has not signed it, it is of another kind, or has expired;
    /// [`ApiError::NotConfigured`] without a signing key.
    pub(super) fn resume(&self, kind: CeremonyKind, text: &str) -> Result<Pending, ApiError> {
        let keyring = self.keyring.as_ref().ok_or(ApiError::NotConfigured)?;
        let claims = keyring.read_ceremony(text).filter(|claims| claims.purpose == kind.code());
        let claims = claims.ok_or(Error::PasskeyRejected)?;
        let expires_at = time(claims.exp);
        if self.clock.now() >= expires_at {
            return Err(Error::PasskeyRejected.into());
        }
        let state = URL_SAFE_NO_PAD.decode(claims.state).map_err(|_| Error::PasskeyRejected)?;
        Ok(Pending { state, expires_at })
    }
}

const fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

const fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}
