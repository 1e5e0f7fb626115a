//! Many keys by their hashes in one statement. The hashes come in as one JSON parameter, so that the statement is the same
//! for any number of them and is prepared once.

use std::{collections::HashMap, sync::Arc};

use domain::{
    clock::Timestamp,
    id::{OrganizationId, UserId},
    permission::PermissionSet,
    secret::SecretHash,
    snapshot::{Home, Member, Shared, Snapshot},
};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, IdenStatic, Iterable, Statement, Value};

use super::sharing::Sharing;
use crate::{connect::Pools, convert, entity::api_key, outage::Failure};

/// The keys that there are, each as it was read; a row that no rule allows is a failure of its own.
pub(super) type Found = HashMap<SecretHash, Result<Arc<Snapshot>, Failure>>;

/// Reads, and keeps what keys have in common.
pub(super) struct Reader {
    pools: Pools,
    sql: String,
    homes: Sharing<OrganizationId, Home>,
    members: Sharing<(OrganizationId, UserId), Member>,
    permissions: Sharing<Box<str>, PermissionSet>,
}

#[derive(FromQueryResult)]
struct Row {
    hash: Vec<u8>,
    #[sea_orm(nested)]
    key: api_key::Model,
    kind: String,
    member_permissions: Option<String>,
    secret_expires_at: Option<i64>,
}

/// The columns of a key are named one by one: a statement that is prepared must not change its result when a newer version
/// of the program adds a column.
fn select() -> String {
    let columns: Vec<String> = api_key::Column::iter().map(|column| format!("k.{}", column.as_str())).collect();
    format!(
        "SELECT s.hash AS hash, s.expires_at AS secret_expires_at, {}, o.kind AS kind, \
         m.permissions AS member_permissions \
         FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id JOIN organizations o ON o.id = k.organization_id \
         LEFT JOIN memberships m ON m.organization_id = k.organization_id AND m.user_id = k.user_id WHERE s.hash IN",
        columns.join(", ")
    )
}

impl Reader {
    pub(super) fn new(pools: Pools) -> Self {
        let hashes = match pools.read.get_database_backend() {
            DbBackend::Postgres => "(SELECT decode(value, 'hex') FROM jsonb_array_elements_text($1::jsonb))",
            _ => "(SELECT unhex(value) FROM json_each(?))",
        };
        let sql = format!("{} {hashes}", select());
        let (homes, members, permissions) = (Sharing::default(), Sharing::default(), Sharing::default());
        Self { pools, sql, homes, members, permissions }
    }

    pub(super) async fn read(&self, hashes: &[SecretHash]) -> Result<Found, Failure> {
        let hashes: Vec<String> = hashes.iter().map(convert::hash_text).collect();
        let json = format!("[\"{}\"]", hashes.join("\",\""));
        let backend = self.pools.read.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, &self.sql, [Value::from(json)]);
        let rows = tokio::time::timeout(self.pools.timeout, self.pools.read.query_all_raw(statement));
        let rows = rows.await.map_err(|_| Failure::Timeout)??;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let row = Row::from_query_result(&row, "")?;
            if let Ok(bytes) = <[u8; 32]>::try_from(row.hash.as_slice()) {
                let hash = SecretHash::from_bytes(bytes);
                found.insert(hash, self.snapshot(hash, row).map(Arc::new));
            }
        }
        Ok(found)
    }

    fn snapshot(&self, hash: SecretHash, row: Row) -> Result<Snapshot, Failure> {
        let id = row.key.id;
        let home = OrganizationId::from_uuid(row.key.organization_id);
        let kind = convert::kind(&row.kind, row.key.organization_id)?;
        let member = match row.key.user_id.map(UserId::from_uuid) {
            None => None,
            Some(user) => {
                let permissions = row.member_permissions.as_deref();
                let permissions = permissions.map(|text| convert::permissions(text, "memberships", id)).transpose()?;
                Some(self.members.share((home, user), Member { user, permissions }))
            }
        };
        let permissions = if let Some(known) = self.permissions.find(row.key.permissions.as_str()) {
            known
        } else {
            let permissions = convert::permissions(&row.key.permissions, "api_keys", id)?;
            self.permissions.share(row.key.permissions.as_str().into(), permissions)
        };
        let shared = Shared { home: self.homes.share(home, Home { id: home, kind }), member, permissions };
        let secret_expires_at = row.secret_expires_at.map(Timestamp::from_millis);
        Ok(Snapshot::new(hash, &convert::api_key(row.key)?, shared, secret_expires_at))
    }
}
