//! JSON ↔ domain for the settings and sessions of the portal, as the organization sees them.

use domain::{
    auth::portal::{
        NewPortalSession,
        session::{
            DEFAULT_MAX_KEYS, MAX_CEILING, MAX_KEYS_OF_CUSTOMER, MAX_LIFETIME_SECONDS, PermissionsCeiling,
            PortalAction, PortalLimits, PortalSession, PortalSubject, PortalTheme,
        },
        settings::{self, PortalColor, PortalLogo, PortalName, PortalSettings, PortalSettingsPatch},
        token::PortalSecret,
        web_address::ReturnUrl,
    },
    id::{ExternalId, UserId},
    keys::{api_key::Creator, quota::RateLimit, secret::KeyPrefix},
    validated_string::ValidationError,
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::{
    http::{
        api_error::{ApiError, Fields},
        openapi_types::{Nullable, Patch},
        origin::PublicUrl,
        rfc3339::Rfc3339,
        strict_json::{Field, JsonFields, document},
    },
    idempotency::response::{Secrets, StoredResponse},
    routes::{fields::permissions, keys::settings::CreatorView},
};

/// The settings of the portal of an organization.
#[derive(Object)]
#[oai(rename = "Portal")]
pub(super) struct SettingsView {
    /// Name that the page shows; null: that of the organization.
    name: Nullable<String>,
    /// Colour of its buttons, such as `#3b5bdb`; null: that of the dashboard.
    color: Nullable<String>,
    /// Logo: a data URL; null: none.
    logo: Nullable<String>,
    /// Origins of the pages that can embed it.
    origins: Vec<String>,
}

impl From<&PortalSettings> for SettingsView {
    fn from(settings: &PortalSettings) -> Self {
        Self {
            name: Nullable(settings.name.as_ref().map(|name| name.as_str().to_owned())),
            color: Nullable(settings.color.as_ref().map(|color| color.as_str().to_owned())),
            logo: Nullable(settings.logo.as_ref().map(|logo| logo.as_str().to_owned())),
            origins: settings.origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
        }
    }
}

document! {
    /// Changes of the settings of a portal: at least one. Absent fields are unchanged; `null` clears a field.
    #[oai(rename = "UpdatePortalRequest")]
    pub(super) struct UpdatePortal {
        /// Name that the page shows: 1 to 100 characters; null: that of the organization.
        name: Patch<String>,
        /// Colour of its buttons, such as `#3b5bdb`.
        color: Patch<String>,
        /// Logo: a data URL, in base64, of a PNG, JPEG or WebP image of at most 32 KiB.
        logo: Patch<String>,
        /// Origins of the pages that can embed it, at most 20, such as `https://shop.example.com`; `http` only with `localhost`,
        /// `127.0.0.1` or `[::1]`. `null`: none.
        origins: Patch<Vec<String>>,
    }
}

impl UpdatePortal {
    pub(super) fn into_domain(self) -> Result<PortalSettingsPatch, ApiError> {
        let mut fields = Fields::default();
        let patch = PortalSettingsPatch {
            name: fields.check_change("name", self.name.0, |text| PortalName::parse(&text)),
            color: fields.check_change("color", self.color.0, |text| PortalColor::parse(&text)),
            logo: fields.check_change("logo", self.logo.0, |text| PortalLogo::parse(&text)),
            origins: fields
                .check_change("origins", self.origins.0, |list| settings::origins(list.iter().map(String::as_str))),
        };
        fields.into_result()?;
        Ok(patch)
    }
}

/// What a portal session allows beside listing the keys.
#[derive(Clone, Copy, Enum)]
#[oai(rename = "PortalAction", rename_all = "lowercase")]
pub(super) enum ActionName {
    /// Create keys.
    Create,
    /// Rotate the secrets of keys.
    Rotate,
    /// Revoke keys.
    Revoke,
    /// Read the usage of keys.
    Usage,
}

impl From<PortalAction> for ActionName {
    fn from(action: PortalAction) -> Self {
        match action {
            PortalAction::Create => Self::Create,
            PortalAction::Rotate => Self::Rotate,
            PortalAction::Revoke => Self::Revoke,
            PortalAction::Usage => Self::Usage,
        }
    }
}

/// The limits of the keys of a portal session.
#[derive(Object)]
#[oai(rename = "PortalLimits", skip_serializing_if_is_none)]
pub(super) struct LimitsBody {
    /// Number of keys that the customer may have: with that many, no further one is created; default 10.
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    max_keys: Option<u64>,
    /// Longest lifetime of a new key in seconds, which is also its default. Default, and maximum: that of the key policy; without
    /// one, keys need not expire. Required with `create` if the key policy requires an expiry.
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    max_lifetime_seconds: Option<u64>,
    /// Maximum number of uses of each new key per window; requires `rate_limit_window`. Default: no rate limit.
    #[oai(validator(minimum(value = "1")))]
    rate_limit_max: Option<u64>,
    /// Window of the rate limit, in milliseconds; requires `rate_limit_max`.
    #[oai(validator(minimum(value = "1")))]
    rate_limit_window: Option<u64>,
    /// Uses of each new key; default: unlimited. A customer who may create and revoke keys gets them again with each new key.
    remaining: Option<u64>,
}

impl LimitsBody {
    fn parse(mut members: JsonFields) -> Result<Self, ApiError> {
        let body = Self {
            max_keys: members.optional("max_keys"),
            max_lifetime_seconds: members.optional("max_lifetime_seconds"),
            rate_limit_max: members.optional("rate_limit_max"),
            rate_limit_window: members.optional("rate_limit_window"),
            remaining: members.optional("remaining"),
        };
        members.finish_strictly()?;
        Ok(body)
    }

    fn check(self, fields: &mut Fields) -> PortalLimits {
        let mut within = |name: &str, value: Option<u64>, max: u64| {
            if value.is_some_and(|value| !(1..=max).contains(&value)) {
                fields.add(name, ValidationError::Range { min: 1, max });
            }
            value
        };
        let max_keys = within("limits.max_keys", self.max_keys, MAX_KEYS_OF_CUSTOMER);
        let lifetime = within("limits.max_lifetime_seconds", self.max_lifetime_seconds, MAX_LIFETIME_SECONDS);
        let parts = [("rate_limit_max", self.rate_limit_max), ("rate_limit_window", self.rate_limit_window)];
        for (name, value) in parts {
            if value == Some(0) {
                fields.add(&format!("limits.{name}"), "must be at least 1");
            }
        }
        let rate_limit = match parts {
            [(_, Some(max)), (_, Some(window))] => Some(RateLimit { max, window }),
            [(name, Some(_)), (missing, None)] | [(missing, None), (name, Some(_))] => {
                fields.add(&format!("limits.{missing}"), format_args!("is required with {name}"));
                None
            }
            [(_, None), (_, None)] => None,
        };
        PortalLimits {
            max_keys: max_keys.unwrap_or(DEFAULT_MAX_KEYS),
            max_lifetime_ms: lifetime.map(|seconds| seconds.saturating_mul(1_000)),
            rate_limit,
            remaining: self.remaining,
        }
    }
}

impl Field for Option<LimitsBody> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional_object(name, LimitsBody::parse))
    }
}

impl From<PortalLimits> for LimitsBody {
    fn from(limits: PortalLimits) -> Self {
        Self {
            max_keys: Some(limits.max_keys),
            max_lifetime_seconds: limits.max_lifetime_ms.map(|millis| millis / 1_000),
            rate_limit_max: limits.rate_limit.map(|limit| limit.max),
            rate_limit_window: limits.rate_limit.map(|limit| limit.window),
            remaining: limits.remaining,
        }
    }
}

document! {
    /// A portal session to create: either `external_id` or `user_id` says for whom.
    #[oai(rename = "CreatePortalSessionRequest", skip_serializing_if_is_none)]
    pub(super) struct CreatePortalSession {
        /// The customer, as in `external_id` of their keys: at most 255 characters.
        external_id: Option<String>,
        /// The member whose keys it is for.
        user_id: Option<String>,
        /// What the customer can do, beside listing their keys: `create`, `rotate`, `revoke`, `usage`.
        allowed: Vec<String>,
        /// Permissions that the customer's keys can have, at most 64, for your own API: neither `*` nor one whose resource belongs to this
        /// service.
        permissions_ceiling: Vec<String>,
        /// The limits of the keys that the customer creates.
        limits: Option<LimitsBody>,
        /// Prefix of the secrets: 1 to 32 of `A-Z a-z 0-9 _ -`; default: that of the key policy, or `cvg_`.
        prefix: Option<String>,
        /// Where the page leads back to: an `https` URL of at most 2,048 characters; `http` only with `localhost`, `127.0.0.1` or
        /// `[::1]`. Default: nowhere.
        return_url: Option<String>,
        /// Colours of the page: `light`, `dark`, or `auto` for those that the browser prefers; default `auto`.
        theme: Option<String>,
    }
}

impl CreatePortalSession {
    pub(super) fn into_domain(self) -> Result<NewPortalSession, ApiError> {
        let mut fields = Fields::default();
        let external_id = fields.check_optional("external_id", self.external_id.as_deref().map(ExternalId::parse));
        let subject = match (self.external_id.is_some(), self.user_id) {
            (true, Some(_)) => {
                fields.add("user_id", "must be absent with external_id");
                None
            }
            (true, None) => external_id.map(PortalSubject::ExternalId),
            (false, Some(user)) => {
                let user = user.parse().ok();
                if user.is_none() {
                    fields.add("user_id", "must be the id of a member");
                }
                user.map(PortalSubject::User)
            }
            (false, None) => {
                fields.add("external_id", "is required, or user_id");
                None
            }
        };
        let actions = actions(&self.allowed);
        if actions.is_none() {
            fields.add("allowed", "must contain only create, rotate, revoke and usage, each at most once");
        }
        // Duplicates count, as in every list of permissions.
        let is_short = self.permissions_ceiling.len() <= MAX_CEILING;
        let ceiling = if is_short { permissions(&self.permissions_ceiling) } else { Err(ValidationError::CeilingSize) };
        let ceiling = ceiling.and_then(PermissionsCeiling::new);
        let ceiling = fields.check("permissions_ceiling", ceiling);
        let limits = self.limits.unwrap_or_else(LimitsBody::absent).check(&mut fields);
        let prefix = fields.check_optional("prefix", self.prefix.as_deref().map(KeyPrefix::parse));
        let return_url = fields.check_optional("return_url", self.return_url.as_deref().map(ReturnUrl::parse));
        let theme = self.theme.as_deref().map_or(Some(PortalTheme::Auto), PortalTheme::parse);
        if theme.is_none() {
            fields.add("theme", "must be light, dark or auto");
        }
        match (subject, actions, ceiling, theme) {
            (Some(subject), Some(actions), Some(ceiling), Some(theme)) if fields.is_empty() => {
                Ok(NewPortalSession { subject, actions, ceiling, limits, prefix, return_url, theme })
            }
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

impl LimitsBody {
    /// A body without limits.
    const fn absent() -> Self {
        Self {
            max_keys: None,
            max_lifetime_seconds: None,
            rate_limit_max: None,
            rate_limit_window: None,
            remaining: None,
        }
    }
}

/// The actions with these codes. `None`: one is unknown or repeated.
fn actions(codes: &[String]) -> Option<Vec<PortalAction>> {
    let mut actions = Vec::new();
    for code in codes {
        let action = PortalAction::parse(code).filter(|action| !actions.contains(action))?;
        actions.push(action);
    }
    Some(actions)
}

/// A portal session that has not expired, as its organization sees it.
#[derive(Object)]
#[oai(rename = "ListedPortalSession")]
pub(super) struct ListedSessionView {
    /// Unique identifier.
    id: Uuid,
    /// The customer; null if it is a member.
    external_id: Nullable<String>,
    /// The member; null if the customer is an external id.
    user_id: Nullable<Uuid>,
    /// What the customer can do, beside listing their keys.
    allowed: Vec<ActionName>,
    /// Permissions that the customer's keys can have.
    permissions_ceiling: Vec<String>,
    created_by: CreatorView,
    /// Creation time.
    created_at: Rfc3339,
    /// Whether the link was opened: it is not valid any more then.
    opened: bool,
    /// Expiry time: 5 minutes after the creation; an hour after the link was opened, if it was.
    expires_at: Rfc3339,
}

impl From<&PortalSession> for ListedSessionView {
    fn from(session: &PortalSession) -> Self {
        let (external_id, user) = match &session.subject {
            PortalSubject::ExternalId(id) => (Some(id.as_str().to_owned()), None),
            PortalSubject::User(user) => (None, Some(*user)),
        };
        Self {
            id: session.id.uuid(),
            external_id: Nullable(external_id),
            user_id: Nullable(user.map(UserId::uuid)),
            allowed: session.actions.iter().map(|action| (*action).into()).collect(),
            permissions_ceiling: session.ceiling.permissions().flat(),
            created_by: Creator::Key(session.created_by).into(),
            created_at: Rfc3339(session.created_at),
            opened: session.is_opened,
            expires_at: Rfc3339(session.expires_at),
        }
    }
}

/// A new portal session with its link.
#[derive(Object)]
#[oai(rename = "CreatedPortalSession")]
pub(super) struct CreatedSessionView {
    /// Unique identifier.
    id: Uuid,
    /// The link, to be opened by the customer, or in a frame: its secret is behind the `#`, so that it is in no log. It is returned
    /// in this response only; null in a repeated response, and if the service has no dashboard or does not know its public URL.
    url: Nullable<String>,
    /// Expiry time of the link: 5 minutes after the creation.
    expires_at: Rfc3339,
}

impl CreatedSessionView {
    /// `page`: where the service is. `None`: it has no dashboard, or its URL is not known.
    pub(super) fn new(session: &PortalSession, secret: &PortalSecret, page: Option<&PublicUrl>) -> Self {
        let url = page.map(|page| format!("{}/portal?session={}#{}", page.issuer(), session.id, secret.expose()));
        Self { id: session.id.uuid(), url: Nullable(url), expires_at: Rfc3339(session.expires_at) }
    }
}

impl StoredResponse for CreatedSessionView {
    const SECRETS: Secrets = Secrets::Link;
}
