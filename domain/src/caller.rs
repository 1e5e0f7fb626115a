//! Who is calling, and what they may do where.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Once, Origin},
    addresses::AddressList,
    api_key::Creator,
    clock::Timestamp,
    error::Error,
    grants::Grants,
    id::{OrganizationId, UserId},
    identity::Person,
    organization::OrganizationKind,
    permission::Permission,
    reach::Reach,
    snapshot::Snapshot,
};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    /// Where the request came from, for the log of what it changes.
    pub origin: Origin,
}

/// Who calls.
#[derive(Clone, Debug)]
pub enum Who {
    /// The holder of a key that is good.
    Key(Arc<Snapshot>),
    /// A user whom an identity provider vouches for.
    Person(Box<Person>),
}

impl Caller {
    /// The holder of a key.
    #[must_use]
    pub fn holding(key: Arc<Snapshot>) -> Self {
        Self { who: Who::Key(key), origin: Origin::default() }
    }

    /// The same, with a request that is to be done once.
    #[must_use]
    pub fn once(mut self, once: Option<Once>) -> Self {
        self.origin.once = once;
        self
    }

    /// The key that was shown, by itself or by a session.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Snapshot>> {
        match &self.who {
            Who::Key(key) => Some(key),
            Who::Person(_) => None,
        }
    }

    /// The user; `None` for an organization's own key.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match &self.who {
            Who::Key(key) => key.user(),
            Who::Person(person) => Some(person.user),
        }
    }

    /// The organization that the caller acts in.
    ///
    /// # Errors
    /// [`Error::NoOrganization`] for a user who is a member of several or of none, and named none.
    pub fn organization(&self) -> Result<OrganizationId, Error> {
        match &self.who {
            Who::Key(key) => Ok(key.organization()),
            Who::Person(person) => person.home().map(|home| home.organization.id).ok_or(Error::NoOrganization),
        }
    }

    /// Whether the caller acts in every organization.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        let kind = match &self.who {
            Who::Key(key) => Some(key.kind()),
            Who::Person(person) => person.home().map(|home| home.organization.kind),
        };
        kind == Some(OrganizationKind::Platform)
    }

    /// Whether this is the organization that the caller acts in.
    #[must_use]
    pub fn is_at(&self, organization: OrganizationId) -> bool {
        self.organization().is_ok_and(|own| own == organization)
    }

    /// Whether the keys of `organization` are the caller's to ask about.
    #[must_use]
    pub fn sees(&self, organization: OrganizationId) -> bool {
        self.is_platform() || self.is_at(organization)
    }

    /// Whether the log of `organization` is one that what the caller does may be noted in.
    #[must_use]
    pub fn is_known_at(&self, organization: OrganizationId) -> bool {
        let is_member = |person: &Person| person.places().iter().any(|place| place.organization.id == organization);
        self.sees(organization) || matches!(&self.who, Who::Person(person) if is_member(person))
    }

    /// What the caller may do where they act.
    #[must_use]
    pub fn grants(&self) -> Grants {
        match &self.who {
            Who::Key(key) => key.grants(),
            Who::Person(person) => person.home().map_or_else(Grants::none, |home| home.grants.clone()),
        }
    }

    /// Whether the caller may do this where they act.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        match &self.who {
            Who::Key(key) => key.allows(permission),
            Who::Person(person) => person.home().is_some_and(|home| home.grants.allows(permission)),
        }
    }

    /// When what the caller makes has to end. `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.key().and_then(|key| key.ends_at())
    }

    /// Asks that what the caller makes, or gets to hold, ends no later than what they show. `None`: it never ends.
    ///
    /// # Errors
    /// [`Error::ExceedsExpiry`].
    pub fn require_end(&self, end: Option<Timestamp>) -> Result<(), Error> {
        match self.expires_at() {
            Some(own) if end.is_none_or(|end| end > own) => Err(Error::ExceedsExpiry),
            _ => Ok(()),
        }
    }

    /// From where what the caller makes may be used. `None`: from anywhere.
    #[must_use]
    pub fn addresses(&self) -> Option<&AddressList> {
        self.key().and_then(|key| key.addresses())
    }

    /// Asks that what the caller makes, or gets to hold, may be used from no more addresses than what they show. `None`: from
    /// anywhere.
    ///
    /// # Errors
    /// [`Error::ExceedsAddresses`].
    pub fn require_within(&self, addresses: Option<&AddressList>) -> Result<(), Error> {
        match self.addresses() {
            Some(own) if addresses.is_none_or(|addresses| !own.covers(addresses)) => Err(Error::ExceedsAddresses),
            _ => Ok(()),
        }
    }

    /// Who a key says has made it, when this caller makes it.
    #[must_use]
    pub fn creator(&self) -> Creator {
        match &self.who {
            Who::Key(key) => Creator::Key(key.id()),
            Who::Person(person) => Creator::User(person.user),
        }
    }

    /// What the log says about something that this caller did.
    #[must_use]
    pub fn act(
        &self,
        organization: OrganizationId,
        action: Action,
        permission: Option<Permission>,
        at: Timestamp,
    ) -> Act {
        let actor = match &self.who {
            Who::Key(key) => Actor::Key(key.id(), key.user()),
            Who::Person(person) => Actor::User(person.user),
        };
        Act { organization, actor, action, permission, origin: self.origin.clone(), at }
    }

    /// Asks for `permission`, before anything else is looked at: without it every id is forbidden, real or made up.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::NoOrganization`].
    pub fn require(&self, permission: &Permission) -> Result<(), Error> {
        if self.allows(permission) {
            return Ok(());
        }
        self.organization()?;
        Err(Error::Forbidden(permission.clone()))
    }

    /// The caller as they are where `organization` is meant and `permission` is needed: a user acts in any organization that
    /// they are a member of, or as the platform if they are its member.
    fn entering(mut self, organization: OrganizationId, permission: &Permission) -> Self {
        if let Who::Person(person) = &mut self.who {
            person.enter(organization, permission);
        }
        self
    }

    /// The caller as they are in `organization` (`None`: a text that names none), if they hold `permission`; whether they reach
    /// it is another question.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission, whatever the id; [`Error::NotFound`] where nothing is named, or a user acts
    /// elsewhere.
    pub(crate) fn heading_for(
        self,
        organization: Option<OrganizationId>,
        permission: &Permission,
    ) -> Result<(Self, OrganizationId), Error> {
        let caller = match organization {
            Some(organization) => self.entering(organization, permission),
            None => self,
        };
        match caller.require(permission) {
            Err(Error::NoOrganization) if caller.allows_somewhere(permission) => return Err(Error::NotFound),
            Err(Error::NoOrganization) => return Err(Error::Forbidden(permission.clone())),
            required => required?,
        }
        Ok((caller, organization.ok_or(Error::NotFound)?))
    }

    /// Whether a user who acts nowhere yet may do this anywhere.
    fn allows_somewhere(&self, permission: &Permission) -> bool {
        match &self.who {
            Who::Key(key) => key.allows(permission),
            Who::Person(person) => person.places().iter().any(|place| place.grants.allows(permission)),
        }
    }
}

/// A caller who was found to hold a permission over some keys.
///
/// Use cases take one of these, so they cannot be reached without [`crate::keys::Keys`] having been asked.
#[derive(Clone, Debug)]
pub struct Authority {
    caller: Caller,
    reach: Reach,
    permission: Permission,
}

impl Authority {
    pub(crate) fn new(caller: Caller, reach: Reach, permission: Permission) -> Self {
        Self { caller, reach, permission }
    }

    /// What the log says about something that was done with it.
    #[must_use]
    pub fn act(&self, action: Action, at: Timestamp) -> Act {
        self.caller.act(self.organization(), action, Some(self.permission.clone()), at)
    }

    /// The same, for a request that is to be done once.
    #[must_use]
    pub fn once(self, once: Option<Once>) -> Self {
        Self { caller: self.caller.once(once), ..self }
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The keys in reach.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The organization of these keys.
    #[must_use]
    pub fn organization(&self) -> OrganizationId {
        self.reach.organization
    }
}
