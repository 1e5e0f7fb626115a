//! Users whom an identity provider vouches for: how far it is believed, and what they may do where.

use crate::{
    clock::Timestamp,
    grants::Grants,
    id::{OrganizationId, UserId},
    organization::{Organization, OrganizationKind},
    permission::{Permission, PermissionSet},
    user::{Email, UserName},
};

/// A user as their provider knows them. The address is no part of it: providers let people choose those.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider: `iss` (RFC 7519 §4.1.1).
    pub issuer: String,
    /// The user there.
    pub subject: String,
}

impl Identity {
    /// Whether a text may be an issuer or a subject: 1 to 255 bytes, none a control character.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
    }
}

/// What a provider says about a user, who was proven to be the one it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Who.
    pub identity: Identity,
    /// Their name.
    pub name: Option<UserName>,
    /// Their address, which identifies nobody.
    pub email: Option<Email>,
    /// The only organization that they act in.
    pub organization: Option<OrganizationId>,
    /// The most that they may do there.
    pub permissions: Option<PermissionSet>,
    /// Until when this is said.
    pub expires_at: Timestamp,
}

/// The organizations that a provider may send users to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// All but the platform's.
    Tenants,
    /// These; the platform's only if it is among them.
    These(Vec<OrganizationId>),
}

impl Destinations {
    /// Whether a provider may send users there.
    #[must_use]
    pub fn include(&self, organization: &Organization) -> bool {
        match self {
            Self::Tenants => organization.kind == OrganizationKind::Tenant,
            Self::These(these) => these.contains(&organization.id),
        }
    }
}

/// An identity provider, and how far it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name: `iss`.
    pub name: String,
    /// Where it may send users to.
    pub destinations: Destinations,
    /// Whether users are made when they are first seen; those with some become members, with so much, of the organization
    /// that they are sent to.
    pub newcomers: Newcomers,
    /// Whether its word about permissions stands in place of the membership's, instead of narrowing it.
    pub is_authoritative: bool,
    /// Whether it has to say what a user may do: where it says nothing, they may do nothing. So it is with a provider that is
    /// authoritative, and where the operator has named the claim.
    pub requires_permissions: bool,
}

/// What becomes of users who are seen for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newcomers {
    /// They are refused.
    Refused,
    /// They are made, and are members of nothing.
    Made,
    /// They are made, and are members of the organization that their provider names, with these permissions.
    Members(PermissionSet),
}

impl Issuer {
    /// What a member may do, with what the provider says about it.
    #[must_use]
    pub fn grants(&self, membership: PermissionSet, said: Option<&PermissionSet>) -> Grants {
        match said {
            // Providers leave out a claim that would be empty.
            None if self.requires_permissions || self.is_authoritative => {
                Grants::of_organization(PermissionSet::default())
            }
            None => Grants::of_organization(membership),
            Some(said) if self.is_authoritative => Grants::of_organization(said.clone()),
            Some(said) => Grants::of_user(said.clone(), membership),
        }
    }
}

/// A user's membership in an organization that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The organization.
    pub organization: Organization,
    /// What they may do there, with what their sets give.
    pub permissions: PermissionSet,
}

/// Where a user may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The organization.
    pub organization: Organization,
    /// What they may do there.
    pub grants: Grants,
}

/// A user whom a provider vouches for.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// What was said, for a session to remember.
    pub word: Word,
    /// When a session has to end because what the user may do is the provider's word alone. `None`: it need not.
    pub ends_at: Option<Timestamp>,
    places: Vec<Place>,
    home: Option<usize>,
}

/// What of a provider's word outlives its token, in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The provider.
    pub issuer: String,
    /// The only organization.
    pub organization: Option<OrganizationId>,
    /// The most that the user may do.
    pub permissions: Option<PermissionSet>,
}

impl Person {
    /// A user who may act in these places. They act in the only one there is; in one of several where it is named.
    #[must_use]
    pub fn new(user: UserId, word: Word, places: Vec<Place>) -> Self {
        let home = if places.len() == 1 { Some(0) } else { None };
        Self { user, word, ends_at: None, places, home }
    }

    /// Where they act.
    #[must_use]
    pub fn home(&self) -> Option<&Place> {
        self.home.and_then(|home| self.places.get(home))
    }

    /// Where they may act.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Goes where `organization` is meant and `permission` is needed: as the platform, if that is enough, else as its member.
    pub(crate) fn enter(&mut self, organization: OrganizationId, permission: &Permission) {
        let place = |wanted: &dyn Fn(&Place) -> bool| self.places.iter().position(wanted);
        let is_platform = |place: &Place| place.organization.kind == OrganizationKind::Platform;
        let enough = place(&|place| is_platform(place) && place.grants.allows(permission));
        let member = || place(&|place| place.organization.id == organization);
        self.home = enough.or_else(member).or_else(|| place(&is_platform)).or(self.home);
    }
}
