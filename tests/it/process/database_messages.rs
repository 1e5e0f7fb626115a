//! What the service sends to PostgreSQL: how much at once, and how long a change holds the lock of its organization's audit log.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use harness::{Burst, StatementLog, Tenant, TestApp, TestClock, TestDatabase, cluster::feed_is};
use serde_json::{Value, json};

/// The bytes of a TLS record. The driver sends the next one only when the server has acknowledged this one.
const TLS_RECORD: usize = 16 * 1024;

async fn recorded() -> (TestApp, StatementLog) {
    let database = TestDatabase::fresh().await;
    let log = StatementLog::of(database.server_address()).await;
    let url = database.url_at(log.address);
    (TestApp::start_on(database, |config| config.database_url = url).await, log)
}

/// The secrets and ids of keys that are created in one request.
async fn create(tenant: &Tenant, keys: &[Value]) -> Vec<(String, String)> {
    let answer = tenant.admin.post(&format!("{}/bulk_create", tenant.keys()), &json!({"keys": keys})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let made = answer.json();
    made["keys"].as_array().expect("keys").iter().map(|key| (text(&key["key"]), text(&key["id"]))).collect()
}

fn largest(bursts: &[Burst]) -> &Burst {
    bursts.iter().max_by_key(|burst| burst.bytes).expect("statements")
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn no_statement_sends_more_than_a_tls_record() {
    let (app, log) = recorded().await;
    let tenant = app.tenant("Acme").await;
    let (keys, admin) = (tenant.keys(), &tenant.admin);
    let mut sets = Vec::new();
    for n in 0..4 {
        let set = json!({"name": format!("set {n}"), "permissions": [format!("files{n}:read")]});
        let answer = admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await;
        sets.push(answer.json()["id"].clone());
    }
    let check = |what: &str| {
        let bursts = log.take();
        let largest = largest(&bursts);
        assert!(largest.bytes <= TLS_RECORD, "{what}: {} bytes: {}", largest.bytes, largest.statement);
    };
    check("a permission set is created");

    let key = |n: usize| {
        json!({
            "name": format!("key {n} with an ordinary name"), "permissions": ["files:read"], "metadata": {"number": n},
            "permission_sets": sets, "external_id": format!("customer-{n}"), "description": format!("for customer {n}"),
        })
    };
    let made = create(&tenant, &(0..1_000).map(key).collect::<Vec<_>>()).await;
    check("bulk creation");
    assert_eq!(admin.get(&format!("{keys}?limit=1000")).await.json().as_array().map(Vec::len), Some(1_000));
    check("a list");
    let path = format!("/orgs/{}/permission_sets/{}", tenant.org_id, sets[0].as_str().expect("an id"));
    assert_eq!(admin.patch(&path, &json!({"permissions": ["files0:write"]})).await.status, 200);
    check("a change of a permission set of many keys");

    let verify = |keys: &[(String, String)]| {
        let keys: Vec<Value> = keys.iter().map(|(secret, _)| json!({"key": secret})).collect();
        async move { admin.post("/api_keys/verify_batch", &json!({"keys": keys})).await }
    };
    let answers = join_all(made.chunks(100).map(verify)).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text.matches("\"VALID\"").count() == 100));
    check("verification of a thousand keys that are not cached");

    let metered = |n: usize| json!({"name": format!("metered {n}"), "permissions": [], "remaining": 1_000 + n});
    let limited = create(&tenant, &(0..1_000).map(metered).collect::<Vec<_>>()).await;
    for _ in 0..3 {
        let answers = join_all(limited.chunks(100).map(verify)).await;
        assert!(answers.iter().all(|answer| answer.text.matches("\"VALID\"").count() == 100), "{}", answers[0].text);
    }
    check("uses of a thousand keys with limits");

    let imported = |n: usize| {
        let hash = format!("{n:064x}");
        json!({"hash": hash, "start": "sk_abc", "permissions": ["files:read"], "name": format!("imported key {n}")})
    };
    let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "letters"});
    let body = json!({"shape": shape, "keys": (0..1_000).map(imported).collect::<Vec<_>>()});
    for imported in [1_000, 0] {
        let answer = admin.post(&format!("{keys}/import"), &body).await;
        assert_eq!(answer.json()["imported"], imported, "{}", answer.text);
        check("import");
    }

    let ids: Vec<&String> = made.iter().map(|(_, id)| id).collect();
    assert_eq!(admin.post(&format!("{keys}/bulk_delete"), &json!({"ids": ids})).await.status, 200);
    check("bulk deletion");
    // The uses are written at the latest when the service stops.
    let (_, database) = app.stop().await;
    check("writing of uses");
    assert_eq!(database.stored_usage().await.0, 2_000);
}

/// How each use of a key is counted: "locked" (its row is locked and read first) or "one" (one statement writes the next state).
/// `seconds`: by how much the clock is advanced before each use.
async fn ways_of_uses(
    app: &TestApp,
    tenant: &Tenant,
    log: &StatementLog,
    limits: Value,
    seconds: &[i64],
) -> Vec<&'static str> {
    let mut key = limits;
    key["name"] = json!("n");
    key["permissions"] = json!([]);
    let (secret, _) = create(tenant, &[key]).await.remove(0);
    let mut ways = Vec::new();
    for seconds in seconds {
        app.clock.advance_seconds(*seconds);
        let _ = log.take();
        let answer = tenant.admin.post("/api_keys/verify", &json!({"key": secret})).await.json();
        assert_eq!(answer["code"], "VALID", "{answer}");
        ways.extend(log.take().iter().filter_map(|burst| match &burst.statement {
            sql if sql.contains("\"api_keys\"") && sql.contains("FOR UPDATE") => Some("locked"),
            sql if sql.contains("unnest($1::uuid[])") => Some("one"),
            _ => None,
        }));
    }
    ways
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_use_of_a_key_with_a_known_state_is_one_statement() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    for has_database_time in [false, true] {
        let database = TestDatabase::fresh().await;
        let log = StatementLog::of(database.server_address()).await;
        let url = database.url_at(log.address);
        let settings = |config: &mut api::config::Config| {
            config.database_url = url;
            // If the change feed begins again, known states are forgotten.
            config.staleness_bound = Duration::from_mins(1);
        };
        let app = TestApp::start_by(database, Arc::new(TestClock::default()), has_database_time, settings).await;
        feed_is(&app.anyone(), "1").await;
        let tenant = app.tenant("Acme").await;
        let ways = async |limits, seconds: &[i64]| ways_of_uses(&app, &tenant, &log, limits, seconds).await;
        let remaining = json!({"remaining": 9});
        let rate_limit = |window: u64| json!({"rate_limit_max": 9, "rate_limit_window": window});
        let refill = |interval: u64| json!({"remaining": 9, "refill_amount": 9, "refill_interval": interval});
        assert_eq!(ways(remaining, &[0, 0, 0]).await, ["locked", "one", "one"]);
        assert_eq!(ways(rate_limit(DAY), &[0, 0, 0]).await, ["locked", "one", "one"]);
        assert_eq!(ways(refill(DAY), &[0, 0, 0]).await, ["locked", "one", "one"]);
        if !has_database_time {
            let expected = ["locked", "one", "locked", "one"];
            assert_eq!(ways(rate_limit(60_000), &[0, 59, 2, 0]).await, expected, "a use begins a window");
            assert_eq!(ways(refill(60_000), &[0, 59, 2, 0]).await, expected, "a use refills");
        }
    }
}

/// The statements of each transaction from the lock of an audit log to the commit.
fn after_lock(bursts: &[Burst]) -> Vec<Vec<String>> {
    let is_lock = |burst: &Burst| burst.statement.contains("audit_chains") && burst.statement.ends_with("FOR UPDATE");
    let locks = bursts.iter().enumerate().filter(|(_, burst)| is_lock(burst));
    let rest = |(index, lock): (usize, &Burst)| {
        let mut statements = Vec::new();
        let own = bursts[index + 1..].iter().filter(|burst| burst.connection == lock.connection);
        for burst in own.filter(|burst| !burst.statement.is_empty()) {
            statements.push(burst.statement.clone());
            if burst.statement == "COMMIT" {
                break;
            }
        }
        statements
    };
    locks.map(rest).collect()
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_change_locks_the_audit_log_for_one_statement() {
    let (app, log) = recorded().await;
    let tenant = app.tenant("Acme").await;
    let (keys, admin) = (tenant.keys(), tenant.admin.with("Idempotency-Key", "one"));
    let created = admin.post(&keys, &json!({"name": "n", "permissions": []})).await.json();
    let key = format!("{keys}/{}", created["id"].as_str().expect("an id"));
    let members = format!("/orgs/{}/members", tenant.org_id);
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    // The first change inserts the row that the others lock.
    let _ = log.take();
    let admin = tenant.admin.with("Idempotency-Key", "two");
    assert_eq!(admin.post(&keys, &json!({"name": "n", "permissions": []})).await.status, 200);
    assert_eq!(tenant.admin.patch(&key, &json!({"name": "other"})).await.status, 200);
    assert_eq!(tenant.admin.post(&format!("{key}/rotate"), &json!({"grace_seconds": 60})).await.status, 200);
    assert_eq!(tenant.admin.delete(&key).await.status, 200);
    assert_eq!(tenant.admin.post(&format!("{key}/restore"), &json!({})).await.status, 200);
    let set = json!({"name": "set", "permissions": []});
    assert_eq!(tenant.admin.post(&sets, &set).await.status, 200);
    let member = json!({"user_name": "Ada", "user_email": "ada@example.com", "permissions": []});
    let answer = tenant.admin.post(&members, &member).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let transactions = after_lock(&log.take());
    assert!(transactions.len() >= 7, "{transactions:#?}");
    for statements in transactions {
        assert_eq!(statements.last().map(String::as_str), Some("COMMIT"), "{statements:#?}");
        assert!(statements.len() <= 2, "{statements:#?}");
    }
    create(&tenant, &vec![json!({"name": "n", "permissions": []}); 1_000]).await;
    let transactions = after_lock(&log.take());
    // A thousand events are divided among a few statements.
    assert!(transactions.len() == 1 && transactions[0].len() <= 12, "{transactions:#?}");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn bulk_creation_takes_few_and_short_statements() {
    let (app, log) = recorded().await;
    let tenant = app.tenant("Acme").await;
    let key = |n: usize| json!({"name": format!("key {n}"), "permissions": ["files:read"]});
    let _ = log.take();
    create(&tenant, &(0..1_000).map(key).collect::<Vec<_>>()).await;
    let bursts = log.take();
    let executed: Vec<&str> =
        bursts.iter().map(|burst| burst.statement.as_str()).filter(|statement| !statement.is_empty()).collect();
    // Thirty for what is sent in a transaction, the others for the authentication of the caller.
    assert!(executed.len() <= 45, "{} statements: {executed:#?}", executed.len());
    // Their text does not depend on the number of keys, so that the server prepares them once.
    assert!(executed.iter().all(|statement| statement.len() < 4_096));
}
