//! Prunes the audit logs by retention period: from the beginning of a chain, in its order, and only as far as the chain is intact. A
//! signed record says what was pruned.

use std::{
    collections::HashSet,
    sync::{Arc, Once},
};

use domain::{
    audit::{ChainHead, ChainVerifier, IntegrityError},
    clock::Timestamp,
    id::OrganizationId,
    ports::PruneSigner,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait},
};
use tokio::time::Instant;

use super::read;
use crate::{
    audit::AuditStore,
    database::{batches::Batches, change_log::chain::chain_hash},
    db::error::DbFailure,
    rows::{
        convert,
        entity::{audit_chain, audit_event},
    },
};

/// Signs the records of pruning, if there is a signing key.
pub(crate) type Signer = Option<Arc<dyn PruneSigner>>;

/// The most chains in one read.
const MAX_CHAINS_PER_READ: usize = 1_000;

/// The most events that are removed in one transaction, for which other changes of the organization wait.
const MAX_EVENTS_PER_TRANSACTION: u64 = 500;

/// What a run of retention prunes.
#[derive(Clone)]
pub(crate) struct Pruning {
    /// Older events are removed. Milliseconds since the Unix epoch.
    pub(crate) before: i64,
    /// The current time, for the signed record.
    pub(crate) now: Timestamp,
    /// How long events are kept, in milliseconds.
    pub(crate) kept: u64,
    pub(crate) signer: Signer,
}

/// The result of one transaction.
enum Pruned {
    /// The number of removed events.
    Removed(u64),
    /// The chain is not intact at this event, so nothing more was removed.
    Broken(IntegrityError),
}

impl AuditStore {
    /// Prunes all audit logs. Returns the number of removed events. A log that is not intact is left as it is and reported.
    pub(crate) async fn prune_logs(&self, pruning: Pruning) -> Result<u64, DbFailure> {
        let mut removed = 0;
        let mut done = HashSet::new();
        loop {
            let chains = self.chains_with_old_events(pruning.before, done.len() + MAX_CHAINS_PER_READ).await?;
            let new: Vec<Uuid> = chains.into_iter().filter(|organization| !done.contains(organization)).collect();
            for organization in &new {
                removed += self.prune_log(*organization, &pruning).await?;
            }
            if new.len() < MAX_CHAINS_PER_READ || self.database.workers.stop.is_cancelled() {
                return Ok(removed);
            }
            // The next read returns these again if they are not intact.
            done.extend(new);
        }
    }

    async fn chains_with_old_events(&self, before: i64, limit: usize) -> Result<Vec<Uuid>, DbFailure> {
        let chains = audit_chain::Entity::find()
            .select_only()
            .column(audit_chain::Column::OrganizationId)
            .filter(with_events_before(before))
            .order_by_asc(audit_chain::Column::BeginAt)
            .limit(limit as u64)
            .into_tuple();
        Ok(chains.all(&self.database.pools.read).await?)
    }

    async fn prune_log(&self, organization: Uuid, pruning: &Pruning) -> Result<u64, DbFailure> {
        let (mut removed, mut batches) = (0, Batches::new());
        while !self.database.workers.stop.is_cancelled() {
            let (pruning, begun) = (pruning.clone(), Instant::now());
            let prune = self.database.transaction(move |transaction, _| {
                let pruning = pruning.clone();
                Box::pin(async move { prune(transaction, organization, &pruning).await })
            });
            match prune.await? {
                Pruned::Removed(count) => {
                    removed += count;
                    if count < MAX_EVENTS_PER_TRANSACTION {
                        return Ok(removed);
                    }
                    batches.give_way(begun.elapsed(), &self.database.workers.stop).await;
                }
                Pruned::Broken(broken) => {
                    self.broken_logs.report(OrganizationId::from_uuid(organization), broken);
                    return Ok(removed);
                }
            }
        }
        Ok(removed)
    }
}

/// Whether a chain may have events older than `before`, in milliseconds since the Unix epoch.
pub(crate) fn with_events_before(before: i64) -> Condition {
    Condition::all()
        .add(audit_chain::Column::BeginAt.lt(before))
        .add(Expr::col(audit_chain::Column::BeginSeq).lt(Expr::col(audit_chain::Column::EndSeq)))
}

/// Removes the oldest events of a chain up to the first one that is not older than the cutoff, at most
/// [`MAX_EVENTS_PER_TRANSACTION`].
async fn prune<C: ConnectionTrait>(db: &C, organization: Uuid, pruning: &Pruning) -> Result<Pruned, DbFailure> {
    let Some(row) = audit_chain::Entity::find_by_id(organization).lock_exclusive().one(db).await? else {
        return Ok(Pruned::Removed(0));
    };
    if row.prune_record.is_some() && pruning.signer.is_none() {
        // An unsigned prune record would replace the signed record of the events that were pruned earlier.
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(
                target: "claviger",
                "audit logs whose pruning is signed are not pruned without the signing key: set CLAVIGER_SIGNING_KEY_FILE"
            );
        });
        return Ok(Pruned::Removed(0));
    }
    let chain = read::chain(&row);
    if !chain.has_valid_hashes {
        return Ok(Pruned::Broken(IntegrityError::InvalidHash));
    }
    let (removed, unchained_at) = remove_unchained(db, organization, pruning.before).await?;
    if removed == MAX_EVENTS_PER_TRANSACTION {
        return Ok(Pruned::Removed(removed));
    }
    let events = audit_event::Entity::find()
        .filter(audit_event::Column::OrganizationId.eq(organization))
        .filter(audit_event::Column::Seq.gt(row.begin_seq))
        .order_by_asc(audit_event::Column::Seq)
        .limit(MAX_EVENTS_PER_TRANSACTION - removed + 1);
    let rows = db.query_all_raw(events.build(db.get_database_backend())).await?;
    let events = match read_events(rows, chain.begin.seq) {
        Ok(events) => events,
        Err(broken) => return Ok(Pruned::Broken(broken)),
    };
    let max = usize::try_from(MAX_EVENTS_PER_TRANSACTION - removed).unwrap_or(usize::MAX);
    // In the order of the chain: old events after a younger one stay.
    let old = events.iter().take(max).take_while(|event| event.at < pruning.before).count();
    let chained_at = events.get(old).map(|event| event.at);
    let begin_at = chained_at.into_iter().chain(unchained_at).min().unwrap_or(pruning.before);
    let mut begin = audit_chain::ActiveModel {
        organization_id: Set(organization),
        begin_at: Set(begin_at),
        ..audit_chain::ActiveModel::default()
    };
    if let Some(start) = verify(&chain.begin, &events[..old]) {
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

/// The events of rows that follow the sequence number `begin`. One of them may be unreadable: SQLite stores values of any type in any
/// column.
fn read_events(rows: Vec<QueryResult>, begin: u64) -> Result<Vec<audit_event::Model>, IntegrityError> {
    let mut events = Vec::with_capacity(rows.len());
    for (seq, row) in (begin + 1..).zip(rows) {
        events.push(audit_event::Model::from_query_result(&row, "").map_err(|_| IntegrityError::Changed(seq))?);
    }
    Ok(events)
}

/// Verifies the events, which follow `begin`. Returns the head of the last one; `None`: there are no events.
fn verify(begin: &ChainHead, events: &[audit_event::Model]) -> Option<Result<ChainHead, IntegrityError>> {
    let mut verifier = ChainVerifier::after(begin);
    for event in events {
        let stored = read::stored_or_changed(event.clone());
        let hash = stored.hash.ok_or(IntegrityError::Changed(stored.event.seq));
        if let Err(broken) = hash.and_then(|hash| verifier.step(&stored.event, &hash)) {
            return Some(Err(broken));
        }
    }
    let last = events.last()?;
    let hash = chain_hash(last.hash.as_deref().unwrap_or_default(), "audit_events", last.organization_id).ok()?;
    Some(Ok(ChainHead { organization: begin.organization, seq: begin.seq + events.len() as u64, hash }))
}

/// Removes old events without a sequence number, from before logs were chained. Returns how many, and the time of the oldest one that
/// stays, in milliseconds since the Unix epoch.
async fn remove_unchained<C: ConnectionTrait>(
    db: &C,
    organization: Uuid,
    before: i64,
) -> Result<(u64, Option<i64>), DbFailure> {
    let unchained = Condition::all()
        .add(audit_event::Column::OrganizationId.eq(organization))
        .add(audit_event::Column::Seq.is_null());
    let oldest: Vec<(i64, i64)> = audit_event::Entity::find()
        .select_only()
        .column(audit_event::Column::Id)
        .column(audit_event::Column::At)
        .filter(unchained.clone())
        .order_by_asc(audit_event::Column::Id)
        .limit(MAX_EVENTS_PER_TRANSACTION + 1)
        .into_tuple()
        .all(db)
        .await?;
    let max = usize::try_from(MAX_EVENTS_PER_TRANSACTION).unwrap_or(usize::MAX);
    let old = oldest.iter().take(max).take_while(|(_, at)| *at < before).count();
    if let Some((last, _)) = old.checked_sub(1).and_then(|last| oldest.get(last)) {
        let old = unchained.add(audit_event::Column::Id.lte(*last));
        audit_event::Entity::delete_many().filter(old).exec(db).await?;
    }
    Ok((old as u64, oldest.get(old).map(|(_, at)| *at)))
}
