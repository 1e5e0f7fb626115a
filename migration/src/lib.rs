//! The history of the database's schema: an ordered list of steps.
//!
//! To add one: a new file `mYYYYMMDD_NNNNNN_what.rs` with `up` and `down`, and its line at the end of [`Migrator`].
//! Two versions of the program run side by side during an upgrade, and the older one may come back after it, so a step only
//! adds (expand); what it makes superfluous goes in a later release (contract), by a step whose name ends with `_contract`:
//! versions that do not know such a step do not start on its database. A step that was released never changes.
//!
//! Times are milliseconds since the Unix epoch, UTC. Nothing here knows an entity or a type of the domain: those change,
//! history does not.

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

/// Whether versions that do not know a step, by its name, may serve a database that has it.
#[must_use]
pub fn leaves_older_versions_alone(step: &str) -> bool {
    !step.ends_with("_contract")
}

/// All steps, oldest first.
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
        ]
    }
}
