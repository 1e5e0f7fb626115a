//! Passkeys, and the ceremonies that were used.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    audit::context::AuditContext,
    auth::{
        identity::PASSKEY_ISSUER,
        passkey::{CredentialId, MAX_PASSKEYS, Passkey, PasskeyName, UsedCeremony},
    },
    clock::Timestamp,
    id::{PasskeyAccountId, PasskeyId},
    ports::Passkeys,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{ExprTrait, LockType, SimpleExpr},
};

use crate::{
    database::{Database, batches::first_ids},
    db::error::DbFailure,
    rows::{
        convert,
        entity::{
            passkey::{self, Column},
            used_ceremony, user_identity,
        },
    },
};

/// How long a used ceremony is stored after it has expired, in milliseconds: ten minutes, so that it is not accepted by a node whose
/// clock is late.
const KEPT_MS: i64 = 10 * 60 * 1_000;

#[async_trait]
impl Passkeys for Database {
    async fn register(
        &self,
        passkey: &Passkey,
        ceremony: UsedCeremony,
        context: Option<AuditContext>,
    ) -> Result<(), Error> {
        let (account, id, row) = (passkey.account, passkey.id, convert::passkey_row(passkey));
        let max_changes = self.caps.changes;
        let register = self.transaction(move |transaction, changed| {
            let (row, context) = (row.clone(), context.clone());
            Box::pin(async move {
                use_up(transaction, ceremony).await?;
                if locked(transaction, account).await?.len() >= MAX_PASSKEYS {
                    return Err(DbFailure::Refused(Error::TooManyPasskeys));
                }
                passkey::Entity::insert(row).exec_without_returning(transaction).await?;
                if let Some(context) = context {
                    changed.log.record_within(&context, &[id.uuid()], max_changes);
                }
                Ok(())
            })
        });
        unless_used(register.await)
    }

    async fn find(&self, credential: &CredentialId) -> Result<Option<Passkey>, Outage> {
        let find = passkey::Entity::find().filter(Column::CredentialId.eq(credential.0.clone()));
        let row = find.one(&self.pools.verification).await.map_err(DbFailure::from)?;
        Ok(row.map(convert::passkey).transpose().map_err(DbFailure::from)?)
    }

    async fn list(&self, account: PasskeyAccountId) -> Result<Vec<Passkey>, Outage> {
        let rows = of_account(account).all(&self.pools.read).await.map_err(DbFailure::from)?;
        Ok(rows.into_iter().map(convert::passkey).collect::<Result<_, _>>().map_err(DbFailure::from)?)
    }

    async fn record_use(
        &self,
        passkey: &Passkey,
        state: Vec<u8>,
        ceremony: UsedCeremony,
        at: Timestamp,
    ) -> Result<(), Error> {
        let which = Column::Id.eq(passkey.id.uuid()).and(Column::State.eq(passkey.state.clone()));
        let used = passkey::ActiveModel {
            state: Set(state),
            last_used_at: Set(Some(at.millis())),
            ..passkey::ActiveModel::default()
        };
        let record = self.transaction(move |transaction, _| {
            let (which, used) = (which.clone(), used.clone());
            Box::pin(async move {
                use_up(transaction, ceremony).await?;
                let updated = passkey::Entity::update_many().set(used).filter(which).exec(transaction).await?;
                // It was removed, or another sign-in has changed its counter, which then has to be checked again.
                if updated.rows_affected == 0 {
                    return Err(DbFailure::Refused(Error::PasskeyRejected));
                }
                Ok(())
            })
        });
        unless_used(record.await)
    }

    async fn rename(
        &self,
        account: PasskeyAccountId,
        passkey: PasskeyId,
        name: PasskeyName,
        context: Option<AuditContext>,
    ) -> Result<Passkey, Error> {
        let max_changes = self.caps.changes;
        let rename = self.transaction(move |transaction, changed| {
            let (name, context) = (name.clone(), context.clone());
            Box::pin(async move {
                let find = of_account(account).filter(Column::Id.eq(passkey.uuid())).lock(LockType::Update);
                let found = find.one(transaction).await?.ok_or(DbFailure::Refused(Error::NotFound))?;
                let renamed =
                    passkey::ActiveModel { name: Set(name.as_str().to_owned()), ..passkey::ActiveModel::default() };
                let update = passkey::Entity::update_many().set(renamed).filter(Column::Id.eq(passkey.uuid()));
                update.exec(transaction).await?;
                if let Some(context) = context {
                    changed.log.record_within(&context, &[passkey.uuid()], max_changes);
                }
                Ok(Passkey { name, ..convert::passkey(found)? })
            })
        });
        Ok(rename.await?)
    }

    async fn remove(
        &self,
        account: PasskeyAccountId,
        passkey: PasskeyId,
        context: Option<AuditContext>,
    ) -> Result<(), Error> {
        let remove = self.transaction(move |transaction, changed| {
            let context = context.clone();
            Box::pin(async move {
                let passkeys = locked(transaction, account).await?;
                if !passkeys.iter().any(|row| row.id == passkey.uuid()) {
                    return Err(DbFailure::Refused(Error::NotFound));
                }
                if passkeys.len() == 1 {
                    return Err(DbFailure::Refused(Error::LastPasskey));
                }
                passkey::Entity::delete_by_id(passkey.uuid()).exec(transaction).await?;
                if let Some(context) = context {
                    changed.log.record(&context, &[passkey.uuid()]);
                }
                Ok(())
            })
        });
        Ok(remove.await?)
    }

    async fn discard(&self, account: PasskeyAccountId) -> Result<(), Outage> {
        let discard = self.transaction(move |transaction, _| {
            Box::pin(async move { remove_all(transaction, Column::AccountId.eq(account.uuid())).await })
        });
        Ok(discard.await?)
    }
}

impl Database {
    /// Removes used ceremonies that have expired, in batches. Returns how many.
    pub(crate) async fn remove_expired_ceremonies(&self, now: Timestamp) -> Result<u64, DbFailure> {
        let expired = used_ceremony::Column::ExpiresAt.lte(now.millis().saturating_sub(KEPT_MS));
        let batch = async |size| {
            let (challenge, by) = (used_ceremony::Column::Challenge, used_ceremony::Column::ExpiresAt);
            let first = first_ids(challenge, expired.clone(), by, size);
            let remove = used_ceremony::Entity::delete_many().filter(challenge.in_subquery(first));
            Ok(remove.exec(&self.pools.write).await?.rows_affected)
        };
        self.in_batches(batch).await
    }
}

/// Removes the passkeys of those of these accounts that are linked to no user; part of a transaction. `subjects` are those of the
/// accounts' identities.
pub(crate) async fn remove_unlinked<C: ConnectionTrait>(db: &C, subjects: Vec<String>) -> Result<(), DbFailure> {
    for subject in subjects {
        let linked = user_identity::Entity::find()
            .filter(user_identity::Column::Issuer.eq(PASSKEY_ISSUER))
            .filter(user_identity::Column::Subject.eq(subject.as_str()));
        if let Ok(account) = subject.parse::<PasskeyAccountId>()
            && linked.one(db).await?.is_none()
        {
            remove_all(db, Column::AccountId.eq(account.uuid())).await?;
        }
    }
    Ok(())
}

/// The passkeys of an account, oldest first.
fn of_account(account: PasskeyAccountId) -> Select<passkey::Entity> {
    passkey::Entity::find().filter(Column::AccountId.eq(account.uuid())).order_by_asc(Column::Id)
}

/// The passkeys of an account, locked until the transaction ends, so that simultaneous changes of their number wait.
async fn locked<C: ConnectionTrait>(db: &C, account: PasskeyAccountId) -> Result<Vec<passkey::Model>, DbFailure> {
    of_account(account).lock(LockType::Update).all(db).await?;
    // A change for which the lock has waited is only seen by another statement.
    Ok(of_account(account).all(db).await?)
}

async fn remove_all<C: ConnectionTrait>(db: &C, which: SimpleExpr) -> Result<(), DbFailure> {
    passkey::Entity::delete_many().filter(which).exec(db).await?;
    Ok(())
}

/// Stores that a ceremony was used: a conflict if it was used before.
async fn use_up<C: ConnectionTrait>(db: &C, ceremony: UsedCeremony) -> Result<(), DbFailure> {
    let row = used_ceremony::ActiveModel {
        challenge: Set(ceremony.challenge.to_vec()),
        expires_at: Set(ceremony.expires_at.millis()),
    };
    used_ceremony::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// A violated unique constraint means that the ceremony was used, or the credential is registered.
fn unless_used(outcome: Result<(), DbFailure>) -> Result<(), Error> {
    match outcome {
        Err(failure) if failure.is_conflict() => Err(Error::PasskeyRejected),
        outcome => Ok(outcome?),
    }
}
