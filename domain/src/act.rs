//! What the audit log says about a change: who did what, by which right, from where. It is stored in the transaction of the
//! change itself.

use std::net::IpAddr;

use crate::{
    clock::Timestamp,
    id::{KeyId, OrganizationId, SessionId, UserId},
    permission::Permission,
};

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The request's name in the log.
    pub request_id: Option<Box<str>>,
    /// The session that it was made in, if any.
    pub session: Option<SessionId>,
    /// What tells it from its repetitions, if the client has said so.
    pub once: Option<Once>,
}

/// A request that is to be done once, however often it is sent (draft-ietf-httpapi-idempotency-key-header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// Who sends it where, and the client's own word for it: all of its repetitions have the same.
    pub scope: [u8; 32],
    /// What it says: another body is another request.
    pub body: [u8; 32],
}

/// Who changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A caller with this key, which belongs to this user or to an organization.
    Key(KeyId, Option<UserId>),
    /// This user, by themselves: at sign-up, or with an identity provider's word.
    User(UserId),
    /// The operator, on the machine itself.
    Operator,
    /// Somebody who is not known.
    Unknown,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A user signed up: an organization, its first member and its first key.
    SignUp,
    /// The platform organization was made.
    Bootstrap,
    /// Keys were made.
    CreateKey,
    /// Settings of a key changed.
    UpdateKey,
    /// A key was given a new secret.
    RotateKey,
    /// The old secret of a key was ended before its time.
    EndSecret,
    /// A key was ended.
    DeleteKey,
    /// An ended key was brought back.
    RestoreKey,
    /// Keys of another system were taken over.
    ImportKey,
    /// A secret was shown that two organizations have imported.
    UseContestedSecret,
    /// A secret was shown after its end.
    UseEndedSecret,
    /// An organization was made.
    CreateOrganization,
    /// Settings of an organization changed.
    UpdateOrganization,
    /// An organization was suspended.
    SuspendOrganization,
    /// A suspension was ended.
    ResumeOrganization,
    /// An organization was removed with everything in it.
    DeleteOrganization,
    /// A user became a member.
    AddMember,
    /// What a member may do changed.
    UpdateMember,
    /// A user is no member any more.
    RemoveMember,
    /// A permission set was made.
    CreateSet,
    /// A permission set changed.
    UpdateSet,
    /// A permission set was removed.
    DeleteSet,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::SignUp,
        Self::Bootstrap,
        Self::CreateKey,
        Self::UpdateKey,
        Self::RotateKey,
        Self::EndSecret,
        Self::DeleteKey,
        Self::RestoreKey,
        Self::ImportKey,
        Self::UseContestedSecret,
        Self::UseEndedSecret,
        Self::CreateOrganization,
        Self::UpdateOrganization,
        Self::SuspendOrganization,
        Self::ResumeOrganization,
        Self::DeleteOrganization,
        Self::AddMember,
        Self::UpdateMember,
        Self::RemoveMember,
        Self::CreateSet,
        Self::UpdateSet,
        Self::DeleteSet,
    ];

    /// Those with this code; with `.` at the end, those whose code begins so.
    #[must_use]
    pub fn matching(text: &str) -> Vec<Self> {
        let is_meant = |action: &Self| action.code() == text || text.ends_with('.') && action.code().starts_with(text);
        Self::ALL.into_iter().filter(is_meant).collect()
    }

    /// The word for programs: what it was done to, and what.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignUp => "organization.sign_up",
            Self::Bootstrap => "organization.bootstrap",
            Self::CreateKey => "api_key.create",
            Self::UpdateKey => "api_key.update",
            Self::RotateKey => "api_key.rotate",
            Self::EndSecret => "api_key.end_secret",
            Self::DeleteKey => "api_key.delete",
            Self::RestoreKey => "api_key.restore",
            Self::ImportKey => "api_key.import",
            Self::UseContestedSecret => "api_key.use_contested_secret",
            Self::UseEndedSecret => "api_key.use_ended_secret",
            Self::CreateOrganization => "organization.create",
            Self::UpdateOrganization => "organization.update",
            Self::SuspendOrganization => "organization.suspend",
            Self::ResumeOrganization => "organization.resume",
            Self::DeleteOrganization => "organization.delete",
            Self::AddMember => "member.add",
            Self::UpdateMember => "member.update",
            Self::RemoveMember => "member.remove",
            Self::CreateSet => "permission_set.create",
            Self::UpdateSet => "permission_set.update",
            Self::DeleteSet => "permission_set.delete",
        }
    }
}

/// A change of authority, without what it was done to: that is for those who store it to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// In whose log it is.
    pub organization: OrganizationId,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// The permission that allowed it.
    pub permission: Option<Permission>,
    /// From where.
    pub origin: Origin,
    /// When.
    pub at: Timestamp,
}
