//! The use cases on organizations, their members and their permission sets. Who may do what is asked of
//! [`crate::keys::Keys::authorize`] before; here is what an [`Authority`] can do with it.

mod manage;
mod members;
mod sets;

use std::sync::Arc;

pub use manage::{NewOrganization, OrganizationPatch};
pub use members::{Joining, MemberPatch, NewMember};
pub use sets::{NewSet, SetPatch};

use crate::{
    caller::Authority,
    clock::{Clock, Entropy, Timestamp},
    error::Error,
    permission::PermissionSet,
    ports,
};

/// What the use cases ask of the world.
#[derive(Clone)]
pub struct Ports {
    /// Organizations.
    pub organizations: Arc<dyn ports::Organizations>,
    /// Who is a member where.
    pub members: Arc<dyn ports::Members>,
    /// Permission sets with names.
    pub sets: Arc<dyn ports::Sets>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Organizations, who is in them, and what they call permissions.
pub struct Organizations {
    ports: Ports,
}

impl Organizations {
    /// The use cases over these ports.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }
}

/// Nobody hands out, or takes into their own hands, more than they hold.
fn require_covered(authority: &Authority, permissions: &PermissionSet) -> Result<(), Error> {
    if authority.caller().grants().covers_part(permissions, None) { Ok(()) } else { Err(Error::ExceedsGrants) }
}
