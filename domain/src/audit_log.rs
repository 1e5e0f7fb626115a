//! Reading the audit log of an organization, signing its checkpoints, and verifying it.

mod signed_checkpoints;
mod verify;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::audit_log::verify::{Gap, VerificationReport};
use signed_checkpoints::SignedCheckpoints;

use crate::{
    audit::{ChainHead, ChainVerifier, Checkpoint, FirstCheckpoint, IntegrityError, LateStart},
    auth::caller::Caller,
    clock::{Clock, Timestamp},
    error::{Error, Outage},
    id::OrganizationId,
    permissions::Permission,
    ports::{self, Chain, CheckpointSigner, EventFilter, Position, PruneSigner, StoredEvent},
};

/// The operations on audit logs.
pub struct AuditLogService {
    stored: Arc<dyn ports::AuditLog>,
    accounts: Arc<dyn ports::Accounts>,
    clock: Arc<dyn Clock>,
    /// The retention period of events, in milliseconds.
    retention_ms: u64,
    /// The number of logs that one run of [`Self::sign_checkpoints`] reads.
    max_checkpoints: u64,
    /// The state of signing in this process.
    signed: Mutex<Signed>,
}

/// The state between runs of [`AuditLogService::sign_checkpoints`].
#[derive(Debug, Default)]
struct Signed {
    /// The newest signed checkpoint of each log, to detect a log that was reset to an older state.
    checkpoints: SignedCheckpoints,
    /// The organization after which the next run starts. `None`: the next run starts with the first organization.
    after: Option<OrganizationId>,
}

/// The number of chains, and of events, that one query reads.
const PAGE_SIZE: u64 = 1_000;

/// The number of checkpoints that are stored in one transaction.
const CHECKPOINTS_PER_TRANSACTION: u64 = 100;

/// The number of logs that one run reads. The next run, a minute later, continues with the others.
const MAX_CHECKPOINTS: u64 = 10_000;

impl AuditLogService {
    /// Creates the operations from these ports. `retention_ms` is the retention period of events, in milliseconds.
    #[must_use]
    pub fn new(
        stored: Arc<dyn ports::AuditLog>,
        accounts: Arc<dyn ports::Accounts>,
        clock: Arc<dyn Clock>,
        retention_ms: u64,
    ) -> Self {
        Self { stored, accounts, clock, retention_ms, max_checkpoints: MAX_CHECKPOINTS, signed: Mutex::default() }
    }

    /// Sets the number of logs that one run of [`Self::sign_checkpoints`] reads. The default is 10,000.
    #[must_use]
    pub fn with_max_checkpoints(mut self, max_checkpoints: u64) -> Self {
        self.max_checkpoints = max_checkpoints;
        self
    }

    /// Lists at most `limit` events of an organization after `position`, newest first. `None`: from the newest event.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Error> {
        Ok(self.stored.list(organization, filter, position, limit).await?)
    }

    /// Checks that the caller may read the log of this organization (`None`: the request has no valid id). Platform
    /// callers may also read logs of deleted organizations.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `audit:read`; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn authorize(
        &self,
        caller: Caller,
        organization: Option<OrganizationId>,
    ) -> Result<OrganizationId, Error> {
        let (caller, organization) = caller.for_organization(organization, &Permission::AUDIT_READ)?;
        let is_readable = caller.acts_in(organization)
            || caller.is_platform()
                && (self.accounts.has_organization(organization).await? || self.stored.has_log(organization).await?);
        if is_readable { Ok(organization) } else { Err(Error::NotFound) }
    }

    /// Signs a checkpoint of each log that has new events since its last one. A run reads at most 10,000 logs; the next
    /// run continues after them, and starts again with the first organization after the last one. `publish` gets each
    /// checkpoint and its signed text before it is stored. A log that does not continue its last checkpoint gets no
    /// checkpoint and is reported.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn sign_checkpoints(
        &self,
        signer: &dyn CheckpointSigner,
        mut publish: impl FnMut(&Checkpoint, &str) + Send,
    ) -> Result<(), Outage> {
        let start = self.signed().after;
        // The last organization to read after the run has started again with the first organization.
        let mut until: Option<OrganizationId> = None;
        let (mut after, mut count) = (start, 0);
        while count < self.max_checkpoints {
            let limit = CHECKPOINTS_PER_TRANSACTION.min(self.max_checkpoints - count);
            let mut chains = self.stored.chains_without_checkpoint(after, limit).await?;
            chains.retain(|chain| until.is_none_or(|until| chain.end.organization <= until));
            let Some(last) = chains.last() else {
                after = None;
                if start.is_none() || until.is_some() {
                    break;
                }
                until = start;
                continue;
            };
            after = Some(last.end.organization);
            let mut checkpoints = Vec::with_capacity(chains.len());
            for chain in &chains {
                match self.next_checkpoint(chain, signer).await? {
                    Ok(checkpoint) => {
                        let text = signer.sign_checkpoint(&checkpoint);
                        publish(&checkpoint, &text);
                        checkpoints.push((checkpoint.head, text));
                    }
                    Err(broken) => self.report_unless_pruned(chain, broken).await?,
                }
            }
            count += chains.len() as u64;
            let heads: Vec<ChainHead> = checkpoints.iter().map(|(head, _)| *head).collect();
            self.stored.store_checkpoints(checkpoints).await?;
            self.record_signed(heads, after);
        }
        self.record_signed(Vec::new(), after);
        Ok(())
    }

    /// The checkpoint of a log as it is now, or the reason why the log does not continue the last checkpoint.
    async fn next_checkpoint(
        &self,
        chain: &Chain,
        signer: &dyn CheckpointSigner,
    ) -> Result<Result<Checkpoint, IntegrityError>, Outage> {
        let (head, at) = (chain.end, self.clock.now());
        let last = match chain.checkpoint(Some(signer)) {
            Ok(last) => last.filter(|last| last.head.seq >= chain.begin.seq),
            Err(broken) => return Ok(Err(broken)),
        };
        let known = self.signed().checkpoints.get(head.organization).filter(|known| known.seq >= chain.begin.seq);
        if let Some(known) = known.filter(|known| last.is_none_or(|last| last.head.seq < known.seq)) {
            return Ok(Err(IntegrityError::CheckpointMismatch(known.seq)));
        }
        let Some(last) = last else {
            if let Some(late_start) = self.late_start(chain, at, signer).await? {
                self.stored.report_late_start(head.organization, late_start);
            }
            let unsequenced = Some(self.stored.count_unsequenced(head.organization).await?);
            let first = Some(FirstCheckpoint { seq: head.seq, at });
            return Ok(Ok(Checkpoint { head, at, first, unsequenced }));
        };
        let continued = self.follow(&last.head, &head, |_, _| Ok(())).await?;
        let (first, unsequenced) = (Some(last.first()), last.unsequenced);
        Ok(continued.map(|()| Checkpoint { head, at, first, unsequenced }))
    }

    /// Checks whether a log that gets its first checkpoint at the time `at` begins too late.
    async fn late_start(
        &self,
        chain: &Chain,
        at: Timestamp,
        signer: &dyn CheckpointSigner,
    ) -> Result<Option<LateStart>, Outage> {
        if chain.begin.seq > 0 {
            let front = chain.front(Some(signer as &dyn PruneSigner));
            return Ok(LateStart::of_first_checkpoint(&front, at));
        }
        let events = self.stored.events(chain.end.organization, 0, 1).await?;
        let first = events.first().filter(|first| first.hash.is_some());
        Ok(first.and_then(|first| LateStart::of_first_event(chain.end.organization, first.event.at)))
    }

    /// Recomputes the chain from `start` (exclusive) to `end` (inclusive), and calls `visit` with each event and the
    /// verifier after it.
    async fn follow(
        &self,
        start: &ChainHead,
        end: &ChainHead,
        mut visit: impl FnMut(&StoredEvent, &ChainVerifier) -> Result<(), IntegrityError> + Send,
    ) -> Result<Result<(), IntegrityError>, Outage> {
        let mut verifier = ChainVerifier::after(start);
        let mut seq = start.seq;
        while seq < end.seq {
            let events = self.stored.events(end.organization, seq, PAGE_SIZE).await?;
            let Some(last) = events.last() else { break };
            seq = last.event.seq;
            // Events that were written after `end` was read are checked in the next run.
            for stored in events.iter().take_while(|stored| stored.event.seq <= end.seq) {
                let step = match &stored.hash {
                    Some(hash) => verifier.step(&stored.event, hash),
                    None => Err(IntegrityError::Changed(stored.event.seq)),
                };
                if let Err(broken) = step.and_then(|()| visit(stored, &verifier)) {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(verifier.end(end, []))
    }

    /// Reports a log that is not intact, unless retention removed events while it was read.
    async fn report_unless_pruned(&self, chain: &Chain, broken: IntegrityError) -> Result<(), Outage> {
        let now = self.stored.chain(chain.end.organization).await?;
        if now.is_none_or(|now| now.begin.seq == chain.begin.seq) {
            self.stored.report_broken(chain.end.organization, broken);
        }
        Ok(())
    }

    fn record_signed(&self, heads: Vec<ChainHead>, after: Option<OrganizationId>) {
        let mut signed = self.signed();
        for head in heads {
            signed.checkpoints.insert(head);
        }
        signed.after = after;
    }

    fn signed(&self) -> MutexGuard<'_, Signed> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
