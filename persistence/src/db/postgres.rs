//! Connecting to PostgreSQL, and what is checked before the pools are opened: that the server can be reached and written, and that
//! no pooler in transaction mode is before it.
//!
//! A pool connects again and again until its time limit, and then only reports that it timed out. So the first connection is
//! opened without a pool: its error has the reason.
//!
//! **Poolers.** In transaction mode a pooler gives each transaction any of its connections to the server. A prepared statement is then
//! looked for on a connection that does not have it, or that has another client's statement of the same name, `LISTEN` receives
//! nothing, and settings of a session leak to others. Without named statements the driver still sends parsing and execution of a
//! statement separately, so they could reach different connections, too. Therefore only session mode is supported.

use std::{io, time::Duration};

use sea_orm::{
    ConnectOptions, DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions as _, Connection, PgConnection, Row as _, postgres::PgConnectOptions},
};

use crate::db::retry;

/// How often two clients' connections are compared. Without other clients, once is enough. With others, a pooler may by chance give
/// each of the two the connection that it had before.
const COMPARISONS: usize = 5;

/// How long closing a connection may take; with TLS the driver waits for the server.
const CLOSE_TIME_LIMIT: Duration = Duration::from_secs(1);

const SHARED: &str = "a pooler before PostgreSQL is in transaction or statement mode, in which clients share connections; set \
                      pool_mode = session for this database in PgBouncer, or connect to PostgreSQL without the pooler";

const STANDBY: &str = "the server is read-only, because it is a standby; give the address of the primary";

const READ_ONLY: &str = "the server is read-only, because default_transaction_read_only is on for the server, the database or the \
                         user; switch it off";

/// The options of connections to the server at `url`. Reads `PGPASSWORD` and `.pgpass` if the URL has no password.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, DbErr> {
    // The driver logs malformed lines of `.pgpass`, which contain a password.
    let silent = tracing::subscriber::NoSubscriber::default();
    let options = tracing::subscriber::with_default(silent, || url.parse::<PgConnectOptions>());
    let options = options.map_err(|error| failed(&reason(&error)))?;
    // PgBouncer refuses a connection with this parameter. It concerns floating-point numbers as text, which no statement returns.
    // Statements contain hashes and addresses, which must not be logged.
    Ok(options.extra_float_digits(None::<i8>).disable_statement_logging())
}

/// The options of a pool of connections to the server.
pub(crate) fn pool(server: &PgConnectOptions) -> ConnectOptions {
    // The library only chooses its driver by this URL. With a password in it, the driver does not look for one elsewhere.
    let mut options = ConnectOptions::new("postgres://user:password@host/database");
    let server = server.clone();
    options.map_sqlx_postgres_opts(move |_| server.clone());
    options
}

/// Connects to the server once.
pub(crate) async fn connect(options: &PgConnectOptions, timeout: Duration) -> Result<PgConnection, sqlx::Error> {
    in_time(timeout, PgConnection::connect_with(options)).await
}

/// Connects to the server at `url` once, and drops the connection: closing it could wait for the server. The error is the reason.
pub(crate) async fn try_connect(url: &str, timeout: Duration) -> Result<(), String> {
    let options = options(url).map_err(|error| error.to_string())?;
    connect(&options, timeout).await.map(drop).map_err(|error| reason(&error))
}

/// The result of `work`, or an error that says that the server did not respond within `timeout`.
pub(crate) async fn in_time<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        let text = format!("the database did not respond within {timeout:?}");
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
    })
}

/// How the server may plan the statements of a connection.
///
/// The server keeps the plan of a prepared statement, and knows little about tables that were empty a moment ago. It would read
/// them as a whole, also when they have a million rows. Statements that look up rows by their ids or hashes always have an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plans {
    /// As it likes: lists may have to read whole tables.
    Any,
    /// By an index if there is one.
    ByIndex,
    /// By an index for one row after the other: a join that reads the whole index is as slow as one that reads the whole table. Each
    /// statement is planned once: for arrays of few values the server would plan it for each execution, which takes longer than to
    /// execute it.
    RowByRow,
}

impl Plans {
    /// Sets this for a new connection. Not a parameter of the start of the connection, which poolers refuse. Without compilation of
    /// plans: a plan that cannot do without what is off has such high costs that the server would compile it.
    pub(crate) async fn set(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = match self {
            Self::Any => return Ok(()),
            Self::ByIndex => "SET jit = off; SET enable_seqscan = off",
            Self::RowByRow => {
                "SET jit = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                 SET plan_cache_mode = force_generic_plan"
            }
        };
        sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
    }
}

/// What a command does with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It writes, so the server must be the primary.
    Write,
    /// It reads.
    Read,
}

/// Fails with the reason if the server cannot be used. Waits up to `start_timeout` for a server that is starting.
pub(crate) async fn check(
    options: &PgConnectOptions,
    timeout: Duration,
    start_timeout: Duration,
    wanted: Use,
) -> Result<(), DbErr> {
    let first = retry::retry_if(start_timeout, || connect(options, timeout), is_starting).await;
    let mut first = first.map_err(|error| failed(&reason(&error)))?;
    let checks = async {
        if wanted == Use::Write
            && let Some(reason) = read_only_reason(&mut first).await?
        {
            return Ok(Some(reason));
        }
        let mut second = connect(options, timeout).await?;
        let is_shared = is_shared(&mut first, &mut second).await;
        let _ = tokio::time::timeout(CLOSE_TIME_LIMIT, second.close()).await;
        Ok(is_shared?.then_some(SHARED))
    };
    let outcome = in_time(timeout, checks).await;
    let _ = tokio::time::timeout(CLOSE_TIME_LIMIT, first.close()).await;
    match outcome {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(failed(reason)),
        Err(error) => Err(failed(&reason(&error))),
    }
}

pub(crate) fn failed(reason: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(reason.to_owned()))
}

/// Whether the server may accept connections soon: nothing listens yet, or it says that it is starting.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

/// Why a connection failed, and what to do about it, where that is known.
pub(crate) fn reason(error: &sqlx::Error) -> String {
    let error = match error {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(error) => return format!("cannot connect: {error}"),
        other => return other.to_string(),
    };
    let (message, code) = (error.message(), error.code().unwrap_or_default());
    let remedy = match &*code {
        _ if message.contains("authentication failed") => {
            "check the user and the password: special characters in the URL are percent-encoded, and other users must not be \
             able to read the .pgpass file"
        }
        "3D000" => "create it, or correct its name in the URL",
        "08P01" if message.contains("unsupported startup parameter") && message.contains("options") => {
            "this pooler does not support `options` in the URL: set the search_path with ALTER ROLE"
        }
        _ => return message.to_owned(),
    };
    format!("{message}; {remedy}")
}

/// Refuses a read-only server: a standby may lag behind, so that revoked keys would still be valid there.
pub(crate) async fn require_primary(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let Some(reason) = read_only_reason(connection).await? else { return Ok(()) };
    // The server closes the connection. With TLS, the driver would wait for the server without a time limit if it closed one itself.
    let _ = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(connection).await;
    Err(sqlx::Error::Io(io::Error::other(reason)))
}

async fn read_only_reason(connection: &mut PgConnection) -> Result<Option<&'static str>, sqlx::Error> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE current_setting('transaction_read_only') END";
    Ok(match &*text(connection, sql).await? {
        "standby" => Some(STANDBY),
        "on" => Some(READ_ONLY),
        _ => None,
    })
}

/// The one value that a statement without parameters returns, as text. No statement is prepared, so a pooler in any mode runs it.
async fn text(connection: &mut PgConnection, sql: &'static str) -> Result<String, sqlx::Error> {
    sqlx::raw_sql(sql).fetch_one(connection).await?.try_get(0)
}

/// Whether two clients share connections to the server, because a pooler in transaction or statement mode is before it.
///
/// The sign is that they see the same server process, or that one of them sees two. While one client is in a transaction, it keeps
/// its server process, and the other one gets another. The two change roles, so that a pooler which distributes its connections in
/// turn gives one of them another connection than before.
async fn is_shared(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const PROCESS: &str = "SELECT pg_backend_pid()::text";
    let process = text(first, PROCESS).await?;
    let (mut idle, mut busy) = ((first, process), (second, String::new()));
    for _ in 0..COMPARISONS {
        if let Err(error) = sqlx::raw_sql("BEGIN").execute(&mut *busy.0).await {
            let refused = error.as_database_error().is_some_and(|error| error.message().contains("statement pooling"));
            return if refused { Ok(true) } else { Err(error) };
        }
        let process = text(busy.0, PROCESS).await?;
        let has_changed = !busy.1.is_empty() && busy.1 != process;
        if has_changed || process == idle.1 {
            return Ok(true);
        }
        busy.1 = process;
        let is_same = text(idle.0, PROCESS).await? == idle.1;
        sqlx::raw_sql("ROLLBACK").execute(&mut *busy.0).await?;
        if !is_same {
            return Ok(true);
        }
        std::mem::swap(&mut idle, &mut busy);
    }
    Ok(false)
}
