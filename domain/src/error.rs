//! What can go wrong, as data: refusals with what a contract needs to explain them, and outages.

use std::{error, fmt};

use crate::{
    id::{KeyId, UserId},
    organization::Capped,
    permission::{Permission, PermissionSet},
    refusal::Refusal,
};

/// A use case did not happen. Closed on purpose: every contract says in its own words what each one means.
#[derive(Debug)]
pub enum Error {
    /// The shown key is not good; why is for the log alone.
    Unauthenticated(Refusal),
    /// The caller lacks this permission.
    Forbidden(Permission),
    /// The caller would hand out more than they hold.
    ExceedsGrants,
    /// A key would make a key that outlives it.
    ExceedsExpiry,
    /// A key that may be used from some addresses would make one that may be used from others.
    ExceedsAddresses,
    /// A key that is expired before its time comes.
    NeverValid,
    /// A user who is a member of several organizations, or of none, and has named none.
    NoOrganization,
    /// A session opens no other, and only the text of some keys can be turned into a token.
    NotExchangeable,
    /// A key, or its organization, has live tokens with too many different permissions.
    TooManyTokens,
    /// No such thing, or not in the caller's reach: the two are not told apart.
    NotFound,
    /// The user who is to own a key is not a member of the organization.
    UserNotFound,
    /// A permission set that is not one of the organization's.
    SetNotFound,
    /// Only the platform may do this.
    PlatformOnly,
    /// The platform organization is neither suspended nor removed.
    PlatformStays,
    /// Another one has this name or external id.
    NameTaken,
    /// The user is a member already.
    AlreadyMember,
    /// Nobody would be left who may do everything in the organization.
    LastAdmin,
    /// Keys or members have this permission set.
    InUse,
    /// The organization has as many as it may have.
    CapReached(Capped),
    /// With the permissions of all of its sets, this one would hold more than [`PermissionSet::MAX_EFFECTIVE`].
    TooManyPermissions(Grantee),
    /// The organization is managed more often than it may be.
    TooManyRequests {
        /// Seconds until another request is heard, at least one.
        retry_after: u64,
    },
    /// There was as much of this as there may be for now.
    TooMany {
        /// Of what.
        what: Limited,
        /// Seconds until there may be more.
        retry_after: u64,
    },
    /// A refill needs both an amount and an interval; this one is missing.
    RefillWithout(RefillPart),
    /// The same request is being done, or was, and its answer is lost.
    InFlight,
    /// The same request was done, and its answer was too large to be kept.
    AnswerNotKept,
    /// A request that is to be done once was sent before, saying something else.
    OtherBody,
    /// Secrets of very many different shapes were imported.
    TooManyShapes,
    /// An older secret of the key goes on.
    StillRotating,
    /// The key has another version than the caller knows.
    VersionMismatch,
    /// An update that changes nothing.
    NothingToChange,
    /// A user with this e-mail address exists.
    EmailTaken,
    /// There is a platform organization already.
    PlatformExists,
    /// The world failed.
    Outage(Outage),
}

/// What would hold too many permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// The key or member that the request is about.
    Requested,
    /// This key has the permission set that the request is about.
    Key(KeyId),
    /// This member has it.
    Member(UserId),
}

impl fmt::Display for Grantee {
    /// The subject of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("The API key or member"),
            Self::Key(key) => write!(f, "The API key {key}"),
            Self::Member(user) => write!(f, "The member {user}"),
        }
    }
}

/// What there may be only so much of at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Changes of an organization in an hour.
    Changes,
    /// `Idempotency-Key`s of an organization in an hour, or of all.
    IdempotencyKeys,
    /// Live token families of all organizations.
    Tokens,
}

/// The two parts of a refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillPart {
    /// How much.
    Amount,
    /// How often.
    Interval,
}

/// The world failed us: nothing is known about the question that was asked.
#[derive(Debug)]
pub enum Outage {
    /// What the answer depends on (the database, an identity provider) cannot be reached or is too busy; the same question may
    /// get an answer later.
    Unavailable(Box<dyn error::Error + Send + Sync>),
    /// Something is broken that waiting does not mend: a bug, or a row that breaks our own rules.
    Broken(Box<dyn error::Error + Send + Sync>),
}

impl From<Outage> for Error {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage)
    }
}

impl fmt::Display for Error {
    /// For the log and the operator; contracts have words of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated(reason) => write!(f, "the key is not good: {reason:?}"),
            Self::Forbidden(permission) => write!(f, "the caller lacks {permission}"),
            Self::ExceedsGrants => f.write_str("the caller would hand out more than they hold"),
            Self::ExceedsExpiry => f.write_str("the new key would outlive the key that makes it"),
            Self::ExceedsAddresses => {
                f.write_str("the key could be used from more addresses than the key that makes it")
            }
            Self::NeverValid => f.write_str("the key is expired before its time comes"),
            Self::NoOrganization => f.write_str("the caller acts in no organization"),
            Self::NotExchangeable => f.write_str("the credential cannot be turned into another"),
            Self::TooManyTokens => f.write_str("there are live tokens with too many different permissions"),
            Self::NotFound => f.write_str("no such thing in the caller's reach"),
            Self::UserNotFound => f.write_str("no such member"),
            Self::SetNotFound => f.write_str("no such permission set"),
            Self::PlatformOnly => f.write_str("only the platform may do this"),
            Self::PlatformStays => f.write_str("the platform is neither suspended nor removed"),
            Self::NameTaken => f.write_str("the name or external id is taken"),
            Self::AlreadyMember => f.write_str("the user is a member already"),
            Self::LastAdmin => f.write_str("nobody would be left who may do everything"),
            Self::InUse => f.write_str("keys or members have this permission set"),
            Self::CapReached(what) => write!(f, "the organization has as many {what:?} as it may have"),
            Self::TooManyPermissions(grantee) => {
                write!(f, "{grantee} would hold more than {} permissions", PermissionSet::MAX_EFFECTIVE)
            }
            Self::TooManyRequests { .. } => f.write_str("the organization is managed too often"),
            Self::TooMany { what, .. } => write!(f, "there are as many {what:?} as there may be for now"),
            Self::RefillWithout(part) => write!(f, "a refill without its {part:?}"),
            Self::InFlight => f.write_str("the same request is being done"),
            Self::AnswerNotKept => f.write_str("the request was done, and its answer was too large to be kept"),
            Self::OtherBody => f.write_str("the same request said something else before"),
            Self::TooManyShapes => f.write_str("secrets of too many shapes were imported"),
            Self::StillRotating => f.write_str("an older secret of the key goes on"),
            Self::VersionMismatch => f.write_str("the key has another version"),
            Self::NothingToChange => f.write_str("an update that changes nothing"),
            Self::EmailTaken => f.write_str("a user with this email address exists"),
            Self::PlatformExists => f.write_str("there is a platform organization already"),
            Self::Outage(outage) => outage.fmt(f),
        }
    }
}

impl error::Error for Error {}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(source) => write!(f, "unavailable: {source}"),
            Self::Broken(source) => write!(f, "broken: {source}"),
        }
    }
}

impl error::Error for Outage {}
