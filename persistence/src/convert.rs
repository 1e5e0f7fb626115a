//! The one door between rows and the domain. Out of the database is fallible: a row that breaks the domain's rules is an
//! outage that names table, column and row, never a guess.

mod accounts;
mod credentials;

use domain::{
    addresses::AddressList,
    api_key::{ApiKey, Creator, KeyName, Metadata},
    change::Change,
    clock::Timestamp,
    id::{KeyId, OrganizationId, SetId, UserId},
    organization::{ExternalId, OrganizationKind},
    permission::PermissionSet,
    ports::KeyChanges,
    quota::{Quota, RateLimit, Refill},
    secret::{KeyPrefix, SecretHash},
    text::Invalid,
};
use sea_orm::{ActiveValue, ActiveValue::Set, Value, prelude::Uuid};

pub(crate) use self::accounts::{
    external_id, membership, membership_key, membership_row, named_set, named_set_row, organization,
    organization_changes_row, organization_row, user, user_row,
};
pub(crate) use self::credentials::{family, session, session_row};
use crate::entity::api_key;

/// A row that our own rules do not allow.
#[derive(Debug)]
pub(crate) struct BrokenRow {
    table: &'static str,
    column: &'static str,
    row: Uuid,
}

impl std::fmt::Display for BrokenRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {} column {} row {} holds what no rule allows", self.table, self.column, self.row)
    }
}

impl std::error::Error for BrokenRow {}

/// What the database holds is not what our rules allow.
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
pub(crate) fn permissions_text(permissions: &PermissionSet) -> String {
    permissions.flat().join(" ")
}

pub(crate) fn permissions(text: &str, table: &'static str, row: Uuid) -> Result<PermissionSet, BrokenRow> {
    PermissionSet::from_flat(text.split_ascii_whitespace()).map_err(|_| BrokenRow { table, column: "permissions", row })
}

/// Networks are stored as they are written, separated by spaces.
fn addresses_text(list: &AddressList) -> String {
    list.texts().collect::<Vec<_>>().join(" ")
}

fn addresses(text: &str) -> Result<AddressList, Invalid> {
    AddressList::parse(text.split_ascii_whitespace())
}

/// A key with the sets that it has. What only its secrets tell is not known yet.
pub(crate) fn api_key(model: api_key::Model, sets: Vec<SetId>) -> Result<ApiKey, BrokenRow> {
    let broken = |column| move |_: Invalid| BrokenRow { table: "api_keys", column, row: model.id };
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
    Ok(ApiKey {
        id: KeyId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        user: model.user_id.map(UserId::from_uuid),
        name: model.name.as_deref().map(KeyName::parse).transpose().map_err(broken("name"))?,
        prefix: KeyPrefix::imported(&model.prefix).map_err(broken("prefix"))?,
        start: model.start,
        previous_ends_at: None,
        enabled: model.enabled,
        not_before: model.not_before.map(Timestamp::from_millis),
        expires_at: model.expires_at.map(Timestamp::from_millis),
        addresses: model
            .allowed_addresses
            .as_deref()
            .map(addresses)
            .transpose()
            .map_err(broken("allowed_addresses"))?,
        metadata: model.metadata.as_deref().map(Metadata::parse).transpose().map_err(broken("metadata"))?,
        permissions: permissions(&model.permissions, "api_keys", model.id)?,
        sets,
        external_id: model.external_id.as_deref().map(ExternalId::parse).transpose().map_err(broken("external_id"))?,
        quota,
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
        name: Set(key.name.as_ref().map(|name| name.as_str().to_owned())),
        prefix: Set(key.prefix.as_str().to_owned()),
        start: Set(key.start.clone()),
        enabled: Set(key.enabled),
        not_before: Set(key.not_before.map(Timestamp::millis)),
        expires_at: Set(key.expires_at.map(Timestamp::millis)),
        allowed_addresses: Set(key.addresses.as_ref().map(addresses_text)),
        deleted_at: Set(None),
        metadata: Set(key.metadata.as_ref().map(|metadata| metadata.as_str().to_owned())),
        permissions: Set(permissions_text(&key.permissions)),
        external_id: Set(key.external_id.as_ref().map(|id| id.as_str().to_owned())),
        remaining: Set(key.quota.remaining.map(number)),
        refill_amount: Set(key.quota.refill.map(|refill| number(refill.amount))),
        refill_interval: Set(key.quota.refill.map(|refill| number(refill.interval))),
        refill_since: Set(key.quota.refill.map(|refill| refill.since.millis())),
        last_refill_at: Set(key.quota.last_refill_at.map(Timestamp::millis)),
        rate_limit_max: Set(key.quota.rate_limit.map(|limit| number(limit.max))),
        rate_limit_window: Set(key.quota.rate_limit.map(|limit| number(limit.window))),
        window_start: Set(key.quota.window_start.map(Timestamp::millis)),
        window_count: Set(number(key.quota.window_count)),
        request_count: Set(number(key.request_count)),
        last_request_at: Set(key.last_request_at.map(Timestamp::millis)),
        version: Set(number(key.version)),
        created_by_key: Set(created_by_key),
        created_by_user: Set(created_by_user),
        created_at: Set(key.created_at.millis()),
        updated_at: Set(key.updated_at.millis()),
    }
}

/// The columns that changed settings write, with the next version.
pub(crate) fn changes_row(changes: &KeyChanges, version: u64, now: Timestamp) -> api_key::ActiveModel {
    let refill = |part: fn(Refill) -> i64| column(changes.refill.map(part));
    let rate_limit = |part: fn(RateLimit) -> i64| column(changes.rate_limit.map(part));
    let forgotten = |is_forgotten: bool| if is_forgotten { Set(None) } else { ActiveValue::NotSet };
    api_key::ActiveModel {
        name: column(changes.name.clone().map(|name| name.as_str().to_owned())),
        enabled: changes.enabled.map_or(ActiveValue::NotSet, Set),
        not_before: column(changes.not_before.map(Timestamp::millis)),
        expires_at: column(changes.expires_at.map(Timestamp::millis)),
        allowed_addresses: column(changes.addresses.clone().map(|list| addresses_text(&list))),
        metadata: column(changes.metadata.clone().map(|metadata| metadata.as_str().to_owned())),
        external_id: column(changes.external_id.clone().map(|id| id.as_str().to_owned())),
        permissions: changes.permissions.as_ref().map(permissions_text).map_or(ActiveValue::NotSet, Set),
        remaining: column(changes.remaining.map(number)),
        refill_amount: refill(|refill| number(refill.amount)),
        refill_interval: refill(|refill| number(refill.interval)),
        refill_since: refill(|refill| refill.since.millis()),
        last_refill_at: forgotten(changes.restarts_refill),
        rate_limit_max: rate_limit(|limit| number(limit.max)),
        rate_limit_window: rate_limit(|limit| number(limit.window)),
        window_start: forgotten(changes.restarts_window),
        window_count: if changes.restarts_window { Set(0) } else { ActiveValue::NotSet },
        version: Set(number(version.saturating_add(1))),
        updated_at: Set(now.millis()),
        ..api_key::ActiveModel::default()
    }
}

fn column<T>(change: Change<T>) -> ActiveValue<Option<T>>
where
    Option<T>: Into<Value>,
{
    match change {
        Change::Keep => ActiveValue::NotSet,
        Change::Clear => Set(None),
        Change::Set(value) => Set(Some(value)),
    }
}

/// The limits in a row, and how far they are used.
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

/// A prefix of 32 and 6 characters of the body.
const MAX_START: usize = 38;

/// A hash as 64 hexadecimal digits.
pub(crate) fn hash_text(hash: &SecretHash) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = hash.bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(HEX[usize::from(digit)])).collect()
}

/// A number of the database as one of the domain.
pub(crate) fn count(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

/// A number of the domain as one of the database. The domain's end at 2^53.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
