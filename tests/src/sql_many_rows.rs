//! SQL that adds many rows to an organization: then reading all of them costs more than any plan with an index.

use crate::TestApp;

impl TestApp {
    /// Stores copies of a key, each with a name, an external id, a start and a secret of its own. Every second one expires; every
    /// thousandth belongs to this user, and is disabled, or being rotated. Beside them, 10,000 members and as many other events.
    /// Then PostgreSQL knows how many rows there are.
    pub async fn fill_with_keys(&self, key_id: &str, user_id: &str, count: u32) {
        let (key, user, is_postgres) =
            (self.database.id(key_id), self.database.id(user_id), self.database.is_postgres());
        let user = if is_postgres { format!("{user}::uuid") } else { user };
        let (id, hash) = if is_postgres {
            ("gen_random_uuid()", "decode(md5(random()::text) || md5(random()::text), 'hex')")
        } else {
            ("randomblob(16)", "randomblob(32)")
        };
        let numbers = |count: u32| {
            format!("WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})")
        };
        let rest = "organization_id, prefix, metadata, permissions, created_by_key, created_by_user, updated_at";
        self.execute(&format!(
            "{} INSERT INTO api_keys \
             (id, created_at, name, external_id, start, expires_at, user_id, enabled, {rest}) \
             SELECT {id}, created_at + 1 + n, 'Key ' || n, 'external ' || n, 'cvg_' || n, \
             CASE WHEN n % 2 = 0 THEN created_at + 10000000000 + n END, CASE WHEN n % 1000 = 0 THEN {user} END, n % 1000 <> 1, {rest} \
             FROM api_keys, numbers WHERE id = {key}",
            numbers(count)
        ))
        .await;
        let secrets = "INSERT INTO api_key_secrets (hash, api_key_id, created_at, expires_at, start)";
        self.execute(&format!(
            "{secrets} SELECT {hash}, id, created_at, NULL, start FROM api_keys WHERE name LIKE 'Key %'"
        ))
        .await;
        self.execute(&format!(
            "{secrets} SELECT {hash}, id, created_at, created_at + 1000000000000, 'old' FROM api_keys WHERE NOT enabled"
        ))
        .await;
        self.execute(&format!(
            "{} INSERT INTO users (id, name, email, unused_key, created_at, organization_id, permissions, origin) \
             SELECT {id}, 'Member', '', 'member ' || n, 1, organization_id, 'read', 'invited' FROM api_keys, numbers WHERE id = {key}",
            numbers(10_000)
        ))
        .await;
        self.execute(&format!(
            "{} INSERT INTO audit_events \
             (organization_id, at, action, target_id, actor_key_id, actor, outcome, seq, hash) \
             SELECT organization_id, created_at + n, 'api_key.update', {id}, id, 'key', 'done', 1000 + n, {hash} \
             FROM api_keys, numbers WHERE id = {key}",
            numbers(count)
        ))
        .await;
        if is_postgres {
            self.execute("VACUUM ANALYZE").await;
        }
    }
}
