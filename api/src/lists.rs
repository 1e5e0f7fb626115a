//! Reads of many rows have places. An organization has only a part of them, so that its lists do not take the database away
//! from others, and all together leave a connection to reads of single things. Who finds no place waits, but not long and not
//! in a long queue, and is told to come back: such a list is a 429 where its own organization's places are taken, a 503 where
//! all are. Whose rows are read counts, not who reads them.
//!
//! A list of any length is a stream. It needs a place only while it reads a page, not while its client takes it; how many
//! streams an organization has open is bounded, because each holds a page in memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::id::OrganizationId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tracing::Instrument;

use crate::failure::Failure;

/// Whose places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Those of the organization whose list it is.
    Organization,
    /// All of them.
    Service,
}

/// Lists of one organization that may wait, and of all together: so many that a few organizations do not fill the queue.
const WAITING_OF_ONE: usize = 16;
const WAITING: usize = 1_000;

/// How long a list waits for its place, and a stream that has begun for its next page.
const PATIENCE: Duration = Duration::from_secs(3);
const PATIENCE_OF_STREAM: Duration = Duration::from_secs(30);

/// Streams of one organization, and of all together.
const STREAMS_OF_ONE: usize = 4;
const STREAMS: usize = 32;

/// The places for reads of many rows.
pub struct Lists {
    reads: Places,
    streams: Places,
    time_limit: Duration,
}

impl Lists {
    /// Places on so many connections to the database. A read that takes longer than the limit is given up.
    #[must_use]
    pub fn new(connections: u32, time_limit: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        // One connection is left to reads of single things, where there are several.
        let all = connections.saturating_sub(1).max(1);
        let reads = Limits { all, of_one: all.div_ceil(2), waiting: WAITING, waiting_of_one: WAITING_OF_ONE };
        let streams = Limits { all: STREAMS, of_one: STREAMS_OF_ONE, waiting: 0, waiting_of_one: 0 };
        Self { reads: Places::new(reads), streams: Places::new(streams), time_limit }
    }

    /// Reads rows of an organization. A read that has begun keeps its place until it ends, also when its client has gone: so
    /// long does it keep its connection, too.
    ///
    /// # Errors
    /// [`Failure::TooManyLists`], [`Failure::Timeout`], or what the read fails with.
    pub async fn read<T, E>(
        &self,
        organization: OrganizationId,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let place = self.reads.enter(organization, PATIENCE).await.map_err(Failure::TooManyLists)?;
        self.run(place, read).await
    }

    /// The same for the next page of a stream, which waits longer: the client has a part of the answer already.
    ///
    /// # Errors
    /// As [`Lists::read`].
    pub async fn read_on<T, E>(
        &self,
        stream: &Stream,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let place = self.reads.enter(stream.0.organization(), PATIENCE_OF_STREAM).await;
        self.run(place.map_err(Failure::TooManyLists)?, read).await
    }

    /// Opens a stream of an organization's rows; it is open until the value is dropped.
    ///
    /// # Errors
    /// [`Failure::TooManyLists`].
    pub async fn open_stream(&self, organization: OrganizationId) -> Result<Stream, Failure> {
        let place = self.streams.enter(organization, Duration::ZERO).await.map_err(Failure::TooManyLists)?;
        Ok(Stream(place))
    }

    /// Takes a place of an organization, as a read does, until the value is dropped.
    ///
    /// # Errors
    /// Whose places are taken.
    pub async fn hold(&self, organization: OrganizationId) -> Result<Place, Taken> {
        self.reads.enter(organization, PATIENCE).await
    }

    async fn run<T, E>(
        &self,
        place: Place,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let limited = tokio::time::timeout(self.time_limit, read);
        let whole = async move {
            let outcome = limited.await;
            drop(place);
            outcome
        };
        #[expect(clippy::disallowed_methods, reason = "it is waited for here, unless the client has gone")]
        let read = tokio::spawn(whole.in_current_span());
        match read.await {
            Ok(Ok(outcome)) => outcome.map_err(Into::into),
            Ok(Err(_)) => Err(Failure::Timeout),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Failure::Defect(error.to_string())),
        }
    }
}

/// An open stream.
pub struct Stream(Place);

/// How many may be at something at once, and how many may wait for it: of all organizations, and of one.
#[derive(Clone, Copy, Debug)]
struct Limits {
    all: usize,
    of_one: usize,
    waiting: usize,
    waiting_of_one: usize,
}

/// Places of which an organization gets only a part. Whoever waits is served in turn. Only organizations that are in or wait
/// are remembered, so the memory is bounded by the limits.
#[derive(Debug)]
struct Places {
    limits: Limits,
    all: Arc<Semaphore>,
    users: Arc<Mutex<Users>>,
}

/// Who is in or waits.
#[derive(Debug, Default)]
struct Users {
    count: usize,
    by_organization: HashMap<OrganizationId, Own>,
}

#[derive(Debug)]
struct Own {
    count: NonZeroUsize,
    places: Arc<Semaphore>,
}

/// A place that is taken.
#[derive(Debug)]
pub struct Place {
    // In the order in which they are given back: who comes next finds all of it free.
    _of_all: OwnedSemaphorePermit,
    _of_one: OwnedSemaphorePermit,
    entered: Entered,
}

impl Place {
    fn organization(&self) -> OrganizationId {
        self.entered.organization
    }
}

/// Somebody who is in or waits.
#[derive(Debug)]
struct Entered {
    organization: OrganizationId,
    users: Arc<Mutex<Users>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.users).leave(self.organization);
    }
}

impl Places {
    fn new(limits: Limits) -> Self {
        Self { limits, all: Arc::new(Semaphore::new(limits.all)), users: Arc::default() }
    }

    /// A place for an organization, now or within a time.
    async fn enter(&self, organization: OrganizationId, patience: Duration) -> Result<Place, Taken> {
        let own = lock(&self.users).enter(organization, self.limits)?;
        let entered = Entered { organization, users: self.users.clone() };
        let end = Instant::now() + patience;
        // First the organization's own: no more of its lists wait for a place of all than it may have.
        let of_one = timeout_at(end, own.acquire_owned()).await;
        let of_one = of_one.ok().and_then(Result::ok).ok_or(Taken::Organization)?;
        let of_all = timeout_at(end, self.all.clone().acquire_owned()).await;
        let of_all = of_all.ok().and_then(Result::ok).ok_or(Taken::Service)?;
        Ok(Place { _of_all: of_all, _of_one: of_one, entered })
    }
}

impl Users {
    /// Counts somebody more, if they may wait.
    fn enter(&mut self, organization: OrganizationId, limits: Limits) -> Result<Arc<Semaphore>, Taken> {
        let own = self.by_organization.entry(organization);
        if let Entry::Occupied(own) = &own
            && own.get().count.get() >= limits.of_one + limits.waiting_of_one
        {
            return Err(Taken::Organization);
        }
        if self.count >= limits.all + limits.waiting {
            return Err(Taken::Service);
        }
        self.count += 1;
        let own = match own {
            Entry::Occupied(own) => {
                let own = own.into_mut();
                own.count = own.count.saturating_add(1);
                own
            }
            Entry::Vacant(own) => {
                let places = Arc::new(Semaphore::new(limits.of_one));
                own.insert(Own { count: NonZeroUsize::MIN, places })
            }
        };
        Ok(own.places.clone())
    }

    fn leave(&mut self, organization: OrganizationId) {
        self.count -= 1;
        if let Entry::Occupied(mut own) = self.by_organization.entry(organization) {
            match NonZeroUsize::new(own.get().count.get() - 1) {
                Some(count) => own.get_mut().count = count,
                None => drop(own.remove()),
            }
        }
    }
}

fn lock(users: &Mutex<Users>) -> MutexGuard<'_, Users> {
    users.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
