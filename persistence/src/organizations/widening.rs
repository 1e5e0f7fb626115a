//! Checks, before a permission set gets more permissions, whether a key or member that has it (a holder) would then have too
//! many, or a key would break a key policy.
//!
//! A set may have a hundred thousand holders, and on SQLite nothing else is written during a transaction. So the holders are checked
//! before the transaction. The transaction checks only those that have changed since then. These are in the audit log of the
//! organization, which has an event for each change.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use domain::{
    audit::context::Action,
    error::Grantee,
    id::{KeyId, OrganizationId, SetId, UserId},
    keys::policy::BrokenRule,
    organizations::permission_set::PermissionSet,
    permissions::Permissions,
    ports::SetChanges,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    prelude::Uuid,
    sea_query::{Expr, Query, SelectStatement},
};
use tokio::sync::Semaphore;

use crate::{
    database::Database,
    db::{error::DbFailure, retry},
    organizations::{
        effective::{PermissionCounter, StoredPermissions, words},
        key_policies, permission_sets,
    },
    rows::{
        convert,
        entity::{audit_chain, audit_event, permission_set},
    },
};

/// Checks of all holders of a set that run at the same time: each may take some megabytes of memory.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// The most holders whose permissions are read at once.
const MAX_HOLDERS_PER_READ: usize = 100;

/// The most changed holders that a transaction checks. If there are more, all are checked again before the next attempt.
const MAX_CHANGED_HOLDERS: usize = 1_000;

/// Holders with at most this number of sets cannot have too many permissions: their own are at most as many as those of a set.
const MAX_UNCHECKED_SETS: u64 = (Permissions::MAX_EFFECTIVE / Permissions::MAX - 1) as u64;

/// Changes after which all holders are checked again: a holder may also have another set that was changed, or another key policy
/// may apply.
const CHANGES_FOR_ALL: [Action; 5] = [
    Action::CreateSet,
    Action::UpdateSet,
    Action::UpdateOrganization,
    Action::SuspendOrganization,
    Action::ResumeOrganization,
];

/// A completed check: with the new permissions of the set, no holder has too many, and no key breaks a policy by them.
#[derive(Clone, Debug)]
pub(crate) struct CheckedHolders {
    set: SetId,
    /// Its permissions at the check.
    old: Arc<str>,
    /// Its new permissions.
    new: Arc<str>,
    /// The rules of key policies that a key with the set would break by the new permissions: there was no such key.
    rules: Arc<[BrokenRule]>,
    /// The sequence number of the last audit event before the check.
    seq: i64,
}

impl CheckedHolders {
    fn adds_nothing(&self) -> bool {
        let old: HashSet<&str> = words(&self.old).collect();
        words(&self.new).all(|word| old.contains(word))
    }
}

/// A kind of holder, keys or members, with its tables.
#[derive(Clone, Copy)]
struct HolderKind {
    /// The table of attached sets, and its column with the holder's id.
    attached: (&'static str, &'static str),
    /// The table of the holders, and its column with their id.
    own: (&'static str, &'static str),
    /// Whether they are users.
    are_members: bool,
}

const HOLDER_KINDS: [HolderKind; 2] = [
    HolderKind { attached: ("api_key_permission_sets", "api_key_id"), own: ("api_keys", "id"), are_members: false },
    HolderKind { attached: ("user_permission_sets", "user_id"), own: ("users", "id"), are_members: true },
];

const SET: &str = "permission_set_id";

impl Database {
    /// Checks all holders of a set that is to be changed. `None`: its permissions do not change, or there is no such set.
    ///
    /// # Errors
    /// [`domain::Error::TooManyPermissions`] with the first holder found that would have too many;
    /// [`domain::Error::KeyPolicyViolated`].
    pub(crate) async fn check_holders(
        &self,
        organization: OrganizationId,
        set: SetId,
        changes: &SetChanges,
    ) -> Result<Option<CheckedHolders>, DbFailure> {
        let Some(permissions) = &changes.permissions else { return Ok(None) };
        let check = async {
            let db = &self.pools.read;
            // Read first, so that the log has every change during the check.
            let chain = audit_chain::Entity::find_by_id(organization.uuid()).one(db).await?;
            let Some(row) = permission_sets::row(db, organization, set).await? else { return Ok(None) };
            let before = convert::named_set(&row)?;
            let added = permissions.not_in(&before.permissions);
            let rules = if added.is_empty() {
                Vec::new()
            } else {
                let key_policy = changes.key_policy.clone().apply(before.key_policy.clone());
                key_policies::rules_on_permissions(db, &PermissionSet { key_policy, ..before }, &added).await?
            };
            let (old, new) = (row.permissions.into(), convert::permissions_text(permissions).into());
            let seq = chain.map_or(0, |chain| chain.end_seq);
            let checked = CheckedHolders { set, old, new, rules: rules.into(), seq };
            if !checked.adds_nothing() {
                key_policies::require_kept(db, organization, set, &checked.rules, None).await?;
                for kind in HOLDER_KINDS {
                    kind.require_room(db, organization, &checked, None).await?;
                }
            }
            Ok(Some(checked))
        };
        retry::in_time(self.pools.change_timeout, check).await
    }
}

/// Checks the holders that have changed since a check. The caller has locked the organization's row, so that none changes any more.
/// `false`: too many have changed, and all have to be checked again.
///
/// # Errors
/// [`domain::Error::TooManyPermissions`] with the first holder found that would have too many;
/// [`domain::Error::KeyPolicyViolated`].
pub(crate) async fn check_changed_holders<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    checked: &CheckedHolders,
) -> Result<bool, DbFailure> {
    if permissions_text_of(db, organization, checked.set).await?.is_none_or(|text| *text != *checked.old) {
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
        .limit(MAX_CHANGED_HOLDERS as u64 + 1)
        .into_tuple()
        .all(db)
        .await?;
    let is_for_all = |action: &str| CHANGES_FOR_ALL.iter().any(|change| change.code() == action);
    if changed.len() > MAX_CHANGED_HOLDERS || changed.iter().any(|(action, _)| is_for_all(action)) {
        return Ok(false);
    }
    let changed: Vec<Uuid> = changed.into_iter().map(|(_, target)| target).collect();
    if !changed.is_empty() {
        key_policies::require_kept(db, organization, checked.set, &checked.rules, Some(&changed)).await?;
        for kind in HOLDER_KINDS {
            kind.require_room(db, organization, checked, Some(&changed)).await?;
        }
    }
    Ok(true)
}

async fn permissions_text_of<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
) -> Result<Option<String>, DbFailure> {
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

impl HolderKind {
    /// Requires that no holder would have too many permissions; with `among`, only of these holders.
    async fn require_room<C: ConnectionTrait>(
        self,
        db: &C,
        organization: OrganizationId,
        checked: &CheckedHolders,
        among: Option<&[Uuid]>,
    ) -> Result<(), DbFailure> {
        let mut counter = PermissionCounter::default();
        // The set with its new permissions, by an id that no set has.
        let (set, changed_set) = (checked.set.uuid(), Uuid::nil());
        counter.add(set, checked.old.to_string());
        counter.add(changed_set, checked.new.to_string());
        // A check of all holders takes memory, so their number is limited.
        let _turn = if among.is_none() { Some(CHECKS.acquire().await) } else { None };
        let with_many_sets = db.query_all(&self.with_many_sets(set, among)).await?;
        let ids: Result<Vec<Uuid>, _> = with_many_sets.iter().map(|row| row.try_get_by_index(0)).collect();
        let ids = ids?;
        for ids in ids.chunks(MAX_HOLDERS_PER_READ) {
            let mut attached: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
            for row in db.query_all(&self.sets_of(ids)).await? {
                attached.entry(row.try_get_by_index(0)?).or_default().push(row.try_get_by_index(1)?);
            }
            counter.read(db, organization, attached.values().flatten().copied()).await?;
            for row in db.query_all(&self.own_of(ids)).await? {
                let id: Uuid = row.try_get_by_index(0)?;
                let sets = attached.remove(&id).unwrap_or_default();
                let before = StoredPermissions { own: row.try_get_by_index(1)?, sets };
                let sets = before.sets.iter().map(|one| if *one == set { changed_set } else { *one }).collect();
                let after = StoredPermissions { own: before.own.clone(), sets };
                counter.require_room(Some(&before), &after, self.grantee(id)).await?;
            }
        }
        Ok(())
    }

    const fn grantee(self, id: Uuid) -> Grantee {
        if self.are_members { Grantee::Member(UserId::from_uuid(id)) } else { Grantee::Key(KeyId::from_uuid(id)) }
    }

    /// Selects the holders of `set` that have more than [`MAX_UNCHECKED_SETS`] permission sets in all. With fewer sets a holder
    /// cannot have too many permissions. Uses the index on the set.
    fn with_many_sets(self, set: Uuid, among: Option<&[Uuid]>) -> SelectStatement {
        let (table, holder) = self.attached;
        let mut select = Query::select();
        select.column(("this", holder)).from_as(table, "this");
        let same = Expr::col(("each", holder)).equals(("this", holder));
        select
            .join_as(sea_orm::JoinType::InnerJoin, table, "each", same)
            .and_where(Expr::col(("this", SET)).eq(set))
            .group_by_col(("this", holder))
            .and_having(Expr::cust("count(*)").gt(convert::number(MAX_UNCHECKED_SETS)));
        if let Some(among) = among {
            select.and_where(Expr::col(("this", holder)).is_in(among.iter().copied()));
        }
        select
    }

    /// The sets of these holders.
    fn sets_of(self, ids: &[Uuid]) -> SelectStatement {
        let (table, holder) = self.attached;
        let mut select = Query::select();
        select.columns([holder, SET]).from(table).and_where(Expr::col(holder).is_in(ids.iter().copied()));
        select
    }

    /// The own permissions of these holders. A deleted key is left out: it is checked when it is restored.
    fn own_of(self, ids: &[Uuid]) -> SelectStatement {
        let (table, id) = self.own;
        let mut select = Query::select();
        select.columns([id, "permissions"]).from(table).and_where(Expr::col(id).is_in(ids.iter().copied()));
        if !self.are_members {
            select.and_where(Expr::col("deleted_at").is_null());
        }
        select
    }
}
