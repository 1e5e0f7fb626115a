//! Key policies that two simultaneous requests could break together: one changes a permission set or a policy, the other a key
//! that it applies to. Each was checked before its transaction. In it, each locks the organization's row, so the second one sees
//! the first: a change of a key requires that what it was checked against is still the same, and a permission set that gets more
//! permissions requires that no key that has it breaks a policy by them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    Error,
    cooperation::Pace,
    id::{OrganizationId, SetId},
    keys::{
        ip_allowlist::IpAllowlist,
        key_scope::KeyScope,
        policy::{BrokenRule, CheckedPolicies, PolicySource, Violation, broken_by_permissions},
    },
    organizations::permission_set::{PermissionSet, SetVersion},
    permissions::Permissions,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait, Select,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Query, SelectStatement},
};

use crate::{
    db::error::DbFailure,
    organizations::{
        self,
        permission_sets::{self, StoredSet},
    },
    rows::{
        convert,
        entity::{api_key, api_key_permission_set, organization},
        scope::in_scope,
    },
};

/// The change was checked against other policies than those that apply now. It is checked again: see [`unless_changed`].
const CHANGED: DbFailure = DbFailure::Refused(Error::ConcurrentChanges);

/// The most different IP allowlists with a very large network that are read. If keys have more, each of them counts as one with all
/// addresses.
const MAX_WIDE_LISTS: u64 = 1_000;

/// `None`: the transaction was undone, because the change was checked against other policies than those that apply now.
pub(crate) fn unless_changed<T>(outcome: Result<T, DbFailure>) -> Result<Option<T>, DbFailure> {
    match outcome {
        Err(DbFailure::Refused(Error::ConcurrentChanges)) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Requires that the policies are still as a change of a key was checked against them. Locks the organization's row, so that they
/// stay so until the transaction ends.
pub(crate) async fn require_unchanged<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    checked: &CheckedPolicies,
) -> Result<(), DbFailure> {
    let row = organizations::lock(db, organization).await?;
    require_same_policy(&row, Some(checked))?;
    if checked.sets.is_empty() {
        return Ok(());
    }
    let sets: BTreeSet<SetId> = checked.sets.keys().copied().collect();
    let stored = permission_sets::stored(db, organization, &sets).await?;
    require_same_sets(&stored, &checked.sets, &sets)
}

/// Requires that these permission sets are still as they were checked, and still exist.
pub(crate) fn require_same_sets(
    stored: &[StoredSet],
    checked: &BTreeMap<SetId, SetVersion>,
    sets: &BTreeSet<SetId>,
) -> Result<(), DbFailure> {
    let stored: HashMap<SetId, SetVersion> = stored.iter().map(|set| (set.id, set.version)).collect();
    let are_same = sets.iter().all(|set| stored.get(set).is_some_and(|version| checked.get(set) == Some(version)));
    if are_same { Ok(()) } else { Err(CHANGED) }
}

/// Whether the organization has still the policy that a change was checked against: a condition on its row. It may be false
/// although the policies are equal; then [`require_same_policy`] decides.
pub(crate) fn has_same_policy(checked: Option<&CheckedPolicies>) -> Condition {
    let column = organization::Column::KeyPolicy;
    Condition::all().add_option(checked.map(|checked| match &checked.organization {
        None => column.is_null(),
        Some(policy) => column.eq(convert::key_policy_text(policy)),
    }))
}

/// Requires that the organization with this row has still the policy that a change was checked against.
pub(crate) fn require_same_policy(
    row: &organization::Model,
    checked: Option<&CheckedPolicies>,
) -> Result<(), DbFailure> {
    let Some(checked) = checked else { return Ok(()) };
    let stored = convert::key_policy(row.key_policy.as_deref(), "organizations", row.id)?;
    if stored == checked.organization { Ok(()) } else { Err(CHANGED) }
}

/// The rules that keys with a permission set would break by these permissions, which the set is to get; `after` has its key
/// policy. For each rule, [`require_kept`] finds out whether there is such a key.
pub(crate) async fn rules_on_permissions<C: ConnectionTrait>(
    db: &C,
    after: &PermissionSet,
    added: &Permissions,
) -> Result<Vec<BrokenRule>, DbFailure> {
    let of_organization = organizations::find(db, after.organization).await?.and_then(|found| found.key_policy);
    let others = permission_sets::with_policies(db, after.organization).await?;
    let others = others.into_iter().filter(|other| other.id != after.id);
    let of_sets = others.map(|set| (PolicySource::Set(set.id), set.key_policy));
    let own = (PolicySource::Set(after.id), after.key_policy.clone());
    let (mut rules, mut pace) = (Vec::new(), Pace::default());
    for (source, policy) in [(PolicySource::Organization, of_organization)].into_iter().chain(of_sets).chain([own]) {
        if let Some(policy) = policy {
            pace.checked(added.len()).await;
            rules.extend(broken_by_permissions(source, &policy, added));
        }
    }
    Ok(rules)
}

/// Requires that no key with a permission set breaks one of these rules, which [`rules_on_permissions`] has found; with `among`,
/// none of these keys.
pub(crate) async fn require_kept<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
    rules: &[BrokenRule],
    among: Option<&[Uuid]>,
) -> Result<(), DbFailure> {
    // The sets that keys with this set have: any key, and only those without an IP allowlist.
    let mut beside = [HashSet::new(), HashSet::new()];
    for (without_addresses, found) in [false, true].into_iter().zip(&mut beside) {
        if rules.iter().any(|rule| is_on_addresses(rule) == without_addresses) {
            *found = sets_beside(db, organization, set, without_addresses, among).await?;
        }
    }
    let is_broken = |rule: &&BrokenRule| {
        let source = match rule.source {
            PolicySource::Organization => set,
            PolicySource::Set(other) => other,
        };
        beside[usize::from(is_on_addresses(rule))].contains(&source)
    };
    let broken: Vec<BrokenRule> = rules.iter().filter(is_broken).cloned().collect();
    if broken.is_empty() { Ok(()) } else { Err(DbFailure::Refused(Error::KeyPolicyViolated(broken))) }
}

fn is_on_addresses(rule: &BrokenRule) -> bool {
    matches!(rule.violation, Violation::NoAddresses(_))
}

/// The sets that keys with this set have, with itself. Deleted keys do not count.
async fn sets_beside<C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    set: SetId,
    without_addresses: bool,
    among: Option<&[Uuid]>,
) -> Result<HashSet<SetId>, DbFailure> {
    let mut keys = api_key::Entity::find()
        .filter(api_key::Column::Id.in_subquery(keys_with(set)))
        .filter(in_scope(KeyScope::whole(organization)))
        .filter(Condition::all().add_option(among.map(|keys| api_key::Column::Id.is_in(keys.iter().copied()))));
    if without_addresses {
        let has_none = has_no_allowlist(db, keys.clone()).await?;
        keys = keys.filter(has_none);
    }
    let keys = keys.select_only().column(api_key::Column::Id).into_query();
    let sets: Vec<Uuid> = api_key_permission_set::Entity::find()
        .select_only()
        .column(api_key_permission_set::Column::PermissionSetId)
        .distinct()
        .filter(api_key_permission_set::Column::ApiKeyId.in_subquery(keys))
        .into_tuple()
        .all(db)
        .await?;
    Ok(sets.into_iter().map(SetId::from_uuid).collect())
}

/// Whether a key has no IP allowlist, or one that has all addresses: a condition on these keys.
async fn has_no_allowlist<C: ConnectionTrait>(db: &C, keys: Select<api_key::Entity>) -> Result<Condition, DbFailure> {
    let column = api_key::Column::AllowedAddresses;
    // So few networks have all addresses together only if one of them has no longer prefix than this.
    let prefixes = 0..=IpAllowlist::MAX.ilog2();
    let patterns = prefixes.flat_map(|prefix| [format!("%/{prefix}"), format!("%/{prefix} %")]);
    let may_have_all = patterns.fold(Condition::any(), |any, pattern| any.add(column.like(pattern)));
    let lists: Vec<String> = keys
        .select_only()
        .column(column)
        .distinct()
        .filter(may_have_all.clone())
        .limit(MAX_WIDE_LISTS + 1)
        .into_tuple()
        .all(db)
        .await?;
    let is_absent = Condition::any().add(column.is_null());
    if lists.len() as u64 > MAX_WIDE_LISTS {
        return Ok(is_absent.add(may_have_all));
    }
    let has_all = |list: &String| convert::addresses(list).is_ok_and(|list| list.has_all_addresses());
    Ok(is_absent.add(column.is_in(lists.into_iter().filter(has_all))))
}

/// The ids of the keys that have a set.
fn keys_with(set: SetId) -> SelectStatement {
    Query::select()
        .column(api_key_permission_set::Column::ApiKeyId)
        .from(api_key_permission_set::Entity)
        .and_where(Expr::col(api_key_permission_set::Column::PermissionSetId).eq(set.uuid()))
        .to_owned()
}
