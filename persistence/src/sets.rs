//! Permission sets with names, and who has them.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    act::Act,
    cooperation::Pace,
    id::{OrganizationId, SetId},
    organization::Capped,
    permission_sets::NamedSet,
    ports::{SetChanges, Sets},
};
use sea_orm::{
    ActiveValue, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, Query},
};

use crate::{
    Store, audit, convert,
    entity::{api_key, api_key_permission_set, membership_permission_set, permission_set},
    last_admin::{has_admin, keep_admin},
    organizations::{lock, unless_taken},
    outage::{Failure, there},
    pieces,
    removal::{is_attached_to_many, mark_set},
    widening::{self, CheckedHolders},
};

/// How often a change is tried anew because those who have the set changed meanwhile, before that counts as busy.
const ATTEMPTS: usize = 8;

#[async_trait]
impl Sets for Store {
    async fn list(
        &self,
        organization: OrganizationId,
        after: Option<SetId>,
        limit: u64,
    ) -> Result<Vec<NamedSet>, Outage> {
        let rows = live(organization)
            .apply_if(after, |find, after| find.filter(permission_set::Column::Id.gt(after.uuid())))
            .order_by_asc(permission_set::Column::Id)
            .limit(limit)
            .all(&self.pools.read)
            .await
            .map_err(Failure::from)?;
        Ok(named_sets(&rows).await?)
    }

    async fn find(&self, organization: OrganizationId, set: SetId) -> Result<Option<NamedSet>, Outage> {
        Ok(find(&self.pools.read, organization, set).await?)
    }

    async fn resolve(&self, organization: OrganizationId, sets: &[SetId]) -> Result<Vec<NamedSet>, Error> {
        let found = some(&self.pools.read, organization, sets).await?;
        if found.len() < sets.len() { Err(Error::SetNotFound) } else { Ok(found) }
    }

    async fn create(&self, set: &NamedSet, act: &Act) -> Result<(), Error> {
        let (caps, set, act) = (self.caps, set.clone(), act.clone());
        let create = self.transaction(move |transaction, _| {
            let (set, act) = (set.clone(), act.clone());
            Box::pin(async move {
                let home = lock(transaction, set.organization).await?;
                let count = live(set.organization).count(transaction).await?;
                caps.require_room(&home, Capped::Sets, count)?;
                let row = convert::named_set_row(&set);
                permission_set::Entity::insert(row).exec_without_returning(transaction).await?;
                audit::note_within(transaction, &act, &[set.id.uuid()], caps.changes).await
            })
        });
        Ok(unless_taken(create.await)?)
    }

    async fn update(
        &self,
        organization: OrganizationId,
        set: SetId,
        changes: SetChanges,
        act: &Act,
    ) -> Result<NamedSet, Error> {
        for _ in 0..ATTEMPTS {
            let checked = match &changes.permissions {
                Some(permissions) => self.check_holders(organization, set, permissions).await?,
                None => None,
            };
            let update = self.update_set(organization, set, changes.clone(), checked, act.clone());
            if let Some(updated) = unless_taken(update.await)? {
                return Ok(updated);
            }
        }
        Err(Outage::Unavailable("who has the set changed again and again while it was updated".into()).into())
    }

    async fn delete(&self, organization: OrganizationId, set: SetId, detach: bool, act: &Act) -> Result<(), Error> {
        let act = act.clone();
        let delete = self.transaction(move |transaction, changed| {
            let act = act.clone();
            changed.sets.push(set);
            Box::pin(async move {
                lock(transaction, organization).await?;
                // Locked, so that nobody is given it between the look and the end.
                let this = live(organization).filter(permission_set::Column::Id.eq(set.uuid())).lock_exclusive();
                there(this.one(transaction).await?)?;
                if !detach && is_used(transaction, set).await? {
                    return Err(Failure::Refused(Error::InUse));
                }
                let had_admin = has_admin(transaction, organization).await?;
                let is_marked = is_attached_to_many(transaction, set, pieces::LARGEST).await?;
                if is_marked {
                    mark_set(transaction, set, &act).await?;
                } else {
                    permission_set::Entity::delete_by_id(set.uuid()).exec(transaction).await?;
                }
                keep_admin(transaction, organization, had_admin).await?;
                audit::note(transaction, &act, &[set.uuid()]).await?;
                Ok(is_marked)
            })
        });
        if delete.await? {
            self.removals.notify_one();
        }
        Ok(())
    }
}

impl Store {
    /// Changes a set whose holders were checked, if there is such a set. `None`: they have to be checked again.
    async fn update_set(
        &self,
        organization: OrganizationId,
        set: SetId,
        changes: SetChanges,
        checked: Option<CheckedHolders>,
        act: Act,
    ) -> Result<Option<NamedSet>, Failure> {
        let most = self.caps.changes;
        let update = self.transaction(move |transaction, changed| {
            let (changes, checked, act) = (changes.clone(), checked.clone(), act.clone());
            if changes.permissions.is_some() {
                changed.sets.push(set);
            }
            Box::pin(async move {
                lock(transaction, organization).await?;
                if let Some(checked) = &checked
                    && !widening::check_changed_holders(transaction, organization, checked).await?
                {
                    return Ok(None);
                }
                // A new name takes nothing from anybody.
                let had_admin = changes.permissions.is_some() && has_admin(transaction, organization).await?;
                let row = permission_set::ActiveModel {
                    name: changes.name.map_or(ActiveValue::NotSet, |name| ActiveValue::Set(name.as_str().to_owned())),
                    permissions: changes
                        .permissions
                        .map_or(ActiveValue::NotSet, |set| ActiveValue::Set(convert::permissions_text(&set))),
                    updated_at: ActiveValue::Set(act.at.millis()),
                    ..permission_set::ActiveModel::default()
                };
                let updated = permission_set::Entity::update_many()
                    .set(row)
                    .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
                    .filter(permission_set::Column::DeletedAt.is_null())
                    .filter(permission_set::Column::Id.eq(set.uuid()))
                    .exec(transaction)
                    .await?;
                if updated.rows_affected == 0 {
                    return Err(Failure::Refused(Error::NotFound));
                }
                keep_admin(transaction, organization, had_admin).await?;
                audit::note_within(transaction, &act, &[set.uuid()], most).await?;
                there(find(transaction, organization, set).await?).map(Some)
            })
        });
        update.await
    }
}

/// The sets of an organization.
fn live(organization: OrganizationId) -> Select<permission_set::Entity> {
    permission_set::Entity::find()
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .filter(permission_set::Column::DeletedAt.is_null())
}

/// Whether a key or a member has a set. A deleted key loses it without a word.
async fn is_used<C: ConnectionTrait>(db: &C, set: SetId) -> Result<bool, Failure> {
    // From the set's side: the organization may have a million keys.
    let is_live = Query::select()
        .expr(Expr::value(1))
        .from(api_key::Entity)
        .and_where(
            Expr::col((api_key::Entity, api_key::Column::Id))
                .equals((api_key_permission_set::Entity, api_key_permission_set::Column::ApiKeyId)),
        )
        .and_where(api_key::Column::DeletedAt.is_null())
        .to_owned();
    let of_keys =
        Condition::all().add(api_key_permission_set::Column::PermissionSetId.eq(set.uuid())).add(Expr::exists(is_live));
    let of_members = membership_permission_set::Column::PermissionSetId.eq(set.uuid());
    Ok(api_key_permission_set::Entity::find().filter(of_keys).one(db).await?.is_some()
        || membership_permission_set::Entity::find().filter(of_members).one(db).await?.is_some())
}

async fn find<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Option<NamedSet>, Failure> {
    let row = live(organization).filter(permission_set::Column::Id.eq(set.uuid())).one(db).await?;
    Ok(row.as_ref().map(convert::named_set).transpose()?)
}

/// Asks that all of these sets are the organization's.
pub(crate) async fn require_all<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &[SetId],
) -> Result<(), Failure> {
    let these = permission_set::Column::Id.is_in(sets.iter().map(|set| set.uuid()));
    let found = live(organization).filter(these).count(db).await?;
    if found < sets.len() as u64 { Err(Failure::Refused(Error::SetNotFound)) } else { Ok(()) }
}

/// Those of these sets that there are in the organization.
pub(crate) async fn some<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    sets: &[SetId],
) -> Result<Vec<NamedSet>, Failure> {
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let rows =
        live(organization).filter(permission_set::Column::Id.is_in(sets.iter().map(|set| set.uuid()))).all(db).await?;
    named_sets(&rows).await
}

async fn named_sets(rows: &[permission_set::Model]) -> Result<Vec<NamedSet>, Failure> {
    let (mut sets, mut pace) = (Vec::with_capacity(rows.len()), Pace::default());
    for row in rows {
        pace.worked(row.permissions.len()).await;
        sets.push(convert::named_set(row)?);
    }
    Ok(sets)
}
