//! SQL about identities of members, and about invitations: what no operation shows or creates.

use sea_orm::{ConnectionTrait, Database, QueryResult, Statement};

use crate::{TestApp, TestDatabase};

impl TestApp {
    /// Links an identity to a user of an organization, as an accepted membership.
    pub async fn link_identity(&self, issuer: &str, subject: &str, org_id: &str, user_id: &str) {
        let (org_id, user_id, now) = (self.database.id(org_id), self.database.id(user_id), self.now_millis());
        self.execute(&format!(
            "INSERT INTO user_identities (issuer, subject, organization_id, user_id, created_at, accepted_at) \
             VALUES ('{issuer}', '{subject}', {org_id}, {user_id}, {now}, {now})"
        ))
        .await;
    }

    /// The identities of a user, each with its issuer and subject, sorted.
    pub async fn identities_of(&self, user_id: &str) -> Vec<(String, String)> {
        let id = self.database.id(user_id);
        let sql = format!("SELECT issuer, subject FROM user_identities WHERE user_id = {id} ORDER BY issuer, subject");
        let text = |row: &QueryResult, name: &str| row.try_get::<String>("", name).expect("a text");
        let rows = self.database.rows(sql).await;
        rows.iter().map(|row| (text(row, "issuer"), text(row, "subject"))).collect()
    }
}

impl TestDatabase {
    /// The number of stored invitations and recovery links.
    pub async fn stored_invitations(&self) -> usize {
        self.rows("SELECT id FROM invitations".to_owned()).await.len()
    }

    /// The number of stored passkey ceremonies that were used.
    pub async fn used_ceremonies(&self) -> usize {
        self.rows("SELECT expires_at FROM used_ceremonies".to_owned()).await.len()
    }

    /// Whether a stored invitation has this text instead of its hash.
    pub async fn has_stored_token(&self, text: &str) -> bool {
        let rows = self.rows("SELECT token_hash FROM invitations".to_owned()).await;
        assert!(!rows.is_empty(), "a stored invitation");
        rows.iter().any(|row| row.try_get::<Vec<u8>>("", "token_hash").expect("a hash") == text.as_bytes())
    }

    /// Whether the plain text of a secret is stored with a portal session.
    pub async fn has_stored_portal_secret(&self, text: &str) -> bool {
        let rows = self.rows("SELECT coalesce(link_hash, token_hash) AS hash FROM portal_sessions".to_owned()).await;
        assert!(!rows.is_empty(), "a stored portal session");
        rows.iter().any(|row| row.try_get::<Vec<u8>>("", "hash").expect("a hash") == text.as_bytes())
    }

    /// The number of stored portal sessions, expired ones included.
    pub async fn portal_sessions(&self) -> usize {
        self.rows("SELECT id FROM portal_sessions".to_owned()).await.len()
    }

    /// Copies a portal session, without its secrets.
    pub async fn copy_portal_session(&self, session_id: &str, count: u32) {
        let (id, new_id) = if self.is_postgres() {
            (format!("'{session_id}'"), "gen_random_uuid()")
        } else {
            (format!("X'{}'", session_id.replace('-', "")), "randomblob(16)")
        };
        let rest = "organization_id, external_id, user_id, actions, permissions, max_keys, prefix, theme, creator_hash, \
                    created_by_key, created_at, expires_at";
        self.execute(&format!(
            "WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {count}) \
             INSERT INTO portal_sessions (id, {rest}) SELECT {new_id}, {rest} FROM portal_sessions, copies WHERE id = {id}"
        ))
        .await;
    }

    async fn rows(&self, sql: String) -> Vec<QueryResult> {
        let database = Database::connect(self.url()).await.expect("a database connection");
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("rows");
        database.close().await.expect("a closed connection");
        rows
    }
}
