//! The errors of the operations, with the data that the API needs to render them. Outages are separate from denied
//! requests.

use std::{error, fmt};

use crate::{
    broken_rule::BrokenRule,
    deny_reason::DenyReason,
    id::{ExternalId, Identity, KeyId, UserId},
    permissions::{Permission, Permissions},
};

/// Why an operation was not executed. Each API contract has an exhaustive match from these to its own statuses and
/// messages.
#[derive(Debug)]
pub enum Error {
    /// The credential is not valid. The reason is for the service log only.
    Unauthenticated(DenyReason),
    /// The caller lacks this permission.
    Forbidden(Permission),
    /// `can_manage` of the caller's key is false.
    CannotManage,
    /// The caller would grant permissions that they do not have.
    ExceedsPermissions,
    /// The caller would grant something for longer than their own key is valid.
    ExceedsExpiry,
    /// The caller would grant something that may be used from networks from which their own key may not be used.
    ExceedsAddresses,
    /// The key would expire before it becomes valid.
    NeverValid,
    /// The key, or a key with the permission set, would break these rules: at least one.
    KeyPolicyViolated(Vec<BrokenRule>),
    /// As [`Error::KeyPolicyViolated`], for the key with this index in the list of the request.
    ListedKeyViolatesPolicy(usize, Vec<BrokenRule>),
    /// The request names no organization, and the user has accepted no membership, or several.
    NoOrganization,
    /// The caller is authenticated by an identity provider, but no organization has them as a member.
    UnknownPerson(Box<UnknownPerson>),
    /// The invitation or recovery link is unknown, expired, revoked or redeemed: these are not distinguished.
    InvitationNotFound,
    /// The link of a portal session is unknown, expired, revoked or opened, or its session is not valid any more: these are not
    /// distinguished.
    PortalLinkNotFound,
    /// The request has no token of a portal session that is valid now.
    PortalSessionRequired,
    /// The portal session does not allow the action with this code.
    PortalActionNotAllowed(&'static str),
    /// Only a person can do this, and the caller has a key.
    PersonRequired,
    /// Only an API key can do this, and the caller is a person.
    KeyRequired,
    /// The identity provider of the person may not log users in to the organization, or their token is for another one.
    ProviderNotAllowed,
    /// The response of an authenticator is not accepted: its ceremony has expired or was used, the passkey is unknown, or the
    /// response is not valid. These are not distinguished.
    PasskeyRejected,
    /// Only a person who signs in with a passkey can do this.
    PasskeyAccountRequired,
    /// It is the only passkey of the account, which would have none.
    LastPasskey,
    /// The account has reached its maximum number of passkeys.
    TooManyPasskeys,
    /// The credential cannot be exchanged for a session or a token.
    NotExchangeable(NotExchangeable),
    /// A session cannot rotate the key that it was created with: it would receive the new secret.
    SessionRotatesItself,
    /// In a session, this needs a sign-in within the last 10 minutes.
    FreshSignInRequired,
    /// The key, or its organization, has unexpired tokens with too many different permissions.
    TooManyTokens,
    /// It does not exist, or the caller has no access to it: the two are not distinguished.
    NotFound,
    /// The user is not a member of the organization.
    UserNotFound,
    /// A permission set does not exist in the organization.
    SetNotFound,
    /// Only the platform can do this.
    PlatformOnly,
    /// The platform organization cannot be suspended or deleted.
    PlatformProtected,
    /// The name is in use in the organization.
    NameTaken,
    /// Another organization has this external id.
    ExternalIdTaken,
    /// The user is a member already.
    AlreadyMember,
    /// The organization must keep a member with all permissions.
    LastAdmin,
    /// Keys or members have the permission set.
    InUse,
    /// The organization has reached its maximum number of these.
    CapReached(Capped),
    /// This key or member would have more than [`Permissions::MAX_EFFECTIVE`] permissions, including those of its
    /// permission sets.
    TooManyPermissions(Grantee),
    /// A limit per period, or on simultaneously existing objects, is reached.
    TooMany {
        /// What is limited.
        what: Limited,
        /// Seconds to wait before the next attempt, at least 1.
        retry_after: u64,
    },
    /// A refill needs both an amount and an interval; this one is missing.
    RefillWithout(RefillPart),
    /// A request with the same idempotency key is in progress, or its response was lost.
    IdempotentRequestInProgress,
    /// The request with this idempotency key was executed, but its response was too large to store.
    IdempotentResponseNotStored,
    /// The idempotency key was used with a different body.
    IdempotencyKeyReused,
    /// The organization has imported or supplied secrets with too many different formats.
    TooManyKeyFormats,
    /// A previous secret of the key is still valid, and the newest one was used.
    RotationInProgress,
    /// The newest secret of the key was used, so that its rotation cannot be undone.
    NewestSecretUsed,
    /// The key has no previous secret that is valid.
    NoPreviousSecret,
    /// A key of the organization has or had the supplied secret.
    SecretInUse,
    /// The object has another version than the caller requires, or has no versions.
    VersionMismatch,
    /// The change was repeatedly in conflict with simultaneous changes, so it was not executed.
    ConcurrentChanges,
    /// The update sets no field.
    NothingToChange,
    /// A user has signed up with this e-mail address.
    EmailTaken,
    /// The platform organization exists.
    PlatformExists,
    /// The operation could not be executed: a dependency is not available, or there is a defect.
    Outage(Outage),
}

/// Why a credential cannot be exchanged for a session or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExchangeable {
    /// A session was sent to create a session.
    SessionForSession,
    /// A session was sent to create a token.
    SessionForToken,
    /// A token of an identity provider was sent to create a token.
    NotAKey,
    /// The key has a usage limit or rate limit: uses of its tokens would not be counted.
    Metered,
    /// The key has an IP allowlist: it would not be checked for its tokens.
    HasAddresses,
    /// The key belongs to the platform organization.
    Platform,
}

/// The key or member that would have too many permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// The key or member of the request.
    Requested,
    /// A key that has the permission set of the request.
    Key(KeyId),
    /// A member who has the permission set of the request.
    Member(UserId),
}

impl fmt::Display for Grantee {
    /// Writes the subject of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("The API key or member"),
            Self::Key(key) => write!(f, "The API key {key}"),
            Self::Member(user) => write!(f, "The member {user}"),
        }
    }
}

/// What [`Error::TooMany`] limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Changes of an organization per hour.
    Changes,
    /// Idempotency keys per hour, of an organization or of all.
    IdempotencyKeys,
    /// Unexpired token groups of all organizations.
    Tokens,
    /// Management requests of an organization per second.
    Requests,
    /// Requests of a portal session per second.
    PortalRequests,
}

/// The two parts of a refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillPart {
    /// The value that a refill sets `remaining` to.
    Amount,
    /// The time between two refills.
    Interval,
}

/// An operation could not be executed, and it is not known whether it would be allowed.
#[derive(Debug)]
pub enum Outage {
    /// A dependency (the database, an identity provider) is not reachable or overloaded. The same request may succeed
    /// later.
    Unavailable(Box<dyn error::Error + Send + Sync>),
    /// A defect that a retry does not solve: a bug, or a row that violates an invariant.
    Broken(Box<dyn error::Error + Send + Sync>),
}

impl From<Outage> for Error {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage)
    }
}

impl fmt::Display for Error {
    /// For the service log and the command line. API contracts have their own messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated(reason) => write!(f, "authentication failed: {reason:?}"),
            Self::Forbidden(permission) => write!(f, "the caller lacks the permission {permission}"),
            Self::CannotManage => f.write_str("the key cannot manage this service"),
            Self::ExceedsPermissions => f.write_str("the caller would grant permissions that it does not hold"),
            Self::ExceedsExpiry => f.write_str("the key would be valid for longer than the key of the caller"),
            Self::ExceedsAddresses => {
                f.write_str("the key could be used from more addresses than the key of the caller")
            }
            Self::NeverValid => f.write_str("the key would expire before it becomes valid"),
            Self::KeyPolicyViolated(broken) => {
                write!(f, "the key would break rules of the key policy: {}", rule_names(broken))
            }
            Self::ListedKeyViolatesPolicy(index, broken) => {
                write!(f, "keys[{index}] would break rules of the key policy: {}", rule_names(broken))
            }
            Self::NoOrganization => {
                f.write_str("the caller has no accepted membership, or several, and the request names no organization")
            }
            Self::UnknownPerson(_) => f.write_str("no organization has the person as a member"),
            Self::PortalLinkNotFound => f.write_str("no such link of a portal session, or it is no longer valid"),
            Self::PortalSessionRequired => f.write_str("no token of a valid portal session"),
            Self::PortalActionNotAllowed(action) => write!(f, "the portal session does not allow {action}"),
            Self::InvitationNotFound => f.write_str("no such invitation, or it is no longer valid"),
            Self::PersonRequired => f.write_str("only a person can do this"),
            Self::KeyRequired => f.write_str("only an API key can do this"),
            Self::ProviderNotAllowed => {
                f.write_str("the person's identity provider or token does not allow the organization")
            }
            Self::PasskeyRejected => f.write_str("the response of the authenticator is not accepted"),
            Self::PasskeyAccountRequired => f.write_str("only a person who signs in with a passkey can do this"),
            Self::LastPasskey => f.write_str("it is the only passkey of the account"),
            Self::TooManyPasskeys => f.write_str("the account has reached its maximum number of passkeys"),
            Self::NotExchangeable(cause) => write!(f, "the credential cannot be exchanged: {cause:?}"),
            Self::SessionRotatesItself => f.write_str("a session cannot rotate the key that it was created with"),
            Self::FreshSignInRequired => f.write_str("the session needs a new sign-in for this"),
            Self::TooManyTokens => f.write_str("there are unexpired tokens with too many different permissions"),
            Self::NotFound => f.write_str("not found, or the caller has no access"),
            Self::UserNotFound => f.write_str("no such member"),
            Self::SetNotFound => f.write_str("no such permission set"),
            Self::PlatformOnly => f.write_str("only platform callers can do this"),
            Self::PlatformProtected => f.write_str("the platform organization cannot be suspended or deleted"),
            Self::NameTaken => f.write_str("the name is already in use"),
            Self::ExternalIdTaken => f.write_str("the external id is already in use"),
            Self::AlreadyMember => f.write_str("the user is already a member"),
            Self::LastAdmin => f.write_str("the organization must keep a member with all permissions"),
            Self::InUse => f.write_str("keys or members have this permission set"),
            Self::CapReached(what) => write!(f, "the organization has reached its maximum number of {what:?}"),
            Self::TooManyPermissions(grantee) => {
                write!(f, "{grantee} would hold more than {} permissions", Permissions::MAX_EFFECTIVE)
            }
            Self::TooMany { what, .. } => write!(f, "the maximum number of {what:?} is reached for now"),
            Self::RefillWithout(part) => write!(f, "a refill without its {part:?}"),
            Self::IdempotentRequestInProgress => f.write_str("a request with the same idempotency key is in progress"),
            Self::IdempotentResponseNotStored => {
                f.write_str("the request was executed, but its response was too large to store")
            }
            Self::IdempotencyKeyReused => f.write_str("the idempotency key was used with a different body"),
            Self::TooManyKeyFormats => {
                f.write_str("the organization has imported or supplied secrets with too many different formats")
            }
            Self::RotationInProgress => f.write_str("a previous secret of the key is still valid"),
            Self::NewestSecretUsed => f.write_str("the newest secret of the key was used"),
            Self::NoPreviousSecret => f.write_str("the key has no previous secret that is valid"),
            Self::SecretInUse => f.write_str("a key of the organization has the secret"),
            Self::VersionMismatch => f.write_str("the object has another version, or none"),
            Self::ConcurrentChanges => f.write_str("other requests changed the same data at the same time"),
            Self::NothingToChange => f.write_str("the update changes nothing"),
            Self::EmailTaken => f.write_str("a user with this e-mail address exists"),
            Self::PlatformExists => f.write_str(
                "the platform organization already exists; `claviger bootstrap --again` prints another root key",
            ),
            Self::Outage(outage) => outage.fmt(f),
        }
    }
}

impl error::Error for Error {}

impl Error {
    /// The same error, for a key with this index in the list of the request.
    pub(crate) fn of_listed_key(self, index: usize) -> Self {
        match self {
            Self::KeyPolicyViolated(broken) => Self::ListedKeyViolatesPolicy(index, broken),
            other => other,
        }
    }
}

fn rule_names(broken: &[BrokenRule]) -> String {
    let rules: Vec<&str> = broken.iter().map(|broken| broken.violation.rule().code()).collect();
    rules.join(", ")
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(source) => write!(f, "unavailable: {source}"),
            Self::Broken(source) => write!(f, "broken: {source}"),
        }
    }
}

impl error::Error for Outage {}

/// The objects that have a maximum number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capped {
    /// API keys.
    Keys,
    /// Members.
    Members,
    /// Permission sets.
    Sets,
    /// Open invitations and recovery links.
    Invitations,
    /// Trust rules.
    TrustRules,
    /// Portal sessions that have not expired.
    PortalSessions,
    /// The keys of the customer of a portal session.
    PortalKeys,
    /// The keys of that customer, with those that were deleted within the last hour.
    PortalKeysOfHour,
}

/// An authenticated user who is a member of no organization: what an administrator has to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPerson {
    /// The issuer and subject.
    pub identity: Identity,
    /// The external id that the provider names, if the provider may send users to no organization that has it.
    pub organization: Option<ExternalId>,
}
