//! JSON ↔ domain for members and permission sets.

use domain::{
    auth::federation::FederatedLogin,
    change::Change,
    id::{Identity, SetId},
    organizations::{
        MemberIdentifier, MemberPatch, NewMember, NewSet, SetPatch,
        permission_set::{PermissionSet, SetHolders, SetName},
        user::{Email, User, UserName, UserOrigin},
    },
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{Nullable, Patch, Replace},
    rfc3339::Rfc3339,
    strict_json::document,
};
use crate::routes::{
    fields::{permissions, sets},
    organizations::key_policy::{
        self,
        dto::{KeyPolicyBody, KeyPolicyView},
    },
};

/// How a user joined the organization.
#[derive(Enum)]
#[oai(rename = "UserOrigin", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// By signing up with the organization.
    SignUp,
    /// Added by e-mail address.
    Invited,
    /// Known by an identity provider.
    IdentityProvider,
}

impl From<UserOrigin> for Origin {
    fn from(origin: UserOrigin) -> Self {
        match origin {
            UserOrigin::SignUp => Self::SignUp,
            UserOrigin::Invited => Self::Invited,
            UserOrigin::IdentityProvider => Self::IdentityProvider,
        }
    }
}

/// A user with permissions in an organization. A user belongs to one organization: a person in several organizations
/// has a different id in each.
#[derive(Object)]
#[oai(rename = "Member")]
pub(crate) struct MemberView {
    /// Unique identifier.
    user_id: Uuid,
    /// Name.
    user_name: String,
    /// E-mail address, as given or as reported by the identity provider.
    user_email: Nullable<String>,
    /// Whether the e-mail address is verified. Always `false`: this service does not verify addresses.
    email_verified: bool,
    /// How the user joined the organization.
    origin: Origin,
    /// Permissions. Together with the permission sets they also limit the member's keys.
    permissions: Vec<String>,
    /// Ids of the attached permission sets.
    permission_sets: Vec<Uuid>,
    /// Time of joining.
    created_at: Rfc3339,
}

impl From<&User> for MemberView {
    fn from(user: &User) -> Self {
        Self {
            user_id: user.id.uuid(),
            user_name: user.name.as_str().to_owned(),
            user_email: Nullable(user.email().map(ToOwned::to_owned)),
            email_verified: false,
            origin: Origin::from(user.origin),
            permissions: user.permissions.flat(),
            permission_sets: user.sets.iter().map(|set| set.uuid()).collect(),
            created_at: Rfc3339(user.created_at),
        }
    }
}

document! {
    /// A member to add: `user_name` with `user_email`, or with `issuer` and `subject`.
    #[oai(rename = "AddMemberRequest", skip_serializing_if_is_none)]
    pub(crate) struct AddMember {
        /// A field of earlier versions. It is rejected with a message that says what to send instead.
        #[oai(skip)]
        user_id: Option<String>,
        /// E-mail address. Members of an organization who were added by e-mail address have different addresses.
        user_email: Option<String>,
        /// Name: 1 to 100 characters.
        user_name: Option<String>,
        /// The identity provider of the user: `iss` of its tokens. It must be configured for this organization.
        issuer: Option<String>,
        /// The identifier of the user at the identity provider: `sub`, or the configured claim.
        subject: Option<String>,
        /// Permissions. May be empty.
        permissions: Vec<String>,
        /// Ids of permission sets to attach: at most 16.
        permission_sets: Option<Vec<String>>,
    }
}

impl AddMember {
    pub(crate) fn into_domain(self, federation: &FederatedLogin) -> Result<NewMember, ApiError> {
        let mut fields = Fields::default();
        let permissions = fields.check("permissions", permissions(&self.permissions));
        let sets = sets(&mut fields, self.permission_sets);
        let email = fields.check_optional("user_email", self.user_email.as_deref().map(Email::parse));
        let name = fields.check_optional("user_name", self.user_name.as_deref().map(UserName::parse));
        let identity = match (self.issuer, self.subject) {
            (None, None) => None,
            (issuer, subject) => {
                let (issuer, subject) = (issuer.unwrap_or_default(), subject.unwrap_or_default());
                if !federation.trusts(&issuer) {
                    fields.add("issuer", "must be a configured identity provider");
                }
                if !Identity::is_name(&subject) {
                    fields.add("subject", "must be 1 to 255 bytes, without control characters");
                }
                Some(Identity { issuer, subject })
            }
        };
        if self.user_id.is_some() {
            let instead = "send user_name with user_email, or with issuer and subject";
            fields.add(
                "user_id",
                format_args!("is not supported, because a user belongs to one organization; {instead}"),
            );
        }
        let who = match (email, identity, name) {
            (Some(email), None, Some(name)) => Some(MemberIdentifier::Email(email, name)),
            (None, Some(identity), Some(name)) => Some(MemberIdentifier::Identity(identity, name)),
            _ => None,
        };
        if who.is_none() && fields.is_empty() {
            fields.add("user_email", "is required with user_name, or else issuer and subject with user_name");
        }
        match (who, permissions) {
            (Some(who), Some(permissions)) if fields.is_empty() => Ok(NewMember { identifier: who, permissions, sets }),
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

document! {
    /// Changes of a member: at least one. Absent fields are unchanged; `null` clears a field.
    #[oai(rename = "UpdateMemberRequest")]
    pub(crate) struct UpdateMember {
        /// Permissions; null: none.
        permissions: Patch<Vec<String>>,
        /// Ids of the attached permission sets; null: none.
        permission_sets: Patch<Vec<String>>,
    }
}

impl UpdateMember {
    pub(crate) fn into_domain(self) -> Result<MemberPatch, ApiError> {
        let mut fields = Fields::default();
        let permissions = fields.check_optional("permissions", new_list(self.permissions).as_deref().map(permissions));
        let sets = new_list(self.permission_sets).map(|strings| sets(&mut fields, Some(strings)));
        fields.into_result()?;
        Ok(MemberPatch { permissions, sets })
    }
}

/// The list that a change sets: `null` is the empty list. `None`: the list is unchanged.
fn new_list(change: Patch<Vec<String>>) -> Option<Vec<String>> {
    match change.0 {
        Change::Keep => None,
        Change::Clear => Some(Vec::new()),
        Change::Set(list) => Some(list),
    }
}

document! {
    /// The permission sets of a key.
    #[oai(rename = "SetApiKeyPermissionSetsRequest")]
    pub(crate) struct AttachSets {
        /// Ids: at most 16.
        permission_sets: Vec<String>,
    }
}

impl AttachSets {
    pub(crate) fn into_domain(self) -> Result<Vec<SetId>, ApiError> {
        let mut fields = Fields::default();
        let sets = sets(&mut fields, Some(self.permission_sets));
        fields.into_result()?;
        Ok(sets)
    }
}

/// Named permissions that can be attached to keys and members.
#[derive(Object)]
#[oai(rename = "PermissionSet")]
pub(crate) struct SetView {
    /// Unique identifier.
    id: Uuid,
    /// Name, unique in the organization.
    name: String,
    /// The permissions that it grants.
    permissions: Vec<String>,
    /// Key policy that have the set, in addition to that of the organization; null: none.
    key_policy: Nullable<KeyPolicyView>,
    /// Creation time.
    created_at: Rfc3339,
    /// Time of the last change.
    updated_at: Rfc3339,
}

impl From<&PermissionSet> for SetView {
    fn from(set: &PermissionSet) -> Self {
        Self {
            id: set.id.uuid(),
            name: set.name.as_str().to_owned(),
            permissions: set.permissions.flat(),
            key_policy: Nullable(set.key_policy.as_deref().map(KeyPolicyView::from)),
            created_at: Rfc3339(set.created_at),
            updated_at: Rfc3339(set.updated_at),
        }
    }
}

/// How many keys and members have a permission set. Each number is exact up to 10,000; 10,001 means more.
#[derive(Object)]
#[oai(rename = "PermissionSetHolders")]
pub(crate) struct SetHoldersView {
    /// Keys that are not deleted.
    #[oai(validator(maximum(value = "10001")))]
    api_keys: u32,
    /// Members.
    #[oai(validator(maximum(value = "10001")))]
    members: u32,
}

impl From<SetHolders> for SetHoldersView {
    fn from(SetHolders { keys, members }: SetHolders) -> Self {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self { api_keys: number(keys), members: number(members) }
    }
}

document! {
    /// A permission set to create.
    #[oai(rename = "CreatePermissionSetRequest")]
    pub(crate) struct CreateSet {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: String,
        /// The permissions that it grants.
        permissions: Vec<String>,
        /// Key policy that have the set, in addition to that of the organization; default: none.
        #[oai(skip_serializing_if_is_none)]
        key_policy: Option<KeyPolicyBody>,
    }
}

impl CreateSet {
    pub(crate) fn into_domain(self) -> Result<NewSet, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check("name", SetName::parse(&self.name));
        let permissions = fields.check("permissions", permissions(&self.permissions));
        let key_policy = key_policy::dto::check_new(&mut fields, self.key_policy);
        match (name, permissions) {
            (Some(name), Some(permissions)) if fields.is_empty() => Ok(NewSet { name, permissions, key_policy }),
            _ => Err(ApiError::Invalid(fields)),
        }
    }
}

document! {
    /// Changes of a permission set: at least one. Absent fields are unchanged; `null` clears the permissions and the key policy,
    /// and is invalid for the name.
    #[oai(rename = "UpdatePermissionSetRequest")]
    pub(crate) struct UpdateSet {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: Replace<String>,
        /// The permissions that it grants; null: none. A change takes effect at once for all keys and members that have the
        /// set.
        permissions: Patch<Vec<String>>,
        /// Key policy that have the set, instead of the whole policy before; null: none. Existing keys that break it stay
        /// valid.
        key_policy: Patch<KeyPolicyBody>,
    }
}

impl UpdateSet {
    pub(crate) fn into_domain(self) -> Result<SetPatch, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check_optional("name", self.name.0.as_deref().map(SetName::parse));
        let permissions = fields.check_optional("permissions", new_list(self.permissions).as_deref().map(permissions));
        let key_policy = key_policy::dto::check_change(&mut fields, self.key_policy);
        fields.into_result()?;
        Ok(SetPatch { name, permissions, key_policy })
    }
}
