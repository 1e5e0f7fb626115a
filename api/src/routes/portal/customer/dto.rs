//! JSON ↔ domain for what the page of the portal requests.

use domain::{
    auth::portal::{
        NewPortalKey, PortalAuthority, PortalKey,
        session::{PortalLimits, PortalTheme},
        settings::{PortalName, PortalSettings},
        token::PortalSecret,
    },
    clock::Timestamp,
    keys::{
        MAX_GRACE_PERIOD_MS,
        api_key::{self, KeyName},
        secret::Secret,
    },
    organizations::organization::OrganizationName,
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::{
    http::{
        api_error::{ApiError, Fields},
        openapi_types::Nullable,
        rfc3339::Rfc3339,
        strict_json::document,
    },
    idempotency::response::{Secrets, StoredResponse},
    routes::{
        fields::permissions,
        portal::dto::{ActionName, LimitsBody},
    },
};

document! {
    /// The secret of the link of a portal session.
    #[oai(rename = "PortalLinkRequest")]
    pub(super) struct LinkBody {
        /// The secret: the part of the link behind the `#`.
        secret: String,
    }
}

impl LinkBody {
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

/// The colours of the page.
#[derive(Enum)]
#[oai(rename = "PortalTheme", rename_all = "lowercase")]
enum ThemeName {
    /// Dark text on a light background.
    Light,
    /// Light text on a dark background.
    Dark,
    /// As the browser prefers.
    Auto,
}

/// A portal session, as its customer sees it.
#[derive(Object)]
#[oai(rename = "PortalSession")]
pub(super) struct SessionView {
    /// Unique identifier.
    id: Uuid,
    /// Name of the portal; null: neither the portal nor the organization has one.
    name: Nullable<String>,
    /// Colour of the buttons, such as `#3b5bdb`; null: that of the dashboard.
    color: Nullable<String>,
    /// Logo: a data URL; null: none.
    logo: Nullable<String>,
    /// What the customer can do, beside listing their keys.
    allowed: Vec<ActionName>,
    /// Permissions that the customer's keys can have.
    permissions_ceiling: Vec<String>,
    limits: LimitsBody,
    /// Where the page leads back to; null: nowhere.
    return_url: Nullable<String>,
    theme: ThemeName,
    /// Expiry time.
    expires_at: Rfc3339,
}

impl SessionView {
    pub(super) fn new(portal: &PortalAuthority, settings: &PortalSettings) -> Self {
        let (session, organization) = (portal.session(), portal.organization());
        let own_name = settings.name.as_ref().map(PortalName::as_str);
        let name = own_name.or(organization.name.as_ref().map(OrganizationName::as_str));
        Self {
            id: session.id.uuid(),
            name: Nullable(name.map(ToOwned::to_owned)),
            color: Nullable(settings.color.as_ref().map(|color| color.as_str().to_owned())),
            logo: Nullable(settings.logo.as_ref().map(|logo| logo.as_str().to_owned())),
            allowed: session.actions.iter().map(|action| (*action).into()).collect(),
            permissions_ceiling: session.ceiling.permissions().flat(),
            limits: session.limits.into(),
            return_url: Nullable(session.return_url.as_ref().map(|url| url.as_str().to_owned())),
            theme: match session.theme {
                PortalTheme::Light => ThemeName::Light,
                PortalTheme::Dark => ThemeName::Dark,
                PortalTheme::Auto => ThemeName::Auto,
            },
            expires_at: Rfc3339(session.expires_at),
        }
    }
}

/// A portal session with its token.
#[derive(Object)]
#[oai(rename = "OpenedPortalSession")]
pub(super) struct OpenedSessionView {
    #[oai(flatten)]
    session: SessionView,
    /// The token, for the operations below `/portal`, as a bearer token. It is returned in this response only.
    token: String,
}

impl OpenedSessionView {
    pub(super) fn new(portal: &PortalAuthority, settings: &PortalSettings, token: &PortalSecret) -> Self {
        Self { session: SessionView::new(portal, settings), token: token.expose().to_owned() }
    }
}

/// A key, as its customer sees it.
#[derive(Object)]
#[oai(rename = "PortalKey")]
pub(in crate::routes) struct KeyView {
    /// Unique identifier.
    id: Uuid,
    /// Name; empty if the key has none.
    name: String,
    /// First characters of the secret, to recognize the key by.
    start: String,
    /// Permissions, without those of permission sets.
    permissions: Vec<String>,
    /// Whether the key is enabled.
    enabled: bool,
    /// Whether the session can rotate it.
    can_rotate: bool,
    /// Creation time.
    created_at: Rfc3339,
    /// Expiry time: the key is invalid from then on; null: never expires.
    expires_at: Nullable<Rfc3339>,
    /// Expiry time of the previous secret, also if it has passed; null: no previous secret was kept.
    previous_secret_expires_at: Nullable<Rfc3339>,
    /// Uses left; null: unlimited.
    remaining: Nullable<u64>,
    /// Maximum number of uses per window; null: no rate limit.
    rate_limit_max: Nullable<u64>,
    /// Window of the rate limit, in milliseconds.
    rate_limit_window: Nullable<u64>,
    /// Number of successful verifications.
    request_count: u64,
    /// Time of the last successful verification.
    last_used_at: Nullable<Rfc3339>,
}

impl From<&PortalKey> for KeyView {
    fn from(PortalKey { key, is_rotatable }: &PortalKey) -> Self {
        let settings = &key.settings;
        Self {
            id: key.id.uuid(),
            name: settings.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            start: key.start.clone(),
            permissions: settings.permissions.flat(),
            enabled: settings.enabled,
            can_rotate: *is_rotatable,
            created_at: Rfc3339(key.created_at),
            expires_at: Nullable(settings.expires_at.map(Rfc3339)),
            previous_secret_expires_at: Nullable(key.previous_ends_at.map(Rfc3339)),
            remaining: Nullable(settings.remaining),
            rate_limit_max: Nullable(settings.rate_limit.map(|limit| limit.max)),
            rate_limit_window: Nullable(settings.rate_limit.map(|limit| limit.window)),
            request_count: key.request_count,
            last_used_at: Nullable(key.last_request_at.map(Rfc3339)),
        }
    }
}

/// A key of a customer with its secret.
#[derive(Object)]
#[oai(rename = "CreatedPortalKey")]
pub(super) struct CreatedKeyView {
    #[oai(flatten)]
    view: KeyView,
    /// The secret. It is returned in this response only; null in a repeated response.
    key: Nullable<String>,
}

impl CreatedKeyView {
    pub(super) fn new(key: &PortalKey, secret: &Secret) -> Self {
        Self { view: key.into(), key: Nullable(Some(secret.expose().to_owned())) }
    }
}

impl StoredResponse for CreatedKeyView {
    const SECRETS: Secrets = Secrets::Key;
}

document! {
    /// A key that a customer creates.
    #[oai(rename = "CreatePortalKeyRequest", skip_serializing_if_is_none)]
    pub(super) struct CreatePortalKey {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: String,
        /// Permissions; default: all of the session's ceiling.
        permissions: Option<Vec<String>>,
        /// Expiry time; default: as late as the session allows.
        expires_at: Option<Rfc3339>,
    }
}

impl CreatePortalKey {
    pub(super) fn into_domain(self, limits: &PortalLimits, now: Timestamp) -> Result<NewPortalKey, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check("name", KeyName::parse(&self.name));
        let permissions = fields.check_optional("permissions", self.permissions.as_deref().map(permissions));
        let requested = self.expires_at.map(|Rfc3339(at)| api_key::expiry(at, now)).transpose();
        let expires_at = fields.check("expires_at", requested.and_then(|end| limits.expiry(end, now)));
        match (name, expires_at) {
            (Some(name), Some(expires_at)) if fields.is_empty() => Ok(NewPortalKey { name, permissions, expires_at }),
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

document! {
    /// The grace period of the previous secret.
    #[oai(rename = "RotatePortalKeyRequest")]
    pub(super) struct RotatePortalKey {
        /// Grace period in seconds, 0 to 2,592,000 (30 days).
        #[oai(validator(maximum(value = "2592000")))]
        grace_seconds: u64,
    }
}

impl RotatePortalKey {
    /// The grace period in milliseconds, at most [`MAX_GRACE_PERIOD_MS`].
    pub(super) fn grace(&self) -> Result<u64, ApiError> {
        let grace = self.grace_seconds.checked_mul(1_000).filter(|grace| *grace <= MAX_GRACE_PERIOD_MS);
        grace.ok_or_else(|| ApiError::Invalid(Fields::one("grace_seconds", "must be 0 to 2592000")))
    }
}
