//! Browser sessions.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::session::{Bearer, LiveSessions, Session, SessionsOf},
    clock::Timestamp,
    id::{SessionId, UserId},
    keys::secret::SecretHash,
    ports::Sessions,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, LockType, Query, SelectStatement},
};
use tokio::time::Instant;

use crate::{
    database::{
        Database,
        batches::{Batches, first_ids},
    },
    db::{error::DbFailure, message_size::MAX_HASHES_PER_STATEMENT},
    identity::portal_sessions,
    retention_periods::cutoff,
    rows::{
        convert,
        entity::{api_key, api_key_secret, session, user_identity},
    },
};

/// Sessions of one secret or person. A new one replaces the oldest.
const MAX_SESSIONS: u64 = 100;

/// The most expired or surplus sessions that opening a new one removes.
const MAX_REMOVED_SESSIONS: u64 = 100;

/// Identities of one user that are read. A user has one, but users of earlier versions may have a few.
const MAX_IDENTITIES: u64 = 100;

/// The most batches in which one call deletes sessions. There are never more sessions, but new ones may be opened meanwhile.
const MAX_BATCHES: usize = 200;

#[async_trait]
impl Sessions for Database {
    async fn create(&self, session: &Session, replaces: Option<SessionId>) -> Result<(), Error> {
        let (session, max) = (session.clone(), self.bounds.sessions);
        let ended = self.clocks.no_later_than_database(session.created_at, 0);
        let create = self.transaction(move |transaction, _| {
            let (session, ended) = (session.clone(), ended.clone());
            Box::pin(async move {
                if let Bearer::Key(hash) = &session.bearer {
                    require_enabled(transaction, hash).await?;
                }
                if let Some(replaced) = replaces {
                    session::Entity::delete_by_id(replaced.uuid()).exec(transaction).await?;
                }
                let expired = session::Column::ExpiresAt.into_expr().lte(ended);
                remove(transaction, session::Entity::find().filter(expired).limit(MAX_REMOVED_SESSIONS)).await?;
                let own = match &session.bearer {
                    Bearer::Key(hash) => Condition::all().add(session::Column::SecretHash.eq(hash.bytes().to_vec())),
                    Bearer::FederatedUser(claims) => Condition::all()
                        .add(session::Column::Issuer.eq(claims.identity.issuer.as_str()))
                        .add(session::Column::Subject.eq(claims.identity.subject.as_str())),
                };
                let surplus = |own: Condition, max: u64| {
                    let others = session::Entity::find().filter(own);
                    others
                        .order_by_desc(session::Column::CreatedAt)
                        .offset(max.saturating_sub(1))
                        .limit(MAX_REMOVED_SESSIONS)
                };
                remove(transaction, surplus(own, MAX_SESSIONS)).await?;
                if let Some(organization) = session.organization {
                    let opened_in_it = Condition::all().add(session::Column::HomeId.eq(organization.uuid()));
                    remove(transaction, surplus(opened_in_it, max)).await?;
                }
                session::Entity::insert(convert::session_row(&session)).exec_without_returning(transaction).await?;
                Ok(())
            })
        });
        Ok(create.await?)
    }

    async fn find(&self, session: SessionId) -> Result<Option<Session>, Outage> {
        let row =
            session::Entity::find_by_id(session.uuid()).one(&self.pools.verification).await.map_err(DbFailure::from)?;
        let row = row.map(|row| self.session_uses.complete(row));
        Ok(row.map(convert::session).transpose().map_err(DbFailure::from)?)
    }

    fn record_use(&self, session: SessionId, at: Timestamp) {
        self.session_uses.add(session.uuid(), at);
    }

    async fn list(
        &self,
        of: SessionsOf,
        live: LiveSessions,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, Outage> {
        Ok(self.list_sessions(of, live, after, limit).await?)
    }

    async fn delete(&self, session: SessionId) -> Result<(), Outage> {
        let delete = self.transaction(move |transaction, _| {
            Box::pin(async move {
                session::Entity::delete_by_id(session.uuid()).exec(transaction).await?;
                Ok(())
            })
        });
        Ok(delete.await?)
    }

    async fn delete_one(
        &self,
        of: SessionsOf,
        session: SessionId,
        context: Option<AuditContext>,
    ) -> Result<bool, Outage> {
        let (_, parts) = parts(&self.pools.read, of).await.map_err(Outage::from)?;
        let is_one = parts.into_iter().fold(Condition::any(), Condition::add);
        let delete = self.transaction(move |transaction, changed| {
            let (is_one, context) = (is_one.clone(), context.clone());
            Box::pin(async move {
                let found = session::Entity::find_by_id(session.uuid()).filter(is_one);
                let count = remove(transaction, found).await?;
                if let Some(context) = context.filter(|_| count > 0) {
                    changed.log.record(&context, &[session.uuid()]);
                }
                Ok(count > 0)
            })
        });
        Ok(delete.await?)
    }

    async fn delete_all(
        &self,
        of: SessionsOf,
        kept: Option<SessionId>,
        context: Option<AuditContext>,
    ) -> Result<u64, Outage> {
        Ok(self.end_sessions(of, kept, context).await?)
    }
}

impl Database {
    async fn list_sessions(
        &self,
        of: SessionsOf,
        live: LiveSessions,
        after: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>, DbFailure> {
        let (_, parts) = parts(&self.pools.read, of).await?;
        let used_after = live.used_after.millis();
        // In rows of older versions the last use is 0.
        let is_used = session::Column::LastUsedAt.gt(used_after).or(session::Column::CreatedAt.gt(used_after));
        let mut rows = Vec::new();
        for part in parts {
            let page = session::Entity::find()
                .filter(part)
                .filter(session::Column::ExpiresAt.gt(live.now.millis()))
                .filter(is_used.clone())
                .apply_if(after, |find, after| find.filter(session::Column::Id.gt(after.uuid())))
                .order_by_asc(session::Column::Id)
                .limit(limit);
            rows.extend(page.all(&self.pools.read).await?);
        }
        rows.sort_unstable_by_key(|row| row.id);
        rows.dedup_by_key(|row| row.id);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let sessions = rows.into_iter().map(|row| convert::session(self.session_uses.complete(row)));
        Ok(sessions.collect::<Result<_, _>>()?)
    }

    /// Deletes all of these sessions except `kept` (`None`: all), in batches. If there was one, `context` is written to the audit
    /// log. Returns how many.
    pub(crate) async fn end_sessions(
        &self,
        of: SessionsOf,
        kept: Option<SessionId>,
        context: Option<AuditContext>,
    ) -> Result<u64, DbFailure> {
        let (target, mut parts) = parts(&self.pools.read, of).await?;
        if let Some(kept) = kept {
            parts = parts.into_iter().map(|part| part.add(session::Column::Id.ne(kept.uuid()))).collect();
        }
        let (mut parts, mut batches, mut ended) = (parts.into_iter(), Batches::new(), 0);
        let Some(mut part) = parts.next() else { return Ok(0) };
        for _ in 0..MAX_BATCHES {
            let (which, size) = (part.clone(), batches.size());
            let context = context.clone().filter(|_| ended == 0);
            let batch = self.transaction(move |transaction, changed| {
                let (which, context) = (which.clone(), context.clone());
                Box::pin(async move {
                    let begun = Instant::now();
                    let page = session::Entity::find().filter(which).order_by_asc(session::Column::Id).limit(size);
                    let count = remove(transaction, page).await?;
                    if let Some(context) = context.filter(|_| count > 0) {
                        changed.log.record(&context, &[target]);
                    }
                    Ok((count, begun.elapsed()))
                })
            });
            let (count, took) = batch.await?;
            ended += count;
            if count < size {
                match parts.next() {
                    Some(next) => part = next,
                    None => break,
                }
            } else {
                batches.give_way(took, &self.workers.stop).await;
            }
        }
        Ok(ended)
    }

    /// Removes sessions that have expired, or were not used for too long, in batches. Returns how many.
    pub(crate) async fn remove_ended_sessions(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let unused_since = cutoff(now, self.retention.idle_sessions);
        let expired = session::Column::ExpiresAt.lte(now.millis());
        let unused = session::Column::LastUsedAt.lte(unused_since).and(session::Column::CreatedAt.lte(unused_since));
        let mut removed = 0;
        for (ended, order) in [(expired, session::Column::ExpiresAt), (unused, session::Column::LastUsedAt)] {
            let batch = async |size| {
                let ended = first_ids(session::Column::Id, ended.clone(), order, size);
                let remove = session::Entity::delete_many().filter(session::Column::Id.in_subquery(ended));
                Ok(remove.exec(&self.pools.write).await?.rows_affected)
            };
            removed += self.in_batches(batch).await?;
        }
        Ok(removed)
    }
}

/// The target of the audit event, and the sessions as conditions, each of which an index serves.
async fn parts<C: ConnectionTrait>(db: &C, of: SessionsOf) -> Result<(Uuid, Vec<Condition>), DbFailure> {
    let all = |condition| Condition::all().add(condition);
    let parts = match of {
        SessionsOf::Key(key) => {
            let secrets = Query::select()
                .column(api_key_secret::Column::Hash)
                .from(api_key_secret::Entity)
                .and_where(api_key_secret::Column::ApiKeyId.eq(key.uuid()))
                .to_owned();
            (key.uuid(), vec![all(session::Column::SecretHash.in_subquery(secrets))])
        }
        SessionsOf::FederatedUser { identity, user } => {
            let own =
                all(session::Column::Issuer.eq(identity.issuer)).add(session::Column::Subject.eq(identity.subject));
            (user.map_or(Uuid::nil(), UserId::uuid), vec![own])
        }
        SessionsOf::Member(organization, user) => {
            let here = session::Column::HomeId.eq(organization.uuid());
            let identities = user_identity::Entity::find()
                .filter(user_identity::Column::UserId.eq(user.uuid()))
                .limit(MAX_IDENTITIES)
                .all(db)
                .await?;
            // From the sessions to the keys: an organization has a bounded number of sessions, a member maybe a million keys.
            let mut parts = vec![all(here.clone()).add(Expr::exists(secret_of_member(user.uuid())))];
            for identity in identities {
                // Any organization may add a person. Only one that the person has accepted may end sessions without an organization.
                let where_opened = if identity.accepted_at.is_some() {
                    here.clone().or(session::Column::HomeId.is_null())
                } else {
                    here.clone()
                };
                let of_identity = all(session::Column::Issuer.eq(identity.issuer));
                parts.push(of_identity.add(session::Column::Subject.eq(identity.subject)).add(where_opened));
            }
            (user.uuid(), parts)
        }
        SessionsOf::Organization(organization) => {
            (organization.uuid(), vec![all(session::Column::HomeId.eq(organization.uuid()))])
        }
    };
    Ok(parts)
}

/// A subquery of the secret of a session, if its key belongs to this user.
fn secret_of_member(user: Uuid) -> SelectStatement {
    let secret = |column| (api_key_secret::Entity, column);
    let key = Expr::col((api_key::Entity, api_key::Column::Id));
    Query::select()
        .expr(Expr::value(1))
        .from(api_key_secret::Entity)
        .inner_join(api_key::Entity, key.equals(secret(api_key_secret::Column::ApiKeyId)))
        .and_where(
            Expr::col(secret(api_key_secret::Column::Hash)).equals((session::Entity, session::Column::SecretHash)),
        )
        .and_where(Expr::col((api_key::Entity, api_key::Column::UserId)).eq(user))
        .to_owned()
}

/// Requires that the key with this secret is enabled and not deleted, and locks it until the transaction ends: a concurrent request
/// that disables it then also deletes this session.
async fn require_enabled(db: &DatabaseTransaction, secret: &SecretHash) -> Result<(), DbFailure> {
    let key = Query::select()
        .column(api_key_secret::Column::ApiKeyId)
        .from(api_key_secret::Entity)
        .and_where(api_key_secret::Column::Hash.eq(secret.bytes().to_vec()))
        .to_owned();
    let enabled: Option<bool> = api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Enabled)
        .filter(api_key::Column::Id.in_subquery(key))
        .filter(api_key::Column::DeletedAt.is_null())
        .lock(LockType::Share)
        .into_tuple()
        .one(db)
        .await?;
    if enabled == Some(true) { Ok(()) } else { Err(DbFailure::Refused(Error::NotFound)) }
}

/// Deletes the sessions that were opened with these secrets, and the portal sessions that they created; part of a transaction that changes their keys.
pub(crate) async fn remove_opened_with<C: ConnectionTrait>(db: &C, secrets: &[SecretHash]) -> Result<(), DbErr> {
    for secrets in secrets.chunks(MAX_HASHES_PER_STATEMENT) {
        let opened = session::Column::SecretHash.is_in(secrets.iter().map(|secret| secret.bytes().to_vec()));
        session::Entity::delete_many().filter(opened).exec(db).await?;
    }
    portal_sessions::remove_created_with(db, secrets).await
}

/// Deletes these sessions. Returns how many.
async fn remove(db: &DatabaseTransaction, which: sea_orm::Select<session::Entity>) -> Result<u64, DbFailure> {
    let ids: Vec<Uuid> = which.select_only().column(session::Column::Id).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let removed = session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec(db).await?;
    Ok(removed.rows_affected)
}
