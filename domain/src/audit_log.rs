//! Reading and proving the log of an organization.

use std::{collections::HashMap, sync::Arc};

use crate::{
    audit::{Break, Head, Proof},
    caller::Caller,
    clock::Timestamp,
    error::{Error, Outage},
    id::OrganizationId,
    permission::Permission,
    ports::{self, Chain, EventFilter, Stored},
};

/// The use cases on the log.
pub struct AuditLog {
    stored: Arc<dyn ports::AuditLog>,
    accounts: Arc<dyn ports::Accounts>,
}

/// What came of proving a chain.
#[derive(Clone, Copy, Debug)]
pub struct Proved {
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
    pub fn new(stored: Arc<dyn ports::AuditLog>, accounts: Arc<dyn ports::Accounts>) -> Self {
        Self { stored, accounts }
    }

    /// At most `limit` events of an organization, the newest first.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn list(
        &self,
        organization: OrganizationId,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Stored>, Error> {
        Ok(self.stored.list(organization, filter, before, limit).await?)
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

    /// Proves all chains, or that of `only` one, and that these heads, which were told before, lie on them.
    ///
    /// # Errors
    /// The database is away.
    pub async fn prove(
        &self,
        only: Option<OrganizationId>,
        told: &[Head],
        mut report: impl FnMut(Proved),
    ) -> Result<(), Outage> {
        let mut left: HashMap<OrganizationId, Vec<Head>> = HashMap::new();
        for head in told.iter().filter(|head| only.is_none_or(|only| head.organization == only)) {
            left.entry(head.organization).or_default().push(*head);
        }
        let mut after = None;
        loop {
            let chains = match only {
                Some(only) => self.stored.chain(only).await?.into_iter().collect(),
                None => self.stored.chains(after, MANY).await?,
            };
            for chain in &chains {
                let told = left.remove(&chain.end.organization).unwrap_or_default();
                let broken = self.prove_one(chain, &told).await?;
                report(Proved { end: chain.end, broken });
            }
            after = chains.last().map(|chain| chain.end.organization);
            if only.is_some() || chains.is_empty() {
                break;
            }
        }
        // Of a chain that is gone altogether.
        for head in left.into_values().flatten() {
            report(Proved { end: head, broken: Some(Break::Told(head.seq)) });
        }
        Ok(())
    }

    async fn prove_one(&self, chain: &Chain, told: &[Head]) -> Result<Option<Break>, Outage> {
        let mut proof = Proof::after(&chain.begin);
        let mut seq = chain.begin.seq;
        // What was told of before the beginning was removed in its time; the beginning itself may have been told.
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
                let Some(hash) = hash else { return Ok(Some(Break::Missing(event.seq))) };
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
