//! Domain → JSON for the caller and their session.

use domain::{
    auth::{
        effective_permissions::EffectivePermissions,
        identity::{FederatedUser, OrganizationAccess},
        session::Session,
    },
    id::{Identity, UserId},
    organizations::{
        organization::Organization,
        user::{Email, User, UserProfile},
    },
    ports::Profile,
    verify::cached_key::CachedKey,
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::http::{openapi_types::Nullable, rfc3339::Rfc3339};
use crate::routes::organizations::dto::Kind;

/// A session.
#[derive(Object)]
#[oai(rename = "Session")]
pub(super) struct SessionView {
    /// Expiry time.
    expires_at: Rfc3339,
}

/// A session that was deleted.
#[derive(Object)]
pub(super) struct SignedOut {
    /// Message for humans.
    message: String,
    /// URL of the identity provider's page that ends the session there, too; null: there is none. A browser goes there, and
    /// comes back to the dashboard.
    logout_url: Nullable<String>,
}

impl SignedOut {
    pub(super) fn new(logout_url: Option<String>) -> Self {
        Self { message: "Signed out".to_owned(), logout_url: Nullable(logout_url) }
    }
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self { expires_at: Rfc3339(session.expires_at) }
    }
}

/// The result of ending sessions.
#[derive(Object)]
#[oai(rename = "EndedSessionCount")]
pub(super) struct EndedSessions {
    /// Number of ended sessions.
    pub(super) ended: u64,
}

/// The caller and their permissions.
#[derive(Object)]
#[oai(rename = "Caller")]
pub(super) struct Me {
    credential: CredentialKind,
    /// The user in `organization`; null for a key that belongs to an organization, and if the caller acts in no
    /// organization.
    user: Nullable<MyUser>,
    /// The identity at the identity provider; null for a key.
    identity: Nullable<MyIdentity>,
    /// The key, also if a session was created with it; null for a user of an identity provider.
    api_key: Nullable<MyKey>,
    /// The organization that the caller acts in; null for a user of an identity provider who has accepted several
    /// memberships, or none, until a request names an organization by `/orgs/…`.
    organization: Nullable<MyOrganization>,
    /// The organizations that the caller has access to, including memberships that are not accepted yet.
    organizations: Vec<MyOrganization>,
}

/// The kind of credential.
#[derive(Enum)]
#[oai(rename = "CredentialKind", rename_all = "snake_case")]
enum CredentialKind {
    /// An API key.
    ApiKey,
    /// An access token of an identity provider.
    Token,
    /// A session.
    Session,
}

/// The identity of a person at an identity provider.
#[derive(Object)]
#[oai(rename = "CallerIdentity")]
struct MyIdentity {
    /// The provider: `iss` of its tokens.
    issuer: String,
    /// The identifier of the person: `sub` of its tokens, or the configured claim.
    subject: String,
}

/// A user.
#[derive(Object)]
#[oai(rename = "CallerUser")]
struct MyUser {
    /// Unique identifier.
    id: Uuid,
    /// Name.
    name: String,
    /// E-mail address, if there is one.
    email: Nullable<String>,
    /// Whether the e-mail address is verified. Always `false`: this service does not verify addresses.
    email_verified: bool,
}

/// An API key.
#[derive(Object)]
#[oai(rename = "CallerApiKey")]
struct MyKey {
    /// Unique identifier.
    id: Uuid,
    /// Name; empty if the key has none.
    name: String,
    /// Prefix and first characters of the secret.
    start: String,
    /// Whether the key can manage this service. If `false`, it can only use this operation, `/auth/check-key` and
    /// `POST /tokens`.
    can_manage: bool,
    /// Expiry time; null: never expires.
    expires_at: Nullable<Rfc3339>,
}

/// An organization, and the caller's permissions there.
#[derive(Object)]
#[oai(rename = "CallerOrganization")]
struct MyOrganization {
    /// Unique identifier.
    id: Uuid,
    /// Name.
    name: Nullable<String>,
    kind: Kind,
    /// Id of the caller's user there; null for a key that belongs to an organization.
    user_id: Nullable<Uuid>,
    /// Whether the membership is accepted. If not, the caller acts there only in requests that name the organization,
    /// and accepts the membership by `POST /me/memberships/{org_id}`.
    accepted: bool,
    /// The caller's effective permissions there: what both the key and its user hold. Null if there are more than 256.
    permissions: Nullable<Vec<String>>,
}

impl Me {
    pub(super) fn of_key(key: &CachedKey, profile: &Profile, in_session: bool) -> Self {
        let organization =
            || MyOrganization::new(&profile.organization, &key.effective_permissions(), key.user(), true);
        Self {
            credential: if in_session { CredentialKind::Session } else { CredentialKind::ApiKey },
            user: Nullable(profile.user.as_ref().map(MyUser::from)),
            api_key: Nullable(Some(MyKey {
                id: key.id().uuid(),
                name: key.name().unwrap_or_default().to_owned(),
                start: key.start().to_owned(),
                can_manage: key.can_manage(),
                expires_at: Nullable(key.expires_at().map(Rfc3339)),
            })),
            identity: Nullable(None),
            organization: Nullable(Some(organization())),
            organizations: vec![organization()],
        }
    }

    pub(super) fn of_federated_user(federated_user: &FederatedUser, user: Option<&User>, in_session: bool) -> Self {
        Self {
            credential: if in_session { CredentialKind::Session } else { CredentialKind::Token },
            user: Nullable(user.map(MyUser::from)),
            identity: Nullable(Some(MyIdentity::from(&federated_user.claims.identity))),
            api_key: Nullable(None),
            organization: Nullable(federated_user.current_organization().map(MyOrganization::from)),
            organizations: federated_user.organizations().iter().map(MyOrganization::from).collect(),
        }
    }
}

impl From<&Identity> for MyIdentity {
    fn from(identity: &Identity) -> Self {
        Self { issuer: identity.issuer.clone(), subject: identity.subject.clone() }
    }
}

impl From<&User> for MyUser {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.uuid(),
            name: user.name.as_str().to_owned(),
            email: Nullable(user.email().map(ToOwned::to_owned)),
            email_verified: false,
        }
    }
}

impl From<&UserProfile> for MyUser {
    fn from(user: &UserProfile) -> Self {
        Self {
            id: user.id.uuid(),
            name: user.name.as_str().to_owned(),
            email: Nullable(user.email.as_ref().map(Email::given).map(ToOwned::to_owned)),
            email_verified: false,
        }
    }
}

impl From<&OrganizationAccess> for MyOrganization {
    fn from(access: &OrganizationAccess) -> Self {
        Self::new(&access.organization, &access.effective_permissions, Some(access.user), access.is_accepted)
    }
}

impl MyOrganization {
    fn new(
        organization: &Organization,
        effective_permissions: &EffectivePermissions,
        user: Option<UserId>,
        is_accepted: bool,
    ) -> Self {
        Self {
            user_id: Nullable(user.map(UserId::uuid)),
            accepted: is_accepted,
            id: organization.id.uuid(),
            name: Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned())),
            kind: Kind::from(organization.kind),
            permissions: Nullable(effective_permissions.permissions().map(|permissions| permissions.flat())),
        }
    }
}
