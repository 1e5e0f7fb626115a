//! JSON ↔ domain, in this contract's words: every answer in an envelope, times without a zone.

use domain::{
    clock::Timestamp,
    enroll::SignUp,
    organization::{Organization, OrganizationName},
    ports::{Enrolment, Profile},
    secret::Secret,
    snapshot::Snapshot,
    user::{Email, UserName},
};
use poem_openapi::Object;
use uuid::Uuid;

use crate::{
    body::Document,
    failure::{Failure, Fields},
    json::Members,
    time::utc,
    wire::Nullable,
};

/// Who signs up.
#[derive(Object)]
#[oai(rename = "SignUp")]
pub(super) struct SignUpBody {
    /// Their name: 1 to 100 characters after trimming.
    #[oai(validator(min_length = 1, max_length = 100))]
    user_name: String,
    /// Their e-mail address, unique among all users.
    #[oai(validator(max_length = 254))]
    user_email: String,
    /// What to call their organization: at most 100 characters. It is theirs alone, whatever others are called.
    #[oai(skip_serializing_if_is_none, validator(max_length = 100))]
    org_name: Option<String>,
}

impl Document for SignUpBody {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let user_name = members.required("user_name");
        let user_email = members.required("user_email");
        let org_name = members.optional("org_name");
        members.finish()?;
        Ok(Self { user_name: user_name.unwrap_or_default(), user_email: user_email.unwrap_or_default(), org_name })
    }
}

impl SignUpBody {
    pub(super) fn into_domain(self) -> Result<SignUp, Failure> {
        let mut fields = Fields::default();
        let user_name = fields.check("user_name", UserName::parse(&self.user_name));
        let email = fields.check("user_email", Email::parse(&self.user_email));
        let organization_name = self.org_name.as_deref().map(OrganizationName::parse);
        let organization_name = fields.check_optional("org_name", organization_name);
        match (user_name, email) {
            (Some(user_name), Some(email)) if fields.is_empty() => Ok(SignUp { user_name, email, organization_name }),
            _ => Err(Failure::Invalid(fields)),
        }
    }
}

/// The answer to a sign-up.
#[derive(Object)]
#[oai(rename = "SignUpReply")]
pub(super) struct CreatedKeyReply {
    /// Always true.
    success: bool,
    /// A sentence for people.
    message: String,
    data: CreatedKeyData,
}

/// A key that was just made, with its text.
#[derive(Object)]
#[oai(rename = "SignUpData")]
struct CreatedKeyData {
    /// The text that the key is used with. It is shown in this answer only.
    api_key: String,
    /// The user's name.
    user_name: String,
    /// The organization's name, if one was given.
    org_name: Nullable<String>,
    /// The user's e-mail address, as given.
    user_email: String,
    /// The user.
    user_id: Uuid,
    /// The organization.
    org_id: Uuid,
    /// The key.
    key_id: Uuid,
}

impl CreatedKeyReply {
    pub(super) fn new(enrolment: &Enrolment, secret: &Secret) -> Self {
        let Enrolment { user, organization, key, membership: _ } = enrolment;
        Self {
            success: true,
            message: "API key created successfully, Store it securely".to_owned(),
            data: CreatedKeyData {
                api_key: secret.expose().to_owned(),
                user_name: user.name.as_str().to_owned(),
                org_name: organization_name(organization),
                user_email: user.email().unwrap_or_default().to_owned(),
                user_id: user.id.uuid(),
                org_id: organization.id.uuid(),
                key_id: key.id.uuid(),
            },
        }
    }
}

/// The answer to a check of a good key.
#[derive(Object)]
#[oai(rename = "CheckReply")]
pub(super) struct CheckedKeyReply {
    /// Always true.
    success: bool,
    /// A sentence for people.
    message: String,
    data: CheckedKeyData,
}

/// Whom a key belongs to.
#[derive(Object)]
#[oai(rename = "CheckData")]
struct CheckedKeyData {
    /// The user's name; null for an organization's own key.
    user_name: Nullable<String>,
    /// The organization's name, if it has one.
    org_name: Nullable<String>,
    /// The user's e-mail address; null for an organization's own key, and where the user has none.
    user_email: Nullable<String>,
    /// When the key was made: `YYYY-MM-DDTHH:MM:SS.ffffff`, UTC, without a zone.
    created_at: String,
    /// The user; null for an organization's own key.
    user_id: Nullable<Uuid>,
    /// The organization.
    org_id: Uuid,
    /// The key.
    key_id: Uuid,
}

impl CheckedKeyReply {
    pub(super) fn new(key: &Snapshot, profile: &Profile) -> Self {
        let user = profile.user.as_ref();
        Self {
            success: true,
            message: "API key is valid".to_owned(),
            data: CheckedKeyData {
                user_name: Nullable(user.map(|user| user.name.as_str().to_owned())),
                org_name: organization_name(&profile.organization),
                user_email: Nullable(user.and_then(|user| user.email().map(ToOwned::to_owned))),
                created_at: zoneless(key.created_at()),
                user_id: Nullable(user.map(|user| user.id.uuid())),
                org_id: key.organization().uuid(),
                key_id: key.id().uuid(),
            },
        }
    }
}

fn organization_name(organization: &Organization) -> Nullable<String> {
    Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned()))
}

/// "Always six digits, UTC, no suffix", as both documents show it.
fn zoneless(timestamp: Timestamp) -> String {
    utc(timestamp).format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
