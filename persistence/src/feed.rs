//! The change feed: how a process hears of changes that others made, and for how long it may rely on what it remembers.
//!
//! PostgreSQL: a change is announced in its own transaction (`NOTIFY`), every node listens. Each node also sends itself a
//! beat by the same way; notices arrive in the order of their commits, so a beat that arrives proves that every change
//! committed before it was sent has been heard of. What is remembered may be relied on for a bound after such a beat was
//! *sent*. Past it every key is read anew, until a beat arrives again. Where the connection is lost notices are lost with
//! it: once a new one listens, everything is forgotten.
//!
//! SQLite: one process serves, but the operator may run another for a moment (`claviger bootstrap`). SQLite tells whether
//! somebody else has written (`PRAGMA data_version`, asked on the one connection that we write by).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::secret::SecretHash;
use rustix::time::{ClockId, clock_gettime};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, sqlx, sqlx::postgres::PgListener};
use tokio_util::sync::CancellationToken;

use crate::{connect::Pools, convert, snapshots::Snapshots};

const CHANNEL: &str = "claviger_changes";

/// A payload has less than 8,000 bytes; a hash takes 64.
const HASHES: usize = 120;

/// More changes than this in one transaction are announced as "everything".
const MANY: usize = 100_000;

/// How often SQLite is asked whether somebody else has written.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long to wait before the database is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Whether what is remembered may be relied on.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// `None`: always.
    bound: Option<Duration>,
    /// When the last beat that was heard had been sent, in milliseconds since the machine started.
    heard: AtomicU64,
}

impl Freshness {
    /// For a database that nobody else changes unnoticed.
    pub(crate) fn always() -> Self {
        Self { bound: None, heard: AtomicU64::new(0) }
    }

    /// For so long after a beat.
    pub(crate) fn within(bound: Duration) -> Self {
        Self { bound: Some(bound), heard: AtomicU64::new(0) }
    }

    /// Whether it may be relied on now.
    pub(crate) fn holds(&self) -> bool {
        let Some(bound) = self.bound else { return true };
        let heard = self.heard.load(Ordering::Relaxed);
        heard != 0 && u128::from(since_boot().saturating_sub(heard)) < bound.as_millis()
    }

    fn hear(&self, sent: u64) {
        self.heard.fetch_max(sent, Ordering::Relaxed);
    }
}

/// Milliseconds since the machine started, those in which it was suspended too.
fn since_boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let parts = u64::try_from(time.tv_sec).ok().zip(u64::try_from(time.tv_nsec).ok());
    parts.map_or(u64::MAX, |(seconds, nanos)| seconds * 1_000 + nanos / 1_000_000)
}

/// Announces changed keys with the commit of the transaction that changes them.
pub(crate) async fn announce(transaction: &DatabaseTransaction, changed: &[SecretHash]) -> Result<(), DbErr> {
    if transaction.get_database_backend() != DbBackend::Postgres || changed.is_empty() {
        return Ok(());
    }
    if changed.len() > MANY {
        transaction.execute_raw(notice("all".to_owned())).await?;
        return Ok(());
    }
    for hashes in changed.chunks(HASHES) {
        let hashes: Vec<String> = hashes.iter().map(convert::hash_text).collect();
        transaction.execute_raw(notice(format!("keys {}", hashes.join(" ")))).await?;
    }
    Ok(())
}

fn notice(payload: String) -> Statement {
    let values = [CHANNEL.into(), payload.into()];
    Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_notify($1, $2)", values)
}

/// What is heard.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Everything,
    Keys(Vec<SecretHash>),
    /// Who sent it, and when.
    Beat(String, u64),
}

impl Notice {
    /// What we do not understand may have changed anything.
    fn read(payload: &str) -> Self {
        let mut words = payload.split(' ');
        match words.next() {
            Some("keys") => words.map(unhex).collect::<Option<_>>().map_or(Self::Everything, Self::Keys),
            Some("beat") => match (words.next(), words.next().and_then(|text| text.parse().ok())) {
                (Some(node), Some(sent)) => Self::Beat(node.to_owned(), sent),
                _ => Self::Everything,
            },
            _ => Self::Everything,
        }
    }
}

fn unhex(text: &str) -> Option<SecretHash> {
    let digits: Option<Vec<u8>> = (0..text.len()).step_by(2).map(|at| byte(text.get(at..at + 2)?)).collect();
    Some(SecretHash::from_bytes(digits?.try_into().ok()?))
}

fn byte(digits: &str) -> Option<u8> {
    u8::from_str_radix(digits, 16).ok()
}

/// The way from the database to what is remembered.
pub(crate) struct Feed {
    pub(crate) url: String,
    pub(crate) pools: Pools,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) freshness: Arc<Freshness>,
}

impl Feed {
    /// Hears of changes until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let hearing = async {
            match self.freshness.bound {
                Some(bound) => self.listen(bound).await,
                None => self.ask().await,
            }
        };
        tokio::select! {
            () = hearing => {}
            () = stop.cancelled() => {}
        }
    }

    async fn listen(&self, bound: Duration) {
        loop {
            let error = match self.connect().await {
                Ok((mut listener, node)) => {
                    // What was read while nobody listened may have changed unheard.
                    self.snapshots.forget_everything();
                    tracing::info!(target: "claviger", "listening for changes of other nodes");
                    tokio::select! {
                        error = self.hear(&mut listener, &node) => error,
                        error = self.beat(&node, bound / 4) => error,
                        error = self.notice_silence(bound) => error,
                    }
                }
                Err(error) => error,
            };
            tracing::warn!(target: "claviger", %error, "changes of other nodes are not heard of; past the bound every key is read anew");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A connection that listens, and a name that no other has.
    async fn connect(&self) -> Result<(PgListener, String), sqlx::Error> {
        let connect = async {
            let mut listener = PgListener::connect(&self.url).await?;
            listener.listen(CHANNEL).await?;
            let node = sqlx::query_scalar("SELECT gen_random_uuid()::text").fetch_one(&mut listener).await?;
            Ok((listener, node))
        };
        tokio::time::timeout(self.pools.timeout, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Hears until the connection is lost.
    async fn hear(&self, listener: &mut PgListener, node: &str) -> sqlx::Error {
        loop {
            match listener.try_recv().await {
                Ok(Some(notification)) => match Notice::read(notification.payload()) {
                    Notice::Keys(hashes) => self.snapshots.forget(&hashes),
                    Notice::Everything => self.snapshots.forget_everything(),
                    Notice::Beat(sender, sent) if sender == node => self.freshness.hear(sent),
                    Notice::Beat(..) => {}
                },
                Ok(None) => return sqlx::Error::WorkerCrashed,
                Err(error) => return error,
            }
        }
    }

    /// Sends a beat every so often. A beat that could not be sent in time is not the end: the next one may be.
    async fn beat(&self, node: &str, every: Duration) -> sqlx::Error {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let beat = notice(format!("beat {node} {}", since_boot()));
            let _ = tokio::time::timeout(self.pools.timeout, self.pools.write.execute_raw(beat)).await;
        }
    }

    /// Ends where no beat has come for long: a connection that is dead without knowing it would be waited on for ever.
    async fn notice_silence(&self, bound: Duration) -> sqlx::Error {
        loop {
            let heard = self.freshness.heard.load(Ordering::Relaxed);
            tokio::time::sleep(2 * bound).await;
            if heard == self.freshness.heard.load(Ordering::Relaxed) {
                return sqlx::Error::PoolTimedOut;
            }
        }
    }

    async fn ask(&self) {
        let mut known = None;
        loop {
            let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA data_version");
            let version = self.pools.write.query_one_raw(statement).await.ok().flatten();
            let version: Option<i64> = version.and_then(|row| row.try_get_by_index(0).ok());
            if version.is_none() || known.is_some() && version != known {
                self.snapshots.forget_everything();
            }
            // What could not be asked leaves the last answer standing: a change in between shows next time.
            known = version.or(known);
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_heard() {
        let hash = SecretHash::from_bytes(std::array::from_fn(|n| u8::try_from(n * 7).expect("small")));
        let payload = format!("keys {0} {0}", convert::hash_text(&hash));
        assert_eq!(Notice::read(&payload), Notice::Keys(vec![hash, hash]));
        assert_eq!(Notice::read("beat a-b 17"), Notice::Beat("a-b".to_owned(), 17));
        for other in ["all", "", "keys 00", "keys zz", "beat", "beat x", "from a newer version"] {
            assert_eq!(Notice::read(other), Notice::Everything, "{other}");
        }
        let longest = "keys".len() + HASHES * 65;
        assert!(longest < 8_000, "{longest}");
    }

    #[test]
    fn freshness_ends() {
        assert!(Freshness::always().holds());
        let freshness = Freshness::within(Duration::from_secs(2));
        assert!(!freshness.holds(), "nothing was heard yet");
        let now = since_boot();
        freshness.hear(now.saturating_sub(3_000));
        assert!(!freshness.holds(), "a beat that took long proves nothing about now");
        freshness.hear(now);
        assert!(freshness.holds());
        freshness.hear(now.saturating_sub(3_000));
        assert!(freshness.holds(), "a late one takes nothing back");
    }
}
