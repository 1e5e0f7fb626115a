//! JSON ↔ domain for passkeys.

use domain::{
    auth::{
        passkey::{Passkey, PasskeyName},
        passkeys::Purpose,
        session::Session,
        sign_up::SignUp,
    },
    clock::Timestamp,
    id::{OrganizationId, UserId},
    organizations::{
        organization::OrganizationName,
        user::{Email, UserName},
    },
};
use poem_openapi::Object;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{JsonObject, Nullable},
    rfc3339::Rfc3339,
    strict_json::document,
};

/// A passkey of the caller.
#[derive(Object)]
#[oai(rename = "Passkey")]
pub(super) struct PasskeyView {
    /// Unique identifier.
    id: Uuid,
    /// Name.
    name: String,
    /// When it was registered.
    created_at: Rfc3339,
    /// When it was last used to sign in; null: not yet.
    last_used_at: Nullable<Rfc3339>,
}

impl From<&Passkey> for PasskeyView {
    fn from(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.uuid(),
            name: passkey.name.as_str().to_owned(),
            created_at: Rfc3339(passkey.created_at),
            last_used_at: Nullable(passkey.last_used_at.map(Rfc3339)),
        }
    }
}

/// What a browser needs to use a passkey, once and within five minutes.
#[derive(Object)]
#[oai(rename = "PasskeyCeremony")]
pub(super) struct CeremonyView {
    /// The options of WebAuthn: `PublicKeyCredentialCreationOptionsJSON` to register, `PublicKeyCredentialRequestOptionsJSON` to
    /// sign in.
    public_key: JsonObject,
    /// The state of the ceremony, to be sent back with the response of the authenticator.
    ceremony: String,
    /// When it expires.
    expires_at: Rfc3339,
}

impl CeremonyView {
    pub(super) fn new(options: Map<String, Value>, ceremony: String, expires_at: Timestamp) -> Self {
        Self { public_key: JsonObject(options), ceremony, expires_at: Rfc3339(expires_at) }
    }
}

document! {
    /// What a new account is for: either `invitation`, or `user_name` and `user_email` to sign up.
    #[oai(rename = "PasskeyAccountRequest", skip_serializing_if_is_none)]
    pub(super) struct NewAccount {
        /// The token of an invitation or recovery link.
        invitation: Option<String>,
        /// To sign up: the name of the user, 1 to 100 characters.
        user_name: Option<String>,
        /// To sign up: the e-mail address of the user. It must not be in use by another user who has signed up.
        user_email: Option<String>,
        /// To sign up: the name of the new organization, at most 100 characters.
        org_name: Option<String>,
    }
}

impl NewAccount {
    /// Whether the account is for a new organization.
    fn is_sign_up(&self) -> bool {
        self.invitation.is_none()
    }

    pub(super) fn into_domain(self) -> Result<Purpose, ApiError> {
        let mut fields = Fields::default();
        if let Some(token) = self.invitation {
            let others = [("user_name", self.user_name), ("user_email", self.user_email), ("org_name", self.org_name)];
            for (name, _) in others.iter().filter(|(_, value)| value.is_some()) {
                fields.add(name, "must not be sent with invitation");
            }
            fields.into_result()?;
            return Ok(Purpose::Invitation(token));
        }
        for (name, value) in [("user_name", &self.user_name), ("user_email", &self.user_email)] {
            if value.is_none() {
                fields.add(name, "is required without invitation");
            }
        }
        let user_name = fields.check_optional("user_name", self.user_name.as_deref().map(UserName::parse));
        let email = fields.check_optional("user_email", self.user_email.as_deref().map(Email::parse));
        let organization_name = self.org_name.as_deref().map(OrganizationName::parse);
        let organization_name = fields.check_optional("org_name", organization_name);
        match (user_name, email) {
            (Some(user_name), Some(email)) if fields.is_empty() => {
                Ok(Purpose::SignUp(SignUp { user_name, email, organization_name }))
            }
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

document! {
    /// The response of an authenticator that has created a passkey for a new account.
    #[oai(rename = "RegisterPasskeyRequest", skip_serializing_if_is_none)]
    pub(super) struct RegisterAccount {
        /// The state of the ceremony, from `POST /passkey_options`.
        ceremony: String,
        /// `RegistrationResponseJSON` of WebAuthn.
        credential: JsonObject,
        /// Name of the passkey: 1 to 100 characters. Default: `Passkey`.
        name: Option<String>,
        ..account: NewAccount,
    }
}

impl RegisterAccount {
    /// The state of the ceremony, and the response of the authenticator.
    pub(super) fn response(&self) -> (&str, &Map<String, Value>) {
        (&self.ceremony, &self.credential.0)
    }

    /// Whether the account is for a new organization.
    pub(super) fn is_sign_up(&self) -> bool {
        self.account.is_sign_up()
    }

    /// The name of the passkey, and what the account is for.
    pub(super) fn into_domain(self) -> Result<(PasskeyName, Purpose), ApiError> {
        Ok((passkey_name(self.name.as_deref())?, self.account.into_domain()?))
    }
}

document! {
    /// The response of an authenticator that has created another passkey.
    #[oai(rename = "AddPasskeyRequest", skip_serializing_if_is_none)]
    pub(super) struct AddPasskey {
        /// The state of the ceremony, from `POST /me/passkey_options`.
        ceremony: String,
        /// `RegistrationResponseJSON` of WebAuthn.
        credential: JsonObject,
        /// Name of the passkey: 1 to 100 characters. Default: `Passkey`.
        name: Option<String>,
    }
}

impl AddPasskey {
    pub(super) fn into_parts(self) -> Result<(String, Map<String, Value>, PasskeyName), ApiError> {
        Ok((self.ceremony, self.credential.0, passkey_name(self.name.as_deref())?))
    }
}

document! {
    /// The response of an authenticator to a request to sign in.
    #[oai(rename = "PasskeySignInRequest")]
    pub(super) struct SignIn {
        /// The state of the ceremony, from `POST /session/passkey_options`.
        ceremony: String,
        /// `AuthenticationResponseJSON` of WebAuthn.
        credential: JsonObject,
    }
}

impl SignIn {
    pub(super) fn into_parts(self) -> (String, Map<String, Value>) {
        (self.ceremony, self.credential.0)
    }
}

document! {
    /// A new name of a passkey.
    #[oai(rename = "RenamePasskeyRequest")]
    pub(super) struct RenamePasskey {
        /// Name: 1 to 100 characters.
        name: String,
    }
}

impl RenamePasskey {
    pub(super) fn into_domain(self) -> Result<PasskeyName, ApiError> {
        passkey_name(Some(&self.name))
    }
}

/// The name of a passkey, or the default.
fn passkey_name(name: Option<&str>) -> Result<PasskeyName, ApiError> {
    let Some(name) = name else { return Ok(PasskeyName::unnamed()) };
    PasskeyName::parse(name).map_err(|invalid| ApiError::Invalid(Fields::one("name", invalid)))
}

/// A new account that is signed in.
#[derive(Object)]
#[oai(rename = "RegisteredPasskeyAccount")]
pub(super) struct RegisteredView {
    /// Id of the organization.
    org_id: Uuid,
    /// Id of the person's user in the organization.
    user_id: Uuid,
    /// Expiry time of the session.
    expires_at: Rfc3339,
}

impl RegisteredView {
    pub(super) fn new(organization: OrganizationId, user: UserId, session: &Session) -> Self {
        Self { org_id: organization.uuid(), user_id: user.uuid(), expires_at: Rfc3339(session.expires_at) }
    }
}
