//! Serializes the changes of one object (a key, a user, the permission sets of an organization) within this process. A change is
//! read, checked, and stored on the condition that the object has not changed meanwhile. Without turns, of many concurrent changes
//! one would be stored and all others would start again.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{Error, id::OrganizationId};
use sea_orm::prelude::Uuid;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Requests that may wait for the same turn.
const MAX_WAITING: usize = 256;

/// An object: its organization and its id. Requests of one organization never wait for those of another.
type ChangedObject = (OrganizationId, Uuid);

/// The queues of all objects that are being changed.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<ChangedObject, Queue>>);

/// The requests for the turns of one object.
#[derive(Debug, Default)]
struct Queue {
    /// The request that has the turn, and those that wait.
    requests: usize,
    turn: Arc<AsyncMutex<()>>,
}

impl Turns {
    /// Waits for a turn, in the order of the calls. The turn ends when the value is dropped.
    ///
    /// # Errors
    /// [`Error::ConcurrentChanges`] if [`MAX_WAITING`] others wait already.
    pub(crate) async fn take(self: &Arc<Self>, organization: OrganizationId, id: Uuid) -> Result<Turn, Error> {
        let object = (organization, id);
        let next = {
            let mut all = self.all();
            let queue = all.entry(object).or_default();
            if queue.requests > MAX_WAITING {
                return Err(Error::ConcurrentChanges);
            }
            queue.requests += 1;
            queue.turn.clone()
        };
        let mut turn = Turn { turns: self.clone(), object, guard: None };
        turn.guard = Some(next.lock_owned().await);
        Ok(turn)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ChangedObject, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn or, until its guard is set, a place in the queue.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    object: ChangedObject,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        if let Entry::Occupied(mut queue) = self.turns.all().entry(self.object) {
            queue.get_mut().requests -= 1;
            if queue.get().requests == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    const OBJECT: Uuid = Uuid::from_u128(1);

    fn organization(n: u128) -> OrganizationId {
        OrganizationId::from_uuid(Uuid::from_u128(n))
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn changes_of_one_object_take_turns_and_leave_no_entries() {
        let turns = Arc::new(Turns::default());
        let take = |n| turns.take(organization(n), OBJECT);
        let Poll::Ready(Ok(first)) = poll(pin!(take(1))) else { panic!("it is free") };
        let mut second = Box::pin(take(1));
        assert!(poll(second.as_mut()).is_pending(), "it waits");
        assert!(poll(pin!(take(2))).is_ready(), "the same thing in another organization");
        let mut given_up = Box::pin(take(1));
        assert!(poll(given_up.as_mut()).is_pending());
        drop(given_up);
        drop(first);
        assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))), "its turn");
        assert!(turns.all().is_empty());
    }

    #[test]
    fn the_number_of_waiting_changes_is_bounded() {
        let turns = Arc::new(Turns::default());
        let take = || Box::pin(turns.take(organization(1), OBJECT));
        let Poll::Ready(Ok(first)) = poll(take().as_mut()) else { panic!("it is free") };
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| take()).collect();
        assert!(waiting.iter_mut().all(|turn| poll(turn.as_mut()).is_pending()));
        assert!(matches!(poll(take().as_mut()), Poll::Ready(Err(Error::ConcurrentChanges))));
        drop(first);
        assert!(waiting.iter_mut().all(|turn| matches!(poll(turn.as_mut()), Poll::Ready(Ok(_)))));
        drop(waiting);
        assert!(turns.all().is_empty());
    }
}
