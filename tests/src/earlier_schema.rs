//! A database of an earlier version, in which users can be members of several organizations.

use domain::keys::secret::{KeyPrefix, Secret};
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use crate::TestDatabase;

/// Organizations, users and keys of an earlier version.
pub struct EarlierDatabase {
    /// The database.
    pub database: TestDatabase,
    /// The secrets of the keys, in the order of [`KEYS`].
    pub secrets: Vec<String>,
}

/// An organization.
pub const ACME: &str = "00000000-0000-7000-8000-00000000000a";
/// Another organization.
pub const OTHER: &str = "00000000-0000-7000-8000-00000000000b";
/// Signed up with [`ACME`], and is a member of [`OTHER`].
pub const ADA: &str = "00000000-0000-7000-8000-000000000001";
/// Signed up with [`OTHER`].
pub const BOB: &str = "00000000-0000-7000-8000-000000000002";
/// Was a member of [`OTHER`].
pub const FORMER_MEMBER: &str = "00000000-0000-7000-8000-000000000003";
/// Was a member, and has no key.
pub const KEYLESS_MEMBER: &str = "00000000-0000-7000-8000-000000000004";
/// Was added to both, and removed from [`ACME`].
pub const EVE: &str = "00000000-0000-7000-8000-000000000005";
/// The user `zoe` of an identity provider, a member of both.
pub const ZOE: &str = "00000000-0000-7000-8000-000000000006";
/// The user `lone` of an identity provider with the address [`LONE_EMAIL`], a member of [`ACME`].
pub const LONE: &str = "00000000-0000-7000-8000-000000000007";
/// The address of [`LONE`], as the provider gave it.
pub const LONE_EMAIL: &str = "Lone@bücher.example";
/// The keys: id, organization, user. All have all permissions. The first was created by [`EVE`], the last by [`LONE`].
pub const KEYS: [(&str, &str, &str); 6] = [
    ("00000000-0000-7000-8000-000000000011", ACME, ADA),
    ("00000000-0000-7000-8000-000000000012", OTHER, ADA),
    ("00000000-0000-7000-8000-000000000013", ACME, EVE),
    ("00000000-0000-7000-8000-000000000014", OTHER, EVE),
    ("00000000-0000-7000-8000-000000000015", OTHER, FORMER_MEMBER),
    ("00000000-0000-7000-8000-000000000016", OTHER, BOB),
];

const SET: &str = "00000000-0000-7000-8000-000000000021";

impl EarlierDatabase {
    /// Creates such a database, with users of this identity provider.
    ///
    /// # Panics
    /// A statement fails.
    pub async fn create(issuer: &str) -> Self {
        let database = TestDatabase::empty().await;
        let connection = database.migrate_before("_users_contract").await;
        let mut statements = rows(&database, issuer);
        let mut secrets = Vec::new();
        for (id, organization, user) in KEYS {
            let secret = Secret::generate(&KeyPrefix::default_prefix(), &api::process::system::SystemEntropy);
            let (id, organization, user) = (database.id(id), database.id(organization), database.id(user));
            let hash = secret.hash().bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            let hash = if database.is_postgres() { format!("'\\x{hash}'") } else { format!("X'{hash}'") };
            statements.push(format!(
                "INSERT INTO api_keys (id, organization_id, user_id, prefix, start, enabled, permissions, created_by_user, \
                 created_at, updated_at) VALUES ({id}, {organization}, {user}, 'cvg_', '{}', true, '*', {user}, 5000, 5000)",
                secret.start()
            ));
            statements.push(format!(
                "INSERT INTO api_key_secrets (hash, api_key_id, created_at) VALUES ({hash}, {id}, 5000)"
            ));
            secrets.push(secret.expose().to_owned());
        }
        // Created by a user who has left the organization, and by one who was never a member.
        for (key, creator) in [(0, EVE), (5, LONE)] {
            let (key, creator) = (database.id(KEYS[key].0), database.id(creator));
            statements.push(format!("UPDATE api_keys SET created_by_user = {creator} WHERE id = {key}"));
        }
        for statement in statements {
            connection.execute_unprepared(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.close().await.expect("a closed connection");
        Self { database, secrets }
    }
}

impl TestDatabase {
    /// Migrates this empty database up to the step before the one whose name ends so.
    async fn migrate_before(&self, step: &str) -> DatabaseConnection {
        let mode = if self.is_postgres() { "" } else { "?mode=rwc" };
        let connection = Database::connect(format!("{}{mode}", self.url())).await.expect("a database connection");
        let steps = Migrator::migrations();
        let before = steps.iter().position(|other| other.name().ends_with(step)).expect("the step");
        Migrator::up(&connection, Some(u32::try_from(before).expect("a small number"))).await.expect("migrated");
        connection
    }

    /// Migrates this empty database up to the step before the one whose name ends so, and stores keys with these names. Returns the
    /// ids of their organization and of the keys.
    ///
    /// # Panics
    /// A statement fails.
    pub async fn create_keys_before(&self, step: &str, names: &[&str]) -> (String, Vec<String>) {
        let connection = self.migrate_before(step).await;
        let organization = self.id(ACME);
        let mut statements = vec![format!(
            "INSERT INTO organizations (id, name, kind, created_at, key_count) VALUES ({organization}, 'Acme', 'tenant', 1000, 10)"
        )];
        let mut ids = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let id = format!("00000000-0000-7000-8000-{n:012}");
            statements.push(format!(
                "INSERT INTO api_keys (id, organization_id, name, prefix, start, enabled, permissions, created_at, updated_at) \
                 VALUES ({}, {organization}, '{name}', 'cvg_', 'cvg_000000', true, '*', 5000, 5000)",
                self.id(&id)
            ));
            ids.push(id);
        }
        for statement in statements {
            connection.execute_unprepared(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        connection.close().await.expect("a closed connection");
        (ACME.to_owned(), ids)
    }
}

fn rows(database: &TestDatabase, issuer: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for (id, name, at) in [(ACME, "Acme", 1_000), (OTHER, "Other", 2_000)] {
        statements.push(format!(
            "INSERT INTO organizations (id, name, kind, created_at, key_count) VALUES ({}, '{name}', 'tenant', {at}, 10)",
            database.id(id)
        ));
    }
    for (id, name, at) in [
        (ADA, "ada", 1_000),
        (BOB, "bob", 2_000),
        (FORMER_MEMBER, "gone", 1_500),
        (KEYLESS_MEMBER, "nobody", 1_500),
        (EVE, "eve", 2_500),
    ] {
        statements.push(format!(
            "INSERT INTO users (id, name, email, email_canonical, created_at) \
             VALUES ({}, '{name}', '{name}@example.com', '{name}@example.com', {at})",
            database.id(id)
        ));
    }
    for (id, name, email) in [(ZOE, "zoe", "zoe@example.com"), (LONE, "lone", LONE_EMAIL)] {
        let row = database.id(id);
        statements.push(format!(
            "INSERT INTO users (id, name, email, email_canonical, created_at) \
             VALUES ({row}, '{name}', '{email}', 'user {id}', 2600)"
        ));
        statements.push(format!(
            "INSERT INTO identities (issuer, subject, user_id, created_at, seen_at) \
             VALUES ('{issuer}', '{name}', {row}, 2600, 2700)"
        ));
    }
    for (organization, user, permissions, at) in [
        (ACME, ADA, "*", 1_000),
        (OTHER, ADA, "files:write", 3_000),
        (OTHER, BOB, "*", 2_000),
        (OTHER, EVE, "files:read", 2_500),
        (ACME, ZOE, "api_keys:read", 2_650),
        (OTHER, ZOE, "files:read", 2_660),
        (ACME, LONE, "api_keys:read", 2_800),
    ] {
        statements.push(format!(
            "INSERT INTO memberships (organization_id, user_id, permissions, created_at) \
             VALUES ({}, {}, '{permissions}', {at})",
            database.id(organization),
            database.id(user)
        ));
    }
    let (set, other, ada) = (database.id(SET), database.id(OTHER), database.id(ADA));
    statements.push(format!(
        "INSERT INTO permission_sets (id, organization_id, name, permissions, created_at, updated_at) \
         VALUES ({set}, {other}, 'readers', 'files:read', 2000, 2000)"
    ));
    statements.push(format!(
        "INSERT INTO membership_permission_sets (organization_id, user_id, permission_set_id) VALUES ({other}, {ada}, {set})"
    ));
    // The session of a user of a provider, and one whose user the provider does not know any more.
    for (id, user) in [(ZOE, ZOE), (ADA, ADA)] {
        statements.push(format!(
            "INSERT INTO sessions (id, user_id, issuer, home_id, created_at, expires_at) \
             VALUES ({}, {}, '{issuer}', {}, 3000, 9000000000000)",
            database.id(id),
            database.id(user),
            database.id(ACME)
        ));
    }
    statements
}
