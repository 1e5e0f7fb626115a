//! Issues short-lived tokens for the contracts, and reads them.

use std::sync::Arc;

use domain::{
    Error,
    audit::context::RequestContext,
    auth::{
        caller::Caller,
        token::Token,
        tokens::Tokens,
        workloads::{Workload, Workloads},
    },
    clock::Clock,
    id::TokenGroupId,
    organizations::trust_rule::TrustRule,
    permissions::Permissions,
};
use uuid::Uuid;

use crate::{
    auth::jwt::keyring::{Keyring, TokenClaims},
    http::api_error::{ApiError, Fields},
};

/// The lifetime of a token if the client names none, in seconds.
pub const DEFAULT_TTL_SECONDS: u64 = 300;

/// What is wrong with the audience of a token, to end the sentence "`audience` …".
pub const INVALID_AUDIENCE: &str = "must be 1 to 255 characters, without control characters";

/// Whether a text can be the audience of a token: 1 to 255 characters, without control characters.
#[must_use]
pub fn is_audience(text: &str) -> bool {
    (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// A token that was issued.
pub struct IssuedToken {
    /// The signed token.
    pub jwt: String,
    /// What it contains.
    pub token: Token,
}

/// Issues and reads short-lived tokens.
pub struct TokenIssuer {
    /// The rules for tokens.
    pub tokens: Arc<Tokens>,
    /// The exchange of tokens of workloads.
    pub workloads: Arc<Workloads>,
    /// Signs tokens. `None`: there is no signing key, and no tokens are issued.
    pub keyring: Option<Arc<Keyring>>,
    /// The clock by which tokens expire.
    pub clock: Arc<dyn Clock>,
}

impl TokenIssuer {
    /// The signing keys, and the issuer of tokens.
    ///
    /// # Errors
    /// [`ApiError::NotConfigured`], [`ApiError::NoPublicUrl`].
    pub fn signer(&self) -> Result<(&Arc<Keyring>, &str), ApiError> {
        let keyring = self.keyring.as_ref().ok_or(ApiError::NotConfigured)?;
        Ok((keyring, keyring.issuer().ok_or(ApiError::NoPublicUrl)?))
    }

    /// Issues a token for `audience` with some permissions of the caller's key (`None`: all of them), for at most `seconds`.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for the field `permissions` if these are too many for a token; those of [`Tokens::issue`] and
    /// [`TokenIssuer::signer`].
    pub async fn issue(
        &self,
        caller: &Caller,
        audience: &str,
        permissions: Option<Permissions>,
        seconds: u64,
    ) -> Result<IssuedToken, ApiError> {
        let (keyring, issuer) = self.signer()?;
        let permissions = permissions.or_else(|| caller.effective_permissions().permissions());
        let permissions = permissions.filter(Token::fits);
        let too_large =
            || ApiError::Invalid(Fields::one("permissions", "must be given, and be at most 4,096 bytes in total"));
        let token = self.tokens.issue(caller, permissions.ok_or_else(too_large)?, seconds).await?;
        Ok(IssuedToken { jwt: keyring.sign_token(issuer, &token, audience), token })
    }

    /// Issues a token for `audience` to a workload, with some permissions of the trust rule that accepts its token (`None`: all of
    /// them).
    ///
    /// # Errors
    /// Those of [`Workloads::issue`] and [`TokenIssuer::signer`].
    pub async fn issue_to_workload(
        &self,
        (rule, workload): (&TrustRule, &Workload),
        audience: &str,
        permissions: Option<Permissions>,
        origin: RequestContext,
    ) -> Result<IssuedToken, ApiError> {
        let (keyring, issuer) = self.signer()?;
        let token = self.workloads.issue(rule, workload, permissions, origin).await?;
        Ok(IssuedToken { jwt: keyring.sign_token(issuer, &token, audience), token })
    }

    /// The claims of a token that this service has signed, with its group and the id of its key or trust rule. `None`: it is another
    /// text, or the token has expired. Whether it was revoked is not checked.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<(TokenClaims, TokenGroupId, Uuid)> {
        let claims = self.signer().ok()?.0.read_token(text)?;
        let is_live = claims.exp > self.clock.now().millis().div_euclid(1_000);
        let (group, holder) = (claims.family.parse().ok()?, claims.client_id.parse().ok()?);
        is_live.then_some((claims, group, holder))
    }

    /// Whether a text has the format of the secret of an API key.
    #[must_use]
    pub fn is_secret(&self, text: &str) -> bool {
        self.tokens.is_secret(text)
    }

    /// Revokes a token, with all tokens of the same secret or trust rule that have the same permissions. A text that is no valid
    /// token is ignored.
    ///
    /// # Errors
    /// Those of [`Tokens::revoke`].
    pub async fn revoke(&self, caller: &Caller, text: &str) -> Result<(), Error> {
        match self.read(text) {
            Some((_, group, holder)) => self.tokens.revoke(caller, group, holder).await,
            None => Ok(()),
        }
    }
}
