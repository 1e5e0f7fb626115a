//! Ways in which an administrator of the database can tamper with audit logs, in SQL.

use std::sync::Arc;

use domain::{
    audit::{ChainHash, Event},
    id::OrganizationId,
    ports::AuditLog,
};
use persistence::Store;
use sea_orm::{ConnectionTrait, Database, Statement};

use crate::TestDatabase;

/// A column of a table, from the database's catalogue.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its table.
    pub table: &'static str,
    /// Its name.
    pub name: String,
    kind: String,
}

/// Ways to tamper with a log whose last event is the sixth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manipulation {
    /// All events are removed, as if they were pruned.
    EraseAll,
    /// All events but the last are removed, as if they were pruned.
    EraseAllButLast,
    /// An event in the middle is removed.
    RemoveMiddle,
    /// The last event is removed.
    CutTail,
    /// As above, and the chain's end is changed.
    CutTailAndEnd,
    /// As above, and the checkpoint is removed.
    CutTailEndAndCheckpoint,
    /// The checkpoint is removed.
    RemoveCheckpoint,
    /// The chain is removed.
    RemoveChain,
    /// The chain and its events are removed.
    RemoveLog,
    /// An event without a sequence number is added.
    AddUnsequenced,
    /// An older event without a sequence number is added.
    AddOldUnsequenced,
    /// An event after the end is added.
    AddAfterEnd,
    /// An event before the beginning is added.
    AddBeforeBeginning,
    /// The sequence numbers of two events are swapped.
    SwapSequenceNumbers,
    /// The sequence numbers and hashes of two events are swapped.
    SwapPlaces,
    /// The row numbers of two events are swapped, which have no meaning.
    SwapRowNumbers,
    /// An event is duplicated. The unique index is removed for the rest of the test.
    Repeat,
}

const COPY: &str =
    "INSERT INTO audit_events (organization_id, at, action, target_id, count, actor, outcome, seq, hash)";

impl Manipulation {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::EraseAll,
        Self::EraseAllButLast,
        Self::RemoveMiddle,
        Self::CutTail,
        Self::CutTailAndEnd,
        Self::CutTailEndAndCheckpoint,
        Self::RemoveCheckpoint,
        Self::RemoveChain,
        Self::RemoveLog,
        Self::AddUnsequenced,
        Self::AddOldUnsequenced,
        Self::AddAfterEnd,
        Self::AddBeforeBeginning,
        Self::SwapSequenceNumbers,
        Self::SwapPlaces,
        Self::SwapRowNumbers,
        Self::Repeat,
    ];

    fn statements(self) -> Vec<String> {
        const CUT: &str = "DELETE FROM audit_events WHERE :log AND seq = 6";
        const END: &str = "UPDATE audit_chains SET end_seq = 5, \
                           end_hash = (SELECT hash FROM audit_events WHERE :log AND seq = 5) WHERE :log";
        const NO_CHECKPOINT: &str = "UPDATE audit_chains SET checkpoint = NULL, checkpoint_seq = 0 WHERE :log";
        let copy = |of: u64, at: &str, seq: &str, hash: &str| {
            vec![format!(
                "{COPY} SELECT organization_id, {at}, action, target_id, count, actor, outcome, {seq}, {hash} \
                 FROM audit_events WHERE :log AND seq = {of}"
            )]
        };
        let swap = |column: &str, first: &str, second: &str| {
            [(first, "-1"), (second, first), ("-1", second)]
                .map(|(from, to)| format!("UPDATE audit_events SET {column} = {to} WHERE :log AND {column} = {from}"))
                .to_vec()
        };
        let strings = |strings: &[&str]| -> Vec<String> { strings.iter().map(ToString::to_string).collect() };
        match self {
            Self::EraseAll => strings(&[
                "UPDATE audit_chains SET begin_seq = end_seq, begin_hash = end_hash WHERE :log",
                "DELETE FROM audit_events WHERE :log",
            ]),
            Self::EraseAllButLast => strings(&[
                "UPDATE audit_chains SET begin_seq = 5, \
                 begin_hash = (SELECT hash FROM audit_events WHERE :log AND seq = 5) WHERE :log",
                "DELETE FROM audit_events WHERE :log AND seq < 6",
            ]),
            Self::RemoveMiddle => strings(&["DELETE FROM audit_events WHERE :log AND seq = 5"]),
            Self::CutTail => strings(&[CUT]),
            Self::CutTailAndEnd => strings(&[CUT, END]),
            Self::CutTailEndAndCheckpoint => strings(&[CUT, END, NO_CHECKPOINT]),
            Self::RemoveCheckpoint => strings(&[NO_CHECKPOINT]),
            Self::RemoveChain => strings(&["DELETE FROM audit_chains WHERE :log"]),
            Self::RemoveLog => strings(&["DELETE FROM audit_events WHERE :log", "DELETE FROM audit_chains WHERE :log"]),
            Self::AddUnsequenced => copy(6, "at + 1", "NULL", "NULL"),
            Self::AddOldUnsequenced => copy(3, "at - 1000000000", "NULL", "NULL"),
            Self::AddAfterEnd => copy(6, "at", "seq + 1", "hash"),
            Self::AddBeforeBeginning => copy(3, "at", "1", "hash"),
            Self::SwapSequenceNumbers => swap("seq", "4", "5"),
            Self::SwapPlaces => {
                let hash = |of: u64| format!("(SELECT hash FROM kept_events WHERE :log AND seq = {of})");
                let set = |seq: u64| format!("UPDATE audit_events SET hash = {} WHERE :log AND seq = {seq}", hash(seq));
                swap("seq", "4", "5").into_iter().chain([set(4), set(5)]).collect()
            }
            Self::SwapRowNumbers => {
                let id = |of: u64| format!("(SELECT id FROM kept_events WHERE :log AND seq = {of})");
                [("-1".to_owned(), 4), (id(4), 5), (id(5), 4)]
                    .map(|(id, seq)| format!("UPDATE audit_events SET id = {id} WHERE :log AND seq = {seq}"))
                    .to_vec()
            }
            Self::Repeat => {
                let repeated = copy(6, "at", "seq", "hash");
                std::iter::once("DROP INDEX audit_events_by_seq".to_owned()).chain(repeated).collect()
            }
        }
    }
}

/// Tampers with the log of one organization, and restores it.
pub struct Tamperer<'a> {
    database: &'a TestDatabase,
    org_id: String,
}

/// The tables of the logs, and a copy of each.
const TABLES: [(&str, &str); 2] = [("audit_events", "kept_events"), ("audit_chains", "kept_chains")];

impl<'a> Tamperer<'a> {
    /// Copies all logs.
    pub async fn new(database: &'a TestDatabase, org_id: &str) -> Self {
        for (table, copy) in TABLES {
            database.execute(&format!("CREATE TABLE {copy} AS SELECT * FROM {table}")).await;
        }
        Self { database, org_id: org_id.to_owned() }
    }

    /// Restores all logs.
    pub async fn restore(&self) {
        for (table, copy) in TABLES {
            self.database.execute(&format!("DELETE FROM {table}")).await;
            self.database.execute(&format!("INSERT INTO {table} SELECT * FROM {copy}")).await;
        }
    }

    /// Tampers with the log.
    pub async fn apply(&self, manipulation: Manipulation) {
        self.run(&manipulation.statements()).await;
    }

    /// Shortens the hash of the chain's end to 31 bytes.
    pub async fn shorten_end_hash(&self) {
        let short =
            if self.database.is_postgres() { "substring(end_hash from 1 for 31)" } else { "substr(end_hash, 1, 31)" };
        self.run(&[&format!("UPDATE audit_chains SET end_hash = {short} WHERE :log")]).await;
    }

    /// Removes the log and its checkpoints, as in a version without checkpoints for an organization without events.
    pub async fn remove_log_and_checkpoints(&self) {
        self.run(&[
            "DELETE FROM audit_events WHERE :log",
            "DELETE FROM audit_chains WHERE :log",
            "DROP INDEX audit_chains_without_checkpoint",
            "ALTER TABLE audit_chains DROP COLUMN checkpoint",
            "ALTER TABLE audit_chains DROP COLUMN checkpoint_seq",
            "DELETE FROM seaql_migrations WHERE version = 'm20261129_000022_checkpoints'",
        ])
        .await;
    }

    /// Runs statements, in which `:log` stands for the condition that a row is of the log.
    async fn run(&self, statements: &[impl AsRef<str>]) {
        let of = format!("organization_id = {}", self.database.id(&self.org_id));
        for statement in statements {
            self.database.execute(&statement.as_ref().replace(":log", &of)).await;
        }
    }

    /// All columns of the tables of the logs.
    pub async fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        for (table, _) in TABLES {
            let sql = if self.database.is_postgres() {
                format!(
                    "SELECT column_name::text AS name, data_type::text AS kind FROM information_schema.columns \
                     WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
                )
            } else {
                format!("SELECT name, lower(type) AS kind FROM pragma_table_info('{table}') ORDER BY cid")
            };
            for (name, kind) in self.database.text_pairs(&sql).await {
                columns.push(Column { table, name, kind });
            }
        }
        columns
    }

    /// Changes a column of the chain, or of the event with this `seq`, to another value or to null.
    pub async fn change(&self, column: &Column, seq: u64, to_null: bool) {
        let Column { table, name, kind } = column;
        let (is_postgres, is_hash) = (self.database.is_postgres(), name.ends_with("hash"));
        let other = if to_null {
            "NULL".to_owned()
        } else if kind.contains("int") {
            // Far from existing values, because of unique indexes.
            format!("coalesce({name}, 0) + 1000")
        } else if is_postgres && kind == "uuid" {
            "gen_random_uuid()".to_owned()
        } else if is_postgres && kind == "bytea" {
            "decode(md5(random()::text) || md5(random()::text), 'hex')".to_owned()
        } else if is_hash {
            "randomblob(32)".to_owned()
        } else if kind.contains("uuid") || kind.contains("blob") {
            "randomblob(16)".to_owned()
        } else {
            format!("coalesce({name}, '') || 'x'")
        };
        let row = if *table == "audit_events" { format!(" AND seq = {seq}") } else { String::new() };
        self.run(&[&format!("UPDATE {table} SET {name} = {other} WHERE :log{row}")]).await;
    }

    /// Whether a column of the chain, or of the event with this `seq`, is nullable and not null.
    pub async fn can_be_emptied(&self, column: &Column, seq: u64) -> bool {
        let Column { table, name, .. } = column;
        let id = self.database.id(&self.org_id);
        let row = if *table == "audit_events" { format!(" AND seq = {seq}") } else { String::new() };
        let filled = format!(
            "SELECT '' AS name, '' AS kind FROM {table} WHERE organization_id = {id}{row} AND {name} IS NOT NULL"
        );
        let nullable = if self.database.is_postgres() {
            format!(
                "SELECT '' AS name, '' AS kind FROM information_schema.columns WHERE table_schema = current_schema() \
                 AND table_name = '{table}' AND column_name = '{name}' AND is_nullable = 'YES'"
            )
        } else {
            format!(
                "SELECT '' AS name, '' AS kind FROM pragma_table_info('{table}') \
                 WHERE name = '{name}' AND \"notnull\" = 0 AND pk = 0"
            )
        };
        !self.database.text_pairs(&filled).await.is_empty() && !self.database.text_pairs(&nullable).await.is_empty()
    }

    /// Rewrites the log from the event with this `seq` on with another client, with matching hashes and a matching end.
    pub async fn rewrite_from(&self, store: &Arc<Store>, seq: u64) {
        let organization: OrganizationId = self.org_id.parse().expect("an id");
        let chain = store.audit.chain(organization).await.expect("read").expect("there is a log");
        let events = store.audit.events(organization, chain.begin.seq, 1_000).await.expect("read");
        let mut hash = chain.begin.hash;
        for stored in events {
            let is_new = stored.event.seq >= seq;
            let client = if is_new { Some("203.0.113.66".to_owned()) } else { stored.event.client.clone() };
            let event = Event { client, ..stored.event };
            hash = event.hash(&hash);
            if is_new {
                let (hash, seq) = (self.bytes(&hash), event.seq);
                let update = format!(
                    "UPDATE audit_events SET client = '203.0.113.66', hash = {hash} WHERE :log AND seq = {seq}"
                );
                self.run(&[&update]).await;
            }
        }
        self.run(&[&format!("UPDATE audit_chains SET end_hash = {} WHERE :log", self.bytes(&hash))]).await;
    }

    /// Removes all events and the checkpoint, and resets the chain to its beginning.
    pub async fn erase_after_begin(&self) {
        self.run(&[
            "DELETE FROM audit_events WHERE :log",
            "UPDATE audit_chains SET end_seq = begin_seq, end_hash = begin_hash, checkpoint = NULL, checkpoint_seq = 0 \
             WHERE :log",
        ])
        .await;
    }

    /// Sets a column of the event with this `seq` to a value, as SQL.
    pub async fn set(&self, column: &str, value: &str, seq: u64) {
        self.run(&[format!("UPDATE audit_events SET {column} = {value} WHERE :log AND seq = {seq}")]).await;
    }

    fn bytes(&self, hash: &ChainHash) -> String {
        if self.database.is_postgres() { format!("'\\x{hash}'") } else { format!("X'{hash}'") }
    }
}

impl TestDatabase {
    /// The columns `name` and `kind` of a query.
    async fn text_pairs(&self, sql: &str) -> Vec<(String, String)> {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("a closed connection");
        let text = |row: &sea_orm::QueryResult, name: &str| row.try_get::<String>("", name).expect("a text");
        rows.iter().map(|row| (text(row, "name"), text(row, "kind"))).collect()
    }
}
