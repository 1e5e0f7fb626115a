//! JSON ↔ domain: every response has an envelope (`success`, `message`, `data`), and times have no time zone.

use domain::{
    auth::sign_up::SignUp,
    clock::Timestamp,
    keys::secret::Secret,
    organizations::{
        organization::{Organization, OrganizationName},
        user::{Email, UserName},
    },
    ports::{Profile, SignedUp},
    verify::cached_key::CachedKey,
};
use poem_openapi::Object;
use uuid::Uuid;

use crate::http::{
    api_error::{ApiError, Fields},
    body::Document,
    openapi_types::Nullable,
    rfc3339::utc,
    strict_json::JsonFields,
};

/// The user who signs up.
#[derive(Object)]
#[oai(rename = "SignUpRequest")]
pub(super) struct SignUpBody {
    /// Name of the user: at most 100 characters, at least 1 after trimming.
    #[oai(validator(min_length = 1, max_length = 100))]
    user_name: String,
    /// E-mail address of the user. It must not be in use by another user who has signed up.
    #[oai(validator(max_length = 254))]
    user_email: String,
    /// Name of the organization: at most 100 characters. Several organizations can have the same name.
    #[oai(skip_serializing_if_is_none, validator(max_length = 100))]
    org_name: Option<String>,
}

impl Document for SignUpBody {
    fn read(mut members: JsonFields) -> Result<Self, ApiError> {
        let user_name = members.required("user_name");
        let user_email = members.required("user_email");
        let org_name = members.optional("org_name");
        members.finish()?;
        Ok(Self { user_name: user_name.unwrap_or_default(), user_email: user_email.unwrap_or_default(), org_name })
    }
}

impl SignUpBody {
    pub(super) fn into_domain(self) -> Result<SignUp, ApiError> {
        let mut fields = Fields::default();
        let user_name = fields.check("user_name", UserName::parse(&self.user_name));
        let email = fields.check("user_email", Email::parse(&self.user_email));
        let organization_name = self.org_name.as_deref().map(OrganizationName::parse);
        let organization_name = fields.check_optional("org_name", organization_name);
        match (user_name, email) {
            (Some(user_name), Some(email)) if fields.is_empty() => Ok(SignUp { user_name, email, organization_name }),
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

/// The response to a sign-up.
#[derive(Object)]
#[oai(rename = "SignUpResult")]
pub(super) struct CreatedKeyReply {
    /// Always true.
    success: bool,
    /// Message for humans.
    message: String,
    data: CreatedKeyData,
}

/// A new key with its secret.
#[derive(Object)]
#[oai(rename = "SignUpData")]
struct CreatedKeyData {
    /// The secret. It is returned in this response only.
    api_key: String,
    /// Name of the user.
    user_name: String,
    /// Name of the organization, if one was given.
    org_name: Nullable<String>,
    /// E-mail address of the user, as given.
    user_email: String,
    /// Whether the e-mail address is verified. Always `false`: this service does not verify addresses.
    email_verified: bool,
    /// Id of the user.
    user_id: Uuid,
    /// Id of the organization.
    org_id: Uuid,
    /// Id of the key.
    key_id: Uuid,
    /// Whether the key can manage this service: see `ApiKey`.
    can_manage: bool,
}

impl CreatedKeyReply {
    pub(super) fn new(signed_up: &SignedUp, secret: &Secret) -> Self {
        let SignedUp { user, organization, key } = signed_up;
        Self {
            success: true,
            message: "API key created successfully, Store it securely".to_owned(),
            data: CreatedKeyData {
                api_key: secret.expose().to_owned(),
                user_name: user.name.as_str().to_owned(),
                org_name: organization_name(organization),
                user_email: user.email().unwrap_or_default().to_owned(),
                email_verified: false,
                user_id: user.id.uuid(),
                org_id: organization.id.uuid(),
                key_id: key.id.uuid(),
                can_manage: key.settings.can_manage,
            },
        }
    }
}

/// The response to a check of a valid key.
#[derive(Object)]
#[oai(rename = "ApiKeyCheckResult")]
pub(super) struct CheckedKeyReply {
    /// Always true.
    success: bool,
    /// Message for humans.
    message: String,
    data: CheckedKeyData,
}

/// The owner of a key.
#[derive(Object)]
#[oai(rename = "ApiKeyOwner")]
struct CheckedKeyData {
    /// Name of the user; null for a key that belongs to an organization.
    user_name: Nullable<String>,
    /// Name of the organization, if it has one.
    org_name: Nullable<String>,
    /// E-mail address of the user; null for a key that belongs to an organization, and for a user without an address.
    user_email: Nullable<String>,
    /// Creation time of the key: `YYYY-MM-DDTHH:MM:SS.ffffff`, in UTC, without a time zone.
    created_at: String,
    /// Whether the e-mail address is verified. Always `false`: this service does not verify addresses.
    email_verified: bool,
    /// Id of the user in this organization; null for a key that belongs to an organization.
    user_id: Nullable<Uuid>,
    /// Id of the organization.
    org_id: Uuid,
    /// Id of the key.
    key_id: Uuid,
    /// Whether the key can manage this service: see `ApiKey`.
    can_manage: bool,
}

impl CheckedKeyReply {
    pub(super) fn new(key: &CachedKey, profile: &Profile) -> Self {
        let user = profile.user.as_ref();
        Self {
            success: true,
            message: "API key is valid".to_owned(),
            data: CheckedKeyData {
                user_name: Nullable(user.map(|user| user.name.as_str().to_owned())),
                org_name: organization_name(&profile.organization),
                user_email: Nullable(user.and_then(|user| user.email.as_ref()).map(|email| email.given().to_owned())),
                email_verified: false,
                created_at: format_without_zone(key.created_at()),
                user_id: Nullable(user.map(|user| user.id.uuid())),
                org_id: key.organization().uuid(),
                key_id: key.id().uuid(),
                can_manage: key.can_manage(),
            },
        }
    }
}

fn organization_name(organization: &Organization) -> Nullable<String> {
    Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned()))
}

/// A time in UTC with six fractional digits and without a time zone, as in LiveKit's documentation.
fn format_without_zone(timestamp: Timestamp) -> String {
    utc(timestamp).format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
