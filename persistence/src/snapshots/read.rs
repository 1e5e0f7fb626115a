//! Many keys by their hashes in one statement. The hashes come in as one JSON parameter, so that the statement is the same
//! for any number of them and is prepared once.

use std::{collections::HashMap, sync::Arc};

use domain::{
    clock::Timestamp,
    cooperation::Pace,
    id::{OrganizationId, SetId, UserId},
    permission::PermissionSet,
    secret::SecretHash,
    snapshot::{Given, Holder, Home, Shared, Snapshot},
};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, IdenStatic, Iterable, Statement, Value, prelude::Uuid};

use super::sharing::Commons;
use crate::{connect::Pools, convert, entity::api_key, outage::Failure};

/// The keys that there are, each as it was read; a row that no rule allows is a failure of its own.
pub(super) type Found = HashMap<SecretHash, Result<Arc<Snapshot>, Failure>>;

/// Reads, and keeps what keys have in common.
pub(super) struct Reader {
    pools: Pools,
    sql: String,
    commons: Arc<Commons>,
}

#[derive(FromQueryResult)]
struct Row {
    hash: Vec<u8>,
    #[sea_orm(nested)]
    key: api_key::Model,
    kind: String,
    home_external_id: Option<String>,
    suspended_at: Option<i64>,
    member_permissions: Option<String>,
    secret_expires_at: Option<i64>,
    secret_start: Option<String>,
    key_sets: Option<String>,
    member_sets: Option<String>,
}

impl Row {
    /// Permissions as they are stored.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let others = [&self.key_sets, &self.member_permissions, &self.member_sets];
        others.into_iter().flatten().map(String::as_str).chain([self.key.permissions.as_str()])
    }
}

/// The columns of a key are named one by one: a statement that is prepared must not change its result when a newer version
/// of the program adds a column.
fn select(backend: DbBackend) -> String {
    let columns: Vec<String> = api_key::Column::iter().map(|column| format!("k.{}", column.as_str())).collect();
    // A set in each line: its identifier, and what it gives.
    let sets = |table: &str, condition: &str| {
        let lines = match backend {
            DbBackend::Postgres => "string_agg(p.id::text || ' ' || p.permissions, E'\\n' ORDER BY p.id)",
            _ => "group_concat(hex(p.id) || ' ' || p.permissions, char(10))",
        };
        format!(
            "(SELECT {lines} FROM {table} a JOIN permission_sets p ON p.id = a.permission_set_id WHERE {condition})"
        )
    };
    let of_key = sets("api_key_permission_sets", "a.api_key_id = k.id");
    let of_member =
        sets("membership_permission_sets", "a.organization_id = m.organization_id AND a.user_id = m.user_id");
    format!(
        "SELECT s.hash AS hash, s.expires_at AS secret_expires_at, s.start AS secret_start, {}, o.kind AS kind, \
         o.external_id AS home_external_id, o.suspended_at AS suspended_at, {of_key} AS key_sets, \
         m.permissions AS member_permissions, {of_member} AS member_sets \
         FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id AND k.deleted_at IS NULL JOIN organizations o ON o.id = k.organization_id AND o.deleted_at IS NULL \
         LEFT JOIN memberships m ON m.organization_id = k.organization_id AND m.user_id = k.user_id WHERE s.hash IN",
        columns.join(", ")
    )
}

impl Reader {
    pub(super) fn new(pools: Pools, commons: Arc<Commons>) -> Self {
        let backend = pools.verification.get_database_backend();
        let hashes = match backend {
            DbBackend::Postgres => "(SELECT decode(value, 'hex') FROM jsonb_array_elements_text($1::jsonb))",
            _ => "(SELECT unhex(value) FROM json_each(?))",
        };
        let sql = format!("{} {hashes}", select(backend));
        Self { pools, sql, commons }
    }

    /// The keys with these hashes, and the bytes of their permissions as they are stored.
    pub(super) async fn read(&self, hashes: &[SecretHash]) -> Result<(Found, usize), Failure> {
        let hashes: Vec<String> = hashes.iter().map(convert::hash_text).collect();
        let json = format!("[\"{}\"]", hashes.join("\",\""));
        let backend = self.pools.verification.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, &self.sql, [Value::from(json)]);
        let rows = tokio::time::timeout(self.pools.timeout, self.pools.verification.query_all_raw(statement));
        let rows = rows.await.map_err(|_| Failure::Timeout)??;
        let (mut found, mut bytes, mut pace) = (HashMap::with_capacity(rows.len()), 0, Pace::default());
        for row in rows {
            let row = Row::from_query_result(&row, "")?;
            let size = row.texts().map(str::len).sum();
            bytes += size;
            pace.worked(size).await;
            if let Ok(bytes) = <[u8; 32]>::try_from(row.hash.as_slice()) {
                let hash = SecretHash::from_bytes(bytes);
                found.insert(hash, self.snapshot(hash, row).map(Arc::new));
            }
        }
        Ok((found, bytes))
    }

    fn snapshot(&self, hash: SecretHash, mut row: Row) -> Result<Snapshot, Failure> {
        if let Some(start) = row.secret_start.take() {
            row.key.start = start;
        }
        let id = OrganizationId::from_uuid(row.key.organization_id);
        let home = Home {
            id,
            kind: convert::kind(&row.kind, id.uuid())?,
            external_id: convert::external_id(row.home_external_id.as_deref(), id.uuid())?,
            is_suspended: row.suspended_at.is_some(),
        };
        let holder = match row.key.user_id.map(UserId::from_uuid) {
            None => None,
            Some(user) => {
                let own = row.member_permissions.as_deref();
                let whole = own.map(|own| whole(own, row.member_sets.as_deref(), "memberships", row.key.id));
                let (permissions, sets) = whole.transpose()?.unzip();
                let sets = self.commons.sets(&sets.unwrap_or_default());
                Some(self.commons.holders.share((id, user), Holder { user, permissions, sets }))
            }
        };
        // All that decides what the key may do: who has the same texts has the same permissions.
        let mut texts = blake3::Hasher::new();
        texts.update(row.key.permissions.as_bytes()).update(b"\n");
        texts.update(row.key_sets.as_deref().unwrap_or_default().as_bytes());
        let texts = *texts.finalize().as_bytes();
        let given = if let Some(known) = self.commons.given.find(&texts) {
            known
        } else {
            let (permissions, sets) = whole(&row.key.permissions, row.key_sets.as_deref(), "api_keys", row.key.id)?;
            let sets = self.commons.sets(&sets);
            self.commons.given.share(texts, Given { permissions, sets })
        };
        let shared = Shared { home: self.commons.homes.share(id, home), holder, given };
        let secret_expires_at = row.secret_expires_at.map(Timestamp::from_millis);
        Ok(Snapshot::new(hash, &convert::api_key(row.key, Vec::new())?, shared, secret_expires_at))
    }
}

/// What somebody may do all in all: by themselves, and by their sets, which are the second part.
fn whole(
    own: &str,
    sets: Option<&str>,
    table: &'static str,
    row: Uuid,
) -> Result<(PermissionSet, Vec<SetId>), Failure> {
    let mut all = vec![convert::permissions(own, table, row)?];
    let mut ids = Vec::new();
    for line in sets.unwrap_or_default().lines() {
        let (id, permissions) = line.split_once(' ').unwrap_or((line, ""));
        let id = Uuid::try_parse(id).unwrap_or_default();
        all.push(convert::permissions(permissions, "permission_sets", id)?);
        ids.push(SetId::from_uuid(id));
    }
    Ok((PermissionSet::union(&all), ids))
}
