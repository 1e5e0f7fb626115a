//! What differs between SQLite and PostgreSQL: the only module that looks at which of them a connection belongs to, except for
//! opening connections ([`crate::db::connect`]).

pub(crate) mod bulk_update;
pub(crate) mod row_values;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement,
    prelude::Uuid,
    sea_query::{Expr, ExprTrait, Func, SelectStatement, SimpleExpr},
};

use crate::db::{
    connect::Pools,
    message_size::{MAX_PARAMETER_BYTES, divide},
};

/// PostgreSQL's time in milliseconds since the Unix epoch. `date_part` calculates with floating-point numbers, which is twice as fast
/// as `extract`, and exact to a microsecond.
pub(crate) const DATABASE_TIME: &str = "(date_part('epoch', clock_timestamp()) * 1000)::bigint";

/// An SQL expression for the name of the channel of the change feed. PostgreSQL's channels belong to a database, and there may be an
/// installation in each schema of it: each has its own channel, named after the schema that has its tables. Names are cut off after
/// 63 bytes; if two are then the same, the nodes of both installations read some keys again that have not changed.
pub(crate) const CHANNEL_SQL: &str = "coalesce((SELECT CASE nspname WHEN 'public' THEN 'claviger_changes' \
    ELSE ('claviger_changes_' || nspname)::name::text END \
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
    WHERE pg_class.oid = to_regclass('seaql_migrations')), 'claviger_changes')";

/// The most ids for [`Dialect::is_one_of`]. On PostgreSQL each is sent with 35 bytes.
pub(crate) const MAX_IDS: usize = 450;

/// Bytes that a write probe stores on SQLite: a disk with room for only a few bytes is reported as full.
const PROBE_BYTES: usize = 32 * 1024;

/// The SQL dialect of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The dialect of a connection or transaction.
    pub(crate) fn of<C: ConnectionTrait>(db: &C) -> Self {
        match db.get_database_backend() {
            DbBackend::Postgres => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// Whether other processes may change the database at the same time, over a network, by a clock of its own. One process
    /// serves an SQLite file ([`crate::db::process_lock`]).
    pub(crate) fn is_shared(self) -> bool {
        self == Self::Postgres
    }

    /// Whether the values of many rows are sent as [`row_values::RowValues`]. Then an `INSERT` can also be a common table expression of
    /// an `UPDATE`, so that both take one round trip.
    pub(crate) fn takes_row_values(self) -> bool {
        self == Self::Postgres
    }

    /// The suffix of a `SELECT` that locks its rows and skips those which another node has locked. SQLite has no row locks.
    pub(crate) fn skip_locked(self) -> &'static str {
        match self {
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
            Self::Sqlite => "",
        }
    }

    /// The name of the function that returns the position of a string (2nd argument) in another (1st); 0: it is not contained.
    pub(crate) fn position_function(self) -> &'static str {
        match self {
            Self::Postgres => "strpos",
            Self::Sqlite => "instr",
        }
    }

    /// Whether a text contains another, without wildcards.
    pub(crate) fn contains(self, text: SimpleExpr, part: SimpleExpr) -> SimpleExpr {
        SimpleExpr::from(Func::cust(self.position_function()).arg(text).arg(part)).gt(0)
    }

    /// Whether a text begins with another, without wildcards.
    pub(crate) fn begins_with(self, text: SimpleExpr, start: SimpleExpr) -> SimpleExpr {
        SimpleExpr::from(Func::cust(self.position_function()).arg(text).arg(start)).eq(1)
    }

    /// Whether an id is one of those of a query, which is carried out first. `None`: SQLite has no arrays, but carries out a cross join
    /// in its order.
    pub(crate) fn is_any_of(self, id: SimpleExpr, ids: &SelectStatement) -> Option<SimpleExpr> {
        let ids = SimpleExpr::SubQuery(None, Box::new(ids.clone().into()));
        // PostgreSQL expects few values in an array. Of a subquery it may expect many, and then it would read the whole table.
        (self == Self::Postgres).then(|| Expr::cust_with_exprs("$1 = ANY(ARRAY $2)", [id, ids]))
    }

    /// Whether a text column begins with a text, as a range that an index has.
    pub(crate) fn is_start_of(self, column: &str, start: &str) -> Condition {
        let bytes = match self {
            Self::Postgres => Expr::cust(format!(r#"{column} COLLATE "C""#)),
            Self::Sqlite => Expr::cust(column.to_owned()),
        };
        // No text that begins so is after this one.
        let last = format!("{start}{}", char::MAX);
        Condition::all().add(bytes.clone().gte(start)).add(bytes.lte(last))
    }

    /// Whether permissions contain `*:*`, whose flat form is `*`. The expression is that of the indexes `…_with_all`, so that they are
    /// used.
    pub(crate) fn contains_all(self, permissions: &str) -> SimpleExpr {
        Expr::cust(format!("{}(' ' || {permissions} || ' ', ' * ') > 0", self.position_function()))
    }

    /// As many characters of a list of permissions are in the index `api_keys_by_permissions`.
    pub(crate) const PERMISSIONS_START_LENGTH: usize = 200;

    /// The beginning of a key's list of permissions, as the index `api_keys_by_permissions` has it.
    pub(crate) fn permissions_start(self) -> &'static str {
        match self {
            Self::Postgres => r#"(substr(permissions, 1, 200) COLLATE "C")"#,
            Self::Sqlite => "substr(permissions, 1, 200)",
        }
    }

    /// The first parameter of a statement, which it may use several times.
    pub(crate) fn first_parameter(self) -> &'static str {
        match self {
            Self::Postgres => "$1",
            Self::Sqlite => "?1",
        }
    }

    /// The column `name` with lowercase ASCII letters, ordered by bytes, which both databases support. Without a name: empty.
    pub(crate) fn lowercase_name(self) -> SimpleExpr {
        match self {
            Self::Postgres => Expr::cust(r#"lower(COALESCE(name, '') COLLATE "C")"#),
            Self::Sqlite => Expr::cust("lower(COALESCE(name, ''))"),
        }
    }

    /// When a key expires, or `never`, as the index for lists in this order has it. A parameter would hide it from the index.
    pub(crate) fn expiry_or_never() -> SimpleExpr {
        Expr::cust(format!("COALESCE(expires_at, {})", i64::MAX))
    }

    /// The name of a key as it is searched for, see `domain::validated_string::fold`.
    pub(crate) fn folded_name(self) -> SimpleExpr {
        // The names that have no folded form are equal to it with lowercase ASCII letters.
        match self {
            Self::Postgres => Expr::cust(r#"lower(COALESCE(name_folded, name, '') COLLATE "C")"#),
            Self::Sqlite => Expr::cust("lower(COALESCE(name_folded, name, ''))"),
        }
    }

    /// Whether the column `metadata` has a member with this JSON value. First searches the text of the column, which costs much less
    /// than parsing it: metadata is stored as JSON without whitespace.
    pub(crate) fn metadata_equals(self, name: &str, value: &str) -> Condition {
        let has_text = self.contains(Expr::cust("metadata"), format!("\"{name}\":{value}").into());
        let has_member = match self {
            // PostgreSQL rejects JSON with the character U+0000. Such a value cannot be searched for, so any replacement will do.
            Self::Postgres => Expr::cust_with_values(
                "(replace(metadata, '\\u0000', '\\u0001')::json -> $1)::text = $2",
                [name, value],
            ),
            Self::Sqlite => Expr::cust_with_values("(metadata -> ?) = ?", [format!("$.\"{name}\""), value.to_owned()]),
        };
        Condition::all().add(has_text).add(has_member)
    }

    /// An aggregate of permission sets `p`: a line for each, with its id, a space, and its permissions.
    pub(crate) fn permission_set_lines(self) -> &'static str {
        match self {
            Self::Postgres => "string_agg(p.id::text || ' ' || p.permissions, E'\\n' ORDER BY p.id)",
            Self::Sqlite => "group_concat(hex(p.id) || ' ' || p.permissions, char(10))",
        }
    }

    /// A subquery that returns the binary values of the first parameter, a JSON array of hexadecimal strings.
    pub(crate) fn hashes_parameter(self) -> &'static str {
        match self {
            Self::Postgres => "(SELECT decode(value, 'hex') FROM jsonb_array_elements_text($1::jsonb))",
            Self::Sqlite => "(SELECT unhex(value) FROM json_each(?))",
        }
    }

    /// Whether a column is one of these ids, at most [`MAX_IDS`], for statements that are run very often. PostgreSQL gets them as one
    /// parameter, so that the statement is the same for any number of them and is prepared once.
    pub(crate) fn is_one_of<T: ColumnTrait>(self, column: T, ids: &[Uuid]) -> SimpleExpr {
        if self == Self::Sqlite {
            return column.is_in(ids.iter().copied());
        }
        let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
        let column = format!("{}.{}", column.entity_name(), column.as_str());
        let sql = format!("{column} IN (SELECT value::uuid FROM json_array_elements_text($1::json))");
        Expr::cust_with_values(sql, [format!("[\"{}\"]", ids.join("\",\""))])
    }

    /// JSON arrays of these values, to be sent one after the other. One array on SQLite.
    pub(crate) fn json_arrays(self, values: Vec<String>) -> Vec<String> {
        let max = if self == Self::Postgres { MAX_PARAMETER_BYTES } else { usize::MAX };
        let arrays = divide(values, max, |value: &String| value.len() + 1);
        arrays.into_iter().map(|values| format!("[{}]", values.join(","))).collect()
    }

    /// A query that returns the rows `hour, id, outcome, count` of the first parameter, a JSON array of objects.
    pub(crate) fn usage_rows(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT hour, id, outcome, count FROM jsonb_to_recordset($1::jsonb) \
                 AS s(hour bigint, id uuid, outcome smallint, count bigint) ORDER BY hour, id, outcome"
            }
            Self::Sqlite => {
                "SELECT value ->> 'hour', unhex(value ->> 'id'), value ->> 'outcome', value ->> 'count' \
                 FROM json_each(?) WHERE true"
            }
        }
    }

    /// A query that returns the rows `day, organization, outcome, id, count` of the first parameter, a JSON array of objects.
    pub(crate) fn daily_usage_rows(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT day, organization, outcome, id, count FROM jsonb_to_recordset($1::jsonb) \
                 AS s(day bigint, organization uuid, outcome smallint, id uuid, count bigint) \
                 ORDER BY day, organization, outcome, id"
            }
            Self::Sqlite => {
                "SELECT value ->> 'day', unhex(value ->> 'organization'), value ->> 'outcome', unhex(value ->> 'id'), \
                 value ->> 'count' FROM json_each(?) WHERE true"
            }
        }
    }

    /// A query that counts the table of applied migrations: 0 or 1.
    pub(crate) fn count_migration_tables(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT count(to_regclass('seaql_migrations'))",
            Self::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        }
    }

    /// The parameter of a write probe, and how many bytes it has.
    pub(crate) fn write_probe(self) -> (&'static str, usize) {
        match self {
            Self::Postgres => ("$1", 0),
            Self::Sqlite => ("?", PROBE_BYTES),
        }
    }
}

/// The plan of a query, line by line.
pub(crate) async fn explain<C: ConnectionTrait>(db: &C, query: &SelectStatement) -> Result<Vec<String>, DbErr> {
    let explain = match Dialect::of(db) {
        Dialect::Postgres => "EXPLAIN",
        Dialect::Sqlite => "EXPLAIN QUERY PLAN",
    };
    let mut statement = db.get_database_backend().build(query);
    statement.sql = format!("{explain} {}", statement.sql);
    let rows = db.query_all_raw(statement).await?;
    // The text is in the last column: SQLite has three numbers before it.
    rows.iter().map(|row| row.try_get_by_index(row.column_names().len() - 1)).collect()
}

/// Makes the migrations of several processes take turns; part of a transaction. On SQLite a transaction that writes from its
/// beginning is enough.
pub(crate) async fn lock_migrations<C: ConnectionTrait>(transaction: &C) -> Result<(), DbErr> {
    if Dialect::of(transaction) == Dialect::Postgres {
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(7161747672652101)").await?;
    }
    Ok(())
}

/// Whether an SQLite file without a table of migrations has other tables. The tables of other applications may be in the same
/// PostgreSQL database.
pub(crate) async fn has_foreign_tables<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    if Dialect::of(db) == Dialect::Postgres {
        return Ok(false);
    }
    // Tables of SQLite itself, and of Litestream, which may copy a file from before its first use.
    let sql = "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite@_%' ESCAPE '@' \
               AND name NOT LIKE '@_litestream@_%' ESCAPE '@'";
    let row = db.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(count > 0)
}

/// The time of PostgreSQL in milliseconds since the Unix epoch.
pub(crate) async fn database_time<C: ConnectionTrait>(db: &C) -> Result<i64, DbErr> {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SELECT {DATABASE_TIME}"));
    let row = db.query_one_raw(statement).await?.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?;
    row.try_get_by_index(0)
}

/// SQLite's counter of changes by other connections: as long as it stays the same on one connection, only that connection has
/// written. `None`: it could not be read.
pub(crate) async fn sqlite_data_version<C: ConnectionTrait>(db: &C) -> Option<i64> {
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA data_version");
    let row = db.query_one_raw(statement).await.ok().flatten()?;
    row.try_get_by_index(0).ok()
}

/// Whether SQLite finds its file complete. Takes seconds for each gibibyte.
pub(crate) async fn is_sqlite_file_complete<C: ConnectionTrait>(db: &C) -> bool {
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
    let row = db.query_one_raw(statement).await.ok().flatten();
    let verdict: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
    verdict.as_deref() == Some("ok")
}

/// Gives an SQLite database an identity unless it has one: a random `user_version`, a number in the header of the file that SQLite
/// leaves to applications. So it is noticed that the file was overwritten by another database.
pub(crate) async fn identify_sqlite_file(pools: &Pools) -> Result<(), DbErr> {
    if sqlite_identity(&pools.read).await?.0 != 0 {
        return Ok(());
    }
    // Read again: another process may have set it meanwhile.
    let transaction = pools.begin().await?;
    if let (0, new) = sqlite_identity(&transaction).await? {
        transaction.execute_unprepared(&format!("PRAGMA user_version = {new}")).await?;
    }
    transaction.commit().await?;
    // From the write-ahead log into the file, where it is compared.
    pools.write.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(())
}

/// The identity of an SQLite database, or 0, and a random new one.
async fn sqlite_identity<C: ConnectionTrait>(db: &C) -> Result<(i64, i64), DbErr> {
    let sql = "SELECT user_version, abs(random() % 2147483647) + 1 FROM pragma_user_version";
    let row = db.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the user_version".to_owned()))?;
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

/// Statements that send notifications on [`CHANNEL_SQL`] when their transaction commits. No payload has a quotation mark.
pub(crate) fn notify(payloads: &[String]) -> Vec<Statement> {
    let sql = format!("SELECT pg_notify({CHANNEL_SQL}, value) FROM json_array_elements_text($1::json)");
    let arrays = Dialect::Postgres.json_arrays(payloads.iter().map(|payload| format!("\"{payload}\"")).collect());
    let statement = |json: String| Statement::from_sql_and_values(DbBackend::Postgres, &sql, [json.into()]);
    arrays.into_iter().map(statement).collect()
}

/// An expression that turns a row of the table `table`, named `alias` in the statement, into the text of a JSON object.
pub(crate) async fn row_as_json<C: ConnectionTrait>(db: &C, table: &str, alias: &str) -> Result<String, DbErr> {
    if Dialect::of(db) == Dialect::Postgres {
        return Ok(format!("to_jsonb({alias})::text"));
    }
    let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name");
    let columns = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let names = columns.iter().map(|row| row.try_get::<String>("", "name")).collect::<Result<Vec<_>, _>>()?;
    // In a quoted name or string, the quotes themselves are doubled.
    let pair = |name: &String| format!("'{}', \"{}\"", name.replace('\'', "''"), name.replace('"', "\"\""));
    Ok(format!("json_object({})", names.iter().map(pair).collect::<Vec<_>>().join(", ")))
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolState {
    /// Open connections.
    pub(crate) open: u32,
    /// Those of them that are not in use.
    pub(crate) idle: usize,
    /// The most connections that may be open.
    pub(crate) max: u32,
}

pub(crate) fn pool_state(pool: &DatabaseConnection) -> PoolState {
    match Dialect::of(pool) {
        Dialect::Postgres => {
            let pool = pool.get_postgres_connection_pool();
            PoolState { open: pool.size(), idle: pool.num_idle(), max: pool.options().get_max_connections() }
        }
        Dialect::Sqlite => {
            let pool = pool.get_sqlite_connection_pool();
            PoolState { open: pool.size(), idle: pool.num_idle(), max: pool.options().get_max_connections() }
        }
    }
}
