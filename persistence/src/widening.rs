//! Before a permission set is widened: whether a key or a member that has it would hold too many permissions.
//!
//! A set may belong to a hundred thousand keys, and on SQLite nothing else is written during a transaction. So its holders are
//! checked before the transaction. The transaction checks only those that have changed since then: every change is noted in
//! the log of the organization, so the log says which those are.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use domain::{
    act::Action,
    error::Grantee,
    id::{KeyId, OrganizationId, SetId, UserId},
    permission::PermissionSet,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, Query, SelectStatement},
};
use tokio::sync::Semaphore;

use crate::{
    Store, convert,
    effective::{Held, Sizes, words},
    entity::{audit_chain, audit_event, permission_set},
    outage::Failure,
    retry,
};

/// Sets with many holders that are checked at the same time: each may take some megabytes of memory.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// Holders whose permissions are read at once.
const ROWS: usize = 100;

/// Changed holders that a transaction looks at. If there are more, all are checked again before the next one.
const MOST_CHANGED: usize = 1_000;

/// Holders with this number of sets cannot hold too many: their own permissions are as many as those of one set more.
const FEW_SETS: u64 = (PermissionSet::MAX_EFFECTIVE / PermissionSet::MAX - 1) as u64;

/// The holders of a set were checked: with its new permissions none of them holds too many.
#[derive(Clone, Debug)]
pub(crate) struct CheckedHolders {
    set: SetId,
    /// What it gave.
    old: Arc<str>,
    /// What it will give.
    new: Arc<str>,
    /// The last event of the log before the check began.
    seq: i64,
}

impl CheckedHolders {
    fn adds_nothing(&self) -> bool {
        let old: HashSet<&str> = words(&self.old).collect();
        words(&self.new).all(|word| old.contains(word))
    }
}

/// Keys or members, and where it is stored which sets they have.
#[derive(Clone, Copy)]
struct Holders {
    /// The table of who has which set, with its column for the holder.
    attached: (&'static str, &'static str),
    /// The table of the holders, with its column for their identifier.
    own: (&'static str, &'static str),
    /// Whether both tables say which organization it is in.
    are_members: bool,
}

const HOLDERS: [Holders; 2] = [
    Holders { attached: ("api_key_permission_sets", "api_key_id"), own: ("api_keys", "id"), are_members: false },
    Holders { attached: ("membership_permission_sets", "user_id"), own: ("memberships", "user_id"), are_members: true },
];

const SET: &str = "permission_set_id";
const ORGANIZATION: &str = "organization_id";

impl Store {
    /// Checks all who have a set that is to have these permissions. `None`: there is no such set.
    ///
    /// # Errors
    /// [`domain::Error::TooManyPermissions`] with the first one found that would hold too many.
    pub(crate) async fn check_holders(
        &self,
        organization: OrganizationId,
        set: SetId,
        permissions: &PermissionSet,
    ) -> Result<Option<CheckedHolders>, Failure> {
        let check = async {
            let db = &self.pools.read;
            // First: what changes during the check is to be found in the log.
            let chain = audit_chain::Entity::find_by_id(organization.uuid()).one(db).await?;
            let Some(old) = text_of(db, organization, set).await? else { return Ok(None) };
            let new = convert::permissions_text(permissions);
            let seq = chain.map_or(0, |chain| chain.end_seq);
            let checked = CheckedHolders { set, old: old.into(), new: new.into(), seq };
            if !checked.adds_nothing() {
                for holders in HOLDERS {
                    holders.require_room(db, organization, &checked, None).await?;
                }
            }
            Ok(Some(checked))
        };
        retry::in_time(self.pools.change_timeout, check).await
    }
}

/// Checks those that have changed since then. The organization's row is locked, so none changes any more. `false`: too much
/// has changed, and all have to be checked again.
///
/// # Errors
/// [`domain::Error::TooManyPermissions`] with the first one found that would hold too many.
pub(crate) async fn check_changed_holders<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    checked: &CheckedHolders,
) -> Result<bool, Failure> {
    if text_of(db, organization, checked.set).await?.is_none_or(|text| *text != *checked.old) {
        return Ok(false);
    }
    if checked.adds_nothing() {
        return Ok(true);
    }
    let changed: Vec<(String, Uuid)> = audit_event::Entity::find()
        .select_only()
        .columns([audit_event::Column::Action, audit_event::Column::TargetId])
        .filter(audit_event::Column::OrganizationId.eq(organization.uuid()))
        .filter(audit_event::Column::Seq.gt(checked.seq))
        .limit(MOST_CHANGED as u64 + 1)
        .into_tuple()
        .all(db)
        .await?;
    // Another set that was widened may belong to any of the holders.
    if changed.len() > MOST_CHANGED || changed.iter().any(|(action, _)| action == Action::UpdateSet.code()) {
        return Ok(false);
    }
    let changed: Vec<Uuid> = changed.into_iter().map(|(_, target)| target).collect();
    if !changed.is_empty() {
        for holders in HOLDERS {
            holders.require_room(db, organization, checked, Some(&changed)).await?;
        }
    }
    Ok(true)
}

async fn text_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Option<String>, Failure> {
    let text = permission_set::Entity::find_by_id(set.uuid())
        .select_only()
        .column(permission_set::Column::Permissions)
        .filter(permission_set::Column::OrganizationId.eq(organization.uuid()))
        .filter(permission_set::Column::DeletedAt.is_null())
        .into_tuple()
        .one(db)
        .await?;
    Ok(text)
}

impl Holders {
    /// Asks that nobody who has the set would hold too many; with `among`, only of those.
    async fn require_room<C: ConnectionTrait>(
        self,
        db: &C,
        organization: OrganizationId,
        checked: &CheckedHolders,
        among: Option<&[Uuid]>,
    ) -> Result<(), Failure> {
        let mut sizes = Sizes::default();
        // The set as it will be, by an identifier that no set has.
        let (set, will_be) = (checked.set.uuid(), Uuid::nil());
        sizes.add(set, checked.old.to_string());
        sizes.add(will_be, checked.new.to_string());
        // Those of a set may be very many: one check of all at a time.
        let _turn = if among.is_none() { Some(CHECKS.acquire().await) } else { None };
        let with_many_sets = db.query_all(&self.with_many_sets(organization, set, among)).await?;
        let ids: Result<Vec<Uuid>, _> = with_many_sets.iter().map(|row| row.try_get_by_index(0)).collect();
        let ids = ids?;
        for ids in ids.chunks(ROWS) {
            let mut attached: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
            for row in db.query_all(&self.sets_of(organization, ids)).await? {
                attached.entry(row.try_get_by_index(0)?).or_default().push(row.try_get_by_index(1)?);
            }
            sizes.read(db, organization, attached.values().flatten().copied()).await?;
            for row in db.query_all(&self.own_of(organization, ids)).await? {
                let id: Uuid = row.try_get_by_index(0)?;
                let sets = attached.remove(&id).unwrap_or_default();
                let before = Held { own: row.try_get_by_index(1)?, sets };
                let sets = before.sets.iter().map(|one| if *one == set { will_be } else { *one }).collect();
                let after = Held { own: before.own.clone(), sets };
                sizes.require_room(Some(&before), &after, self.grantee(id)).await?;
            }
        }
        Ok(())
    }

    const fn grantee(self, id: Uuid) -> Grantee {
        if self.are_members { Grantee::Member(UserId::from_uuid(id)) } else { Grantee::Key(KeyId::from_uuid(id)) }
    }

    /// Who has the set and so many others that it may be too much. Found by the index of the set's holders; most have few.
    fn with_many_sets(self, organization: OrganizationId, set: Uuid, among: Option<&[Uuid]>) -> SelectStatement {
        let (table, holder) = self.attached;
        let mut select = Query::select();
        select.column(("this", holder)).from_as(table, "this");
        let mut same = Expr::col(("each", holder)).equals(("this", holder));
        if self.are_members {
            same = same.and(Expr::col(("each", ORGANIZATION)).equals(("this", ORGANIZATION)));
            select.and_where(Expr::col(("this", ORGANIZATION)).eq(organization.uuid()));
        }
        select
            .join_as(sea_orm::JoinType::InnerJoin, table, "each", same)
            .and_where(Expr::col(("this", SET)).eq(set))
            .group_by_col(("this", holder))
            .and_having(Expr::cust("count(*)").gt(convert::number(FEW_SETS)));
        if let Some(among) = among {
            select.and_where(Expr::col(("this", holder)).is_in(among.iter().copied()));
        }
        select
    }

    /// The sets of these.
    fn sets_of(self, organization: OrganizationId, ids: &[Uuid]) -> SelectStatement {
        let (table, holder) = self.attached;
        let mut select = Query::select();
        select.columns([holder, SET]).from(table).and_where(Expr::col(holder).is_in(ids.iter().copied()));
        if self.are_members {
            select.and_where(Expr::col(ORGANIZATION).eq(organization.uuid()));
        }
        select
    }

    /// The own permissions of these. A deleted key is checked when it is restored.
    fn own_of(self, organization: OrganizationId, ids: &[Uuid]) -> SelectStatement {
        let (table, id) = self.own;
        let mut select = Query::select();
        select.columns([id, "permissions"]).from(table).and_where(Expr::col(id).is_in(ids.iter().copied()));
        if self.are_members {
            select.and_where(Expr::col(ORGANIZATION).eq(organization.uuid()));
        } else {
            select.and_where(Expr::col("deleted_at").is_null());
        }
        select
    }
}
