//! Rows and statements: the domain's ports on SQLite and PostgreSQL, by the same code.
//!
//! Tenancy is in the names: `*_of` an organization is the only way to a key's row, but for the lookup by hash. A method of
//! a port is one statement or one transaction, so nothing is ever half done.

mod accounts;
mod api_keys;
mod claim;
mod connect;
mod convert;
mod entity;
mod outage;
mod schema;

pub use claim::{Claim, ClaimError, claim};
pub use connect::Settings;
use domain::Outage;
pub use schema::SchemaError;
use sea_orm::{DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use crate::{connect::Pools, outage::Failure};

/// The database behind all ports.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
}

impl Store {
    /// Opens the database. An SQLite file that does not exist is made.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us.
    pub async fn connect(settings: &Settings) -> Result<Self, DbErr> {
        Ok(Self { pools: connect::connect(settings).await? })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// A statement failed, or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        schema::migrate(self.begin().await?).await
    }

    /// The name of the newest schema that this program knows.
    #[must_use]
    pub fn schema_version() -> String {
        schema::newest()
    }

    /// Whether the database answers and has the schema that this program needs.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn is_ready(&self) -> Result<bool, Outage> {
        schema::is_current(&self.pools.read).await.map_err(|error| Failure::from(error).into())
    }

    /// Ends all connections, after what runs on them.
    pub async fn close(&self) {
        // A pool that is shared is closed by the first call; neither call can fail in a way that matters now.
        let _ = self.pools.read.clone().close().await;
        let _ = self.pools.write.clone().close().await;
    }

    /// A transaction that will write.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.pools
            .write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }
}
