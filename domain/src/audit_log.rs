//! Reading and proving the log of an organization.

use std::{collections::HashMap, sync::Arc};

use crate::{
    audit::{Break, ChainHash, Front, Head, Proof},
    caller::Caller,
    clock::{Clock, Timestamp},
    error::{Error, Outage},
    id::OrganizationId,
    permission::Permission,
    ports::{self, Chain, EventFilter, Position, PruneSigner, Stored},
};

/// The use cases on the log.
pub struct AuditLog {
    stored: Arc<dyn ports::AuditLog>,
    accounts: Arc<dyn ports::Accounts>,
    clock: Arc<dyn Clock>,
    /// How long events are kept, in milliseconds.
    kept: u64,
}

/// An end that was told before.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The end.
    pub head: Head,
    /// When it was told.
    pub at: Timestamp,
}

/// What came of proving a chain.
#[derive(Clone, Copy, Debug)]
pub struct Proved {
    /// After this one it begins: what was before is too old.
    pub begin: Head,
    /// What is known of the events up to there.
    pub front: Front,
    /// The last event that is gone without proof that retention pruned it.
    pub unproven: Option<u64>,
    /// Its end, as it is stored.
    pub end: Head,
    /// Where it does not hold.
    pub broken: Option<Break>,
}

/// Chains in one read, and events.
const MANY: u64 = 1_000;

impl AuditLog {
    /// The use cases over these ports.
    #[must_use]
    pub fn new(
        stored: Arc<dyn ports::AuditLog>,
        accounts: Arc<dyn ports::Accounts>,
        clock: Arc<dyn Clock>,
        kept: u64,
    ) -> Self {
        Self { stored, accounts, clock, kept }
    }

    /// At most `limit` events of an organization, the newest first.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        position: Option<Position>,
        limit: u64,
    ) -> Result<Vec<Stored>, Error> {
        Ok(self.stored.list(organization, filter, position, limit).await?)
    }

    /// The organization (`None`: a text that names none) whose log the caller may read. The platform reads those of
    /// organizations that are gone, too.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `audit:read`; [`Error::NotFound`]; [`Error::Outage`].
    pub async fn authorize(
        &self,
        caller: Caller,
        organization: Option<OrganizationId>,
    ) -> Result<OrganizationId, Error> {
        let (caller, organization) = caller.heading_for(organization, &Permission::AUDIT_READ)?;
        let is_readable = caller.is_at(organization)
            || caller.is_platform()
                && (self.accounts.has_organization(organization).await? || self.stored.has_log(organization).await?);
        if is_readable { Ok(organization) } else { Err(Error::NotFound) }
    }

    /// The ends of the chains that have grown since a moment.
    ///
    /// # Errors
    /// The database is away.
    pub async fn grown(&self, since: Timestamp) -> Result<Vec<Head>, Outage> {
        self.stored.grown(since).await
    }

    /// Proves all chains, or that of `only` one, and that these heads, which were told before, lie on them. `signer` has the
    /// keys by which records of pruning are checked. Answers how many were looked at.
    ///
    /// # Errors
    /// The database is away.
    pub async fn prove(
        &self,
        only: Option<OrganizationId>,
        told: &[Told],
        signer: Option<&dyn PruneSigner>,
        mut report: impl FnMut(Proved),
    ) -> Result<usize, Outage> {
        let mut left: HashMap<OrganizationId, Vec<Told>> = HashMap::new();
        for told in told.iter().filter(|told| only.is_none_or(|only| told.head.organization == only)) {
            left.entry(told.head.organization).or_default().push(*told);
        }
        let (mut after, mut count) = (None, 0);
        loop {
            let chains = match only {
                Some(only) => self.stored.chain(only).await?.into_iter().collect(),
                None => self.stored.chains(after, MANY).await?,
            };
            after = chains.last().map(|chain| chain.end.organization);
            count += chains.len();
            let is_last = only.is_some() || chains.is_empty();
            for chain in chains {
                let told = left.remove(&chain.end.organization).unwrap_or_default();
                report(self.prove_one(chain, &told, signer).await?);
            }
            if is_last {
                break;
            }
        }
        // Of a chain that is gone altogether.
        for Told { head, .. } in left.into_values().flatten() {
            let front = Front::Unsigned(head.seq);
            let broken = Some(Break::Told(head.seq));
            report(Proved { begin: head, front, unproven: Some(head.seq), end: head, broken });
            count += 1;
        }
        Ok(count)
    }

    /// Old events may be removed while we look: then what is left is proved.
    async fn prove_one(
        &self,
        mut chain: Chain,
        told: &[Told],
        signer: Option<&dyn PruneSigner>,
    ) -> Result<Proved, Outage> {
        loop {
            let front = chain.front(signer);
            let unproven = front.unproven(self.clock.now(), self.kept);
            let broken = self.find_break(&chain, unproven, told).await?;
            let Chain { begin, end, .. } = chain;
            match self.stored.chain(end.organization).await? {
                Some(now) if broken.is_some() && now.begin.seq > begin.seq => chain = now,
                _ => return Ok(Proved { begin, front, unproven, end, broken }),
            }
        }
    }

    async fn find_break(&self, chain: &Chain, unproven: Option<u64>, told: &[Told]) -> Result<Option<Break>, Outage> {
        if chain.begin.seq == 0 && chain.begin.hash != ChainHash::BEGINNING {
            return Ok(Some(Break::Changed(1)));
        }
        // An event that is gone, although it was told so lately that retention would still keep it, and without proof that
        // retention pruned it.
        let is_erased = |told: &&Told| {
            unproven.is_some_and(|seq| told.head.seq <= seq) && self.clock.now().millis_since(told.at) < self.kept
        };
        if let Some(told) = told.iter().find(is_erased) {
            return Ok(Some(Break::Told(told.head.seq)));
        }
        let told: Vec<Head> = told.iter().map(|told| told.head).collect();
        let mut proof = Proof::after(&chain.begin);
        let mut seq = chain.begin.seq;
        if let Err(broken) = told.iter().try_for_each(|told| proof.meets(told)) {
            return Ok(Some(broken));
        }
        loop {
            let events = self.stored.events(chain.end.organization, seq, MANY).await?;
            for Stored { event, hash, .. } in &events {
                // What has come since the end was read is for the next time.
                if event.seq > chain.end.seq {
                    break;
                }
                let Some(hash) = hash else { return Ok(Some(Break::Changed(event.seq))) };
                let step = proof.step(event, hash).and_then(|()| told.iter().try_for_each(|told| proof.meets(told)));
                if let Err(broken) = step {
                    return Ok(Some(broken));
                }
            }
            match events.last() {
                Some(last) if last.event.seq < chain.end.seq => seq = last.event.seq,
                _ => break,
            }
        }
        Ok(proof.end(&chain.end, told.iter().copied()).err())
    }
}
