//! The context of an audited action: the caller, the permission that allowed it, and the request. It is stored in the
//! transaction of the action itself.

use std::net::IpAddr;

use crate::{
    clock::Timestamp,
    coded_enum::coded_enum,
    id::{KeyId, OrganizationId, SessionId, UserId},
    permissions::Permission,
};

/// The request that an action belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The IP address of the client. `None`: not known.
    pub client: Option<IpAddr>,
    /// The request id, as it is in the service log. `None`: the action does not belong to a request.
    pub request_id: Option<Box<str>>,
    /// The session of the request. `None`: the request was not made in a session.
    pub session: Option<SessionId>,
    /// The idempotency key of the request. `None`: the request has none.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// An idempotency key: a request with it is executed once, however often it is sent
/// (draft-ietf-httpapi-idempotency-key-header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The hash of the caller, the operation and the `Idempotency-Key` header. It is equal for all repetitions.
    pub scope: [u8; 32],
    /// The hash of the request body. A repetition with another body is rejected.
    pub body: [u8; 32],
    /// The number of idempotency keys that an organization may use in an hour, including this one.
    pub max_per_hour: u64,
}

/// The caller who did an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// An API key, and the user that it belongs to. `None`: the key belongs to an organization.
    Key(KeyId, Option<UserId>),
    /// A user without a key: at sign-up, or authenticated by an identity provider.
    User(UserId),
    /// The operator, on the command line; or the service itself, when it disables a key by a policy.
    Operator,
    /// An unauthenticated caller.
    Unknown,
}

coded_enum! {
    /// An audited action.
    pub enum Action {
        /// A user signed up: an organization and its first member were created, and, unless they have a passkey, a key.
        SignUp = "organization.sign_up",
        /// The platform organization was created.
        Bootstrap = "organization.bootstrap",
        /// Keys were created.
        CreateKey = "api_key.create",
        /// Settings of a key changed.
        UpdateKey = "api_key.update",
        /// `can_manage` of a key became true; other settings may have changed, too.
        AllowManagement = "api_key.allow_management",
        /// `can_manage` of a key became false; other settings may have changed, too.
        DenyManagement = "api_key.deny_management",
        /// The secret of a key was rotated.
        RotateKey = "api_key.rotate",
        /// The rotation of a key was undone.
        UndoRotation = "api_key.undo_rotation",
        /// The previous secret of a key was revoked.
        RevokePreviousSecret = "api_key.end_secret",
        /// The worker disabled a key because its secret was not rotated in time: see the key policy.
        DisableUnrotatedKey = "api_key.disable_unrotated",
        /// The worker disabled a key because it was neither used nor changed for too long: see the key policy.
        DisableUnusedKey = "api_key.disable_unused",
        /// A key was deleted.
        DeleteKey = "api_key.delete",
        /// A deleted key was restored.
        RestoreKey = "api_key.restore",
        /// Keys of another system were imported.
        ImportKey = "api_key.import",
        /// A secret was used that several organizations have imported.
        UseContestedSecret = "api_key.use_contested_secret",
        /// An expired or revoked secret was used.
        UseExpiredSecret = "api_key.use_ended_secret",
        /// A key was used as a credential.
        Authenticate = "api_key.authenticate",
        /// All keys were listed in one request.
        ExportKeys = "api_key.export",
        /// A session was created.
        OpenSession = "session.open",
        /// A session was ended.
        CloseSession = "session.close",
        /// An access token was issued.
        CreateToken = "token.create",
        /// The access tokens of a token group were revoked.
        RevokeToken = "token.revoke",
        /// An organization was created.
        CreateOrganization = "organization.create",
        /// Settings of an organization changed.
        UpdateOrganization = "organization.update",
        /// An organization was suspended.
        SuspendOrganization = "organization.suspend",
        /// The suspension of an organization was lifted.
        ResumeOrganization = "organization.resume",
        /// An organization was deleted.
        DeleteOrganization = "organization.delete",
        /// A deleted organization was restored.
        RestoreOrganization = "organization.restore",
        /// All sessions of a key, user or member were ended, or all except that of the request.
        EndSessions = "session.end_all",
        /// A member was added.
        AddMember = "member.add",
        /// Permissions of a member changed.
        UpdateMember = "member.update",
        /// A member was removed, or left.
        RemoveMember = "member.remove",
        /// A user accepted a membership.
        AcceptMembership = "member.accept",
        /// An invitation was created.
        CreateInvitation = "invitation.create",
        /// An invitation was revoked.
        RevokeInvitation = "invitation.revoke",
        /// An invitation was redeemed: a member was added, too.
        RedeemInvitation = "invitation.redeem",
        /// A recovery link for a member was created.
        CreateRecoveryLink = "recovery_link.create",
        /// A recovery link for a member was revoked.
        RevokeRecoveryLink = "recovery_link.revoke",
        /// A recovery link was redeemed: the member has another identity to log in with.
        RedeemRecoveryLink = "recovery_link.redeem",
        /// A person registered a passkey.
        RegisterPasskey = "passkey.register",
        /// A person renamed a passkey.
        RenamePasskey = "passkey.rename",
        /// A person removed a passkey.
        RemovePasskey = "passkey.remove",
        /// A permission set was created.
        CreateSet = "permission_set.create",
        /// A permission set changed.
        UpdateSet = "permission_set.update",
        /// A permission set was deleted.
        DeleteSet = "permission_set.delete",
        /// A trust rule was created.
        CreateTrustRule = "trust_rule.create",
        /// A trust rule changed.
        UpdateTrustRule = "trust_rule.update",
        /// A trust rule was deleted.
        DeleteTrustRule = "trust_rule.delete",
        /// The settings of the portal changed.
        UpdatePortal = "portal.update",
        /// A portal session was created for a customer.
        CreatePortalSession = "portal_session.create",
        /// The link of a portal session was opened.
        OpenPortalSession = "portal_session.open",
        /// A customer signed out of the portal.
        ClosePortalSession = "portal_session.close",
        /// A portal session was revoked.
        RevokePortalSession = "portal_session.revoke",
        /// A token of an identity provider was exchanged for an access token by a trust rule.
        ExchangeToken = "trust_rule.exchange",
    }
}

impl Action {
    /// The actions with this code. If the text ends with `.`: all actions whose code begins with it.
    #[must_use]
    pub fn matching(text: &str) -> Vec<Self> {
        let is_meant = |action: &Self| action.code() == text || text.ends_with('.') && action.code().starts_with(text);
        Self::ALL.into_iter().filter(is_meant).collect()
    }
}

/// The context of an audited action. The target is not part of it: the code that stores the event adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditContext {
    /// The organization whose log the event is written to.
    pub organization: OrganizationId,
    /// The caller who did it.
    pub actor: Actor,
    /// The action.
    pub action: Action,
    /// The permission that allowed the action. `None`: it requires none.
    pub permission: Option<Permission>,
    /// The request.
    pub origin: RequestContext,
    /// When the action was done (UTC).
    pub at: Timestamp,
}
