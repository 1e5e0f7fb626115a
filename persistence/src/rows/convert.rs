//! Converts between rows and values of the domain. Reading is fallible: a row that breaks the domain's rules is an outage that names
//! table, column and row.

mod accounts;
mod credentials;
mod invitations;
mod key_policy;
mod passkeys;
mod portal;
mod trust_rules;

use domain::{
    change::Change,
    clock::Timestamp,
    id::{ExternalId, KeyId, OrganizationId, SetId, UserId},
    keys::{
        api_key::{ApiKey, Creator, KeyName, Metadata},
        ip_allowlist::IpAllowlist,
        quota::{Quota, RateLimit, Refill},
        secret::{KeyPrefix, SecretHash},
        settings::{Description, KeySettings},
    },
    organizations::organization::OrganizationKind,
    permissions::Permissions,
    validated_string::{ValidationError, fold},
};
use sea_orm::{ActiveModelTrait, ActiveValue, ActiveValue::Set, Iterable, Value, prelude::Uuid};

pub(crate) use crate::rows::convert::accounts::{
    external_id, named_set, named_set_row, organization, organization_changes_row, organization_row, set_version, user,
    user_profile, user_row,
};
pub(crate) use crate::rows::convert::credentials::{TokenGroupColumns, session, session_row, token_group};
pub(crate) use crate::rows::convert::invitations::{invitation, invitation_row};
pub(crate) use crate::rows::convert::key_policy::{key_policy, key_policy_text};
pub(crate) use crate::rows::convert::passkeys::{passkey, passkey_row};
pub(crate) use crate::rows::convert::portal::{
    portal_session, portal_session_row, portal_settings, portal_settings_row,
};
pub(crate) use crate::rows::convert::trust_rules::{trust_rule, trust_rule_row};
use crate::rows::entity::api_key;

/// A row that breaks the domain's rules.
#[derive(Debug)]
pub(crate) struct BrokenRow {
    table: &'static str,
    column: &'static str,
    row: Uuid,
}

impl std::fmt::Display for BrokenRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {} column {} row {} has an invalid value", self.table, self.column, self.row)
    }
}

impl std::error::Error for BrokenRow {}

/// The error for a column of a row.
pub(crate) const fn broken(table: &'static str, column: &'static str, row: Uuid) -> BrokenRow {
    BrokenRow { table, column, row }
}

const TENANT: &str = "tenant";
const PLATFORM: &str = "platform";

pub(crate) const fn kind_text(kind: OrganizationKind) -> &'static str {
    match kind {
        OrganizationKind::Tenant => TENANT,
        OrganizationKind::Platform => PLATFORM,
    }
}

pub(crate) fn kind(text: &str, row: Uuid) -> Result<OrganizationKind, BrokenRow> {
    match text {
        TENANT => Ok(OrganizationKind::Tenant),
        PLATFORM => Ok(OrganizationKind::Platform),
        _ => Err(BrokenRow { table: "organizations", column: "kind", row }),
    }
}

/// Permissions are stored as their flat forms, separated by spaces, which no form contains.
pub(crate) fn permissions_text(permissions: &Permissions) -> String {
    permissions.flat().join(" ")
}

pub(crate) fn permissions(text: &str, table: &'static str, row: Uuid) -> Result<Permissions, BrokenRow> {
    Permissions::from_flat(text.split_ascii_whitespace()).map_err(|_| BrokenRow { table, column: "permissions", row })
}

/// Networks are stored as they are written, separated by spaces.
fn addresses_text(list: &IpAllowlist) -> String {
    list.to_strings().collect::<Vec<_>>().join(" ")
}

pub(crate) fn addresses(text: &str) -> Result<IpAllowlist, ValidationError> {
    IpAllowlist::parse(text.split_ascii_whitespace())
}

/// A key with its permission sets. `previous_ends_at` is not set, because it comes from the secrets.
pub(crate) fn api_key(model: api_key::Model, sets: Vec<SetId>) -> Result<ApiKey, BrokenRow> {
    let broken = |column| move |_: ValidationError| BrokenRow { table: "api_keys", column, row: model.id };
    let created_by = match (model.created_by_key, model.created_by_user) {
        (Some(key), None) => Creator::Key(KeyId::from_uuid(key)),
        (None, Some(user)) => Creator::User(UserId::from_uuid(user)),
        (None, None) => Creator::Operator,
        (Some(_), Some(_)) => {
            return Err(BrokenRow { table: "api_keys", column: "created_by_user", row: model.id });
        }
    };
    let quota = quota(&model)?;
    if model.start.len() > MAX_START {
        return Err(BrokenRow { table: "api_keys", column: "start", row: model.id });
    }
    let settings = KeySettings {
        name: model.name.as_deref().map(KeyName::stored).transpose().map_err(broken("name"))?,
        description: model
            .description
            .as_deref()
            .map(Description::stored)
            .transpose()
            .map_err(broken("description"))?,
        enabled: model.enabled,
        can_manage: model.can_manage,
        not_before: model.not_before.map(Timestamp::from_millis),
        expires_at: model.expires_at.map(Timestamp::from_millis),
        addresses: model
            .allowed_addresses
            .as_deref()
            .map(addresses)
            .transpose()
            .map_err(broken("allowed_addresses"))?,
        metadata: model.metadata.as_deref().map(Metadata::parse).transpose().map_err(broken("metadata"))?,
        external_id: model.external_id.as_deref().map(ExternalId::stored).transpose().map_err(broken("external_id"))?,
        permissions: permissions(&model.permissions, "api_keys", model.id)?,
        sets,
        remaining: quota.remaining,
        refill: quota.refill,
        rate_limit: quota.rate_limit,
    };
    Ok(ApiKey {
        id: KeyId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        user: model.user_id.map(UserId::from_uuid),
        settings,
        prefix: KeyPrefix::imported(&model.prefix).map_err(broken("prefix"))?,
        start: model.start,
        previous_ends_at: None,
        last_refill_at: quota.last_refill_at,
        window_start: quota.window_start,
        window_count: quota.window_count,
        request_count: count(model.request_count).ok_or(BrokenRow {
            table: "api_keys",
            column: "request_count",
            row: model.id,
        })?,
        last_request_at: model.last_request_at.map(Timestamp::from_millis),
        version: count(model.version).ok_or(BrokenRow { table: "api_keys", column: "version", row: model.id })?,
        created_by,
        created_at: Timestamp::from_millis(model.created_at),
        updated_at: Timestamp::from_millis(model.updated_at),
        deleted_at: model.deleted_at.map(Timestamp::from_millis),
    })
}

pub(crate) fn api_key_row(key: &ApiKey) -> api_key::ActiveModel {
    let (created_by_key, created_by_user) = match key.created_by {
        Creator::Key(key) => (Some(key.uuid()), None),
        Creator::User(user) => (None, Some(user.uuid())),
        Creator::Operator => (None, None),
    };
    api_key::ActiveModel {
        id: Set(key.id.uuid()),
        organization_id: Set(key.organization.uuid()),
        user_id: Set(key.user.map(UserId::uuid)),
        prefix: Set(key.prefix.as_str().to_owned()),
        start: Set(key.start.clone()),
        deleted_at: Set(None),
        last_refill_at: Set(key.last_refill_at.map(Timestamp::millis)),
        window_start: Set(key.window_start.map(Timestamp::millis)),
        window_count: Set(number(key.window_count)),
        request_count: Set(number(key.request_count)),
        last_request_at: Set(key.last_request_at.map(Timestamp::millis)),
        version: Set(number(key.version)),
        created_by_key: Set(created_by_key),
        created_by_user: Set(created_by_user),
        created_at: Set(key.created_at.millis()),
        updated_at: Set(key.updated_at.millis()),
        ..settings_row(&key.settings)
    }
}

/// The name in the form by which it is searched for, if that is not the name with lowercase ASCII letters.
fn folded_name(name: &str) -> Option<String> {
    Some(fold(name)).filter(|folded| *folded != name.to_ascii_lowercase())
}

/// The columns of the settings. Permission sets are not included, because they are stored in a table of their own.
fn settings_row(settings: &KeySettings) -> api_key::ActiveModel {
    api_key::ActiveModel {
        name: Set(settings.name.as_ref().map(|name| name.as_str().to_owned())),
        name_folded: Set(settings.name.as_ref().and_then(|name| folded_name(name.as_str()))),
        description: Set(settings.description.as_ref().map(|description| description.as_str().to_owned())),
        enabled: Set(settings.enabled),
        can_manage: Set(settings.can_manage),
        not_before: Set(settings.not_before.map(Timestamp::millis)),
        expires_at: Set(settings.expires_at.map(Timestamp::millis)),
        allowed_addresses: Set(settings.addresses.as_ref().map(addresses_text)),
        metadata: Set(settings.metadata.as_ref().map(|metadata| metadata.as_str().to_owned())),
        external_id: Set(settings.external_id.as_ref().map(|id| id.as_str().to_owned())),
        permissions: Set(permissions_text(&settings.permissions)),
        remaining: Set(settings.remaining.map(number)),
        refill_amount: Set(settings.refill.map(|refill| number(refill.amount))),
        refill_interval: Set(settings.refill.map(|refill| number(refill.interval))),
        refill_since: Set(settings.refill.map(|refill| refill.since.millis())),
        rate_limit_max: Set(settings.rate_limit.map(|limit| number(limit.max))),
        rate_limit_window: Set(settings.rate_limit.map(|limit| number(limit.window))),
        ..Default::default()
    }
}

/// The columns that differ between settings, with the next version. Others are not written: a use that is counted at the same
/// time may change `remaining`.
pub(crate) fn changes_row(
    before: &KeySettings,
    after: &KeySettings,
    version: u64,
    now: Timestamp,
) -> api_key::ActiveModel {
    let (old, mut row) = (settings_row(before), settings_row(after));
    for column in api_key::Column::iter() {
        if row.get(column) == old.get(column) {
            row.not_set(column);
        }
    }
    if after.restarts_refill(before) {
        row.last_refill_at = Set(None);
    }
    if after.restarts_window(before) {
        (row.window_start, row.window_count) = (Set(None), Set(0));
    }
    let next = next_version(version, now);
    api_key::ActiveModel { version: next.version, updated_at: next.updated_at, ..row }
}

/// The columns that every change of a key writes.
pub(crate) fn next_version(version: u64, now: Timestamp) -> api_key::ActiveModel {
    api_key::ActiveModel {
        version: Set(number(version.saturating_add(1))),
        updated_at: Set(now.millis()),
        ..Default::default()
    }
}

pub(crate) fn column<T>(change: Change<T>) -> ActiveValue<Option<T>>
where
    Option<T>: Into<Value>,
{
    match change {
        Change::Keep => ActiveValue::NotSet,
        Change::Clear => Set(None),
        Change::Set(value) => Set(Some(value)),
    }
}

/// The limits of a key and their current state.
pub(crate) fn quota(model: &api_key::Model) -> Result<Quota, BrokenRow> {
    let broken = |column| BrokenRow { table: "api_keys", column, row: model.id };
    let optional = |column, value: Option<i64>| value.map(|value| count(value).ok_or(broken(column))).transpose();
    let refill = match (
        optional("refill_amount", model.refill_amount)?,
        optional("refill_interval", model.refill_interval)?,
        model.refill_since.map(Timestamp::from_millis),
    ) {
        (Some(amount), Some(interval), Some(since)) => Some(Refill { amount, interval, since }),
        (None, None, None) => None,
        _ => return Err(broken("refill_amount")),
    };
    let rate_limit = match (
        optional("rate_limit_max", model.rate_limit_max)?,
        optional("rate_limit_window", model.rate_limit_window)?,
    ) {
        (Some(max), Some(window)) => Some(RateLimit { max, window }),
        (None, None) => None,
        _ => return Err(broken("rate_limit_max")),
    };
    Ok(Quota {
        remaining: optional("remaining", model.remaining)?,
        refill,
        last_refill_at: model.last_refill_at.map(Timestamp::from_millis),
        rate_limit,
        window_start: model.window_start.map(Timestamp::from_millis),
        window_count: count(model.window_count).ok_or(broken("window_count"))?,
    })
}

/// The longest `start`: a prefix of 32 characters and 6 characters of the secret.
const MAX_START: usize = 38;

/// A hash as 64 lowercase hexadecimal digits.
pub(crate) fn hash_text(hash: &SecretHash) -> String {
    blake3::Hash::from_bytes(*hash.bytes()).to_hex().to_string()
}

/// A number of the database as one of the domain. `None`: it is negative.
pub(crate) fn count(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

/// A number of the domain as one of the database. Numbers of the domain are at most 2^53.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
