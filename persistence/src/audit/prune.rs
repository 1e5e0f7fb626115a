//! Pruning the front of the logs: events whose retention period has passed, in the order of the chain, and only where the chain
//! holds. What was pruned is signed.

use std::{
    collections::HashSet,
    sync::{Arc, Once},
};

use domain::{
    audit::{Break, Head, Proof},
    clock::Timestamp,
    id::OrganizationId,
    ports::PruneSigner,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait},
};
use tokio::time::Instant;

use super::{chain_hash, read};
use crate::{
    Store, convert,
    entity::{audit_chain, audit_event},
    outage::Failure,
    pieces::Pieces,
};

/// Signs what is pruned, where there is a signing key.
pub(crate) type Signer = Option<Arc<dyn PruneSigner>>;

/// Chains in one read.
const CHAINS: usize = 1_000;

/// Events that are removed in one transaction: other changes wait for it.
const EVENTS: u64 = 500;

/// Which events are too old, and since when records of pruning no longer matter.
#[derive(Clone)]
pub(crate) struct Pruning {
    /// Events of before this moment go.
    pub(crate) before: i64,
    /// Now, for the signed record.
    pub(crate) now: Timestamp,
    /// How long events are kept, in milliseconds.
    pub(crate) kept: u64,
    pub(crate) signer: Signer,
}

/// What came of one transaction.
enum Pruned {
    /// So many events were removed.
    Removed(u64),
    /// The chain does not hold here, so nothing more was removed.
    Broken(Break),
}

impl Store {
    /// Prunes all logs. Answers how many events were removed. A log that does not hold is left as it is, and named in the log of
    /// the service.
    pub(crate) async fn prune_logs(&self, pruning: Pruning) -> Result<u64, Failure> {
        let mut removed = 0;
        let mut done = HashSet::new();
        loop {
            let chains = self.chains_with_old_events(pruning.before, done.len() + CHAINS).await?;
            let new: Vec<Uuid> = chains.into_iter().filter(|organization| !done.contains(organization)).collect();
            for organization in &new {
                removed += self.prune_log(*organization, &pruning).await?;
            }
            if new.len() < CHAINS || self.stop.is_cancelled() {
                return Ok(removed);
            }
            // Only those that do not hold are still among the next.
            done.extend(new);
        }
    }

    async fn chains_with_old_events(&self, before: i64, limit: usize) -> Result<Vec<Uuid>, Failure> {
        let chains = audit_chain::Entity::find()
            .select_only()
            .column(audit_chain::Column::OrganizationId)
            .filter(with_events_before(before))
            .order_by_asc(audit_chain::Column::BeginAt)
            .limit(limit as u64)
            .into_tuple();
        Ok(chains.all(&self.pools.read).await?)
    }

    async fn prune_log(&self, organization: Uuid, pruning: &Pruning) -> Result<u64, Failure> {
        let (mut removed, mut pieces) = (0, Pieces::new());
        while !self.stop.is_cancelled() {
            let (pruning, begun) = (pruning.clone(), Instant::now());
            let prune = self.transaction(move |transaction, _| {
                let pruning = pruning.clone();
                Box::pin(async move { prune(transaction, organization, &pruning).await })
            });
            match prune.await? {
                Pruned::Removed(count) => {
                    removed += count;
                    if count < EVENTS {
                        return Ok(removed);
                    }
                    pieces.give_way(begun.elapsed(), &self.stop).await;
                }
                Pruned::Broken(broken) => {
                    tracing::error!(
                        target: "claviger", org_id = %OrganizationId::from_uuid(organization), %broken,
                        "the log of an organization was changed in the database; retention removes nothing from it: run \
                         `claviger audit verify`"
                    );
                    return Ok(removed);
                }
            }
        }
        Ok(removed)
    }
}

/// Chains that may have events of before a moment.
pub(crate) fn with_events_before(before: i64) -> Condition {
    Condition::all()
        .add(audit_chain::Column::BeginAt.lt(before))
        .add(Expr::col(audit_chain::Column::BeginSeq).lt(Expr::col(audit_chain::Column::EndSeq)))
}

/// Removes the oldest events of a chain, as far as all of them are old, but not very many at a time.
async fn prune<C: ConnectionTrait>(db: &C, organization: Uuid, pruning: &Pruning) -> Result<Pruned, Failure> {
    let Some(row) = audit_chain::Entity::find_by_id(organization).lock_exclusive().one(db).await? else {
        return Ok(Pruned::Removed(0));
    };
    if row.prune_record.is_some() && pruning.signer.is_none() {
        // An unsigned pruning would leave nothing that proves the signed ones before it.
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(
                target: "claviger",
                "audit logs whose pruning is signed are not pruned without the signing key: set CLAVIGER_SIGNING_KEY_FILE"
            );
        });
        return Ok(Pruned::Removed(0));
    }
    let (removed, unchained_at) = remove_unchained(db, organization, pruning.before).await?;
    if removed == EVENTS {
        return Ok(Pruned::Removed(removed));
    }
    let chain = read::chain(&row)?;
    let events = audit_event::Entity::find()
        .filter(audit_event::Column::OrganizationId.eq(organization))
        .filter(audit_event::Column::Seq.gt(row.begin_seq))
        .order_by_asc(audit_event::Column::Seq)
        .limit(EVENTS - removed + 1)
        .all(db)
        .await?;
    let most = usize::try_from(EVENTS - removed).unwrap_or(usize::MAX);
    // In the order of the chain: what follows an event that is young stays.
    let old = events.iter().take(most).take_while(|event| event.at < pruning.before).count();
    let chained_at = events.get(old).map(|event| event.at);
    let begin_at = chained_at.into_iter().chain(unchained_at).min().unwrap_or(pruning.before);
    let mut begin = audit_chain::ActiveModel {
        organization_id: Set(organization),
        begin_at: Set(begin_at),
        ..audit_chain::ActiveModel::default()
    };
    if let Some(start) = prove(&chain.begin, &events[..old]) {
        let start = match start {
            Ok(start) => start,
            Err(broken) => return Ok(Pruned::Broken(broken)),
        };
        let pruned = Condition::all()
            .add(audit_event::Column::OrganizationId.eq(organization))
            .add(audit_event::Column::Seq.gt(row.begin_seq))
            .add(audit_event::Column::Seq.lte(convert::number(start.seq)));
        audit_event::Entity::delete_many().filter(pruned).exec(db).await?;
        let signer = pruning.signer.as_deref();
        let record = chain.front(signer).pruned_to(start, pruning.now, pruning.kept);
        begin.begin_seq = Set(convert::number(start.seq));
        begin.begin_hash = Set(start.hash.bytes().to_vec());
        begin.prune_record = Set(signer.map(|signer| signer.sign_prune_record(&record)));
    }
    audit_chain::Entity::update(begin).exec(db).await?;
    Ok(Pruned::Removed(removed + old as u64))
}

/// Goes along these events, which follow `begin`. Answers the last of them; `None`: there is none.
fn prove(begin: &Head, events: &[audit_event::Model]) -> Option<Result<Head, Break>> {
    let mut proof = Proof::after(begin);
    for event in events {
        let stored = read::stored_or_changed(event.clone());
        let hash = stored.hash.ok_or(Break::Changed(stored.event.seq));
        if let Err(broken) = hash.and_then(|hash| proof.step(&stored.event, &hash)) {
            return Some(Err(broken));
        }
    }
    let last = events.last()?;
    let hash = chain_hash(last.hash.as_deref().unwrap_or_default(), "audit_events", last.organization_id).ok()?;
    Some(Ok(Head { organization: begin.organization, seq: begin.seq + events.len() as u64, hash }))
}

/// Removes old events of before there was a chain. Answers how many, and when the oldest of those that stay was.
async fn remove_unchained<C: ConnectionTrait>(
    db: &C,
    organization: Uuid,
    before: i64,
) -> Result<(u64, Option<i64>), Failure> {
    let unchained = Condition::all()
        .add(audit_event::Column::OrganizationId.eq(organization))
        .add(audit_event::Column::Seq.is_null());
    let oldest: Vec<(i64, i64)> = audit_event::Entity::find()
        .select_only()
        .column(audit_event::Column::Id)
        .column(audit_event::Column::At)
        .filter(unchained.clone())
        .order_by_asc(audit_event::Column::Id)
        .limit(EVENTS + 1)
        .into_tuple()
        .all(db)
        .await?;
    let most = usize::try_from(EVENTS).unwrap_or(usize::MAX);
    let old = oldest.iter().take(most).take_while(|(_, at)| *at < before).count();
    if let Some((last, _)) = old.checked_sub(1).and_then(|last| oldest.get(last)) {
        let old = unchained.add(audit_event::Column::Id.lte(*last));
        audit_event::Entity::delete_many().filter(old).exec(db).await?;
    }
    Ok((old as u64, oldest.get(old).map(|(_, at)| *at)))
}
