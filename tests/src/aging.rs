//! States of rows that no operation brings about yet. Apart from making and dropping databases, the only SQL of the tests.

use domain::{
    clock::{Clock, Timestamp},
    id::OrganizationId,
    secret::OldHash,
};

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait,
};

use crate::{TestApp, TestDatabase};

impl TestApp {
    /// Every membership has these permissions from now on (in flat form).
    pub async fn change_memberships(&self, permissions: &str) {
        self.execute(&format!("UPDATE memberships SET permissions = '{permissions}'")).await;
    }

    /// A set holds these permissions (in flat form) from now on, as an older version let it.
    pub async fn widen_set(&self, set_id: &str, permissions: &str) {
        let id = self.id(set_id);
        self.execute(&format!("UPDATE permission_sets SET permissions = '{permissions}' WHERE id = {id}")).await;
    }

    /// Nobody is a member of anything any more.
    pub async fn end_memberships(&self) {
        self.execute("DELETE FROM memberships").await;
    }

    /// The running window of every key began so many seconds from now, and its last refill was then, as a clock that was wrong
    /// has left it.
    pub async fn start_windows_in(&self, seconds: i64) {
        self.database.start_windows_at(self.clock_millis() + seconds * 1_000).await;
        self.forget_everything();
    }

    /// Every secret ends in so many seconds.
    pub async fn end_secrets_in(&self, seconds: i64) {
        let end = Timestamp::from_millis(self.clock.now().millis() + seconds * 1_000);
        self.execute(&format!("UPDATE api_key_secrets SET expires_at = {}", end.millis())).await;
    }

    /// So many more keys like this one, a hundred made in each millisecond; without secrets.
    pub async fn copy_key(&self, key_id: &str, count: u32) {
        self.database.copy_key(key_id, count).await;
        self.forget_everything();
    }

    /// Every key of an organization has this permission set, too.
    pub async fn give_set_to_all(&self, org_id: &str, set_id: &str) {
        let (org_id, set_id) = (self.id(org_id), self.id(set_id));
        self.execute(&format!(
            "INSERT INTO api_key_permission_sets (api_key_id, permission_set_id) \
             SELECT id, {set_id} FROM api_keys WHERE organization_id = {org_id} ON CONFLICT DO NOTHING"
        ))
        .await;
    }

    /// Removes what [`TestApp::copy_key`] has made.
    pub async fn remove_copies(&self) {
        self.execute("DELETE FROM api_keys WHERE id NOT IN (SELECT api_key_id FROM api_key_secrets)").await;
    }

    /// Copies what is in the write-ahead log into an SQLite file.
    pub async fn checkpoint(&self) {
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    }

    /// Makes an SQLite file as small as it can be.
    pub async fn vacuum(&self) {
        self.execute("VACUUM").await;
        self.checkpoint().await;
    }

    /// As an older version left them: what secrets begin with is not known.
    pub async fn forget_starts(&self) {
        self.execute("UPDATE api_key_secrets SET start = NULL").await;
    }

    /// An organization has done so much in this hour: changes, requests with an `Idempotency-Key`, bytes of their answers.
    pub async fn spend_hour(&self, org_id: &str, changes: u64, idempotency_keys: u64, answer_bytes: u64) {
        let (id, hour) = (self.id(org_id), self.clock.now().millis() / 3_600_000);
        let counts =
            format!("changes = {changes}, idempotency_keys = {idempotency_keys}, answer_bytes = {answer_bytes}");
        let update = format!("UPDATE audit_chains SET counted_hour = {hour}, {counts} WHERE organization_id = {id}");
        self.execute(&update).await;
    }

    /// As a version left them that knew no chain: the first events of an organization have no place in it.
    pub async fn unchain_events(&self, org_id: &str, count: u64) {
        let id = self.id(org_id);
        let update =
            format!("UPDATE audit_events SET seq = NULL, hash = NULL WHERE organization_id = {id} AND seq <= {count}");
        self.execute(&update).await;
    }

    /// As an earlier version stored an imported secret that was shown: by the hash of its text alone.
    pub async fn forget_organizations_hash(&self, org_id: &str, text: &str) {
        let organization = org_id.parse::<OrganizationId>().expect("an id");
        let hash = self.bytes(OldHash::of(text).in_organization(organization).bytes());
        self.execute(&format!("DELETE FROM api_key_secrets WHERE hash = {hash}")).await;
    }

    /// All that was imported is this text, whose shape was taken by an earlier version only: 16 hexadecimal digits.
    pub async fn weaken_import(&self, text: &str) {
        let hash = self.bytes(OldHash::of(text).bytes());
        self.execute(&format!("UPDATE imported_secrets SET hash = {hash}")).await;
        self.execute("UPDATE imported_shapes SET prefix = '', length = 16, alphabet = 'hex'").await;
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        if self.database.is_postgres() { format!("'\\x{hex}'") } else { format!("X'{hex}'") }
    }

    /// The key holds what no rule allows.
    pub async fn break_keys(&self) {
        self.execute("UPDATE api_keys SET permissions = 'a:b:c'").await;
    }

    /// A key as the database has it: what remains, uses in the window, and good verifies.
    pub async fn counts(&self, key_id: &str) -> (Option<i64>, i64, i64) {
        self.database.counts(key_id).await
    }

    /// A newer version took something away.
    pub async fn contract_schema(&self) {
        self.newer_step("m29991231_000002_x_contract").await;
    }

    async fn newer_step(&self, name: &str) {
        self.execute(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)")).await;
    }

    /// An operator disables all keys by hand, as docs/OPERATIONS.md says, beside the service.
    pub async fn disable_keys_by_hand(&self) {
        let update = "UPDATE api_keys SET enabled = false";
        let notice = if self.database.is_postgres() { "; NOTIFY claviger_changes, 'all'" } else { "" };
        self.database.execute(&format!("{update}{notice}")).await;
    }

    /// A newer version has added what a newer version may add, while this one runs.
    pub async fn expand_schema(&self) {
        for table in ["organizations", "users", "memberships", "api_keys", "api_key_secrets"] {
            self.execute(&format!("ALTER TABLE {table} ADD COLUMN from_a_newer_version TEXT")).await;
        }
        self.execute("CREATE TABLE from_a_newer_version (id BIGINT PRIMARY KEY)").await;
        self.newer_step("m29991231_000001_x").await;
    }

    /// Ends the server's side of every connection that runs or waits in a transaction. Answers how many those were.
    pub async fn end_open_transactions(&self) -> i64 {
        let sql = "SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND wait_event_type = 'Lock'";
        let database = Database::connect(self.database.url()).await.expect("the database is there");
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("a row");
        let ended = row.expect("one row").try_get("", "ended").expect("a number");
        database.close().await.expect("the connection ends");
        ended
    }

    /// Another transaction that has the row of an organization locked until the value is dropped.
    pub async fn lock_organization(&self, org_id: &str) -> DatabaseTransaction {
        let database = Database::connect(self.database.url()).await.expect("the database is there");
        let transaction = database.begin().await.expect("a transaction");
        let sql = format!("SELECT id FROM organizations WHERE id = {} FOR UPDATE", self.id(org_id));
        transaction.execute_unprepared(&sql).await.expect("locked");
        transaction
    }

    /// Somebody else writes to the database, on SQLite, until the connection that comes back is closed.
    pub async fn hold_write_lock(&self) -> DatabaseConnection {
        let other = Database::connect(self.database.url()).await.expect("the database is there");
        other.execute_unprepared("BEGIN IMMEDIATE").await.expect("nobody else writes");
        other
    }
}

/// What the log says about a change.
#[derive(Debug)]
pub struct AuditEvent {
    /// What was done.
    pub action: String,
    /// By which right; empty where none was needed.
    pub permission: String,
    /// The key of the caller; empty where there was none.
    pub actor_key: String,
    /// The user of the caller; empty where there was none.
    pub actor_user: String,
    /// The session that it was done in; empty where there was none.
    pub session: String,
    /// The client's address; empty for the operator.
    pub client: String,
    /// The request's name.
    pub request_id: String,
}

impl TestApp {
    /// The log of an organization, oldest first.
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
             coalesce(request_id, '') AS request_id FROM audit_events WHERE organization_id = {id} ORDER BY id"
        );
        let database = Database::connect(self.database.url()).await.expect("the database is there");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("the connection ends");
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

/// What somebody with the database can do to a log.
#[derive(Clone, Copy, Debug)]
pub enum Tampering {
    /// Another client has done it.
    Change,
    /// The second event never was.
    Remove,
    /// The second event was the third.
    Reorder,
    /// The last event never was.
    Cut,
    /// The same, and the chain says so.
    CutWithHead,
    /// The whole log never was.
    RemoveAll,
    /// The first event was pruned, it is said.
    EraseFront,
    /// All events were, and the chain goes on.
    EraseEvents,
}

impl TestDatabase {
    /// As [`TestApp::copy_key`], beside a service that is a process. The organization's keys are counted.
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

    /// Keys of an organization that are stored; of these, those that are deleted.
    pub async fn stored_keys(&self, org_id: &str) -> (i64, i64) {
        let id = self.id(org_id);
        let sql = format!("SELECT count(*) AS a, count(deleted_at) AS b FROM api_keys WHERE organization_id = {id}");
        self.two_numbers(sql).await
    }

    /// So many more requests that were done once, at the same time as those that are known.
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

    /// Requests that are known, and sessions.
    pub async fn stored_requests_and_sessions(&self) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM requests) AS a, (SELECT count(*) FROM sessions) AS b";
        self.two_numbers(sql.to_owned()).await
    }

    /// Token families, and keys that are deleted.
    pub async fn stored_families_and_deleted_keys(&self) -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM token_families) AS a, \
                   (SELECT count(*) FROM api_keys WHERE deleted_at IS NOT NULL) AS b";
        self.two_numbers(sql.to_owned()).await
    }

    /// Rows of a permission set, and keys that have it.
    pub async fn stored_set(&self, set_id: &str) -> (i64, i64) {
        let id = self.id(set_id);
        self.two_numbers(format!(
            "SELECT (SELECT count(*) FROM permission_sets WHERE id = {id}) AS a, \
             (SELECT count(*) FROM api_key_permission_sets WHERE permission_set_id = {id}) AS b"
        ))
        .await
    }

    async fn two_numbers(&self, sql: String) -> (i64, i64) {
        let database = Database::connect(self.url()).await.expect("the database is there");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.expect("a row").expect("a row");
        database.close().await.expect("the connection ends");
        (row.try_get("", "a").expect("a number"), row.try_get("", "b").expect("a number"))
    }

    /// An identifier as the database writes it.
    fn id(&self, text: &str) -> String {
        if self.is_postgres() { format!("'{text}'") } else { format!("X'{}'", text.replace('-', "")) }
    }

    /// Whether this text is anywhere in what is kept of requests.
    pub async fn holds(&self, text: &str) -> bool {
        let database = Database::connect(self.url()).await.expect("the database is there");
        let sql = "SELECT answer FROM requests WHERE answer IS NOT NULL";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("the connection ends");
        assert!(!rows.is_empty(), "something is kept");
        rows.iter().any(|row| row.try_get::<String>("", "answer").expect("a text").contains(text))
    }

    /// Somebody with the database does this to the log of an organization.
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
            Tampering::CutWithHead => {
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
        self.execute(&format!("UPDATE api_keys SET window_start = {millis}, last_refill_at = {millis}")).await;
    }

    /// As an older version left it: the newest step of the schema was not run.
    pub async fn make_schema_older(&self) {
        let newest = "SELECT max(version) FROM seaql_migrations";
        self.execute(&format!("DELETE FROM seaql_migrations WHERE version = ({newest})")).await;
    }

    /// Every transaction is serializable from now on, on PostgreSQL.
    pub async fn make_serializable(&self) {
        self.set_default("default_transaction_isolation", "serializable").await;
    }

    /// Every transaction is read-only from now on, as on a standby.
    pub async fn make_read_only(&self) {
        self.set_default("default_transaction_read_only", "on").await;
    }

    async fn set_default(&self, name: &str, value: &str) {
        let url = url::Url::parse(self.url()).expect("a URL");
        let database = url.path().trim_start_matches('/');
        self.execute(&format!("ALTER DATABASE {database} SET {name} = '{value}'")).await;
    }

    /// A wait looks for a deadlock after three seconds.
    pub async fn make_patient(&self) {
        self.set_default("deadlock_timeout", "3s").await;
    }

    /// Deadlocks that the server has ended in this database so far. It takes a moment until they are told.
    pub async fn deadlocks(&self) -> i64 {
        let database = Database::connect(self.url()).await.expect("the database is there");
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("an answer");
        database.close().await.expect("the connection ends");
        row.expect("a row").try_get_by_index(0).expect("a number")
    }
}

/// Somebody else who holds keys' rows on PostgreSQL, until this value is dropped.
pub struct Holder(DatabaseTransaction);

impl Holder {
    /// Holds one key.
    pub async fn of(database: &TestDatabase, key_id: &str) -> Self {
        let connection = Database::connect(database.url()).await.expect("the database is there");
        let holder = Self(connection.begin().await.expect("a transaction"));
        // It does not look for deadlocks itself in the time of a test: the others find it, and give way.
        holder.0.execute_unprepared("SET LOCAL deadlock_timeout = '10min'").await.expect("a superuser");
        holder.also(key_id).await;
        holder
    }

    /// Holds another one too; waits for it.
    pub async fn also(&self, key_id: &str) {
        let lock = format!("SELECT id FROM api_keys WHERE id = '{key_id}' FOR UPDATE");
        self.0.execute_unprepared(&lock).await.expect("it is not this one that gives way");
    }

    /// Whether somebody else holds this one; if nobody does, it is held from now on.
    pub async fn is_held_by_others(&self, key_id: &str) -> bool {
        let lock = format!("SELECT id FROM api_keys WHERE id = '{key_id}' FOR UPDATE SKIP LOCKED");
        let statement = Statement::from_string(DbBackend::Postgres, lock);
        self.0.query_one_raw(statement).await.expect("an answer").is_none()
    }

    /// Whether somebody waits for what is held.
    pub async fn is_waited_for(&self) -> bool {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.0.query_one_raw(statement).await.expect("an answer").expect("a row");
        row.try_get_by_index(0).expect("yes or no")
    }
}
