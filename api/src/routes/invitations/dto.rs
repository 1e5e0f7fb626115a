//! JSON ↔ domain for invitations and recovery links.

use domain::{
    auth::{
        invitation::{Invitation, InvitationKind, InvitationToken, OpenedInvitation, RedeemedInvitation},
        invitations::NewInvitation,
    },
    id::UserId,
    organizations::user::{Email, UserName},
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::Nullable,
    origin::PublicUrl,
    rfc3339::Rfc3339,
    strict_json::document,
};
use crate::{
    idempotency::response::{Secrets, StoredResponse},
    routes::{
        fields::{permissions, sets},
        keys::settings::CreatorView,
    },
};

/// What a link is for.
#[derive(Enum)]
#[oai(rename = "InvitationKind", rename_all = "lowercase")]
pub(super) enum Kind {
    /// The person who redeems it becomes a new member.
    Invitation,
    /// The person who redeems it gets access as an existing member.
    Recovery,
}

impl From<InvitationKind> for Kind {
    fn from(kind: InvitationKind) -> Self {
        match kind {
            InvitationKind::Invitation => Self::Invitation,
            InvitationKind::Recovery => Self::Recovery,
        }
    }
}

/// An open invitation or recovery link. It is deleted when it is redeemed, is revoked or expires.
#[derive(Object)]
#[oai(rename = "Invitation")]
pub(super) struct InvitationView {
    /// Unique identifier.
    id: Uuid,
    kind: Kind,
    /// Name of the new member, or of the member of a recovery link.
    user_name: String,
    /// E-mail address, if there is one.
    user_email: Nullable<String>,
    /// The member of a recovery link; null for an invitation.
    user_id: Nullable<Uuid>,
    /// Permissions of the new member; empty for a recovery link.
    permissions: Vec<String>,
    /// Ids of the permission sets of the new member; those that are deleted meanwhile are not attached.
    permission_sets: Vec<Uuid>,
    created_by: CreatorView,
    /// Creation time.
    created_at: Rfc3339,
    /// Expiry time: 72 hours after the creation.
    expires_at: Rfc3339,
}

impl From<&Invitation> for InvitationView {
    fn from(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id.uuid(),
            kind: invitation.kind.into(),
            user_name: invitation.name.as_str().to_owned(),
            user_email: Nullable(invitation.email.as_ref().map(|email| email.given().to_owned())),
            user_id: Nullable(invitation.user.map(UserId::uuid)),
            permissions: invitation.permissions.flat(),
            permission_sets: invitation.sets.iter().map(|set| set.uuid()).collect(),
            created_by: invitation.created_by.creator.into(),
            created_at: Rfc3339(invitation.created_at),
            expires_at: Rfc3339(invitation.expires_at),
        }
    }
}

/// A new invitation or recovery link with its token.
#[derive(Object)]
#[oai(rename = "CreatedInvitation")]
pub(super) struct CreatedInvitation {
    #[oai(flatten)]
    view: InvitationView,
    /// The token of the link. It is returned in this response only; null in a repeated response.
    token: Nullable<String>,
    /// The link, to be given to the person: a page of the dashboard, with the token behind the `#`. It is returned in this
    /// response only; null in a repeated response, and if the service has no dashboard or does not know its public URL.
    url: Nullable<String>,
}

impl CreatedInvitation {
    /// `dashboard`: where the dashboard is. `None`: there is none, or its URL is not known.
    pub(super) fn new(invitation: &Invitation, token: &InvitationToken, dashboard: Option<&PublicUrl>) -> Self {
        let url = dashboard.map(|dashboard| format!("{}/#/invitation/{}", dashboard.issuer(), token.expose()));
        Self { view: invitation.into(), token: Nullable(Some(token.expose().to_owned())), url: Nullable(url) }
    }
}

impl StoredResponse for CreatedInvitation {
    const SECRETS: Secrets = Secrets::Link;
}

document! {
    /// A member to invite.
    #[oai(rename = "CreateInvitationRequest", skip_serializing_if_is_none)]
    pub(super) struct CreateInvitation {
        /// Name: 1 to 100 characters.
        user_name: String,
        /// E-mail address. It is only displayed: the service sends no mail. Default: that of the person's identity provider.
        user_email: Option<String>,
        /// Permissions. May be empty.
        permissions: Vec<String>,
        /// Ids of permission sets to attach: at most 16.
        permission_sets: Option<Vec<String>>,
    }
}

impl CreateInvitation {
    pub(super) fn into_domain(self) -> Result<NewInvitation, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check("user_name", UserName::parse(&self.user_name));
        let email = fields.check_optional("user_email", self.user_email.as_deref().map(Email::parse));
        let permissions = fields.check("permissions", permissions(&self.permissions));
        let sets = sets(&mut fields, self.permission_sets);
        match (name, permissions) {
            (Some(name), Some(permissions)) if fields.is_empty() => {
                Ok(NewInvitation { name, email, permissions, sets })
            }
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

document! {
    /// The token of a link.
    #[oai(rename = "InvitationTokenRequest")]
    pub(super) struct TokenBody {
        /// The token: the part of the link behind `#/invitation/`.
        token: String,
    }
}

impl TokenBody {
    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

/// An invitation or recovery link, for the person who has it.
#[derive(Object)]
#[oai(rename = "InvitationPreview")]
pub(super) struct PreviewView {
    kind: Kind,
    /// Name of the organization.
    org_name: Nullable<String>,
    /// Name of the person in the organization.
    user_name: String,
    /// Expiry time.
    expires_at: Rfc3339,
}

impl From<&OpenedInvitation> for PreviewView {
    fn from(opened: &OpenedInvitation) -> Self {
        let OpenedInvitation { invitation, organization } = opened;
        Self {
            kind: invitation.kind.into(),
            org_name: Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned())),
            user_name: invitation.name.as_str().to_owned(),
            expires_at: Rfc3339(invitation.expires_at),
        }
    }
}

/// A redeemed invitation or recovery link.
#[derive(Object)]
#[oai(rename = "RedeemedInvitation")]
pub(super) struct RedeemedView {
    kind: Kind,
    /// Id of the organization.
    org_id: Uuid,
    /// Id of the caller's user in the organization.
    user_id: Uuid,
}

impl From<RedeemedInvitation> for RedeemedView {
    fn from(redeemed: RedeemedInvitation) -> Self {
        let RedeemedInvitation { kind, organization, user } = redeemed;
        Self { kind: kind.into(), org_id: organization.uuid(), user_id: user.uuid() }
    }
}
