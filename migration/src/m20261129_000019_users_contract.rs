//! A user belongs to one organization: memberships become users. A member of several organizations becomes a user of each. The user
//! of the oldest membership keeps the id, the others get new ids. Only the audit log has the old ids.
//!
//! The rows of the old tables are moved, so versions that do not know this migration cannot serve the database.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, string, string_null, text, uuid, uuid_null},
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// A foreign key with cascading deletion.
fn part_of(from: (&'static str, &'static str), to: (&'static str, &'static str)) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(from.0, from.1).to(to.0, to.1).on_delete(ForeignKeyAction::Cascade).to_owned()
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).to_owned();
    for column in columns {
        index.col(*column);
    }
    index
}

/// The SQL that differs between SQLite and PostgreSQL.
struct Dialect {
    /// A new random UUID (version 4).
    new_id: &'static str,
    /// The column type of a UUID.
    id_type: &'static str,
    /// The function that returns the position of one string in another.
    find: &'static str,
}

impl Dialect {
    fn of(backend: DbBackend) -> Self {
        match backend {
            DbBackend::Postgres => Self { new_id: "gen_random_uuid()", id_type: "uuid", find: "strpos" },
            _ => Self {
                new_id: "unhex(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2) \
                         || substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) \
                         || hex(randomblob(6)))",
                id_type: "uuid_text",
                find: "instr",
            },
        }
    }

    /// An expression for a UUID column as a string.
    fn text_of(&self, column: &str) -> String {
        if self.id_type == "uuid" { format!("{column}::text") } else { format!("lower(hex({column}))") }
    }
}

/// Adds the columns and tables that users of one organization need.
async fn expand(manager: &SchemaManager<'_>, dialect: &Dialect) -> Result<(), DbErr> {
    let db = manager.get_connection();
    // SQLite cannot drop the column, because it is unique. From now on it holds the id of the user.
    db.execute_unprepared("ALTER TABLE users RENAME COLUMN email_canonical TO unused_key").await?;
    let id = dialect.id_type;
    db.execute_unprepared(&format!(
        "ALTER TABLE users ADD COLUMN organization_id {id} REFERENCES organizations (id) ON DELETE CASCADE"
    ))
    .await?;
    for column in [
        string_null("email_canonical"),
        text("permissions").default("").to_owned(),
        string("origin").default("invited").to_owned(),
    ] {
        manager.alter_table(Table::alter().table("users").add_column(column).to_owned()).await?;
    }
    manager
        .create_table(
            Table::create()
                .table("user_permission_sets")
                .col(uuid("user_id"))
                .col(uuid("permission_set_id"))
                .primary_key(Index::create().col("user_id").col("permission_set_id"))
                .foreign_key(&mut part_of(("user_permission_sets", "user_id"), ("users", "id")))
                .foreign_key(&mut part_of(("user_permission_sets", "permission_set_id"), ("permission_sets", "id")))
                .to_owned(),
        )
        .await?;
    manager
        .create_table(
            Table::create()
                .table("user_identities")
                .col(string("issuer"))
                .col(string("subject"))
                .col(uuid("organization_id"))
                .col(uuid("user_id"))
                .col(big_integer("created_at"))
                // When the person accepted the membership, or was provisioned by their provider. Null: not accepted yet.
                .col(big_integer_null("accepted_at"))
                .primary_key(Index::create().col("issuer").col("subject").col("organization_id"))
                .foreign_key(&mut part_of(("user_identities", "user_id"), ("users", "id")))
                .to_owned(),
        )
        .await?;
    // Removed identities, which their provider does not provision again: BLAKE3 of issuer and subject.
    manager
        .create_table(
            Table::create()
                .table("removed_identities")
                .col(binary_len("identity_hash", 32))
                .col(uuid("organization_id"))
                .col(big_integer("removed_at"))
                .primary_key(Index::create().col("identity_hash").col("organization_id"))
                .foreign_key(&mut part_of(("removed_identities", "organization_id"), ("organizations", "id")))
                .to_owned(),
        )
        .await?;
    let column = Table::alter().table("sessions").add_column(string_null("subject")).to_owned();
    manager.alter_table(column).await?;
    // The ids that change: of memberships, and of keys whose user or creator is not a member of the key's organization.
    manager
        .create_table(
            Table::create()
                .table("changed_users")
                .col(uuid("organization_id"))
                .col(uuid("user_id"))
                .col(uuid_null("new_id"))
                .primary_key(Index::create().col("user_id").col("organization_id"))
                .to_owned(),
        )
        .await
}

/// Moves memberships to users, and replaces the ids that change in all tables.
async fn move_rows(manager: &SchemaManager<'_>, dialect: &Dialect) -> Result<(), DbErr> {
    let (new_id, id_text) = (dialect.new_id, dialect.text_of("id"));
    // Sign-up created organization, user and membership at the same time. Users of an identity provider had their id in place of an
    // e-mail address.
    let origin = "CASE WHEN u.unused_key LIKE 'user %' THEN 'identity_provider' \
                  WHEN m.created_at = u.created_at AND m.created_at = (SELECT o.created_at FROM organizations o \
                  WHERE o.id = m.organization_id AND o.deleted_at IS NULL) THEN 'sign_up' ELSE 'invited' END";
    let canonical = "CASE WHEN u.unused_key NOT LIKE 'user %' THEN u.unused_key \
                     WHEN u.email <> '' THEN lower(u.email) END";
    let oldest = |column: &str| {
        format!(
            "(SELECT {column} FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.user_id = users.id \
             ORDER BY m.created_at, m.organization_id LIMIT 1)"
        )
    };
    let changed = |table: &str, user: &str| {
        format!(
            "(SELECT c.new_id FROM changed_users c WHERE c.user_id = {table}.{user} \
             AND c.organization_id = {table}.organization_id)"
        )
    };
    let key_change = |column: &str| {
        let new = changed("api_keys", column);
        format!(
            "UPDATE api_keys SET {column} = {new} WHERE {column} IN (SELECT user_id FROM changed_users) \
             AND {new} IS NOT NULL"
        )
    };
    let statements = [
        // Users that keep their id.
        format!("UPDATE users SET organization_id = {}", oldest("m.organization_id")),
        format!(
            "UPDATE users SET permissions = {}, origin = {}, email_canonical = {} WHERE organization_id IS NOT NULL",
            oldest("m.permissions"),
            oldest(origin),
            oldest(canonical)
        ),
        // Users that get a new id.
        "INSERT INTO changed_users (organization_id, user_id) SELECT m.organization_id, m.user_id FROM memberships m \
         JOIN users u ON u.id = m.user_id WHERE u.organization_id <> m.organization_id"
            .to_owned(),
        // Users and creators of keys that are not members of the key's organization. They become removed users. Those without keys
        // are deleted below.
        "INSERT INTO changed_users (organization_id, user_id) SELECT k.organization_id, k.user_id FROM \
         (SELECT organization_id, user_id FROM api_keys UNION SELECT organization_id, created_by_user FROM api_keys) k \
         WHERE k.user_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM memberships m \
         WHERE m.organization_id = k.organization_id AND m.user_id = k.user_id)"
            .to_owned(),
        format!("UPDATE changed_users SET new_id = {new_id}"),
        format!(
            "INSERT INTO users (id, name, email, unused_key, created_at, organization_id, email_canonical, permissions, \
             origin) SELECT c.new_id, u.name, u.email, {}, m.created_at, m.organization_id, {canonical}, m.permissions, \
             CASE WHEN u.unused_key LIKE 'user %' THEN 'identity_provider' ELSE 'invited' END \
             FROM changed_users c JOIN users u ON u.id = c.user_id \
             JOIN memberships m ON m.user_id = c.user_id AND m.organization_id = c.organization_id",
            dialect.text_of("c.new_id")
        ),
        format!(
            "INSERT INTO users (id, name, email, unused_key, created_at) SELECT c.new_id, '', '', {}, u.created_at \
             FROM changed_users c JOIN users u ON u.id = c.user_id \
             WHERE NOT EXISTS (SELECT 1 FROM users n WHERE n.id = c.new_id)",
            dialect.text_of("c.new_id")
        ),
        key_change("user_id"),
        key_change("created_by_user"),
        format!(
            "INSERT INTO user_permission_sets (user_id, permission_set_id) SELECT coalesce({}, s.user_id), \
             s.permission_set_id FROM membership_permission_sets s",
            changed("s", "user_id")
        ),
        // A user that had logged in and was a member of one organization acted in it without naming it: this membership counts as
        // accepted. A member of several organizations had to name one in each request, and still has to.
        format!(
            "INSERT INTO user_identities (issuer, subject, organization_id, user_id, created_at, accepted_at) \
             SELECT i.issuer, i.subject, m.organization_id, coalesce({}, m.user_id), m.created_at, \
             CASE WHEN i.seen_at = m.created_at OR (SELECT count(*) FROM memberships o WHERE o.user_id = m.user_id) = 1 \
             THEN i.seen_at END FROM identities i JOIN memberships m ON m.user_id = i.user_id",
            changed("m", "user_id")
        ),
        "UPDATE sessions SET subject = (SELECT i.subject FROM identities i WHERE i.user_id = sessions.user_id \
         AND i.issuer = sessions.issuer LIMIT 1) WHERE user_id IS NOT NULL"
            .to_owned(),
        "DELETE FROM sessions WHERE user_id IS NOT NULL AND subject IS NULL".to_owned(),
        "UPDATE sessions SET user_id = (SELECT i.user_id FROM user_identities i WHERE i.issuer = sessions.issuer \
         AND i.subject = sessions.subject AND i.organization_id = sessions.home_id) WHERE user_id IS NOT NULL"
            .to_owned(),
        // Users without an organization. The row of a removed user stays if a key belongs to the user.
        "DELETE FROM users WHERE organization_id IS NULL \
         AND NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.user_id = users.id)"
            .to_owned(),
        format!("UPDATE users SET unused_key = {id_text}"),
    ];
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// Drops the old tables, and adds the indexes.
async fn contract(manager: &SchemaManager<'_>, dialect: &Dialect) -> Result<(), DbErr> {
    for table in ["changed_users", "membership_permission_sets", "memberships", "identities"] {
        manager.drop_table(Table::drop().table(table).to_owned()).await?;
    }
    let is_sign_up = Expr::col("origin").eq("sign_up");
    let is_own_address = Expr::col("origin").ne("identity_provider");
    for index in [
        index("users_by_organization", "users", &["organization_id", "id"]),
        index("users_by_email", "users", &["email_canonical", "id"]),
        // An e-mail address can sign up once, and can be added to an organization once.
        index("users_signed_up", "users", &["email_canonical"]).unique().and_where(is_sign_up).to_owned(),
        index("users_by_own_email", "users", &["organization_id", "email_canonical"])
            .unique()
            .and_where(is_own_address)
            .to_owned(),
        index("user_permission_sets_by_set", "user_permission_sets", &["permission_set_id"]),
        index("user_identities_by_user", "user_identities", &["user_id"]),
        index("removed_identities_by_organization", "removed_identities", &["organization_id"]),
        index("sessions_by_identity", "sessions", &["issuer", "subject", "created_at"])
            .and_where(Expr::col("subject").is_not_null())
            .to_owned(),
    ] {
        manager.create_index(index).await?;
    }
    let sql = format!(
        "CREATE INDEX users_with_all ON users (organization_id) WHERE {}(' ' || permissions || ' ', ' * ') > 0",
        dialect.find
    );
    manager.get_connection().execute_unprepared(&sql).await?;
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        if backend == DbBackend::Postgres {
            // In the order in which verification locks them. A node of an earlier version that still runs could otherwise hold
            // `api_keys` and wait for `users` while this transaction holds `users` and waits for `api_keys`.
            let lock = "LOCK TABLE api_key_secrets, api_keys, organizations, memberships, users, identities, sessions \
                        IN ACCESS EXCLUSIVE MODE";
            manager.get_connection().execute_unprepared(lock).await?;
        }
        let dialect = Dialect::of(backend);
        expand(manager, &dialect).await?;
        move_rows(manager, &dialect).await?;
        contract(manager, &dialect).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        // Several users cannot become one again. Restore a backup.
        Err(DbErr::Migration(
            "memberships cannot be recreated from users; restore a backup from before the upgrade".to_owned(),
        ))
    }
}
