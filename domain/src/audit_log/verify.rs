//! Verifying a log: every stored event is accounted for, the events form a chain, and the chain contains the signed
//! checkpoints.

use std::collections::HashMap;

use super::{AuditLogService, PAGE_SIZE};
use crate::{
    audit::{
        ChainHash, ChainHead, ChainVerifier, Checkpoint, Event, Front, IntegrityError, LateStart, MAX_UNSIGNED_MS,
    },
    clock::Timestamp,
    error::Outage,
    id::OrganizationId,
    ports::{Chain, CheckpointSigner, EventCounts, PruneSigner},
};

/// The result of verifying a log.
#[derive(Clone, Copy, Debug)]
pub struct VerificationReport {
    /// The last event that retention removed. The log begins after it; sequence number 0 if none was removed.
    pub begin: ChainHead,
    /// What is known about the removed events.
    pub front: Front,
    /// The sequence number of the last missing event that no signed record covers. `None`: there is none.
    pub unproven: Option<u64>,
    /// The end of the log, as it is stored.
    pub end: ChainHead,
    /// Why the log is not intact. `None`: it is intact.
    pub broken: Option<IntegrityError>,
    /// The newest signed checkpoint that the log contains. `None`: it contains none.
    pub checkpoint: Option<Checkpoint>,
    /// What no signature covers, although the log is intact. `None`: only events that are too new to be signed.
    pub gap: Option<Gap>,
}

/// Why an intact log is not protected against changes by an administrator of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// There are no keys to check signatures with.
    NoKeys,
    /// The log has no signed checkpoint.
    NoCheckpoint,
    /// The stored checkpoint is signed by none of the keys.
    UnknownKey,
    /// The log begins too late, so events may be missing from its beginning.
    LateStart(LateStart),
    /// This number of events have no sequence number: they were written by versions that did not assign any.
    Unsequenced(u64),
    /// The events up to this sequence number were not signed when they were written, but first at this time.
    SignedLate(u64, Timestamp),
    /// The events after this sequence number should have been signed by now.
    Unsigned(u64),
}

/// The state of verifying one chain.
struct Search<'a> {
    /// The checkpoints to check, by sequence number.
    checkpoints: &'a [Checkpoint],
    /// The number of these that were checked.
    checked: usize,
    /// The newest of them that is on the chain.
    newest: Option<Checkpoint>,
    /// The highest sequence number of the checkpoints that the caller supplied.
    given_until: u64,
    now: Timestamp,
    gap: Option<Gap>,
}

impl Search<'_> {
    /// Checks all checkpoints up to `seq` against the recomputed chain.
    fn check_checkpoints(&mut self, seq: u64, verifier: &ChainVerifier) -> Result<(), IntegrityError> {
        while let Some(checkpoint) = self.checkpoints.get(self.checked).filter(|checkpoint| checkpoint.head.seq <= seq)
        {
            verifier.check_checkpoint(&checkpoint.head)?;
            self.checked += 1;
        }
        Ok(())
    }

    /// Checks whether the event was signed in time.
    fn check_signed_in_time(&mut self, event: &Event) {
        let Some(newest) = self.newest else { return };
        if event.seq > newest.head.seq {
            if self.gap.is_none() && self.now.millis_since(event.at) > MAX_UNSIGNED_MS {
                self.gap = Some(Gap::Unsigned(newest.head.seq));
            }
            return;
        }
        let first = newest.first();
        let is_late = first.at.millis_since(event.at) > MAX_UNSIGNED_MS;
        if event.seq > self.given_until && event.seq <= first.seq && is_late {
            self.gap = Some(Gap::SignedLate(first.seq, first.at));
        }
    }
}

impl AuditLogService {
    /// Verifies all logs, or `only` the log of one organization, and checks that they contain the `given` checkpoints,
    /// which were kept outside of the database. `signer` has the keys to check signatures with; without it no signature
    /// is checked. Calls `report` for each log, and returns the number of logs.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn verify(
        &self,
        only: Option<OrganizationId>,
        given: &[Checkpoint],
        signer: Option<&dyn CheckpointSigner>,
        mut report: impl FnMut(VerificationReport),
    ) -> Result<usize, Outage> {
        let mut left: HashMap<OrganizationId, Vec<Checkpoint>> = HashMap::new();
        for given in given.iter().filter(|given| only.is_none_or(|only| given.head.organization == only)) {
            left.entry(given.head.organization).or_default().push(*given);
        }
        let (mut after, mut count) = (None, 0);
        loop {
            let chains = match only {
                Some(only) => self.stored.chain(only).await?.into_iter().collect(),
                None => self.stored.chains(after, PAGE_SIZE).await?,
            };
            after = chains.last().map(|chain| chain.end.organization);
            count += chains.len();
            let is_last = only.is_some() || chains.is_empty();
            for chain in chains {
                let given = left.remove(&chain.end.organization).unwrap_or_default();
                report(self.verify_one(chain, &given, signer).await?);
            }
            if is_last {
                break;
            }
        }
        let mut gone = None;
        loop {
            let organizations = self.stored.organizations_without_log(only, gone, PAGE_SIZE).await?;
            let Some(last) = organizations.last() else { break };
            gone = Some(*last);
            for organization in organizations {
                left.remove(&organization);
                report(VerificationReport::broken(organization, IntegrityError::NoLog));
                count += 1;
            }
        }
        for (organization, given) in left {
            let seq = given.iter().map(|given| given.head.seq).max().unwrap_or_default();
            report(VerificationReport::broken(organization, IntegrityError::CheckpointMismatch(seq)));
            count += 1;
        }
        Ok(count)
    }

    /// Verifies one log. If retention removes events meanwhile, verifies the rest again.
    async fn verify_one(
        &self,
        mut chain: Chain,
        given: &[Checkpoint],
        signer: Option<&dyn CheckpointSigner>,
    ) -> Result<VerificationReport, Outage> {
        loop {
            let Chain { begin, end, .. } = chain;
            let front = chain.front(signer.map(|signer| signer as &dyn PruneSigner));
            let unproven = front.unproven(self.clock.now(), self.retention_ms);
            let mut report =
                VerificationReport { begin, front, unproven, end, broken: None, checkpoint: None, gap: None };
            match self.verify_chain(&chain, &front, given, signer).await? {
                Ok((checkpoint, gap)) => (report.checkpoint, report.gap) = (checkpoint, gap),
                Err(broken) => report.broken = Some(broken),
            }
            match self.stored.chain(end.organization).await? {
                Some(now) if report.broken.is_some() && now.begin.seq > begin.seq => chain = now,
                _ => return Ok(report),
            }
        }
    }

    /// The newest checkpoint on a chain and what no signature covers, or why the chain is not intact.
    async fn verify_chain(
        &self,
        chain: &Chain,
        front: &Front,
        given: &[Checkpoint],
        signer: Option<&dyn CheckpointSigner>,
    ) -> Result<Result<(Option<Checkpoint>, Option<Gap>), IntegrityError>, Outage> {
        let now = self.clock.now();
        let unproven = front.unproven(now, self.retention_ms);
        if chain.begin.seq == 0 && chain.begin.hash != ChainHash::BEGINNING {
            return Ok(Err(IntegrityError::Changed(1)));
        }
        // A missing event that was signed so recently that retention would still keep it, and that no signed record
        // covers.
        let is_erased = |given: &&Checkpoint| {
            unproven.is_some_and(|seq| given.head.seq <= seq) && now.millis_since(given.at) < self.retention_ms
        };
        if let Some(given) = given.iter().find(is_erased) {
            return Ok(Err(IntegrityError::CheckpointMismatch(given.head.seq)));
        }
        let stored = match chain.checkpoint(signer) {
            Ok(stored) => stored,
            Err(broken) => return Ok(Err(broken)),
        };
        let checkpoints = in_order(given.iter().copied().chain(stored), chain.begin.seq);
        let on_log = |checkpoint: &&Checkpoint| checkpoint.head.seq <= chain.end.seq;
        let newest = checkpoints.iter().rfind(on_log).copied();
        let given_until = given.iter().filter(on_log).map(|given| given.head.seq).max().unwrap_or_default();
        let mut search = Search { checkpoints: &checkpoints, checked: 0, newest, given_until, now, gap: None };
        if let Err(broken) = search.check_checkpoints(chain.begin.seq, &ChainVerifier::after(&chain.begin)) {
            return Ok(Err(broken));
        }
        let after_begin = checkpoints.iter().filter(on_log).filter(|checkpoint| checkpoint.head.seq > chain.begin.seq);
        let first_signed_at = after_begin.map(|checkpoint| checkpoint.first().at).min();
        let mut late_start = first_signed_at.and_then(|at| LateStart::of_first_checkpoint(front, at));
        let followed = self.follow(&chain.begin, &chain.end, |stored, verifier| {
            if stored.event.seq == 1 {
                late_start = LateStart::of_first_event(chain.end.organization, stored.event.at);
            }
            search.check_signed_in_time(&stored.event);
            search.check_checkpoints(stored.event.seq, verifier)
        });
        if let Err(broken) = followed.await? {
            return Ok(Err(broken));
        }
        let gap = search.gap;
        if let Some(beyond) = checkpoints.last().filter(|last| last.head.seq > chain.end.seq) {
            return Ok(Err(IntegrityError::CheckpointMismatch(beyond.head.seq)));
        }
        let Some(account) = self.stored.account(chain.end.organization).await? else {
            return Ok(Err(IntegrityError::NoLog));
        };
        if let Err(broken) = require_every_row(&account, stored.as_ref()) {
            return Ok(Err(broken));
        }
        let gap = match newest {
            _ if late_start.is_some() => late_start.map(Gap::LateStart),
            _ if signer.is_none() => Some(Gap::NoKeys),
            None if chain.checkpoint.is_some() => Some(Gap::UnknownKey),
            None => Some(Gap::NoCheckpoint),
            Some(_) if account.unsequenced > 0 => Some(Gap::Unsequenced(account.unsequenced)),
            Some(_) => gap,
        };
        Ok(Ok((newest, gap)))
    }
}

impl VerificationReport {
    /// The result for an organization without a log, or a log that does not exist.
    fn broken(organization: OrganizationId, broken: IntegrityError) -> Self {
        let none = ChainHead { organization, seq: 0, hash: ChainHash::BEGINNING };
        let (front, broken) = (Front::Whole, Some(broken));
        Self { begin: none, front, unproven: None, end: none, broken, checkpoint: None, gap: None }
    }
}

/// Sorts the checkpoints by sequence number, and removes duplicates and those before `begin`.
fn in_order(checkpoints: impl Iterator<Item = Checkpoint>, begin: u64) -> Vec<Checkpoint> {
    let mut all: Vec<Checkpoint> = checkpoints.filter(|checkpoint| checkpoint.head.seq >= begin).collect();
    all.sort_by_key(|checkpoint| (checkpoint.head.seq, *checkpoint.head.hash.bytes()));
    all.dedup_by(|next, kept| {
        let is_same = next.head == kept.head;
        // Keeps the one that recorded its first checkpoint.
        if is_same && kept.first.is_none() {
            *kept = *next;
        }
        is_same
    });
    all
}

/// Checks that each stored event of an organization is exactly once in the chain, and that no event without a sequence
/// number was added.
fn require_every_row(account: &EventCounts, stored: Option<&Checkpoint>) -> Result<(), IntegrityError> {
    if account.outside > 0 {
        return Err(IntegrityError::Outside(account.outside));
    }
    if account.inside != account.end.saturating_sub(account.begin) {
        return Err(IntegrityError::Repeated);
    }
    let known = stored.and_then(|stored| stored.unsequenced);
    let added = known.map_or(0, |known| account.unsequenced.saturating_sub(known));
    match Ord::max(added, account.unsequenced_late) {
        0 => Ok(()),
        added => Err(IntegrityError::Added(added)),
    }
}
