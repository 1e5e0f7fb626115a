//! An identity provider's word → caller. The word has been proven; here is how far it goes.

use std::sync::Arc;

use crate::{
    act::{Act, Action, Actor, Origin},
    caller::{Caller, Who},
    clock::{Clock, Entropy},
    error::Error,
    id::{OrganizationId, UserId},
    identity::{Destinations, Issuer, Newcomers, Person, Place, Standing, Vouched, Word},
    permission::PermissionSet,
    ports::{self, Brought},
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
    /// and is not to be made; [`Error::CapReached`] where they would become a member; [`Error::Outage`].
    pub async fn admit(&self, vouched: Vouched, origin: Origin) -> Result<Caller, Error> {
        let issuer = self.issuer(&vouched.identity.issuer)?;
        let word = Word {
            issuer: issuer.name.clone(),
            organization: vouched.organization,
            permissions: vouched.permissions.clone(),
        };
        let user = match self.ports.people.find(&vouched.identity).await? {
            Some(user) => user,
            None => self.welcome(issuer, vouched, origin).await?,
        };
        self.readmit(user, word).await
    }

    /// The caller for whom a provider's word was taken before.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the provider is none of ours any more; [`Error::Outage`].
    pub async fn readmit(&self, user: UserId, word: Word) -> Result<Caller, Error> {
        let issuer = self.issuer(&word.issuer)?;
        let standings = self.ports.people.standings(user, word.organization).await?;
        let reached = standings.into_iter().filter(|at| issuer.destinations.include(&at.organization));
        let places = reached.map(|Standing { organization, permissions }| {
            let grants = issuer.grants(permissions, word.permissions.as_ref());
            Place { organization, grants }
        });
        let places = places.collect();
        let person = Person::new(user, word, places);
        Ok(Caller { who: Who::Person(Box::new(person)), origin: Origin::default() })
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

    async fn welcome(&self, issuer: &Issuer, vouched: Vouched, origin: Origin) -> Result<UserId, Error> {
        let now = self.ports.clock.now();
        let id = UserId::generate(&*self.ports.clock, &*self.ports.entropy);
        let name = match vouched.name {
            Some(name) => name,
            None => UserName::parse("Unnamed").expect("a name"),
        };
        let brought = Brought {
            user: User { id, name, contact: Contact::Told(vouched.email), created_at: now },
            identity: Some(vouched.identity.clone()),
        };
        let permissions = match &issuer.newcomers {
            Newcomers::Refused => return Err(Error::NoOrganization),
            Newcomers::Made => None,
            Newcomers::Members(permissions) => Some(permissions),
        };
        let organization = match permissions {
            Some(_) => self.destination(issuer, vouched.organization).await?,
            None => None,
        };
        let (Some(organization), Some(permissions)) = (organization, permissions) else {
            return Ok(self.ports.people.make(brought).await?);
        };
        let membership = membership(organization, id, permissions.clone(), now);
        let (actor, action) = (Actor::User(id), Action::AddMember);
        let act = Act { organization, actor, action, permission: None, origin, at: now };
        match self.ports.members.add(membership, Some(brought), &act).await {
            Ok(member) => Ok(member.user.id),
            // The same user came twice at once.
            Err(Error::AlreadyMember) => {
                let known = self.ports.people.find(&vouched.identity).await?;
                known.ok_or(Error::NoOrganization)
            }
            Err(error) => Err(error),
        }
    }

    /// The organization that a newcomer becomes a member of: the one that their provider names, or the only one it sends
    /// anybody to.
    async fn destination(
        &self,
        issuer: &Issuer,
        named: Option<OrganizationId>,
    ) -> Result<Option<OrganizationId>, Error> {
        let only = match &issuer.destinations {
            Destinations::These(these) if these.len() == 1 => these.first().copied(),
            Destinations::These(_) | Destinations::Tenants => None,
        };
        let Some(wanted) = named.or(only) else { return Ok(None) };
        let found = self.ports.organizations.find(wanted).await?;
        let open = found.filter(|found| issuer.destinations.include(found) && found.suspended_at.is_none());
        Ok(open.map(|organization| organization.id))
    }
}

fn membership(
    organization: OrganizationId,
    user: UserId,
    permissions: PermissionSet,
    created_at: crate::clock::Timestamp,
) -> Membership {
    Membership { organization, user, permissions, sets: Vec::new(), created_at }
}
