//! An identity provider's word → caller. The word has been proven; here is how far it goes.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Origin},
    caller::{Caller, Who},
    clock::{Clock, Entropy},
    error::Error,
    id::UserId,
    identity::{Destinations, Issuer, Newcomers, Person, Place, Standing, Vouched, Word},
    ports::{self, Brought, Known},
    refusal::Refusal,
    user::{Contact, Membership, User, UserName},
};

/// What the use cases ask of the world.
#[derive(Clone)]
pub struct Ports {
    /// Users of providers.
    pub people: Arc<dyn ports::People>,
    /// Organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// Who is a member where.
    pub members: Arc<dyn ports::Members>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Users of identity providers.
pub struct People {
    issuers: Vec<Issuer>,
    ports: Ports,
}

impl People {
    /// The use cases with these providers.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>, ports: Ports) -> Self {
        Self { issuers, ports }
    }

    /// The caller whom a provider vouches for. Who is not known is made, if the provider is set so.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the provider is none of ours; [`Error::NoOrganization`] for a user who is not known
    /// and is not to be made; [`Error::Outage`].
    pub async fn admit(&self, vouched: Vouched, origin: Origin) -> Result<Caller, Error> {
        let issuer = self.issuer(&vouched.identity.issuer)?;
        let user = match self.ports.people.find(&vouched.identity).await? {
            Some(Known { user, is_seen: true }) => user,
            known => self.welcome(issuer, &vouched, known.map(|known| known.user), origin).await?,
        };
        let stands_alone = issuer.is_authoritative;
        let (organization, permissions) = (vouched.organization, vouched.permissions);
        let mut person = self.person(user, Word { issuer: issuer.name.clone(), organization, permissions }).await?;
        person.ends_at = stands_alone.then_some(vouched.expires_at);
        Ok(Caller { who: Who::Person(Box::new(person)), origin: Origin::default() })
    }

    /// The caller for whom a provider's word was taken before.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the provider is none of ours any more; [`Error::Outage`].
    pub async fn readmit(&self, user: UserId, word: Word) -> Result<Caller, Error> {
        let person = self.person(user, word).await?;
        Ok(Caller { who: Who::Person(Box::new(person)), origin: Origin::default() })
    }

    async fn person(&self, user: UserId, word: Word) -> Result<Person, Error> {
        let issuer = self.issuer(&word.issuer)?;
        let standings = self.ports.people.standings(user, word.organization).await?;
        let reached = standings.into_iter().filter(|at| issuer.destinations.include(&at.organization));
        let places = reached.map(|Standing { organization, permissions }| {
            let grants = issuer.grants(permissions, word.permissions.as_ref());
            Place { organization, grants }
        });
        let places = places.collect();
        Ok(Person::new(user, word, places))
    }

    /// Whether the provider of this name is believed.
    #[must_use]
    pub fn believes(&self, name: &str) -> bool {
        self.issuer(name).is_ok()
    }

    /// The user with this identifier.
    ///
    /// # Errors
    /// [`Error::NotFound`] where they have gone meanwhile; [`Error::Outage`].
    pub async fn user(&self, user: UserId) -> Result<User, Error> {
        self.ports.people.user(user).await?.ok_or(Error::NotFound)
    }

    fn issuer(&self, name: &str) -> Result<&Issuer, Error> {
        let unknown = Error::Unauthenticated(Refusal::InvalidApiKey);
        self.issuers.iter().find(|issuer| issuer.name == name).ok_or(unknown)
    }

    /// Somebody whom their provider shows for the first time: whether anybody has spoken of them before (`known`) changes
    /// nothing about what they get.
    async fn welcome(
        &self,
        issuer: &Issuer,
        vouched: &Vouched,
        known: Option<UserId>,
        origin: Origin,
    ) -> Result<UserId, Error> {
        let now = self.ports.clock.now();
        let id = UserId::generate(&*self.ports.clock, &*self.ports.entropy);
        let name = vouched.name.clone().unwrap_or_else(UserName::unnamed);
        let brought = Brought {
            user: User { id, name, contact: Contact::Told(vouched.email.clone()), created_at: now },
            identity: Some(vouched.identity.clone()),
            is_seen: true,
        };
        let permissions = match (&issuer.newcomers, known) {
            (Newcomers::Refused, None) => return Err(Error::NoOrganization),
            (Newcomers::Refused | Newcomers::Made, _) => return Ok(self.ports.people.make(brought).await?),
            (Newcomers::Members(permissions), _) => permissions.clone(),
        };
        let only = match &issuer.destinations {
            Destinations::These(these) if these.len() == 1 => these.first().copied(),
            Destinations::These(_) | Destinations::Tenants => None,
        };
        // While nobody says where they belong, or it is not open, that is left to a later token.
        let Some(organization) = vouched.organization.or(only) else {
            let unseen = Brought { is_seen: false, ..brought };
            return if let Some(known) = known { Ok(known) } else { Ok(self.ports.people.make(unseen).await?) };
        };
        let found = self.ports.organizations.find(organization).await?;
        if !found.is_some_and(|found| issuer.destinations.include(&found) && found.suspended_at.is_none()) {
            return known.ok_or(Error::NoOrganization);
        }
        let membership = Membership { organization, user: id, permissions, sets: Vec::new(), created_at: now };
        let (actor, action) = (Actor::User(id), Action::AddMember);
        let act = Act { organization, actor, action, permission: None, origin, at: now };
        match self.ports.members.add(membership, Some(brought.clone()), &act).await {
            Ok(member) => Ok(member.user.id),
            // They were added before, or came twice at once.
            Err(Error::AlreadyMember) => Ok(self.ports.people.make(brought).await?),
            Err(Error::CapReached(_) | Error::NotFound) => known.ok_or(Error::NoOrganization),
            Err(error) => Err(error),
        }
    }
}
