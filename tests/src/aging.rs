//! States of rows that no operation brings about yet. Apart from making and dropping databases, the only SQL of the tests.

use domain::clock::{Clock, Timestamp};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use crate::TestApp;

impl TestApp {
    /// Every membership has these permissions from now on (in flat form).
    pub async fn change_memberships(&self, permissions: &str) {
        self.execute(&format!("UPDATE memberships SET permissions = '{permissions}'")).await;
    }

    /// Nobody is a member of anything any more.
    pub async fn end_memberships(&self) {
        self.execute("DELETE FROM memberships").await;
    }

    /// Every secret ends in so many seconds.
    pub async fn end_secrets_in(&self, seconds: i64) {
        let end = Timestamp::from_millis(self.clock.now().millis() + seconds * 1_000);
        self.execute(&format!("UPDATE api_key_secrets SET expires_at = {}", end.millis())).await;
    }

    /// So many more keys like this one, a hundred made in each millisecond; without secrets.
    pub async fn copy_key(&self, key_id: &str, count: u32) {
        let (id, new_id) = if self.database.is_postgres() {
            (format!("'{key_id}'"), "gen_random_uuid()")
        } else {
            (format!("X'{}'", key_id.replace('-', "")), "randomblob(16)")
        };
        let rest = "organization_id, user_id, name, prefix, start, enabled, expires_at, metadata, permissions, \
                    created_by_key, created_by_user, updated_at";
        let statement = format!(
            "WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {count}) \
             INSERT INTO api_keys (id, created_at, {rest}) \
             SELECT {new_id}, created_at + 1 + n / 100, {rest} FROM api_keys, copies WHERE id = {id}"
        );
        self.execute(&statement).await;
    }

    /// The key holds what no rule allows.
    pub async fn break_keys(&self) {
        self.execute("UPDATE api_keys SET permissions = 'a:b:c'").await;
    }

    /// A key as the database has it: what remains, uses in the window, and good verifies.
    pub async fn counts(&self, key_id: &str) -> (Option<i64>, i64, i64) {
        self.database.counts(key_id).await
    }

    /// The database was migrated by a newer version.
    pub async fn pretend_newer_schema(&self) {
        self.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_x', 0)").await;
    }

    /// Somebody else writes to the database, on SQLite, until the connection that comes back is closed.
    pub async fn hold_write_lock(&self) -> DatabaseConnection {
        let other = Database::connect(self.database.url()).await.expect("the database is there");
        other.execute_unprepared("BEGIN IMMEDIATE").await.expect("nobody else writes");
        other
    }
}
