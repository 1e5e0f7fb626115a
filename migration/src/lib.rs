//! The migrations of the database schema, in order.
//!
//! To add one: create a file `mYYYYMMDD_NNNNNN_name.rs` with `up` and `down`, and append it to [`Migrator`].
//! During an upgrade two versions of the program run at the same time, and an upgrade may be rolled back. So a migration only adds
//! (expand). What is no longer needed is removed in a later release (contract), by a migration whose name ends with `_contract`:
//! versions that do not know such a migration do not start on a database that has it. A released migration never changes.
//!
//! Times are milliseconds since the Unix epoch, UTC. Migrations use no entities and no types of the domain, because those change
//! and migrations do not.

use sea_orm_migration::MigrationTrait;
pub use sea_orm_migration::{MigratorTrait, seaql_migrations};

mod m20261121_000001_accounts;
mod m20261121_000002_api_keys;
mod m20261121_000003_limits;
mod m20261121_000004_room_for_updates;
mod m20261121_000005_people;
mod m20261121_000006_sessions;
mod m20261121_000007_rotation;
mod m20261121_000008_conditions;
mod m20261121_000009_audit_chain;
mod m20261121_000010_usage;
mod m20261121_000011_imports;
mod m20261121_000012_repeats;
mod m20261129_000013_bounds;
mod m20261129_000014_deletion_in_pieces;
mod m20261129_000015_retention;
mod m20261129_000018_write_probes;
mod m20261129_000019_users_contract;
mod m20261129_000021_can_manage;
mod m20261129_000022_checkpoints;
mod m20261129_000024_deleted_organizations;
mod m20261129_000025_key_description;
mod m20261129_000030_newest_secrets;
mod m20261129_000031_folded_names;
mod m20261130_000032_trust_rules;
mod m20261130_000033_invitations;
mod m20261130_000034_passkeys;
mod m20261130_000035_session_use;
mod m20261130_000036_portal;
mod m20261130_000037_key_policies;
mod m20261130_000038_key_list_indexes;
mod m20261130_000039_usage_by_day;
mod m20261130_000040_deleted_keys_of_customer;
mod m20261130_000041_list_indexes;
mod m20261130_000042_counter_journal;
mod m20261201_000043_key_filter_indexes;

/// Whether versions that do not know the migration with this name can serve a database that has it.
#[must_use]
pub fn leaves_older_versions_alone(step: &str) -> bool {
    !step.ends_with("_contract")
}

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_accounts::Migration),
            Box::new(m20261121_000002_api_keys::Migration),
            Box::new(m20261121_000003_limits::Migration),
            Box::new(m20261121_000004_room_for_updates::Migration),
            Box::new(m20261121_000005_people::Migration),
            Box::new(m20261121_000006_sessions::Migration),
            Box::new(m20261121_000007_rotation::Migration),
            Box::new(m20261121_000008_conditions::Migration),
            Box::new(m20261121_000009_audit_chain::Migration),
            Box::new(m20261121_000010_usage::Migration),
            Box::new(m20261121_000011_imports::Migration),
            Box::new(m20261121_000012_repeats::Migration),
            Box::new(m20261129_000013_bounds::Migration),
            Box::new(m20261129_000014_deletion_in_pieces::Migration),
            Box::new(m20261129_000015_retention::Migration),
            Box::new(m20261129_000018_write_probes::Migration),
            Box::new(m20261129_000019_users_contract::Migration),
            Box::new(m20261129_000021_can_manage::Migration),
            Box::new(m20261129_000022_checkpoints::Migration),
            Box::new(m20261129_000024_deleted_organizations::Migration),
            Box::new(m20261129_000025_key_description::Migration),
            Box::new(m20261129_000030_newest_secrets::Migration),
            Box::new(m20261129_000031_folded_names::Migration),
            Box::new(m20261130_000032_trust_rules::Migration),
            Box::new(m20261130_000033_invitations::Migration),
            Box::new(m20261130_000034_passkeys::Migration),
            Box::new(m20261130_000035_session_use::Migration),
            Box::new(m20261130_000036_portal::Migration),
            Box::new(m20261130_000037_key_policies::Migration),
            Box::new(m20261130_000038_key_list_indexes::Migration),
            Box::new(m20261130_000039_usage_by_day::Migration),
            Box::new(m20261130_000040_deleted_keys_of_customer::Migration),
            Box::new(m20261130_000041_list_indexes::Migration),
            Box::new(m20261130_000042_counter_journal::Migration),
            Box::new(m20261201_000043_key_filter_indexes::Migration),
        ]
    }
}
