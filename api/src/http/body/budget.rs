//! Limits the memory of request bodies: of all requests together, and of one client.
//!
//! The bytes in memory are counted, not the declared length: otherwise a few requests that declare long bodies and send nothing
//! would use up the budget. Parsed documents are counted, too. Small bodies have a separate budget, which large ones cannot use
//! up.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use domain::id::OrganizationId;

use crate::http::{api_error::ApiError, body::LIMIT, client_ip::ClientAddress, request_caller::RequestCaller};

/// The budget for large bodies, in bytes: for bodies of more than [`LIMIT`] and their parsed documents.
pub const DEFAULT_LARGE_BUDGET: usize = 128 * 1024 * 1024;

/// Bodies up to this size are not counted, in bytes: the head of a request may be larger.
pub const MAX_UNCOUNTED_BYTES: usize = 4 * 1024;

/// The budget for large bodies, divided by that for small ones.
const SMALL_DIVISOR: usize = 4;

/// A budget, divided by the maximum of one client in it.
const CLIENT_DIVISOR: usize = 4;

/// The two budgets, and how much of them is used.
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
    /// What a body of this size counts in the budgets, without its parsed document.
    fn of(bytes: usize) -> Self {
        if bytes <= LIMIT { Self::small(bytes) } else { Self { small: 0, large: bytes } }
    }

    /// What a small body counts in the budget; `bytes` is its size together with its parsed document.
    fn small(bytes: usize) -> Self {
        Self { small: if bytes <= MAX_UNCOUNTED_BYTES { 0 } else { bytes }, large: 0 }
    }

    fn after(self, before: Self, now: Self) -> Self {
        Self { small: self.small - before.small + now.small, large: self.large - before.large + now.large }
    }

    fn is_within(self, max: Self) -> bool {
        self.small <= max.small && self.large <= max.large
    }
}

/// A client with a maximum: a network of client addresses, or an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Network(IpAddr),
    Organization(OrganizationId),
}

impl BodyBudget {
    /// `large`: the budget for large bodies, in bytes; the one for small bodies is a quarter of it.
    #[must_use]
    pub fn new(large: usize) -> Self {
        Self { all: Bytes { small: large / SMALL_DIVISOR, large }, used: Mutex::default() }
    }

    /// A reservation of 0 bytes for a request. The organization of `request_caller` is used when the first bytes are reserved.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, address: ClientAddress, request_caller: RequestCaller) -> BodyReservation {
        BodyReservation { budget: self.clone(), network: address.network(), request_caller, reserved: Mutex::default() }
    }

    fn change(&self, clients: [Option<Client>; 2], before: Bytes, now: Bytes) -> Result<(), ApiError> {
        let max_per_client = Bytes { small: self.all.small / CLIENT_DIVISOR, large: self.all.large / CLIENT_DIVISOR };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let all = used.all.after(before, now);
        let of = |client: &Client| used.clients.get(client).copied().unwrap_or_default().after(before, now);
        let fits =
            all.is_within(self.all) && clients.iter().flatten().all(|client| of(client).is_within(max_per_client));
        // Releasing memory never fails.
        if !fits && now != Bytes::default() {
            return Err(ApiError::Busy);
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

/// The memory that is reserved for the body of one request. It is released when the value is dropped, at the end of the request.
#[derive(Debug)]
pub struct BodyReservation {
    budget: Arc<BodyBudget>,
    network: IpAddr,
    request_caller: RequestCaller,
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    /// The clients that it counts for. Set when the first bytes are reserved, after the caller was authenticated.
    clients: Option<[Option<Client>; 2]>,
    bytes: Bytes,
}

impl BodyReservation {
    /// Changes the reservation to this number of bytes.
    ///
    /// # Errors
    /// [`ApiError::Busy`] if the budget or the maximum of the client is used up; the reservation is unchanged then.
    pub fn set(&self, bytes: usize) -> Result<(), ApiError> {
        self.take(Bytes::of(bytes))
    }

    /// As [`BodyReservation::set`], for a body of at most [`LIMIT`] bytes together with its parsed document, which may be larger.
    ///
    /// # Errors
    /// As [`BodyReservation::set`].
    pub fn set_small(&self, bytes: usize) -> Result<(), ApiError> {
        self.take(Bytes::small(bytes))
    }

    fn take(&self, now: Bytes) -> Result<(), ApiError> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if now == reserved.bytes {
            return Ok(());
        }
        let clients = *reserved.clients.get_or_insert_with(|| {
            [Some(Client::Network(self.network)), self.request_caller.organization().map(Client::Organization)]
        });
        self.budget.change(clients, reserved.bytes, now)?;
        reserved.bytes = now;
        Ok(())
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        // Releasing memory never fails.
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reservation(budget: &Arc<BodyBudget>, n: u8) -> BodyReservation {
        budget.reserve(ClientAddress([192, 0, 2, n].into()), RequestCaller::default())
    }

    #[test]
    fn one_client_gets_a_quarter_of_the_body_budget() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let mine = reservation(&budget, 1);
        assert!(mine.set(4 * MIB).is_ok());
        let more = reservation(&budget, 1);
        assert!(matches!(more.set(MIB), Err(ApiError::Busy)), "the share is used up");
        let others: Vec<BodyReservation> = (2..=4).map(|n| reservation(&budget, n)).collect();
        assert!(others.iter().all(|other| other.set(4 * MIB).is_ok()));
        let last = reservation(&budget, 5);
        assert!(matches!(last.set(MIB), Err(ApiError::Busy)), "the budget is used up");
        assert!(last.set(LIMIT).is_ok(), "small bodies have a separate budget");
        drop(mine);
        assert!(last.set(MIB).is_ok());
        drop((more, others, last));
        let used = budget.used.lock().expect("not poisoned");
        assert_eq!((used.all, used.clients.len()), (Bytes::default(), 0), "everything was released");
    }

    #[test]
    fn a_growing_body_is_counted_once() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let body = reservation(&budget, 1);
        for bytes in [1, MAX_UNCOUNTED_BYTES, MAX_UNCOUNTED_BYTES + 1, LIMIT, LIMIT + 1, 4 * MIB] {
            assert!(body.set(bytes).is_ok(), "{bytes}");
        }
        assert!(body.set(4 * MIB + 1).is_err());
        assert_eq!(budget.used.lock().expect("not poisoned").all, Bytes { small: 0, large: 4 * MIB });
    }

    #[test]
    fn the_parsed_document_of_a_small_body_counts_as_small() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let body = reservation(&budget, 1);
        assert!(body.set(LIMIT).is_ok() && body.set_small(MIB).is_ok());
        assert_eq!(budget.used.lock().expect("not poisoned").all, Bytes { small: MIB, large: 0 });
        assert!(matches!(body.set_small(MIB + 1), Err(ApiError::Busy)), "the share of small bodies is used up");
        assert!(body.set_small(MAX_UNCOUNTED_BYTES).is_ok());
        assert_eq!(budget.used.lock().expect("not poisoned").all, Bytes::default());
    }

    #[test]
    fn small_bodies_of_one_client_are_bounded() {
        let budget = Arc::new(BodyBudget::new(16 * MIB));
        let bodies: Vec<BodyReservation> = (0..100).map(|_| reservation(&budget, 1)).collect();
        assert_eq!(bodies.iter().filter(|body| body.set(LIMIT).is_ok()).count(), 16);
        assert!(reservation(&budget, 2).set(LIMIT).is_ok());
        assert!(
            bodies.iter().all(|body| body.set(MAX_UNCOUNTED_BYTES).is_ok()),
            "bodies that are not larger than a head are not counted"
        );
    }
}
