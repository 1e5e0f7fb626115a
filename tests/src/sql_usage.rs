//! SQL about counts of verifications: what no operation shows, or what would take too many verifications.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, Statement};

use crate::TestDatabase;

impl TestDatabase {
    /// The number of stored counts: of keys by hour, of organizations by hour, and of keys by day.
    pub async fn stored_usage(&self) -> (i64, i64, i64) {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let count = |table: &str| format!("(SELECT count(*) FROM {table})");
        let tables = ["api_key_usage", "organization_usage", "api_key_usage_days"].map(count).join(", ");
        let statement = Statement::from_string(database.get_database_backend(), format!("SELECT {tables}"));
        let row = database.query_one_raw(statement).await.expect("counts").expect("a row");
        database.close().await.expect("a closed connection");
        let number = |index| row.try_get_by_index(index).expect("a number");
        (number(0), number(1), number(2))
    }

    /// Stores `count` counts of one verification each, on a day (days since the Unix epoch) and with an outcome (its number):
    /// one of this key, the others of keys that were purged.
    ///
    /// # Panics
    /// A statement fails.
    pub async fn fill_usage_days(&self, org_id: &str, key_id: &str, (day, outcome): (i64, i16), count: u32) {
        let (organization, key) = (self.id(org_id), self.id(key_id));
        let counts = |key: &str| {
            format!(
                "INSERT INTO api_key_usage_days (day, organization_id, outcome, api_key_id, count) \
                 SELECT {day}, {organization}, {outcome}, {key}, 1"
            )
        };
        self.execute(&counts(&key)).await;
        let others = count - 1;
        let (id, numbers) = if self.is_postgres() {
            ("lpad(to_hex(n), 32, '0')::uuid", format!("generate_series(1, {others}) AS numbers(n)"))
        } else {
            let numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers";
            ("unhex(printf('%032x', n))", format!("({numbers} WHERE n < {others}) SELECT n FROM numbers)"))
        };
        if others > 0 {
            self.execute(&format!("{} FROM {numbers}", counts(id))).await;
        }
    }

    /// Runs the migration that counts days from hours again.
    ///
    /// # Panics
    /// The database cannot be migrated.
    pub async fn count_days_again(&self) {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let steps = Migrator::migrations();
        let step = steps.iter().position(|step| step.name().ends_with("_usage_by_day")).expect("the step");
        let undone = u32::try_from(steps.len() - step).expect("a small number");
        Migrator::down(&database, Some(undone)).await.expect("an earlier schema");
        Migrator::up(&database, None).await.expect("the newest schema");
        database.close().await.expect("a closed connection");
    }

    /// Switches off the server's own updates of the statistics of all tables. On PostgreSQL only.
    pub async fn switch_autovacuum_off(&self) {
        self.execute(
            "DO $$ DECLARE name text; BEGIN FOR name IN SELECT relname FROM pg_stat_user_tables LOOP \
             EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', name); END LOOP; END $$",
        )
        .await;
    }

    /// How often a table of PostgreSQL was read as a whole, and the number of its rows according to the server's statistics; -1:
    /// they were never computed. The server counts with a delay of up to a second after the end of a statement, unless the
    /// connection that has run it was closed.
    pub async fn sequential_scans(&self, table: &str) -> (i64, f32) {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let sql = format!(
            "SELECT s.seq_scan AS scans, c.reltuples AS rows FROM pg_stat_user_tables s \
             JOIN pg_class c ON c.oid = s.relid WHERE c.oid = to_regclass('{table}')"
        );
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await.expect("counts").expect("a table");
        database.close().await.expect("a closed connection");
        (row.try_get("", "scans").expect("a number"), row.try_get("", "rows").expect("a number"))
    }
}
