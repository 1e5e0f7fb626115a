//! How many bytes of request bodies are in memory: of all requests together, and of one client.
//!
//! What counts is what is really held, as it grows. What a request declares costs its sender nothing, so counting that would
//! let a few heads lock out everybody. Small bodies have a budget of their own, which large ones cannot use up.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use domain::id::OrganizationId;

use crate::{address::ClientAddress, body::LIMIT, failure::Failure, refused::Witness};

/// Bytes of large bodies, of more than [`LIMIT`], and of what is made of them, at once.
pub const LARGE: usize = 128 * 1024 * 1024;

/// A body of at most so many bytes is not counted: it is no larger than its head may be.
pub const UNCOUNTED: usize = 4 * 1024;

/// The budget for small bodies is this part of that for large ones.
const SMALL_PART: usize = 4;

/// One client may use this part of each budget.
const SHARE: usize = 4;

/// The budgets, and how much of them is used.
#[derive(Debug)]
pub struct BodyBudget {
    all: Bytes,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: Bytes,
    clients: HashMap<Client, Bytes>,
}

/// Bytes of small and of large bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    small: usize,
    large: usize,
}

impl Bytes {
    /// How a body of so many bytes counts.
    fn of(bytes: usize) -> Self {
        match bytes {
            0..=UNCOUNTED => Self::default(),
            _ if bytes <= LIMIT => Self { small: bytes, large: 0 },
            _ => Self { small: 0, large: bytes },
        }
    }

    fn after(self, before: Self, now: Self) -> Self {
        Self { small: self.small - before.small + now.small, large: self.large - before.large + now.large }
    }

    fn is_within(self, most: Self) -> bool {
        self.small <= most.small && self.large <= most.large
    }
}

/// Who uses a share: both an address and an organization have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Network(IpAddr),
    Organization(OrganizationId),
}

impl BodyBudget {
    /// So many bytes for large bodies, and a fourth of that for small ones.
    #[must_use]
    pub fn new(large: usize) -> Self {
        Self { all: Bytes { small: large / SMALL_PART, large }, used: Mutex::default() }
    }

    /// For the body of one request, of which nothing is held yet.
    #[must_use]
    pub fn hold(self: &Arc<Self>, address: ClientAddress, witness: Witness) -> Held {
        Held { budget: self.clone(), network: address.network(), witness, taken: Mutex::default() }
    }

    fn change(&self, clients: [Option<Client>; 2], before: Bytes, now: Bytes) -> Result<(), Failure> {
        let share = Bytes { small: self.all.small / SHARE, large: self.all.large / SHARE };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let all = used.all.after(before, now);
        let of = |client: &Client| used.clients.get(client).copied().unwrap_or_default().after(before, now);
        let fits = all.is_within(self.all) && clients.iter().flatten().all(|client| of(client).is_within(share));
        // What is given back always fits.
        if !fits && now != Bytes::default() {
            return Err(Failure::Busy);
        }
        used.all = all;
        for client in clients.into_iter().flatten() {
            let bytes = used.clients.entry(client).or_default();
            *bytes = bytes.after(before, now);
            if *bytes == Bytes::default() {
                used.clients.remove(&client);
            }
        }
        Ok(())
    }
}

/// What the body of one request takes of the budgets; it is given back when this is dropped, at the end of the request.
#[derive(Debug)]
pub struct Held {
    budget: Arc<BodyBudget>,
    network: IpAddr,
    witness: Witness,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Who uses it: settled when the first bytes are taken, which is after the caller was admitted.
    clients: Option<[Option<Client>; 2]>,
    bytes: Bytes,
}

impl Held {
    /// Takes what is needed to hold so many bytes instead of those before.
    ///
    /// # Errors
    /// [`Failure::Busy`], where the budget or the client's share of it is used up. What was held before still is.
    pub fn set(&self, bytes: usize) -> Result<(), Failure> {
        let now = Bytes::of(bytes);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if now == taken.bytes {
            return Ok(());
        }
        let clients = *taken.clients.get_or_insert_with(|| {
            [Some(Client::Network(self.network)), self.witness.organization().map(Client::Organization)]
        });
        self.budget.change(clients, taken.bytes, now)?;
        taken.bytes = now;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nothing is refused that gives back.
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn held(budget: &Arc<BodyBudget>, n: u8) -> Held {
        budget.hold(ClientAddress([192, 0, 2, n].into()), Witness::default())
    }

    #[test]
    fn one_client_has_a_fourth_and_all_together_have_the_whole() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let mine = held(&budget, 1);
        assert!(mine.set(4 * MIB).is_ok());
        let more = held(&budget, 1);
        assert!(matches!(more.set(MIB), Err(Failure::Busy)), "the share is used up");
        let others: Vec<Held> = (2..=4).map(|n| held(&budget, n)).collect();
        assert!(others.iter().all(|other| other.set(4 * MIB).is_ok()));
        let last = held(&budget, 5);
        assert!(matches!(last.set(MIB), Err(Failure::Busy)), "the budget is used up");
        assert!(last.set(LIMIT).is_ok(), "small bodies have a budget of their own");
        drop(mine);
        assert!(last.set(MIB).is_ok());
        drop((more, others, last));
        let used = budget.used.lock().expect("not poisoned");
        assert_eq!((used.all, used.clients.len()), (Bytes::default(), 0), "all was given back");
    }

    #[test]
    fn a_body_that_grows_is_counted_once() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let body = held(&budget, 1);
        for bytes in [1, UNCOUNTED, UNCOUNTED + 1, LIMIT, LIMIT + 1, 4 * MIB] {
            assert!(body.set(bytes).is_ok(), "{bytes}");
        }
        assert!(body.set(4 * MIB + 1).is_err());
        assert_eq!(budget.used.lock().expect("not poisoned").all, Bytes { small: 0, large: 4 * MIB });
    }

    #[test]
    fn small_bodies_of_one_client_are_bounded_too() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let bodies: Vec<Held> = (0..100).map(|_| held(&budget, 1)).collect();
        assert_eq!(bodies.iter().filter(|body| body.set(LIMIT).is_ok()).count(), 16);
        assert!(held(&budget, 2).set(LIMIT).is_ok());
        assert!(bodies.iter().all(|body| body.set(UNCOUNTED).is_ok()), "what is no larger than a head is free");
    }
}
