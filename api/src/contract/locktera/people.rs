//! JSON ↔ domain for members and permission sets.

use domain::{
    id::SetId,
    identity::Identity,
    organizations::{Joining, MemberPatch, NewMember, NewSet, SetPatch},
    people::People,
    permission_sets::{NamedSet, SetName},
    user::{Email, Member, UserName},
};
use poem_openapi::Object;
use uuid::Uuid;

use super::written::{permissions, sets};
use crate::{
    body::Document,
    failure::{Failure, Fields},
    json::Members,
    time::Moment,
    wire::Nullable,
};

/// A user with what they may do in an organization.
#[derive(Object)]
#[oai(rename = "Member")]
pub(super) struct MemberView {
    /// Who.
    user_id: Uuid,
    /// Their name.
    user_name: String,
    /// Their address, as it was given or as their identity provider says it.
    user_email: Nullable<String>,
    /// What they may do, which with the permission sets also bounds their keys.
    permissions: Vec<String>,
    /// Permission sets that they have besides.
    permission_sets: Vec<Uuid>,
    /// When they joined.
    created_at: Moment,
}

impl From<&Member> for MemberView {
    fn from(Member { user, membership }: &Member) -> Self {
        Self {
            user_id: user.id.uuid(),
            user_name: user.name.as_str().to_owned(),
            user_email: Nullable(user.email().map(ToOwned::to_owned)),
            permissions: membership.permissions.flat(),
            permission_sets: membership.sets.iter().map(|set| set.uuid()).collect(),
            created_at: Moment(membership.created_at),
        }
    }
}

/// A member to be: a user by `user_id`; or by `user_email`, or by `issuer` and `subject`, who is made with `user_name` where
/// there is none.
#[derive(Object)]
#[oai(rename = "AddMember", skip_serializing_if_is_none)]
pub(super) struct AddMember {
    /// A user that there is.
    user_id: Option<String>,
    /// An address.
    user_email: Option<String>,
    /// Their name: 1 to 100 characters.
    user_name: Option<String>,
    /// The identity provider that knows them: `iss` of its tokens.
    issuer: Option<String>,
    /// What it knows them by: `sub`, or the claim that is configured.
    subject: Option<String>,
    /// What they may do. May be empty.
    permissions: Vec<String>,
    /// Permission sets that they have besides: at most 16.
    permission_sets: Option<Vec<String>>,
}

impl Document for AddMember {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let permissions = members.required("permissions");
        let document = Self {
            user_id: members.optional("user_id"),
            user_email: members.optional("user_email"),
            user_name: members.optional("user_name"),
            issuer: members.optional("issuer"),
            subject: members.optional("subject"),
            permissions: permissions.unwrap_or_default(),
            permission_sets: members.optional("permission_sets"),
        };
        members.finish_strictly()?;
        Ok(document)
    }
}

impl AddMember {
    pub(super) fn into_domain(self, people: &People) -> Result<NewMember, Failure> {
        let mut fields = Fields::default();
        let permissions = fields.check("permissions", permissions(&self.permissions));
        let sets = sets(&mut fields, self.permission_sets);
        let email = fields.check_optional("user_email", self.user_email.as_deref().map(Email::parse));
        let name = fields.check_optional("user_name", self.user_name.as_deref().map(UserName::parse));
        let identity = match (self.issuer, self.subject) {
            (None, None) => None,
            (issuer, subject) => {
                let (issuer, subject) = (issuer.unwrap_or_default(), subject.unwrap_or_default());
                if !people.believes(&issuer) {
                    fields.add("issuer", "must be an identity provider that this service believes");
                }
                if !Identity::is_name(&subject) {
                    fields.add("subject", "must be 1 to 255 bytes, none a control character");
                }
                Some(Identity { issuer, subject })
            }
        };
        let who = match (self.user_id, email, identity, name) {
            (Some(id), None, None, None) => Some(Joining::User(id.parse().ok())),
            (None, Some(email), None, Some(name)) => Some(Joining::Address(email, name)),
            (None, None, Some(identity), Some(name)) => Some(Joining::Identity(identity, name)),
            _ => None,
        };
        if who.is_none() && fields.is_empty() {
            fields.add("user_id", "is required, or else user_name with user_email, or with issuer and subject");
        }
        match (who, permissions) {
            (Some(who), Some(permissions)) if fields.is_empty() => Ok(NewMember { who, permissions, sets }),
            _ => Err(Failure::Invalid(fields)),
        }
    }
}

/// What changes of a member; what is absent stays.
#[derive(Object)]
#[oai(rename = "UpdateMember", skip_serializing_if_is_none)]
pub(super) struct UpdateMember {
    /// What they may do.
    permissions: Option<Vec<String>>,
    /// Permission sets that they have besides.
    permission_sets: Option<Vec<String>>,
}

impl Document for UpdateMember {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let document =
            Self { permissions: members.optional("permissions"), permission_sets: members.optional("permission_sets") };
        members.finish_strictly()?;
        Ok(document)
    }
}

impl UpdateMember {
    pub(super) fn into_domain(self) -> Result<MemberPatch, Failure> {
        let mut fields = Fields::default();
        let permissions = fields.check_optional("permissions", self.permissions.as_deref().map(permissions));
        let sets = self.permission_sets.map(|texts| sets(&mut fields, Some(texts)));
        fields.into_result()?;
        Ok(MemberPatch { permissions, sets })
    }
}

/// The permission sets of a key.
#[derive(Object)]
#[oai(rename = "AttachedPermissionSets")]
pub(super) struct AttachSets {
    /// Identifiers: at most 16.
    permission_sets: Vec<String>,
}

impl Document for AttachSets {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let permission_sets = members.required("permission_sets");
        members.finish_strictly()?;
        Ok(Self { permission_sets: permission_sets.unwrap_or_default() })
    }
}

impl AttachSets {
    pub(super) fn into_domain(self) -> Result<Vec<SetId>, Failure> {
        let mut fields = Fields::default();
        let sets = sets(&mut fields, Some(self.permission_sets));
        fields.into_result()?;
        Ok(sets)
    }
}

/// Permissions with a name, for keys and members to have.
#[derive(Object)]
#[oai(rename = "PermissionSet")]
pub(super) struct SetView {
    /// Its identifier.
    id: Uuid,
    /// Its name, once in the organization.
    name: String,
    /// What it gives.
    permissions: Vec<String>,
    /// When it was made.
    created_at: Moment,
    /// When it last changed.
    updated_at: Moment,
}

impl From<&NamedSet> for SetView {
    fn from(set: &NamedSet) -> Self {
        Self {
            id: set.id.uuid(),
            name: set.name.as_str().to_owned(),
            permissions: set.permissions.flat(),
            created_at: Moment(set.created_at),
            updated_at: Moment(set.updated_at),
        }
    }
}

/// A permission set to be made.
#[derive(Object)]
#[oai(rename = "CreatePermissionSet")]
pub(super) struct CreateSet {
    /// Its name: 1 to 100 characters after trimming.
    name: String,
    /// What it gives.
    permissions: Vec<String>,
}

impl Document for CreateSet {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let (name, permissions) = (members.required("name"), members.required("permissions"));
        members.finish_strictly()?;
        Ok(Self { name: name.unwrap_or_default(), permissions: permissions.unwrap_or_default() })
    }
}

impl CreateSet {
    pub(super) fn into_domain(self) -> Result<NewSet, Failure> {
        let mut fields = Fields::default();
        let name = fields.check("name", SetName::parse(&self.name));
        let permissions = fields.check("permissions", permissions(&self.permissions));
        match (name, permissions) {
            (Some(name), Some(permissions)) => Ok(NewSet { name, permissions }),
            _ => Err(Failure::Invalid(fields)),
        }
    }
}

/// What changes of a permission set; what is absent stays.
#[derive(Object)]
#[oai(rename = "UpdatePermissionSet", skip_serializing_if_is_none)]
pub(super) struct UpdateSet {
    /// Its name.
    name: Option<String>,
    /// What it gives, at once to all who have it.
    permissions: Option<Vec<String>>,
}

impl Document for UpdateSet {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let document = Self { name: members.optional("name"), permissions: members.optional("permissions") };
        members.finish_strictly()?;
        Ok(document)
    }
}

impl UpdateSet {
    pub(super) fn into_domain(self) -> Result<SetPatch, Failure> {
        let mut fields = Fields::default();
        let name = fields.check_optional("name", self.name.as_deref().map(SetName::parse));
        let permissions = fields.check_optional("permissions", self.permissions.as_deref().map(permissions));
        fields.into_result()?;
        Ok(SetPatch { name, permissions })
    }
}
