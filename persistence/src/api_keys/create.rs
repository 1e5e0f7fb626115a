//! Stores new keys with their secrets and permission sets, and counts and logs them; parts of the transaction that creates them.

use std::collections::BTreeSet;

use domain::{
    audit::context::{Actor, AuditContext},
    error::Grantee,
    id::SetId,
    keys::{api_key::ApiKey, policy::CheckedPolicies, secret::SecretHash},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, prelude::Uuid};

use super::stored;
use crate::{
    database::transaction::Changed,
    db::{bulk_insert::insert_all, error::DbFailure},
    organizations::{self, effective::PermissionCounter, key_policies, permission_sets},
    rows::{
        convert,
        entity::{api_key_permission_set, api_key_secret},
    },
    settings::DefaultCaps,
};

/// Stores keys of one organization with their first secrets and audit events; part of a transaction.
pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    changed: &mut Changed,
    keys: &[(ApiKey, SecretHash)],
    checked: Option<&CheckedPolicies>,
    context: &AuditContext,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    let plain: Vec<ApiKey> = keys.iter().map(|(key, _)| key.clone()).collect();
    insert_without_secrets(db, &plain, checked).await?;
    insert_secrets(db, keys).await?;
    reserve_and_log(db, changed, &plain, checked, context, caps).await
}

/// Stores the first secrets of keys; part of a transaction.
pub(crate) async fn insert_secrets<C: ConnectionTrait>(db: &C, keys: &[(ApiKey, SecretHash)]) -> Result<(), DbFailure> {
    let secrets = keys.iter().map(|(key, hash)| api_key_secret::ActiveModel {
        hash: Set(hash.bytes().to_vec()),
        api_key_id: Set(key.id.uuid()),
        created_at: Set(key.created_at.millis()),
        expires_at: Set(None),
        start: Set(Some(key.start.clone())),
        last_request_at: Set(None),
        is_unused: Set(false),
    });
    Ok(insert_all(db, secrets.collect()).await?)
}

/// Stores keys of one organization without secrets; part of a transaction. With `checked`, requires that their permission sets
/// are still the same; [`reserve_and_log`] requires it of the organization.
pub(crate) async fn insert_without_secrets<C: ConnectionTrait>(
    db: &C,
    keys: &[ApiKey],
    checked: Option<&CheckedPolicies>,
) -> Result<(), DbFailure> {
    let Some(organization) = keys.first().map(|key| key.organization) else { return Ok(()) };
    let attached: BTreeSet<SetId> = keys.iter().flat_map(|key| &key.settings.sets).copied().collect();
    if !attached.is_empty() {
        // Locked in the same order as by changes of permission sets, so that the two cannot deadlock.
        organizations::lock(db, organization).await?;
        let sets = permission_sets::stored(db, organization, &attached).await?;
        if let Some(checked) = checked {
            key_policies::require_same_sets(&sets, &checked.sets, &attached)?;
        }
        let mut counter = PermissionCounter::default();
        for set in sets {
            counter.add(set.id.uuid(), set.permissions);
        }
        counter.require_all(&attached)?;
        for key in keys.iter().filter(|key| !key.settings.sets.is_empty()) {
            counter.require_room(None, &stored(&key.settings), Grantee::Requested).await?;
        }
    }
    insert_all(db, keys.iter().map(convert::api_key_row).collect()).await?;
    let attached = keys.iter().flat_map(|key| attachments(key.id.uuid(), &key.settings.sets));
    Ok(insert_all(db, attached.collect()).await?)
}

/// Counts new keys towards the cap of their organization, and writes their audit events; part of the transaction that stores
/// them. With `checked`, requires that the organization has still the same key policy.
pub(crate) async fn reserve_and_log<C: ConnectionTrait>(
    db: &C,
    changed: &mut Changed,
    keys: &[ApiKey],
    checked: Option<&CheckedPolicies>,
    context: &AuditContext,
    caps: DefaultCaps,
) -> Result<(), DbFailure> {
    // At the end of the transaction, because from here on other changes of the organization's keys wait for its commit.
    if context.actor == Actor::Operator {
        // The cap does not apply to the operator, but a deleted organization gets no keys.
        let row = organizations::lock(db, context.organization).await?;
        key_policies::require_same_policy(&row, checked)?;
        organizations::count_keys(db, context.organization, i64::try_from(keys.len()).unwrap_or(0)).await?;
    } else {
        organizations::add_keys(db, context.organization, keys.len(), checked, caps).await?;
    }
    let ids: Vec<Uuid> = keys.iter().map(|key| key.id.uuid()).collect();
    changed.log.record_within(context, &ids, caps.changes);
    changed.log.record_idempotency_key(context);
    Ok(())
}

/// Attaches sets to a key; part of a transaction.
pub(super) async fn attach<C: ConnectionTrait>(db: &C, key: Uuid, sets: &[SetId]) -> Result<(), DbErr> {
    insert_all(db, attachments(key, sets).collect()).await
}

fn attachments(key: Uuid, sets: &[SetId]) -> impl Iterator<Item = api_key_permission_set::ActiveModel> {
    let row = move |set: &SetId| api_key_permission_set::ActiveModel {
        api_key_id: Set(key),
        permission_set_id: Set(set.uuid()),
    };
    sets.iter().map(row)
}
