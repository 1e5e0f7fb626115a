//! A run of retention while a purge is held.

use domain::{
    bounds::Bounds,
    clock::Clock,
    id::OrganizationId,
    organizations::organization::{Organization, OrganizationKind},
};
use prometheus::Registry;
use sea_orm::prelude::Uuid;
use tempfile::TempDir;

use super::{plan::USUAL_MOVE_MS, *};
use crate::{
    CacheSize, RetentionPeriods, Settings, Store,
    rows::{convert, entity::organization},
    settings::DefaultCaps,
};

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(10 * USUAL_MOVE_MS)
    }
}

/// Settings with a new SQLite file in this folder.
pub(crate) fn settings(directory: &TempDir) -> Settings {
    let day = Duration::from_hours(24);
    Settings {
        url: format!("sqlite://{}/test.db", directory.path().display()),
        connections: 4,
        ledger_clock: Some(Arc::new(FixedClock)),
        timeout: Duration::from_secs(5),
        change_timeout: Duration::from_secs(5),
        staleness_bound: Duration::from_secs(2),
        clock: Arc::new(FixedClock),
        retention: RetentionPeriods {
            deleted_keys: day,
            deleted_organizations: day,
            audit: day,
            usage: day,
            idle_sessions: day,
        },
        caps: DefaultCaps { keys: 1, members: 1, sets: 1, changes: 100 },
        bounds: Bounds { deleted_organizations: 1, ..Bounds::default() },
        cache: CacheSize { keys: 0, bytes: 0 },
        registry: Registry::new(),
    }
}

async fn store(directory: &TempDir) -> Store {
    let store = Store::connect(&settings(directory)).await.expect("a new database");
    store.migrate().await.expect("a new schema");
    store
}

#[tokio::test]
async fn deleted_organizations_are_bounded_while_a_purge_is_held() {
    let directory = TempDir::new().expect("a folder");
    let store = store(&directory).await;
    let (older, newer) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (id, deleted_at) in [(older, 1), (newer, 2)] {
        let id = OrganizationId::from_uuid(id);
        let new = Organization::new(id, None, OrganizationKind::Tenant, Timestamp::from_millis(0));
        let row = organization::ActiveModel { deleted_at: Set(Some(deleted_at)), ..convert::organization_row(&new) };
        organization::Entity::insert(row).exec_without_returning(&store.database.pools.write).await.expect("a row");
    }
    // The cutoff has moved by days since this run, so the purge of these rows is held.
    let kind = Kind::DeletedOrganizations.name().to_owned();
    let last = retention_run::ActiveModel { kind: Set(kind), purged_before: Set(0) };
    retention_run::Entity::insert(last).exec_without_returning(&store.database.pools.write).await.expect("a row");
    assert!(store.retention.run_once(None, true).await.expect("it runs"), "the purge is held");
    let rows = organization::Entity::find().all(&store.database.pools.read).await.expect("rows");
    let removed: Vec<Uuid> = rows.iter().filter(|row| row.removal_began_at.is_some()).map(|row| row.id).collect();
    assert_eq!(removed, [older]);
    store.close().await;
}
