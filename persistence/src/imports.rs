//! Keys that come from elsewhere: stored by the hashes that were kept there, found by our own from their first verify on.
//!
//! An imported secret belongs to each organization that has imported it. Where its text is shown there first, it gets a row
//! among all secrets, by a hash that is that organization's alone.
//!
//! The shapes of their secrets are few and are held in memory, so that a text of none of them costs no lookup. Each node reads
//! them when it hears of a change; one that has not heard yet calls such a text unknown, which is on the safe side.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::{Act, Actor},
    api_key::ApiKey,
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    ports::{Holder, Imported, Imports},
    secret::{self, Alphabet, ImportedText, OldHash, SecretHash, Shape},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, OnConflict, Query, SelectStatement},
};

use crate::{
    Store, api_keys,
    connect::Pools,
    convert, deletion,
    entity::{api_key, api_key_secret, imported_secret, imported_shape, organization},
    organizations::unless_taken,
    outage::Failure,
};

/// Shapes that an organization may import: whoever needs more has keys of many systems.
const MOST_SHAPES: u64 = 5;

/// What imported secrets look like.
#[derive(Debug, Default)]
pub(crate) struct Shapes(RwLock<Arc<secret::Shapes>>);

impl Shapes {
    fn read_text(&self, text: &str) -> Option<ImportedText> {
        let shapes = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        shapes.read(text)
    }

    /// Reads them anew.
    pub(crate) async fn load(&self, pools: &Pools) -> Result<(), Failure> {
        // The same shape of many organizations is one.
        let rows = imported_shape::Entity::find()
            .select_only()
            .columns([imported_shape::Column::Prefix, imported_shape::Column::Length, imported_shape::Column::Alphabet])
            .distinct()
            .into_tuple::<(String, i16, String)>()
            .all(&pools.verification)
            .await?;
        let shapes = rows.iter().map(|(prefix, length, alphabet)| {
            let (alphabet, length) = (Alphabet::parse(alphabet), u16::try_from(*length).ok());
            let shape =
                alphabet.zip(length).and_then(|(alphabet, length)| Shape::stored(prefix, length, alphabet).ok());
            shape.ok_or_else(|| convert::broken("imported_shapes", "alphabet", Uuid::nil()))
        });
        let shapes = secret::Shapes::new(shapes.collect::<Result<Vec<_>, _>>()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shapes);
        Ok(())
    }
}

#[async_trait]
impl Imports for Store {
    fn read_text(&self, text: &str) -> Option<ImportedText> {
        self.shapes.read_text(text)
    }

    async fn known(&self, organization: OrganizationId, hashes: &[OldHash]) -> Result<Vec<OldHash>, Outage> {
        let mut known = Vec::new();
        for hashes in hashes.chunks(api_keys::ROWS) {
            let rows: Vec<Vec<u8>> = imported_secret::Entity::find()
                .select_only()
                .column(imported_secret::Column::Hash)
                .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
                .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
                .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
                .into_tuple()
                .all(&self.pools.read)
                .await
                .map_err(Failure::from)?;
            known.extend(rows.into_iter().filter_map(|row| row.try_into().ok()).map(OldHash::from_bytes));
        }
        Ok(known)
    }

    async fn import(&self, shapes: &[Shape], keys: Vec<Imported>, act: &Act) -> Result<(), Error> {
        let hashes: Arc<[OldHash]> = keys.iter().map(|imported| imported.hash).collect();
        let keys: Arc<[ApiKey]> = keys.into_iter().map(|imported| imported.key).collect();
        let (shapes, act, caps) = (Arc::<[Shape]>::from(shapes), act.clone(), self.caps);
        let import = self.transaction(move |transaction, changed| {
            let (keys, hashes, shapes, act) = (keys.clone(), hashes.clone(), shapes.clone(), act.clone());
            Box::pin(async move {
                let is_new_shape = add_shapes(transaction, &act, &shapes).await?;
                changed.shapes = is_new_shape;
                if keys.is_empty() {
                    return Ok(is_new_shape);
                }
                forget_deleted(transaction, act.organization, &hashes).await?;
                api_keys::insert_without_secrets(transaction, &keys).await?;
                for (keys, hashes) in keys.chunks(api_keys::ROWS).zip(hashes.chunks(api_keys::ROWS)) {
                    let rows = keys.iter().zip(hashes).map(|(key, hash)| imported_secret::ActiveModel {
                        organization_id: Set(key.organization.uuid()),
                        hash: Set(hash.bytes().to_vec()),
                        api_key_id: Set(key.id.uuid()),
                        imported_at: Set(act.at.millis()),
                        adopted_at: Set(None),
                        expires_at: Set(None),
                        start: Set(key.start.clone()),
                    });
                    imported_secret::Entity::insert_many(rows).exec_without_returning(transaction).await?;
                }
                api_keys::account_for(transaction, &keys, &act, caps).await?;
                Ok(is_new_shape)
            })
        });
        let is_new_shape = unless_taken(import.await)?;
        // It is done, whatever comes of this.
        if is_new_shape && let Err(failure) = self.shapes.load(&self.pools).await {
            tracing::warn!(target: "claviger", error = %Outage::from(failure), "imported keys may be unknown for a while");
        }
        Ok(())
    }

    fn recall_holder(&self, old: &OldHash) -> Option<OrganizationId> {
        self.snapshots.recall_holder(&old.in_all_organizations())
    }

    async fn find_holder(&self, old: &OldHash) -> Result<Holder, Outage> {
        let name = old.in_all_organizations();
        if let Some(organization) = self.snapshots.recall_holder(&name) {
            return Ok(Holder::One { organization, was_shown: true });
        }
        let changes = self.snapshots.holder_changes();
        let claims = claims(&self.pools.verification, old).await?;
        let was_shown = claims.iter().any(|claim| claim.adopted_at.is_some());
        let count_too = |claim: &&imported_secret::Model| claim.adopted_at.is_some() == was_shown;
        let holders: Vec<_> = claims.iter().filter(count_too).collect();
        Ok(match holders.as_slice() {
            [] => Holder::Nobody,
            [claim] => {
                let organization = OrganizationId::from_uuid(claim.organization_id);
                if was_shown {
                    self.snapshots.remember_holder(name, organization, changes);
                }
                Holder::One { organization, was_shown }
            }
            several => {
                let key = |claim: &&imported_secret::Model| {
                    (OrganizationId::from_uuid(claim.organization_id), KeyId::from_uuid(claim.api_key_id))
                };
                Holder::Several(several.iter().map(key).collect())
            }
        })
    }

    fn forget_holder(&self, old: &OldHash) {
        self.snapshots.forget_holder(old.in_all_organizations());
    }

    async fn adopt(
        &self,
        organization: OrganizationId,
        text: &ImportedText,
        may_be_first: bool,
        now: Timestamp,
    ) -> Result<bool, Outage> {
        // Most texts of a shape are no keys: those are not worth a transaction that writes.
        match claim(&self.pools.verification, organization, &text.old).await? {
            None => return Ok(false),
            Some(claim) if claim.adopted_at.is_none() && !may_be_first => return Ok(false),
            Some(_) => {}
        }
        let text = *text;
        let adopt = self.transaction(move |transaction, changed| {
            changed.keys.extend([text.old.in_organization(organization), text.old.in_all_organizations(), text.plain]);
            Box::pin(async move { adopt(transaction, organization, &text, now).await })
        });
        adopt.await?;
        Ok(true)
    }
}

/// Gives an imported secret, whose text is shown, its row among all secrets.
async fn adopt<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    text: &ImportedText,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some(found) = claim(db, organization, &text.old).await? else { return Ok(()) };
    // Locked, so that who rotates it at this moment is before or after this.
    api_key::Entity::find_by_id(found.api_key_id).lock_exclusive().one(db).await?;
    let Some(found) = claim(db, organization, &text.old).await? else { return Ok(()) };
    let hash = text.old.in_organization(organization);
    if found.adopted_at.is_some() {
        // An earlier version has stored it by the hash of the text alone, if it has a row at all: that may be long over.
        let plain = api_key_secret::Entity::find_by_id(text.plain.bytes().to_vec())
            .filter(api_key_secret::Column::ApiKeyId.eq(found.api_key_id))
            .one(db)
            .await?;
        return match plain {
            Some(row) => add_secret(db, &hash, row).await,
            None => Ok(()),
        };
    }
    let row = api_key_secret::Model {
        hash: Vec::new(),
        api_key_id: found.api_key_id,
        created_at: found.imported_at,
        expires_at: found.expires_at,
        start: Some(found.start),
        last_request_at: None,
    };
    add_secret(db, &hash, row.clone()).await?;
    // By this hash earlier versions find it, which may run beside this one or come back. The first organization has it.
    add_secret(db, &text.plain, row).await?;
    let adopted = imported_secret::ActiveModel {
        organization_id: Set(found.organization_id),
        hash: Set(found.hash),
        adopted_at: Set(Some(now.millis())),
        ..imported_secret::ActiveModel::default()
    };
    imported_secret::Entity::update(adopted).exec(db).await?;
    Ok(())
}

/// Stores a secret by this hash, unless it is stored by it already, or in place of that of a key that is deleted.
async fn add_secret<C: ConnectionTrait>(db: &C, hash: &SecretHash, row: api_key_secret::Model) -> Result<(), Failure> {
    api_key_secret::Entity::delete_many()
        .filter(api_key_secret::Column::Hash.eq(hash.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(api_key_secret::Column::ApiKeyId)))
        .exec(db)
        .await?;
    let row = api_key_secret::Model { hash: hash.bytes().to_vec(), ..row };
    let row = api_key_secret::ActiveModel {
        hash: Set(row.hash),
        api_key_id: Set(row.api_key_id),
        created_at: Set(row.created_at),
        expires_at: Set(row.expires_at),
        start: Set(row.start),
        last_request_at: Set(row.last_request_at),
    };
    let unless_there = OnConflict::column(api_key_secret::Column::Hash).do_nothing().to_owned();
    api_key_secret::Entity::insert(row).on_conflict(unless_there).exec_without_returning(db).await?;
    Ok(())
}

/// Organizations whose claims on a secret are looked at.
const MAX_CLAIMS: u64 = 100;

/// Who has imported a secret with this hash, and has its key still; those where it was shown first.
async fn claims<C: ConnectionTrait>(db: &C, old: &OldHash) -> Result<Vec<imported_secret::Model>, Failure> {
    let rows = imported_secret::Entity::find()
        .filter(imported_secret::Column::Hash.eq(old.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
        .order_by_asc(imported_secret::Column::AdoptedAt.is_null())
        .order_by_asc(imported_secret::Column::OrganizationId)
        .limit(MAX_CLAIMS)
        .all(db)
        .await?;
    Ok(rows)
}

/// What an organization has imported with this hash, if it has the key still.
async fn claim<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    old: &OldHash,
) -> Result<Option<imported_secret::Model>, Failure> {
    let row = imported_secret::Entity::find_by_id((organization.uuid(), old.bytes().to_vec()))
        .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)).not())
        .one(db)
        .await?;
    Ok(row)
}

/// What names the imported secrets of a key where all organizations are meant: their holder changes when it comes back.
pub(crate) async fn names_of<C: ConnectionTrait>(db: &C, key: KeyId) -> Result<Vec<SecretHash>, Failure> {
    let rows: Vec<Vec<u8>> = imported_secret::Entity::find()
        .select_only()
        .column(imported_secret::Column::Hash)
        .filter(imported_secret::Column::ApiKeyId.eq(key.uuid()))
        .into_tuple()
        .all(db)
        .await?;
    let old = rows.into_iter().filter_map(|row| row.try_into().ok()).map(OldHash::from_bytes);
    Ok(old.map(|old| old.in_all_organizations()).collect())
}

/// The key that a column names, if it or its organization is deleted and not gone yet. Looked up for each row: there may be
/// very many deleted keys.
fn deleted_key_of(column: impl ColumnTrait) -> SelectStatement {
    let of_deleted = Query::select()
        .column(organization::Column::Id)
        .from(organization::Entity)
        .and_where(organization::Column::DeletedAt.is_not_null())
        .to_owned();
    Query::select()
        .expr(Expr::value(1))
        .from(api_key::Entity)
        .and_where(Expr::col((api_key::Entity, api_key::Column::Id)).equals(column.as_column_ref()))
        .cond_where(
            Condition::any()
                .add(api_key::Column::DeletedAt.is_not_null())
                .add(api_key::Column::OrganizationId.in_subquery(of_deleted)),
        )
        .to_owned()
}

/// A deleted key may be imported anew, and is gone for good then.
async fn forget_deleted<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    hashes: &[OldHash],
) -> Result<(), Failure> {
    for hashes in hashes.chunks(api_keys::ROWS) {
        let deleted: Vec<Uuid> = imported_secret::Entity::find()
            .select_only()
            .column(imported_secret::Column::ApiKeyId)
            .filter(imported_secret::Column::OrganizationId.eq(organization.uuid()))
            .filter(imported_secret::Column::Hash.is_in(hashes.iter().map(|hash| hash.bytes().to_vec())))
            .filter(Expr::exists(deleted_key_of(imported_secret::Column::ApiKeyId)))
            .into_tuple()
            .all(db)
            .await?;
        // For good: restored, it would be a second key with the same secret.
        deletion::remove(db, &deleted).await?;
    }
    Ok(())
}

/// Adds the shapes that the organization does not have yet. Answers whether there are any.
async fn add_shapes<C: ConnectionTrait>(db: &C, act: &Act, shapes: &[Shape]) -> Result<bool, Failure> {
    let own = imported_shape::Column::OrganizationId.eq(act.organization.uuid());
    let known = imported_shape::Entity::find().filter(own.clone()).all(db).await?;
    let is_known = |shape: &&Shape| {
        known.iter().any(|row| {
            (row.prefix.as_str(), row.alphabet.as_str()) == (shape.prefix(), shape.alphabet().code())
                && u16::try_from(row.length) == Ok(shape.length())
        })
    };
    let new: Vec<&Shape> = shapes.iter().filter(|shape| !is_known(shape)).collect();
    if new.is_empty() {
        return Ok(false);
    }
    let rows = new.into_iter().map(|shape| imported_shape::ActiveModel {
        organization_id: Set(act.organization.uuid()),
        prefix: Set(shape.prefix().to_owned()),
        length: Set(i16::try_from(shape.length()).unwrap_or(i16::MAX)),
        alphabet: Set(shape.alphabet().code().to_owned()),
    });
    let key = [
        imported_shape::Column::OrganizationId,
        imported_shape::Column::Prefix,
        imported_shape::Column::Length,
        imported_shape::Column::Alphabet,
    ];
    let unless_there = OnConflict::columns(key).do_nothing().to_owned();
    let added = imported_shape::Entity::insert_many(rows).on_conflict(unless_there).exec_without_returning(db).await?;
    // Who has the machine is not held to this.
    let is_bounded = act.actor != Actor::Operator;
    if is_bounded && imported_shape::Entity::find().filter(own).count(db).await? > MOST_SHAPES {
        return Err(Failure::Refused(Error::TooManyShapes));
    }
    Ok(added > 0)
}
