//! SQL that creates states of rows that no operation creates. The other SQL of the tests creates and drops databases, or is in
//! [`crate::earlier_schema`] and [`crate::Tamperer`].

use domain::{
    clock::{Clock, Timestamp},
    id::OrganizationId,
    keys::secret::LegacyHash,
};

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait,
};

use crate::{TestApp, TestDatabase, wait_until};

impl TestApp {
    /// Gives every user these permissions (in flat form).
    pub async fn change_memberships(&self, permissions: &str) {
        self.execute(&format!("UPDATE users SET permissions = '{permissions}'")).await;
    }

    /// Gives a permission set these permissions (in flat form), without the checks of the service.
    pub async fn widen_set(&self, set_id: &str, permissions: &str) {
        let id = self.id(set_id);
        self.execute(&format!("UPDATE permission_sets SET permissions = '{permissions}' WHERE id = {id}")).await;
    }

    /// Removes all users from their organization.
    pub async fn end_memberships(&self) {
        self.execute("UPDATE users SET organization_id = NULL").await;
    }

    /// Sets the start of every key's rate limit window, and of its last refill, to `seconds` from now, as after a wrong
    /// clock.
    pub async fn start_windows_in(&self, seconds: i64) {
        self.database.start_windows_at(self.now_millis() + seconds * 1_000).await;
        self.empty_cache();
    }

    /// Sets the expiry of every secret to `seconds` from now.
    pub async fn expire_secrets_in(&self, seconds: i64) {
        let end = Timestamp::from_millis(self.clock.now().millis() + seconds * 1_000);
        self.execute(&format!("UPDATE api_key_secrets SET expires_at = {}", end.millis())).await;
    }

    /// Copies a key `count` times, without secrets. A hundred are created in each millisecond.
    pub async fn copy_key(&self, key_id: &str, count: u32) {
        self.database.copy_key(key_id, count).await;
        self.empty_cache();
    }

    /// Attaches a permission set to every key of an organization.
    pub async fn attach_set_to_all_keys(&self, org_id: &str, set_id: &str) {
        let (org_id, set_id) = (self.id(org_id), self.id(set_id));
        self.execute(&format!(
            "INSERT INTO api_key_permission_sets (api_key_id, permission_set_id) \
             SELECT id, {set_id} FROM api_keys WHERE organization_id = {org_id} ON CONFLICT DO NOTHING"
        ))
        .await;
    }

    /// Removes the copies of [`TestApp::copy_key`].
    pub async fn remove_copies(&self) {
        self.execute("DELETE FROM api_keys WHERE id NOT IN (SELECT api_key_id FROM api_key_secrets)").await;
    }

    /// Copies the write-ahead log into the SQLite file.
    pub async fn checkpoint(&self) {
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    }

    /// Makes the SQLite file as small as possible.
    pub async fn vacuum(&self) {
        self.execute("VACUUM").await;
        self.checkpoint().await;
    }

    /// Removes the start of every secret, as in an older version.
    pub async fn remove_secret_starts(&self) {
        self.execute("UPDATE api_key_secrets SET start = NULL").await;
    }

    /// Gives every key, organization and user this name, which an earlier version may have stored.
    pub async fn rename_everything(&self, name: &str) {
        for table in ["api_keys", "organizations", "users"] {
            self.execute(&format!("UPDATE {table} SET name = '{name}'")).await;
        }
    }

    /// Sets the counts of an organization in this hour: changes, idempotency keys, and bytes of their stored responses.
    pub async fn set_counts_of_hour(&self, org_id: &str, changes: u64, idempotency_keys: u64, answer_bytes: u64) {
        let (id, hour) = (self.id(org_id), self.clock.now().millis() / 3_600_000);
        let counts =
            format!("changes = {changes}, idempotency_keys = {idempotency_keys}, answer_bytes = {answer_bytes}");
        let update = format!("UPDATE audit_chains SET counted_hour = {hour}, {counts} WHERE organization_id = {id}");
        self.execute(&update).await;
    }

    /// Removes the first events of an organization from its chain, as in a version without chains.
    pub async fn unchain_events(&self, org_id: &str, count: u64) {
        let id = self.id(org_id);
        let update =
            format!("UPDATE audit_events SET seq = NULL, hash = NULL WHERE organization_id = {id} AND seq <= {count}");
        self.execute(&update).await;
    }

    /// Stores an imported secret as an earlier version did: only with the hash that does not depend on the organization.
    pub async fn remove_organization_hash(&self, org_id: &str, text: &str) {
        let organization = org_id.parse::<OrganizationId>().expect("an id");
        let hash = self.bytes(LegacyHash::of(text).in_organization(organization).bytes());
        self.execute(&format!("DELETE FROM api_key_secrets WHERE hash = {hash}")).await;
    }

    /// Replaces all imported secrets by this one of 16 hexadecimal digits, a key format that only an earlier version
    /// accepted.
    pub async fn weaken_imported_secret(&self, text: &str) {
        let hash = self.bytes(LegacyHash::of(text).bytes());
        self.execute(&format!("UPDATE imported_secrets SET hash = {hash}")).await;
        self.execute("UPDATE imported_shapes SET prefix = '', length = 16, alphabet = 'hex'").await;
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        if self.database.is_postgres() { format!("'\\x{hex}'") } else { format!("X'{hex}'") }
    }

    /// Gives all organizations a key policy that breaks a rule of the domain.
    pub async fn break_policies(&self) {
        self.execute("UPDATE organizations SET key_policy = 'max_lifetime_days 0'").await;
    }

    /// Gives every key invalid permissions.
    pub async fn break_keys(&self) {
        self.execute("UPDATE api_keys SET permissions = 'a:b:c'").await;
    }

    /// The stored counts of a key: remaining uses, uses in the rate limit's window, and valid verifications.
    pub async fn counts(&self, key_id: &str) -> (Option<i64>, i64, i64) {
        self.database.counts(key_id).await
    }

    /// Records a migration of a newer version that removes something.
    pub async fn contract_schema(&self) {
        self.newer_step("m29991231_000002_x_contract").await;
    }

    async fn newer_step(&self, name: &str) {
        self.execute(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)")).await;
    }

    /// Disables all keys in the database, as an operator does by docs/OPERATIONS.md.
    pub async fn disable_keys_by_hand(&self) {
        let update = "UPDATE api_keys SET enabled = false";
        let notice = if self.database.is_postgres() { "; NOTIFY claviger_changes, 'all'" } else { "" };
        self.database.execute(&format!("{update}{notice}")).await;
    }

    /// Adds columns and a table, as a newer version may do while this one runs.
    pub async fn expand_schema(&self) {
        for table in ["organizations", "users", "user_identities", "api_keys", "api_key_secrets"] {
            self.execute(&format!("ALTER TABLE {table} ADD COLUMN from_a_newer_version TEXT")).await;
        }
        self.execute("CREATE TABLE from_a_newer_version (id BIGINT PRIMARY KEY)").await;
        self.newer_step("m29991231_000001_x").await;
    }

    /// Terminates every connection that waits for a lock in a transaction. Returns their number.
    pub async fn end_open_transactions(&self) -> i64 {
        let sql = "SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND wait_event_type = 'Lock'";
        let database = Database::connect(self.database.url()).await.expect("a database connection");
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("a row");
        let ended = row.expect("one row").try_get("", "ended").expect("a number");
        database.close().await.expect("a closed connection");
        ended
    }

    /// A transaction that locks the row of an organization until the value is dropped.
    pub async fn lock_organization(&self, org_id: &str) -> DatabaseTransaction {
        let database = Database::connect(self.database.url()).await.expect("a database connection");
        let transaction = database.begin().await.expect("a transaction");
        let sql = format!("SELECT id FROM organizations WHERE id = {} FOR UPDATE", self.id(org_id));
        transaction.execute_unprepared(&sql).await.expect("locked");
        transaction
    }

    /// Holds the write lock of the SQLite file until the returned connection is closed.
    pub async fn hold_write_lock(&self) -> DatabaseConnection {
        let other = Database::connect(self.database.url()).await.expect("a database connection");
        other.execute_unprepared("BEGIN IMMEDIATE").await.expect("the write lock");
        other
    }
}

/// An audit event of a change.
#[derive(Debug)]
pub struct AuditEvent {
    /// The action.
    pub action: String,
    /// The permission. Empty if none was needed.
    pub permission: String,
    /// The caller's key. Empty if there is none.
    pub actor_key: String,
    /// The caller's user. Empty if there is none.
    pub actor_user: String,
    /// The caller's session. Empty if there is none.
    pub session: String,
    /// The client's address. Empty for the operator.
    pub client: String,
    /// The request id.
    pub request_id: String,
}

impl TestApp {
    /// The changes in the audit log of an organization, oldest first, without events that are buffered in memory first.
    pub async fn audit(&self, org_id: &str) -> Vec<AuditEvent> {
        let id = self.id(org_id);
        let id_text = |column: &str| {
            let text =
                if self.database.is_postgres() { format!("{column}::text") } else { format!("lower(hex({column}))") };
            format!("coalesce({text}, '')")
        };
        let (key, user, session) = (id_text("actor_key_id"), id_text("actor_user_id"), id_text("session_id"));
        let sql = format!(
            "SELECT action, {key} AS actor_key, {user} AS actor_user, {session} AS session, coalesce(permission, '') AS permission, coalesce(client, '') AS client, \
             coalesce(request_id, '') AS request_id FROM audit_events WHERE organization_id = {id} AND outcome = 'done' \
             AND action NOT IN ('session.open', 'session.close', 'token.create', 'api_key.export', 'trust_rule.exchange') ORDER BY id"
        );
        let database = Database::connect(self.database.url()).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("a closed connection");
        let uuid =
            |text: &str| sea_orm::prelude::Uuid::try_parse(text).map_or_else(|_| String::new(), |id| id.to_string());
        let text = |row: &sea_orm::QueryResult, name: &str| row.try_get::<String>("", name).expect("a text");
        rows.iter()
            .map(|row| AuditEvent {
                action: text(row, "action"),
                actor_key: uuid(&text(row, "actor_key")),
                actor_user: uuid(&text(row, "actor_user")),
                session: uuid(&text(row, "session")),
                permission: text(row, "permission"),
                client: text(row, "client"),
                request_id: text(row, "request_id"),
            })
            .collect()
    }

    fn id(&self, text: &str) -> String {
        self.database.id(text)
    }
}

/// Ways to tamper with an audit log of four events.
#[derive(Clone, Copy, Debug)]
pub enum Tampering {
    /// The client of the second event is changed.
    Change,
    /// The second event is removed.
    Remove,
    /// The second and the third event are swapped.
    Reorder,
    /// The last event is removed.
    Cut,
    /// As above, and the chain's end is changed.
    CutWithEnd,
    /// The whole log is removed.
    RemoveAll,
    /// The first event is removed, as if it was pruned.
    EraseFront,
    /// All events are removed, as if they were pruned.
    EraseEvents,
}

impl TestDatabase {
    /// As [`TestApp::copy_key`], for a service in its own process. Updates the organization's count of keys.
    pub async fn copy_key(&self, key_id: &str, count: u32) {
        let (id, new_id) = (self.id(key_id), if self.is_postgres() { "gen_random_uuid()" } else { "randomblob(16)" });
        let rest = "organization_id, user_id, name, prefix, start, enabled, expires_at, metadata, permissions, \
                    created_by_key, created_by_user, updated_at";
        self.execute(&format!(
            "WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {count}) \
             INSERT INTO api_keys (id, created_at, {rest}) \
             SELECT {new_id}, created_at + 1 + n / 100, {rest} FROM api_keys, copies WHERE id = {id}"
        ))
        .await;
        self.execute(&format!(
            "UPDATE organizations SET key_count = key_count + {count} \
             WHERE id = (SELECT organization_id FROM api_keys WHERE id = {id})"
        ))
        .await;
    }

    /// The number of stored keys of an organization, and of the deleted ones among them.
    pub async fn stored_keys(&self, org_id: &str) -> (i64, i64) {
        let id = self.id(org_id);
        let sql = format!("SELECT count(*) AS a, count(deleted_at) AS b FROM api_keys WHERE organization_id = {id}");
        self.two_numbers(sql).await
    }

    /// Copies the stored idempotent requests `count` times.
    pub async fn copy_requests(&self, count: u32) {
        let random = if self.is_postgres() {
            "decode(md5(random()::text || n) || md5(n || random()::text), 'hex')"
        } else {
            "randomblob(32)"
        };
        self.execute(&format!(
            "WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {count}) \
             INSERT INTO requests (scope, body, done_at, answer) SELECT {random}, body, done_at, answer FROM requests, copies"
        ))
        .await;
    }

    /// The numbers of stored idempotent requests, and of sessions.
    pub async fn stored_requests_and_sessions(&self) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM requests) AS a, (SELECT count(*) FROM sessions) AS b";
        self.two_numbers(sql.to_owned()).await
    }

    /// The numbers of token families, and of deleted keys.
    pub async fn stored_families_and_deleted_keys(&self) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM token_families) AS a, \
                   (SELECT count(*) FROM api_keys WHERE deleted_at IS NOT NULL) AS b";
        self.two_numbers(sql.to_owned()).await
    }

    /// The number of rows of a permission set, and of keys that have it.
    pub async fn stored_set(&self, set_id: &str) -> (i64, i64) {
        let id = self.id(set_id);
        self.two_numbers(format!(
            "SELECT (SELECT count(*) FROM permission_sets WHERE id = {id}) AS a, \
             (SELECT count(*) FROM api_key_permission_sets WHERE permission_set_id = {id}) AS b"
        ))
        .await
    }

    /// The number of trust rules of all organizations.
    pub async fn stored_trust_rules(&self) -> i64 {
        let (count, _) = self.two_numbers("SELECT count(*) AS a, count(*) AS b FROM trust_rules".to_owned()).await;
        count
    }

    /// The number of rows of a user, and of those with personal data.
    pub async fn stored_user(&self, user_id: &str) -> (i64, i64) {
        let id = self.id(user_id);
        let personal = "name <> '' OR email <> '' OR email_canonical IS NOT NULL OR permissions <> '' \
                        OR organization_id IS NOT NULL";
        self.two_numbers(format!(
            "SELECT (SELECT count(*) FROM users WHERE id = {id}) AS a, \
             (SELECT count(*) FROM users WHERE id = {id} AND ({personal})) AS b"
        ))
        .await
    }

    /// Removes the keys of a user, as if the last one was purged while the user was removed.
    pub async fn remove_keys_of_user(&self, user_id: &str) {
        self.execute(&format!("DELETE FROM api_keys WHERE user_id = {}", self.id(user_id))).await;
    }

    async fn two_numbers(&self, sql: String) -> (i64, i64) {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.expect("a row").expect("a row");
        database.close().await.expect("a closed connection");
        (row.try_get("", "a").expect("a number"), row.try_get("", "b").expect("a number"))
    }

    /// An id as SQL.
    pub(crate) fn id(&self, text: &str) -> String {
        if self.is_postgres() { format!("'{text}'") } else { format!("X'{}'", text.replace('-', "")) }
    }

    /// Whether a stored idempotent response contains this text.
    pub async fn has_stored_response_with(&self, text: &str) -> bool {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let sql = "SELECT answer FROM requests WHERE answer IS NOT NULL";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("a closed connection");
        assert!(!rows.is_empty(), "a stored response");
        rows.iter().any(|row| row.try_get::<String>("", "answer").expect("a text").contains(text))
    }

    /// Tampers with the log of an organization.
    pub async fn tamper(&self, org_id: &str, tampering: Tampering) {
        let of = format!("organization_id = {}", self.id(org_id));
        let last = format!("(SELECT max(seq) FROM audit_events WHERE {of})");
        let cut = format!("DELETE FROM audit_events WHERE {of} AND seq = {last}");
        let end = |column: &str| format!("(SELECT {column} FROM audit_events WHERE {of} AND seq = {last})");
        let statements = match tampering {
            Tampering::Change => {
                vec![format!("UPDATE audit_events SET client = '203.0.113.66' WHERE {of} AND seq = 2")]
            }
            Tampering::Remove => vec![format!("DELETE FROM audit_events WHERE {of} AND seq = 2")],
            Tampering::Reorder => [(-1, 2), (2, 3), (3, -1)]
                .map(|(to, from)| format!("UPDATE audit_events SET seq = {to} WHERE {of} AND seq = {from}"))
                .to_vec(),
            Tampering::Cut => vec![cut],
            Tampering::CutWithEnd => {
                let (seq, hash) = (end("seq"), end("hash"));
                vec![cut, format!("UPDATE audit_chains SET end_seq = {seq}, end_hash = {hash} WHERE {of}")]
            }
            Tampering::EraseFront => vec![
                format!(
                    "UPDATE audit_chains SET begin_seq = 1, begin_hash = (SELECT hash FROM audit_events WHERE {of} AND seq = 1) \
                     WHERE {of}"
                ),
                format!("DELETE FROM audit_events WHERE {of} AND seq = 1"),
            ],
            Tampering::EraseEvents => vec![
                format!("UPDATE audit_chains SET begin_seq = end_seq, begin_hash = end_hash WHERE {of}"),
                format!("DELETE FROM audit_events WHERE {of}"),
            ],
            Tampering::RemoveAll => {
                ["audit_events", "audit_chains"].map(|of_it| format!("DELETE FROM {of_it} WHERE {of}")).to_vec()
            }
        };
        for statement in statements {
            self.execute(&statement).await;
        }
    }

    /// See [`TestApp::start_windows_in`].
    pub async fn start_windows_at(&self, millis: i64) {
        self.fold_journal().await;
        // With a new version, as each change has.
        let starts = format!("window_start = {millis}, last_refill_at = {millis}, version = version + 1");
        self.execute(&format!("UPDATE api_keys SET {starts}")).await;
    }

    /// Makes the schema that of an older version: the newest migration is not recorded.
    pub async fn make_schema_older(&self) {
        let newest = "SELECT max(version) FROM seaql_migrations";
        self.execute(&format!("DELETE FROM seaql_migrations WHERE version = ({newest})")).await;
    }

    /// Makes every transaction serializable, on PostgreSQL.
    pub async fn make_serializable(&self) {
        self.set_default("default_transaction_isolation", "serializable").await;
    }

    /// Makes every transaction read-only, as on a standby. On PostgreSQL.
    pub async fn make_read_only(&self) {
        self.set_default("default_transaction_read_only", "on").await;
    }

    async fn set_default(&self, name: &str, value: &str) {
        let url = url::Url::parse(self.url()).expect("a URL");
        let database = url.path().trim_start_matches('/');
        self.execute(&format!("ALTER DATABASE {database} SET {name} = '{value}'")).await;
    }

    /// Sets the time after which a waiting transaction looks for a deadlock to three seconds.
    pub async fn set_long_deadlock_timeout(&self) {
        self.set_default("deadlock_timeout", "3s").await;
    }

    /// The number of deadlocks that the server has resolved in this database. It is updated with a delay.
    pub async fn deadlocks(&self) -> i64 {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("an answer");
        database.close().await.expect("a closed connection");
        row.expect("a row").try_get_by_index(0).expect("a number")
    }
}

/// A transaction that locks rows of keys on PostgreSQL, until this value is dropped.
pub struct RowLock(DatabaseTransaction);

impl RowLock {
    /// Locks a key.
    pub async fn of(database: &TestDatabase, key_id: &str) -> Self {
        let connection = Database::connect(database.url()).await.expect("a database connection");
        let lock = Self(connection.begin().await.expect("a transaction"));
        // It does not look for deadlocks itself during a test. The other transaction finds it, and is aborted.
        lock.0.execute_unprepared("SET LOCAL deadlock_timeout = '10min'").await.expect("a superuser");
        lock.lock(key_id).await;
        lock
    }

    /// Locks another key. Waits for its lock.
    pub async fn lock(&self, key_id: &str) {
        let lock = format!("SELECT id FROM api_keys WHERE id = '{key_id}' FOR UPDATE");
        self.0.execute_unprepared(&lock).await.expect("the other transaction is aborted");
    }

    /// Reads the users, as verification does after the keys.
    pub async fn read_users(&self) {
        self.0.execute_unprepared("SELECT id FROM users").await.expect("the other transaction is aborted");
    }

    /// Whether another transaction has locked this key. If none has, locks it.
    pub async fn is_held_by_others(&self, key_id: &str) -> bool {
        let lock = format!("SELECT id FROM api_keys WHERE id = '{key_id}' FOR UPDATE SKIP LOCKED");
        let statement = Statement::from_string(DbBackend::Postgres, lock);
        self.0.query_one_raw(statement).await.expect("an answer").is_none()
    }

    /// Waits until another transaction waits for one of the locks.
    pub async fn wait_for_waiter(&self) {
        let attempt = async || self.is_waited_for().await.then_some(()).ok_or("none");
        wait_until("a transaction that waits for the lock", attempt).await;
    }

    /// Whether another transaction waits for one of the locks.
    async fn is_waited_for(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.0.query_one_raw(statement).await.expect("an answer").expect("a row");
        row.try_get_by_index(0).expect("yes or no")
    }
}
