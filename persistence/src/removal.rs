//! Deleted organizations and permission sets with many rows. One short transaction marks them as deleted: from then on nobody
//! sees them, whatever happens. Their rows are removed afterwards, in pieces, by every node: a piece takes rows that no other
//! node has locked, so that nodes neither wait for each other nor do the same. What is left after a crash is found by its mark.

use std::time::Duration;

use domain::{
    Error, Outage,
    act::Act,
    id::{OrganizationId, SetId},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, IntoTableRef, LockBehavior, LockType, Query, SelectStatement, SimpleExpr},
};
use tokio::time::Instant;

use crate::{
    Store, audit,
    entity::{api_key, api_key_permission_set, membership, membership_permission_set, organization, permission_set},
    organizations,
    outage::Failure,
    pieces::Pieces,
};

/// How often a node looks for what other nodes have left.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Pieces that are removed within the request that deletes an organization: most organizations are gone with it.
const WITHIN_REQUEST: usize = 10;

/// Deleted organizations or sets that are looked up at once.
const LOOKED_UP: u64 = 100;

/// A place in the keys of an organization: when the last one was made, and its id.
type Place = (i64, Uuid);

/// What came of one piece.
enum Piece {
    /// Rows were removed, in so much time. For keys: where the next piece begins.
    Removed(Option<Place>, Duration),
    /// There are no more keys after the place where it began.
    EndOfKeys,
    /// Nothing is left.
    Gone,
    /// Another node is removing what is left.
    Busy,
}

impl Store {
    /// Deletes an organization: marks it, and removes what there is time for. Answers whether everything is removed.
    pub(crate) async fn delete_organization(&self, organization: OrganizationId, act: &Act) -> Result<bool, Failure> {
        let act = act.clone();
        let mark = self.transaction(move |transaction, changed| {
            let act = act.clone();
            changed.organizations.push(organization);
            Box::pin(async move {
                let at = act.at.millis();
                let marked = organization::Entity::update_many()
                    .col_expr(organization::Column::DeletedAt, Expr::value(at))
                    // An older version, which does not know the mark, refuses the keys of a suspended organization.
                    .col_expr(
                        organization::Column::SuspendedAt,
                        Expr::col(organization::Column::SuspendedAt).if_null(at),
                    )
                    .col_expr(organization::Column::ExternalId, Expr::value(Option::<String>::None))
                    .filter(organization::Column::Id.eq(organization.uuid()))
                    .filter(organization::Column::DeletedAt.is_null())
                    .exec(transaction)
                    .await?;
                if marked.rows_affected == 0 {
                    return Err(Failure::Refused(Error::NotFound));
                }
                audit::note(transaction, &act, &[organization.uuid()]).await
            })
        });
        mark.await?;
        let is_removed = self.remove_organization(organization, WITHIN_REQUEST).await.unwrap_or_else(|failure| {
            // It is deleted all the same.
            let error = Outage::from(failure);
            tracing::warn!(target: "claviger", %error, "a deleted organization could not be removed; it is tried again");
            false
        });
        if !is_removed {
            self.removals.notify_one();
        }
        Ok(is_removed)
    }

    /// Removes the rows of what is deleted, until the store is closed: at first what was deleted before this process began, then
    /// what it deletes itself, and each minute what other nodes have left.
    pub(crate) async fn run_removals(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.removals.notified() => {}
                () = self.stop.cancelled() => return,
            }
            if let Err(error) = self.remove_deleted_rows().await {
                tracing::warn!(target: "claviger", %error, "removing the rows of what is deleted failed; it is tried again");
            }
        }
    }

    /// Removes the rows of everything that is deleted, until nothing is left or other nodes are at the rest.
    ///
    /// # Errors
    /// The database is away.
    pub async fn remove_deleted_rows(&self) -> Result<(), Outage> {
        // What fails does not keep the other from it.
        let organizations = self.remove_deleted_organizations().await;
        self.remove_deleted_sets().await?;
        Ok(organizations?)
    }

    async fn remove_deleted_organizations(&self) -> Result<(), Failure> {
        loop {
            let deleted: Vec<Uuid> = organization::Entity::find()
                .select_only()
                .column(organization::Column::Id)
                .filter(organization::Column::DeletedAt.is_not_null())
                .order_by_asc(organization::Column::DeletedAt)
                .limit(LOOKED_UP)
                .into_tuple()
                .all(&self.pools.read)
                .await?;
            let (mut removed, mut failed) = (0, None);
            for id in deleted {
                // What fails does not keep the others from it.
                match self.remove_organization(OrganizationId::from_uuid(id), usize::MAX).await {
                    Ok(true) => {
                        tracing::info!(target: "claviger", org_id = %id, "removed what belonged to a deleted organization");
                        removed += 1;
                    }
                    Ok(false) => {}
                    Err(failure) => failed = Some(failure),
                }
            }
            if let Some(failure) = failed {
                self.pools.health.observe(&failure);
                return Err(failure);
            }
            if removed == 0 || self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Removes at most so many pieces of a deleted organization. Answers whether nothing is left.
    async fn remove_organization(&self, organization: OrganizationId, most: usize) -> Result<bool, Failure> {
        let mut pieces = Pieces::new();
        let mut after = None;
        // Whether the walk through the keys has removed any; it is done anew until none are left.
        let mut has_removed = false;
        for _ in 0..most {
            if self.stop.is_cancelled() {
                return Ok(false);
            }
            match self.remove_piece(organization, after, pieces.size()).await? {
                Piece::Removed(next, took) => {
                    (after, has_removed) = (next, true);
                    pieces.give_way(took, &self.stop).await;
                }
                Piece::EndOfKeys if has_removed => (after, has_removed) = (None, false),
                Piece::EndOfKeys | Piece::Busy => return Ok(false),
                Piece::Gone => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn remove_piece(
        &self,
        organization: OrganizationId,
        after: Option<Place>,
        size: u64,
    ) -> Result<Piece, Failure> {
        let remove = self.transaction(move |transaction, _| {
            Box::pin(async move {
                let begun = Instant::now();
                let keys = lock_keys(transaction, organization, after, size).await?;
                if let Some((id, created_at, _)) = keys.last().copied() {
                    let ids = keys.iter().map(|(id, ..)| *id);
                    api_key::Entity::delete_many().filter(api_key::Column::Id.is_in(ids)).exec(transaction).await?;
                    let counted = keys.iter().filter(|(.., deleted_at)| deleted_at.is_none()).count();
                    let counted = i64::try_from(counted).unwrap_or(0);
                    // Last, because nodes wait for each other here.
                    organizations::count_keys(transaction, organization, -counted).await?;
                    return Ok(Piece::Removed(Some((created_at, id)), begun.elapsed()));
                }
                if after.is_some() {
                    return Ok(Piece::EndOfKeys);
                }
                if remove_members(transaction, organization, size).await? > 0
                    || remove_sets(transaction, organization, size).await? > 0
                {
                    return Ok(Piece::Removed(None, begun.elapsed()));
                }
                remove_row(transaction, organization).await
            })
        });
        remove.await
    }

    async fn remove_deleted_sets(&self) -> Result<(), Failure> {
        loop {
            let deleted: Vec<Uuid> = permission_set::Entity::find()
                .select_only()
                .column(permission_set::Column::Id)
                .filter(permission_set::Column::DeletedAt.is_not_null())
                .order_by_asc(permission_set::Column::DeletedAt)
                .limit(LOOKED_UP)
                .into_tuple()
                .all(&self.pools.read)
                .await?;
            let mut removed = 0;
            for id in deleted {
                removed += usize::from(self.remove_set(SetId::from_uuid(id)).await?);
            }
            if removed == 0 || self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Removes a deleted set and from where it was attached. Answers whether nothing is left.
    async fn remove_set(&self, set: SetId) -> Result<bool, Failure> {
        let mut pieces = Pieces::new();
        while !self.stop.is_cancelled() {
            let size = pieces.size();
            let remove = self.transaction(move |transaction, _| {
                Box::pin(async move {
                    let begun = Instant::now();
                    if detach(transaction, set, size).await? > 0 {
                        return Ok(Piece::Removed(None, begun.elapsed()));
                    }
                    let this = permission_set::Column::Id.eq(set.uuid());
                    let of_keys = api_key_permission_set::Column::PermissionSetId.eq(set.uuid());
                    let of_members = membership_permission_set::Column::PermissionSetId.eq(set.uuid());
                    let row = permission_set::Entity::delete_many()
                        .filter(this)
                        .filter(is_any(api_key_permission_set::Entity, of_keys).not())
                        .filter(is_any(membership_permission_set::Entity, of_members).not());
                    Ok(if row.exec(transaction).await?.rows_affected > 0 { Piece::Gone } else { Piece::Busy })
                })
            });
            match remove.await? {
                Piece::Removed(_, took) => pieces.give_way(took, &self.stop).await,
                Piece::Gone => return Ok(true),
                Piece::EndOfKeys | Piece::Busy => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Keys of an organization that no other node is removing, in the order of their making: id, when it was made, when it was
/// deleted. None is waited for, so the order in which they are locked does not matter.
async fn lock_keys<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    after: Option<Place>,
    size: u64,
) -> Result<Vec<(Uuid, i64, Option<i64>)>, Failure> {
    let place = || Expr::tuple([Expr::col(api_key::Column::CreatedAt), Expr::col(api_key::Column::Id)]);
    let keys = api_key::Entity::find()
        .select_only()
        .columns([api_key::Column::Id, api_key::Column::CreatedAt, api_key::Column::DeletedAt])
        .filter(api_key::Column::OrganizationId.eq(organization.uuid()))
        // Removed rows before that place are still in PostgreSQL's index: they are not walked through for each piece.
        .apply_if(after, |find, (created_at, id)| {
            find.filter(place().gt(Expr::tuple([Expr::value(created_at), id.into()])))
        })
        .order_by_asc(api_key::Column::CreatedAt)
        .order_by_asc(api_key::Column::Id)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    Ok(keys)
}

async fn remove_members<C: ConnectionTrait>(db: &C, organization: OrganizationId, size: u64) -> Result<u64, Failure> {
    let here = membership::Column::OrganizationId.eq(organization.uuid());
    let users: Vec<Uuid> = membership::Entity::find()
        .select_only()
        .column(membership::Column::UserId)
        .filter(here.clone())
        .order_by_asc(membership::Column::UserId)
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = membership::Column::UserId.is_in(users);
    Ok(membership::Entity::delete_many().filter(here).filter(these).exec(db).await?.rows_affected)
}

async fn remove_sets<C: ConnectionTrait>(db: &C, organization: OrganizationId, size: u64) -> Result<u64, Failure> {
    let sets: Vec<Uuid> = permission_set::Entity::find()
        .select_only()
        .column(permission_set::Column::Id)
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = permission_set::Column::Id.is_in(sets);
    Ok(permission_set::Entity::delete_many().filter(these).exec(db).await?.rows_affected)
}

/// Removes an organization's own row, when nothing else is left of it.
async fn remove_row<C: ConnectionTrait>(db: &C, organization: OrganizationId) -> Result<Piece, Failure> {
    let id = organization.uuid();
    let removed = organization::Entity::delete_many()
        .filter(organization::Column::Id.eq(id))
        .filter(organization::Column::DeletedAt.is_not_null())
        .filter(is_any(api_key::Entity, api_key::Column::OrganizationId.eq(id)).not())
        .filter(is_any(membership::Entity, membership::Column::OrganizationId.eq(id)).not())
        .filter(is_any(permission_set::Entity, permission_set::Column::OrganizationId.eq(id)).not())
        .exec(db)
        .await?;
    // Another node may have done it.
    if removed.rows_affected > 0 || organization::Entity::find_by_id(id).one(db).await?.is_none() {
        Ok(Piece::Gone)
    } else {
        Ok(Piece::Busy)
    }
}

/// Takes a deleted set from some of the keys and members that have it. Answers how many those were.
async fn detach<C: ConnectionTrait>(db: &C, set: SetId, size: u64) -> Result<u64, Failure> {
    let of_keys = api_key_permission_set::Column::PermissionSetId.eq(set.uuid());
    let keys: Vec<Uuid> = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::ApiKeyId)
        .filter(of_keys.clone())
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    if !keys.is_empty() {
        let these = api_key_permission_set::Column::ApiKeyId.is_in(keys);
        let detach = api_key_permission_set::Entity::delete_many().filter(of_keys).filter(these);
        return Ok(detach.exec(db).await?.rows_affected);
    }
    let of_members = membership_permission_set::Column::PermissionSetId.eq(set.uuid());
    let users: Vec<Uuid> = membership_permission_set::Entity::find()
        .select_only()
        .column(membership_permission_set::Column::UserId)
        .filter(of_members.clone())
        .limit(size)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let these = membership_permission_set::Column::UserId.is_in(users);
    let detach = membership_permission_set::Entity::delete_many().filter(of_members).filter(these);
    Ok(detach.exec(db).await?.rows_affected)
}

/// Whether a table has a row of which this holds.
fn is_any(table: impl IntoTableRef, holds: SimpleExpr) -> SimpleExpr {
    Expr::exists(Query::select().expr(Expr::value(1)).from(table).and_where(holds).to_owned())
}

/// Marks a set as deleted that too many have to remove it at once; part of a transaction. From then on it gives nothing, has
/// no name, and is shown nowhere.
pub(crate) async fn mark_set<C: ConnectionTrait>(db: &C, set: SetId, act: &Act) -> Result<(), Failure> {
    let row = permission_set::ActiveModel {
        id: Set(set.uuid()),
        // The name is free for another set; this one is nobody's.
        name: Set(format!("deleted {set}")),
        permissions: Set(String::new()),
        updated_at: Set(act.at.millis()),
        deleted_at: Set(Some(act.at.millis())),
        ..permission_set::ActiveModel::default()
    };
    permission_set::Entity::update(row).exec(db).await?;
    Ok(())
}

/// Whether so many keys or so many members have a set.
pub(crate) async fn is_attached_to_many<C: ConnectionTrait>(db: &C, set: SetId, many: u64) -> Result<bool, Failure> {
    let keys: Vec<Uuid> = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::ApiKeyId)
        .filter(api_key_permission_set::Column::PermissionSetId.eq(set.uuid()))
        .limit(many)
        .into_tuple()
        .all(db)
        .await?;
    let members: Vec<Uuid> = membership_permission_set::Entity::find()
        .select_only()
        .column(membership_permission_set::Column::UserId)
        .filter(membership_permission_set::Column::PermissionSetId.eq(set.uuid()))
        .limit(many)
        .into_tuple()
        .all(db)
        .await?;
    Ok(Ord::max(keys.len(), members.len()) as u64 >= many)
}

/// The sets that are deleted and still attached somewhere: few, if any.
pub(crate) fn deleted_sets() -> SelectStatement {
    Query::select()
        .column(permission_set::Column::Id)
        .from(permission_set::Entity)
        .and_where(permission_set::Column::DeletedAt.is_not_null())
        .to_owned()
}
