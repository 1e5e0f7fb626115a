//! Limits the number of lists that are read at the same time, by slots: in total, so that one database connection stays free for
//! other reads, and per organization, so that its lists do not block those of others. Without a free slot, a list waits for a
//! limited time in a bounded queue. If it gets none, the response is 429 (the slots of the organization are in use) or 503 (all
//! slots are in use). The organization is the one whose rows are read, not that of the caller.
//!
//! A list of unlimited length is a stream. It needs a slot only while it reads a page, not while the client receives it. The
//! number of open streams is limited, because each holds a page in memory.

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

use crate::http::api_error::ApiError;

/// Which slots are all in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExhaustedSlots {
    /// The slots of the organization.
    Organization,
    /// The slots of all organizations together.
    Service,
}

/// The maximum number of waiting lists of one organization, and of all together: a few organizations cannot fill the queue.
const MAX_WAITING_PER_ORGANIZATION: usize = 16;
const MAX_WAITING: usize = 1_000;

/// How long a list waits for a slot, and how long a stream waits for the slot of its next page.
const MAX_WAIT: Duration = Duration::from_secs(3);
const MAX_STREAM_WAIT: Duration = Duration::from_secs(30);

/// The maximum number of open streams of one organization, and of all together.
const MAX_STREAMS_PER_ORGANIZATION: usize = 4;
const MAX_STREAMS: usize = 32;

/// The slots of lists and the limits of streams.
pub struct ListSlots {
    reads: SlotPool,
    streams: SlotPool,
    time_limit: Duration,
}

impl ListSlots {
    /// `connections`: the maximum number of connections for reads. `time_limit`: the maximum duration of a read.
    #[must_use]
    pub fn new(connections: u32, time_limit: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        // One connection stays free for other reads, if there are several.
        let all = connections.saturating_sub(1).max(1);
        let reads = ListLimits {
            all,
            per_organization: all.div_ceil(2),
            waiting: MAX_WAITING,
            waiting_per_organization: MAX_WAITING_PER_ORGANIZATION,
        };
        let streams = ListLimits {
            all: MAX_STREAMS,
            per_organization: MAX_STREAMS_PER_ORGANIZATION,
            waiting: 0,
            waiting_per_organization: 0,
        };
        Self { reads: SlotPool::new(reads), streams: SlotPool::new(streams), time_limit }
    }

    /// Reads rows of an organization in a slot. A read keeps its slot until it ends, even if the request is cancelled, because the
    /// database connection is in use until then, too.
    ///
    /// # Errors
    /// [`ApiError::TooManyLists`], [`ApiError::Timeout`], or the error of `read`.
    pub async fn read<T, E>(
        &self,
        organization: OrganizationId,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let slot = self.acquire(organization).await.map_err(ApiError::TooManyLists)?;
        self.run(slot, read).await
    }

    /// Reads the next page of a stream. It waits longer for a slot, because the client has received a part of the response.
    ///
    /// # Errors
    /// As [`ListSlots::read`].
    pub async fn read_next_page<T, E>(
        &self,
        stream: &Stream,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let slot = self.reads.acquire(stream.0.organization(), MAX_STREAM_WAIT).await;
        self.run(slot.map_err(ApiError::TooManyLists)?, read).await
    }

    /// Opens a stream of rows of an organization. It is closed when the value is dropped.
    ///
    /// # Errors
    /// [`ApiError::TooManyLists`].
    pub async fn open_stream(&self, organization: OrganizationId) -> Result<Stream, ApiError> {
        let slot = self.streams.acquire(organization, Duration::ZERO).await.map_err(ApiError::TooManyLists)?;
        Ok(Stream(slot))
    }

    /// Acquires a slot for an organization. It is released when the value is dropped.
    ///
    /// # Errors
    /// No slot became free in time, or the queue is full.
    pub async fn acquire(&self, organization: OrganizationId) -> Result<Slot, ExhaustedSlots> {
        self.reads.acquire(organization, MAX_WAIT).await
    }

    async fn run<T, E>(
        &self,
        slot: Slot,
        read: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let limited = tokio::time::timeout(self.time_limit, read);
        let whole = async move {
            let outcome = limited.await;
            drop(slot);
            outcome
        };
        #[expect(clippy::disallowed_methods, reason = "it is waited for here, unless the client has gone")]
        let read = tokio::spawn(whole.in_current_span());
        match read.await {
            Ok(Ok(outcome)) => outcome.map_err(Into::into),
            Ok(Err(_)) => Err(ApiError::Timeout),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(ApiError::Defect(error.to_string())),
        }
    }
}

/// An open stream, until it is dropped.
pub struct Stream(Slot);

/// The maximum numbers of acquired slots and of waiting lists: of all organizations together, and of one.
#[derive(Clone, Copy, Debug)]
struct ListLimits {
    all: usize,
    per_organization: usize,
    waiting: usize,
    waiting_per_organization: usize,
}

/// Slots with a maximum per organization. Waiting lists are served in order. Only organizations with acquired slots or waiting
/// lists are stored, so the memory is bounded by the limits.
#[derive(Debug)]
struct SlotPool {
    limits: ListLimits,
    all: Arc<Semaphore>,
    usage: Arc<Mutex<SlotUsage>>,
}

/// The lists that have a slot or wait for one.
#[derive(Debug, Default)]
struct SlotUsage {
    count: usize,
    by_organization: HashMap<OrganizationId, OrganizationUsage>,
}

#[derive(Debug)]
struct OrganizationUsage {
    count: NonZeroUsize,
    slots: Arc<Semaphore>,
}

/// An acquired slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    // Fields are dropped in this order, so that the next list finds both permits free.
    _total: OwnedSemaphorePermit,
    _per_organization: OwnedSemaphorePermit,
    guard: UsageGuard,
}

impl Slot {
    fn organization(&self) -> OrganizationId {
        self.guard.organization
    }
}

/// Counts one list that has a slot or waits for one, until it is dropped.
#[derive(Debug)]
struct UsageGuard {
    organization: OrganizationId,
    usage: Arc<Mutex<SlotUsage>>,
}

impl Drop for UsageGuard {
    fn drop(&mut self) {
        lock(&self.usage).release(self.organization);
    }
}

impl SlotPool {
    fn new(limits: ListLimits) -> Self {
        Self { limits, all: Arc::new(Semaphore::new(limits.all)), usage: Arc::default() }
    }

    /// Acquires a slot for an organization; waits at most `max_wait`.
    async fn acquire(&self, organization: OrganizationId, max_wait: Duration) -> Result<Slot, ExhaustedSlots> {
        let own = lock(&self.usage).acquire(organization, self.limits)?;
        let guard = UsageGuard { organization, usage: self.usage.clone() };
        let end = Instant::now() + max_wait;
        // First the slot of the organization, so that no more of its lists wait for the common slots than it may have.
        let per_organization = timeout_at(end, own.acquire_owned()).await;
        let per_organization = per_organization.ok().and_then(Result::ok).ok_or(ExhaustedSlots::Organization)?;
        let total = timeout_at(end, self.all.clone().acquire_owned()).await;
        let total = total.ok().and_then(Result::ok).ok_or(ExhaustedSlots::Service)?;
        Ok(Slot { _total: total, _per_organization: per_organization, guard })
    }
}

impl SlotUsage {
    /// Counts another list, if it may wait, and returns the slots of its organization.
    fn acquire(&mut self, organization: OrganizationId, limits: ListLimits) -> Result<Arc<Semaphore>, ExhaustedSlots> {
        let own = self.by_organization.entry(organization);
        if let Entry::Occupied(own) = &own
            && own.get().count.get() >= limits.per_organization + limits.waiting_per_organization
        {
            return Err(ExhaustedSlots::Organization);
        }
        if self.count >= limits.all + limits.waiting {
            return Err(ExhaustedSlots::Service);
        }
        self.count += 1;
        let own = match own {
            Entry::Occupied(own) => {
                let own = own.into_mut();
                own.count = own.count.saturating_add(1);
                own
            }
            Entry::Vacant(own) => {
                let slots = Arc::new(Semaphore::new(limits.per_organization));
                own.insert(OrganizationUsage { count: NonZeroUsize::MIN, slots })
            }
        };
        Ok(own.slots.clone())
    }

    fn release(&mut self, organization: OrganizationId) {
        self.count -= 1;
        if let Entry::Occupied(mut own) = self.by_organization.entry(organization) {
            match NonZeroUsize::new(own.get().count.get() - 1) {
                Some(count) => own.get_mut().count = count,
                None => drop(own.remove()),
            }
        }
    }
}

fn lock(usage: &Mutex<SlotUsage>) -> MutexGuard<'_, SlotUsage> {
    usage.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
