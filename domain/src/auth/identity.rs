//! Users of identity providers: their verified claims, the settings of the provider, and their memberships.

use crate::{
    auth::effective_permissions::EffectivePermissions,
    clock::Timestamp,
    id::{ExternalId, Identity, OrganizationId, UserId},
    organizations::{
        organization::{Organization, OrganizationKind},
        user::{Email, UserName},
    },
    permissions::{Permission, Permissions},
};

/// The issuer of identities that log in with a passkey of this service, instead of at a provider.
pub const PASSKEY_ISSUER: &str = "urn:claviger:passkey";

/// The claims of a token whose signature, audience and lifetime have been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    /// The provider and the user.
    pub identity: Identity,
    /// The display name. `None`: the provider sent none, or it is not valid.
    pub name: Option<UserName>,
    /// The e-mail address. It is not used as an identifier. `None`: the provider sent none.
    pub email: Option<Email>,
    /// The only organization that the user may act in. `None`: any that they are a member of.
    pub organization: Option<NamedOrganization>,
    /// The upper bound of the user's permissions. `None`: the token has no claim for it.
    pub permissions: Option<Permissions>,
    /// When the token expires (UTC, exclusive).
    pub expires_at: Timestamp,
    /// When the user authenticated at the provider (UTC): the claim `auth_time`, or else `iat`. `None`: the token has
    /// neither.
    pub signed_in_at: Option<Timestamp>,
}

/// How a token names an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedOrganization {
    /// By its id.
    Id(OrganizationId),
    /// By its external id, which only the platform sets.
    ExternalId(ExternalId),
}

/// The organizations that users of a provider may act in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrganizations {
    /// All organizations, including the platform organization.
    All,
    /// All organizations except the platform organization.
    Tenants,
    /// Only these. The platform organization is allowed if it is listed.
    These(Vec<OrganizationId>),
}

impl AllowedOrganizations {
    /// Whether users of the provider may act in this organization.
    #[must_use]
    pub fn include(&self, organization: &Organization) -> bool {
        match self {
            Self::All => true,
            Self::Tenants => organization.kind == OrganizationKind::Tenant,
            Self::These(these) => these.contains(&organization.id),
        }
    }
}

/// A configured identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` claim of its tokens.
    pub name: String,
    /// The organizations that its users may act in.
    pub allowed_organizations: AllowedOrganizations,
    /// What happens to a user who is not a member of the organization that the claims name, or of any organization.
    pub provisioning: ProvisioningPolicy,
    /// Whether the permissions of its tokens replace those of the membership. Otherwise they only limit them.
    pub is_authoritative: bool,
    /// Whether a token must have the claim with permissions: without it the user has none. True for authoritative
    /// providers, and if the operator has configured the name of the claim.
    pub requires_permissions: bool,
}

/// What happens to users who are not a member of any organization yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisioningPolicy {
    /// They are rejected.
    Reject,
    /// They may log in and read their own profile, but act in no organization.
    CreateUser,
    /// They become members of the organization that the claims name, with these permissions (just-in-time
    /// provisioning).
    CreateMember(Permissions),
}

impl Issuer {
    /// The issuer of identities that sign in with a passkey of this service. Organizations add these people by invitations, so
    /// they may act in every organization that they are a member of, and others are refused.
    #[must_use]
    pub fn passkeys() -> Self {
        Self {
            name: PASSKEY_ISSUER.to_owned(),
            allowed_organizations: AllowedOrganizations::All,
            provisioning: ProvisioningPolicy::Reject,
            is_authoritative: false,
            requires_permissions: false,
        }
    }

    /// The effective permissions of a member, given the permissions of the token. `None`: the token has no claim for
    /// them.
    #[must_use]
    pub fn effective_permissions(
        &self,
        membership: Permissions,
        claimed: Option<&Permissions>,
    ) -> EffectivePermissions {
        match claimed {
            // Providers often omit a claim with an empty list.
            None if self.requires_permissions || self.is_authoritative => {
                EffectivePermissions::of_organization(Permissions::default())
            }
            None => EffectivePermissions::of_organization(membership),
            Some(claimed) if self.is_authoritative => EffectivePermissions::of_organization(claimed.clone()),
            Some(claimed) => EffectivePermissions::of_user(claimed.clone(), membership),
        }
    }
}

/// The membership of a federated user in an organization that is not suspended or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveMembership {
    /// The organization.
    pub organization: Organization,
    /// The user in that organization.
    pub user: UserId,
    /// The member's permissions, including those of their permission sets.
    pub permissions: Permissions,
    /// Whether the user has accepted the membership, or was provisioned on login.
    pub is_accepted: bool,
}

/// An organization that a federated user may act in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationAccess {
    /// The organization.
    pub organization: Organization,
    /// The user in that organization.
    pub user: UserId,
    /// The effective permissions there.
    pub effective_permissions: EffectivePermissions,
    /// Whether the user has accepted the membership, or the operator has listed the organization for the provider.
    /// Otherwise the user acts there only in requests that name the organization.
    pub is_accepted: bool,
}

/// A user who was authenticated by an identity provider. They may be a member of any number of organizations.
#[derive(Clone, Debug)]
pub struct FederatedUser {
    /// The claims that a session stores.
    pub claims: SessionClaims,
    /// The latest expiry of a session that is created with the token (UTC). `None`: the request was made in a session,
    /// not with a token.
    pub ends_at: Option<Timestamp>,
    /// When the user authenticated at the provider (UTC), as the token says. `None`: the token does not say it, or the
    /// request was made in a session.
    pub signed_in_at: Option<Timestamp>,
    organizations: Vec<OrganizationAccess>,
    current: Option<usize>,
}

/// The claims that a session stores: they stay valid after the token has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClaims {
    /// The provider and the user.
    pub identity: Identity,
    /// The only organization that the user may act in. `None`: any that they are a member of.
    pub organization: Option<OrganizationId>,
    /// The upper bound of the user's permissions. `None`: the token had no claim for it.
    pub permissions: Option<Permissions>,
}

impl FederatedUser {
    /// A user with these memberships. Their current organization is the one that their claims name, or the only one
    /// that they have accepted. A request may name any other of them.
    #[must_use]
    pub fn new(claims: SessionClaims, organizations: Vec<OrganizationAccess>) -> Self {
        let is_candidate =
            |place: &OrganizationAccess| place.is_accepted || claims.organization == Some(place.organization.id);
        let mut candidates = (0..organizations.len()).filter(|place| is_candidate(&organizations[*place]));
        let current = candidates.next().filter(|_| candidates.next().is_none());
        Self { claims, ends_at: None, signed_in_at: None, organizations, current }
    }

    /// The user in the current organization. `None`: there is no current organization.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.current_organization().map(|current| current.user)
    }

    /// Whether the claims allow the user to act in this organization.
    #[must_use]
    pub fn may_act_in(&self, organization: OrganizationId) -> bool {
        self.claims.organization.is_none_or(|only| only == organization)
    }

    /// The current organization. `None`: there is none until a request names one.
    #[must_use]
    pub fn current_organization(&self) -> Option<&OrganizationAccess> {
        self.current.and_then(|current| self.organizations.get(current))
    }

    /// All organizations that the user may act in, including memberships that they have not accepted.
    #[must_use]
    pub fn organizations(&self) -> &[OrganizationAccess] {
        &self.organizations
    }

    /// Selects the current organization for a request about `organization` that requires `permission`: the platform
    /// organization if the user has the permission there, otherwise `organization`.
    pub(crate) fn select_organization(&mut self, organization: OrganizationId, permission: &Permission) {
        let place = |wanted: &dyn Fn(&OrganizationAccess) -> bool| self.organizations.iter().position(wanted);
        let is_platform = |place: &OrganizationAccess| place.organization.kind == OrganizationKind::Platform;
        let enough = place(&|place| is_platform(place) && place.effective_permissions.allows(permission));
        let member = || place(&|place| place.organization.id == organization);
        self.current = enough.or_else(member).or_else(|| place(&is_platform)).or(self.current);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> OrganizationId {
        OrganizationId::from_uuid(Uuid::from_u128(n))
    }

    fn place(n: u128, is_accepted: bool) -> OrganizationAccess {
        let organization = Organization::new(id(n), None, OrganizationKind::Tenant, Timestamp::from_millis(0));
        OrganizationAccess {
            organization,
            user: UserId::from_uuid(Uuid::from_u128(n)),
            effective_permissions: EffectivePermissions::none(),
            is_accepted,
        }
    }

    fn current(named: Option<u128>, organizations: &[(u128, bool)]) -> Option<OrganizationId> {
        let identity = Identity { issuer: "i".to_owned(), subject: "s".to_owned() };
        let claims = SessionClaims { identity, organization: named.map(id), permissions: None };
        let organizations = organizations.iter().map(|(n, is_accepted)| place(*n, *is_accepted)).collect();
        FederatedUser::new(claims, organizations).current_organization().map(|current| current.organization.id)
    }

    #[test]
    fn the_current_organization_is_accepted_or_named_by_the_provider() {
        assert_eq!(current(None, &[]), None);
        assert_eq!(current(None, &[(1, true)]), Some(id(1)));
        assert_eq!(current(None, &[(1, false)]), None, "it is not accepted");
        assert_eq!(
            current(None, &[(1, true), (2, false), (3, false)]),
            Some(id(1)),
            "memberships that are not accepted do not count"
        );
        assert_eq!(current(None, &[(1, true), (2, true)]), None, "the request must name one");
        assert_eq!(current(Some(2), &[(2, false)]), Some(id(2)), "the provider names it");
    }
}
