//! How a client authenticates itself: by a credential of the other operations, by HTTP Basic, or by `client_id` and `client_secret`
//! in the form (RFC 6749 §2.3.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{Error, auth::caller::Caller, id::KeyId};
use poem::{
    Request,
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
};

use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{Credential, CredentialValue, key_value},
    },
    http::{
        api_error::{ApiError, OAuthError},
        body::form::{self, DeferredForm, Form},
    },
};

/// The error of a client that authenticates itself in several ways at once.
const SEVERAL: ApiError =
    ApiError::OAuth(OAuthError::InvalidRequest("The client must authenticate itself in one way only"));

/// The id and the secret that a client has sent.
pub(super) struct ClientSecret {
    /// The id of the key. `None`: none was sent.
    pub(super) id: Option<String>,
    /// The secret. `None`: what was sent is malformed.
    secret: Option<String>,
}

impl ClientSecret {
    /// The secret as a credential.
    fn value(&self) -> CredentialValue {
        self.secret.as_deref().map_or(CredentialValue::Malformed, key_value)
    }

    /// The id and the secret in the header `Authorization: Basic`. `None`: there is no such header.
    fn of_header(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut found = headers.get_all(AUTHORIZATION).iter().filter_map(basic_value);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(encoded), None) => Ok(Some(Self::of_basic(encoded).unwrap_or(Self { id: None, secret: None }))),
            (Some(_), Some(_)) => Err(SEVERAL),
        }
    }

    /// Decodes the user and the password of HTTP Basic (RFC 7617), which are form-encoded (RFC 6749 §2.3.1). `None`: malformed.
    fn of_basic(encoded: &[u8]) -> Option<Self> {
        let decoded = STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let (id, secret) = (form::decode(&decoded[..colon])?, form::decode(&decoded[colon + 1..])?);
        Some(Self { id: Some(id).filter(|id| !id.is_empty()), secret: Some(secret) })
    }

    /// The id and the secret in a form. `None`: it has no secret.
    fn of_form(form: &Form) -> Option<Self> {
        let secret = form.get("client_secret")?.to_owned();
        Some(Self { id: form.get("client_id").map(str::to_owned), secret: Some(secret) })
    }

    /// The id and the secret of a request to the token endpoint. `None`: it has no secret.
    ///
    /// # Errors
    /// [`OAuthError::InvalidRequest`]: it has both a header and a secret in the form, or two different ids.
    pub(super) fn of_request(headers: &HeaderMap, form: &Form) -> Result<Option<Self>, ApiError> {
        match (Self::of_header(headers)?, Self::of_form(form)) {
            (Some(_), Some(_)) => Err(SEVERAL),
            (Some(header), None) => match form.get("client_id") {
                Some(id) if header.id.as_deref() != Some(id) => Err(ApiError::OAuth(OAuthError::InvalidRequest(
                    "The client_id in the form is not the one in the header Authorization; send it once",
                ))),
                _ => Ok(Some(header)),
            },
            (None, form) => Ok(form),
        }
    }

    /// Authenticates the key with this id and this secret. A wrong id counts as a failed attempt, too.
    ///
    /// # Errors
    /// [`OAuthError::InvalidClient`]; [`ApiError::TooManyAttempts`]; an outage.
    pub(super) async fn authenticate(
        &self,
        authenticator: &Authenticator,
        request: &Request,
    ) -> Result<Caller, ApiError> {
        let credential = Credential { value: self.value(), ..Credential::of(request) };
        let caller = authenticator.identify(&credential).await.map_err(invalid_client)?;
        let id = self.id.as_deref().and_then(|id| id.parse::<KeyId>().ok());
        if caller.key().map(|key| key.id()) == id && id.is_some() {
            return Ok(caller);
        }
        authenticator.failures.count(&credential.source)?;
        Err(ApiError::OAuth(OAuthError::InvalidClient))
    }
}

/// The encoded user and password of a value of `Authorization`. `None`: it has another scheme.
fn basic_value(value: &HeaderValue) -> Option<&[u8]> {
    let bytes = value.as_bytes().trim_ascii();
    let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    bytes[..end].eq_ignore_ascii_case(b"basic").then(|| bytes[end..].trim_ascii())
}

/// The error of a client whose id and secret are not valid.
fn invalid_client(error: ApiError) -> ApiError {
    match error {
        ApiError::MalformedCredential | ApiError::Domain(Error::Unauthenticated(_)) => {
            ApiError::OAuth(OAuthError::InvalidClient)
        }
        other => other,
    }
}

/// A client of introspection or revocation, before it is authenticated.
pub(super) struct Client<S> {
    credential: Credential,
    body: FormBody<S>,
    /// Whether it has sent an id and a secret, instead of a credential of the other operations.
    has_secret: bool,
}

/// A body that was read only if it has the credential.
enum FormBody<S> {
    Pending(DeferredForm<S>),
    Read(Form),
}

/// Finds the credential of a request: in a header, in a cookie, or else in the form. Its id is not compared with the key.
///
/// # Errors
/// [`OAuthError::InvalidRequest`]: the client authenticates itself in several ways; the errors of reading the form.
pub(super) async fn of<S>(
    credential: Credential,
    request: &Request,
    body: DeferredForm<S>,
) -> Result<Client<S>, ApiError> {
    let basic = ClientSecret::of_header(request.headers())?;
    match (&credential.value, basic) {
        (CredentialValue::Missing | CredentialValue::CookieKey(_) | CredentialValue::CookieSession(_), Some(basic)) => {
            let credential = Credential { value: basic.value(), ..credential };
            Ok(Client { credential, body: FormBody::Pending(body), has_secret: true })
        }
        // Such as `Basic` without a value.
        (CredentialValue::Malformed, Some(_)) => {
            Ok(Client { credential, body: FormBody::Pending(body), has_secret: true })
        }
        (_, Some(_)) => Err(SEVERAL),
        (CredentialValue::Missing, None) if body.is_form() => {
            let form = body.read().await?;
            let secret = ClientSecret::of_form(&form);
            let has_secret = secret.is_some();
            let value = secret.map_or(CredentialValue::Missing, |secret| secret.value());
            Ok(Client { credential: Credential { value, ..credential }, body: FormBody::Read(form), has_secret })
        }
        (_, None) => Ok(Client { credential, body: FormBody::Pending(body), has_secret: false }),
    }
}

impl<S> Client<S> {
    /// Authenticates a caller whose key can manage this service.
    ///
    /// # Errors
    /// Those of [`Authenticator::authenticate`]; [`OAuthError::InvalidClient`].
    pub(super) async fn authenticate(&self, authenticator: &Authenticator) -> Result<Caller, ApiError> {
        let caller = self.identify(authenticator).await?;
        caller.require_management()?;
        Ok(caller)
    }

    /// Authenticates a caller, including one whose key cannot manage this service.
    ///
    /// # Errors
    /// Those of [`Authenticator::identify`]; [`OAuthError::InvalidClient`].
    pub(super) async fn identify(&self, authenticator: &Authenticator) -> Result<Caller, ApiError> {
        let caller = authenticator.identify(&self.credential).await;
        if self.has_secret { caller.map_err(invalid_client) } else { caller }
    }

    /// Reads the form.
    ///
    /// # Errors
    /// Those of [`DeferredForm::read`]; [`OAuthError::InvalidRequest`] if it has a secret beside the credential in a header.
    pub(super) async fn form(self) -> Result<Form, ApiError> {
        match self.body {
            FormBody::Read(form) => Ok(form),
            FormBody::Pending(body) => {
                let form = body.read().await?;
                if form.get("client_secret").is_some() { Err(SEVERAL) } else { Ok(form) }
            }
        }
    }
}
