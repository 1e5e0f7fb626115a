//! PostgreSQL's plans while the tables of a new database grow, and its own updates of the statistics have not happened yet.

use std::sync::Arc;

use harness::{TestApp, TestClock, TestDatabase, wait_until};
use serde_json::{Value, json};

/// Sequential scans by migrations, and of foreign keys while the tables are still empty.
const MAX_SCANS: i64 = 20;

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn verification_reads_no_table_as_a_whole_while_it_grows() {
    let database = TestDatabase::fresh().await;
    database.switch_autovacuum_off().await;
    let (keys_before, _) = database.sequential_scans("api_keys").await;
    let (secrets_before, _) = database.sequential_scans("api_key_secrets").await;
    let app = TestApp::start_by(database, Arc::new(TestClock::default()), true, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let mut secrets = Vec::new();
    for round in 0..30 {
        let key = |n: usize| match n % 3 {
            0 => json!({"name": format!("{n}"), "permissions": []}),
            1 => json!({"name": format!("{n}"), "permissions": [], "remaining": 1_000_000}),
            _ => {
                json!({"name": format!("{n}"), "permissions": [], "rate_limit_max": 1_000, "rate_limit_window": 60_000})
            }
        };
        let body = json!({"keys": (0..100).map(key).collect::<Vec<_>>()});
        let answer = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let made = answer.json();
        secrets.extend(made["keys"].as_array().expect("keys").iter().map(|key| key["key"].clone()));
        // Of those that are not cached and of those that are, with and without limits.
        for n in 0..6 {
            let secret: &Value = &secrets[(round * 7 + n) * 13 % secrets.len()];
            let answer = tenant.admin.post("/api_keys/verify", &json!({"key": secret})).await;
            assert_eq!(answer.json()["code"], "VALID", "{}", answer.text);
        }
        if round % 10 == 9 {
            app.empty_cache();
        }
    }
    // Closed connections have reported their counts.
    let (_, database) = app.stop().await;
    let (keys, _) = database.sequential_scans("api_keys").await;
    let (secrets, _) = database.sequential_scans("api_key_secrets").await;
    let scans = (keys - keys_before, secrets - secrets_before);
    assert!(scans.0 <= MAX_SCANS && scans.1 <= MAX_SCANS, "{scans:?}");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn statistics_of_grown_tables_are_updated_by_one_node() {
    let database = TestDatabase::fresh().await;
    database.switch_autovacuum_off().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let keys = vec![json!({"name": "n", "permissions": []}); 1_000];
    for _ in 0..2 {
        let answer = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &json!({"keys": keys})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let store = app.database.store().await;
    wait_until("the statistics of the keys", async || {
        store.update_planner_statistics().await.expect("updated");
        let rows = app.database.sequential_scans("api_keys").await.1;
        (rows >= 1_000.0).then_some(()).ok_or(rows)
    })
    .await;
    assert_eq!(store.update_planner_statistics().await.expect("nothing to do"), 0, "no table has doubled since");
    store.close().await;
}
