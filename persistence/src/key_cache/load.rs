//! Loads many keys by the hashes of their secrets in one statement. The hashes are one JSON parameter, so that the statement is the
//! same for any number of them and is prepared once.

use std::{collections::HashMap, sync::Arc};

use domain::{
    clock::Timestamp,
    cooperation::Pace,
    id::{OrganizationId, SetId, UserId},
    keys::secret::SecretHash,
    permissions::Permissions,
    verify::cached_key::{CachedKey, KeyPermissions, MemberInfo, OrganizationInfo, SharedValues},
};
use sea_orm::{ConnectionTrait, FromQueryResult, IdenStatic, Iterable, Statement, Value, prelude::Uuid};

use crate::key_cache::interner::Interner;
use crate::{
    db::{connect::Pools, dialect::Dialect, error::DbFailure},
    rows::{convert, entity::api_key},
};

/// The keys that exist. A row that breaks the domain's rules is a failure of that key alone.
pub(super) type Found = HashMap<SecretHash, Result<Loaded, DbFailure>>;

/// A key as it was loaded.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) key: Arc<CachedKey>,
    /// Whether its secret was not used before.
    pub(super) is_unused: bool,
}

/// Loads keys, and interns what they have in common.
pub(super) struct Reader {
    pools: Pools,
    sql: String,
    interner: Arc<Interner>,
}

#[derive(FromQueryResult)]
struct CachedKeyRow {
    hash: Vec<u8>,
    #[sea_orm(nested)]
    key: api_key::Model,
    kind: String,
    organization_external_id: Option<String>,
    suspended_at: Option<i64>,
    member_permissions: Option<String>,
    secret_expires_at: Option<i64>,
    secret_start: Option<String>,
    secret_is_unused: bool,
    key_sets: Option<String>,
    member_sets: Option<String>,
}

impl CachedKeyRow {
    /// All stored permissions of the row.
    fn stored_permissions(&self) -> impl Iterator<Item = &str> {
        let others = [&self.key_sets, &self.member_permissions, &self.member_sets];
        others.into_iter().flatten().map(String::as_str).chain([self.key.permissions.as_str()])
    }
}

/// The statement up to the list of hashes. It names each column: the result of a prepared statement must not change when a newer
/// version of the program adds one.
fn select(dialect: Dialect) -> String {
    let columns: Vec<String> = api_key::Column::iter()
        .map(|column| match column {
            // A cached key does not have these.
            column @ (api_key::Column::Description | api_key::Column::PreviousPrefix | api_key::Column::NameFolded) => {
                format!("CAST(NULL AS text) AS {}", column.as_str())
            }
            column => format!("k.{}", column.as_str()),
        })
        .collect();
    let lines = dialect.permission_set_lines();
    let sets = |table: &str, condition: &str| {
        format!(
            "(SELECT {lines} FROM {table} a JOIN permission_sets p ON p.id = a.permission_set_id WHERE {condition})"
        )
    };
    let of_key = sets("api_key_permission_sets", "a.api_key_id = k.id");
    let of_member = sets("user_permission_sets", "a.user_id = m.id");
    format!(
        "SELECT s.hash AS hash, s.expires_at AS secret_expires_at, s.start AS secret_start, s.is_unused AS secret_is_unused, {}, o.kind AS kind, \
         o.external_id AS organization_external_id, o.suspended_at AS suspended_at, {of_key} AS key_sets, \
         m.permissions AS member_permissions, {of_member} AS member_sets \
         FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id AND k.deleted_at IS NULL JOIN organizations o ON o.id = k.organization_id AND o.deleted_at IS NULL \
         LEFT JOIN users m ON m.id = k.user_id AND m.organization_id = k.organization_id WHERE s.hash IN",
        columns.join(", ")
    )
}

impl Reader {
    pub(super) fn new(pools: Pools, interner: Arc<Interner>) -> Self {
        let dialect = Dialect::of(&pools.verification);
        let sql = format!("{} {}", select(dialect), dialect.hashes_parameter());
        Self { pools, sql, interner }
    }

    /// The keys with these hashes, and the total bytes of their stored permissions.
    pub(super) async fn read(&self, hashes: &[SecretHash]) -> Result<(Found, usize), DbFailure> {
        let hashes: Vec<String> = hashes.iter().map(convert::hash_text).collect();
        let json = format!("[\"{}\"]", hashes.join("\",\""));
        let backend = self.pools.verification.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, &self.sql, [Value::from(json)]);
        let rows = tokio::time::timeout(self.pools.timeout, self.pools.verification.query_all_raw(statement));
        let rows = rows.await.map_err(|_| DbFailure::Timeout)??;
        let (mut found, mut bytes, mut pace) = (HashMap::with_capacity(rows.len()), 0, Pace::default());
        for row in rows {
            let row = CachedKeyRow::from_query_result(&row, "")?;
            let size = row.stored_permissions().map(str::len).sum();
            bytes += size;
            pace.worked(size).await;
            if let Ok(bytes) = <[u8; 32]>::try_from(row.hash.as_slice()) {
                let hash = SecretHash::from_bytes(bytes);
                let is_unused = row.secret_is_unused;
                let key = self.cached_key(hash, row);
                found.insert(hash, key.map(|key| Loaded { key: Arc::new(key), is_unused }));
            }
        }
        Ok((found, bytes))
    }

    fn cached_key(&self, hash: SecretHash, mut row: CachedKeyRow) -> Result<CachedKey, DbFailure> {
        if let Some(start) = row.secret_start.take() {
            row.key.start = start;
        }
        let id = OrganizationId::from_uuid(row.key.organization_id);
        let organization = OrganizationInfo {
            id,
            kind: convert::kind(&row.kind, id.uuid())?,
            external_id: convert::external_id(row.organization_external_id.as_deref(), id.uuid())?,
            is_suspended: row.suspended_at.is_some(),
        };
        let holder = match row.key.user_id.map(UserId::from_uuid) {
            None => None,
            Some(user) => {
                let own_permissions = row.member_permissions.as_deref();
                let effective = own_permissions
                    .map(|own_permissions| effective(own_permissions, row.member_sets.as_deref(), "users", row.key.id));
                let (permissions, sets) = effective.transpose()?.unzip();
                let sets = self.interner.sets(&sets.unwrap_or_default());
                Some(self.interner.members.share((id, user), MemberInfo { user, permissions, sets }))
            }
        };
        // Keys with the same stored permissions have the same effective permissions.
        let mut hasher = blake3::Hasher::new();
        hasher.update(row.key.permissions.as_bytes()).update(b"\n");
        hasher.update(row.key_sets.as_deref().unwrap_or_default().as_bytes());
        let permissions_hash = *hasher.finalize().as_bytes();
        let given = if let Some(known) = self.interner.permissions.find(&permissions_hash) {
            known
        } else {
            let (permissions, sets) = effective(&row.key.permissions, row.key_sets.as_deref(), "api_keys", row.key.id)?;
            let sets = self.interner.sets(&sets);
            self.interner.permissions.share(permissions_hash, KeyPermissions { permissions, sets })
        };
        let shared = SharedValues {
            organization: self.interner.organizations.share(id, organization),
            member: holder,
            permissions: given,
        };
        let secret_expires_at = row.secret_expires_at.map(Timestamp::from_millis);
        Ok(CachedKey::new(hash, &convert::api_key(row.key, Vec::new())?, shared, secret_expires_at))
    }
}

/// The effective permissions of a key or member, its own and those of its sets, and the ids of the sets.
fn effective(
    own_permissions: &str,
    sets: Option<&str>,
    table: &'static str,
    row: Uuid,
) -> Result<(Permissions, Vec<SetId>), DbFailure> {
    let mut all = vec![convert::permissions(own_permissions, table, row)?];
    let mut ids = Vec::new();
    for line in sets.unwrap_or_default().lines() {
        let (id, permissions) = line.split_once(' ').unwrap_or((line, ""));
        let id = Uuid::try_parse(id).unwrap_or_default();
        all.push(convert::permissions(permissions, "permission_sets", id)?);
        ids.push(SetId::from_uuid(id));
    }
    Ok((Permissions::union(&all), ids))
}
