//! Transactions that the database aborts because of a deadlock or a serialization failure are retried.

use domain::keys::quota::Quota;
use futures_util::{future::join_all, join};
use harness::{KeySpec, Process, RowLock, TestApp, TestDatabase, wait_until, within};
use serde_json::json;

fn limited(remaining: u64) -> KeySpec {
    KeySpec { quota: Quota { remaining: Some(remaining), ..Quota::default() }, ..KeySpec::with(&[]) }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn a_deadlock_while_counting_uses_is_retried() {
    let database = TestDatabase::fresh().await;
    // A waiting transaction looks for a deadlock once, after this time. The holder must wait by then.
    database.set_long_deadlock_timeout().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let (first, first_key) = app.key(&tenant.org_id, limited(1_000)).await;
    app.clock.advance_seconds(1);
    let (second, second_key) = app.key(&tenant.org_id, limited(1_000)).await;
    for remaining in (0..1_000).rev() {
        let holder = RowLock::of(&app.database, &second).await;
        let verify = async {
            let keys = json!({"keys": [{"key": first_key}, {"key": second_key}]});
            let answer = tenant.admin.post("/api_keys/verify_batch", &keys).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let verdicts = answer.json()["results"].clone();
            assert!(verdicts.as_array().expect("verdicts").iter().all(|verdict| verdict["remaining"] == remaining));
        };
        let hold = async {
            holder.wait_for_waiter().await;
            // The two keys are counted in one transaction or in two. In one, it and the holder wait for each other.
            let is_deadlock = holder.is_held_by_others(&first).await;
            if is_deadlock {
                holder.lock(&first).await;
            }
            drop(holder);
            is_deadlock
        };
        let ((), is_deadlock) = within("the end of a deadlock", async { join!(verify, hold) }).await;
        let left = i64::from(remaining);
        let counts = (Some(left), 0, 1_000 - left);
        assert_eq!((app.counts(&first).await, app.counts(&second).await), (counts, counts));
        if is_deadlock {
            break;
        }
    }
    wait_until("a deadlock", async || {
        let deadlocks = app.database.deadlocks().await;
        (deadlocks > 0).then_some(()).ok_or(deadlocks)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn serialization_failures_are_retried() {
    let database = TestDatabase::fresh().await;
    database.make_serializable().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_LOG", "warn,claviger=info")];
    let nodes = [Process::serve(&settings), Process::serve(&settings)];
    let callers = nodes.each_ref().map(|node| {
        let anyone = node.anyone();
        anyone.keeping_connections().with_bearer(tenant.admin.bearer())
    });
    let (id, key) = app.key(&tenant.org_id, limited(200)).await;
    let asks = (0..300).map(|n| {
        let (caller, body) = (&callers[n % 2], json!({"key": key}));
        async move {
            let answer = caller.post("/api_keys/verify", &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            u64::from(answer.json()["valid"] == true)
        }
    });
    // Meanwhile the same row is changed, but not its limit.
    let changes = async {
        for n in 0..20 {
            let update = json!({"keyId": id, "name": format!("n{n}")});
            let answer = callers[n % 2].post("/api/auth/api-key/update", &update).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    };
    let (valid, ()) = join!(join_all(asks), changes);
    assert_eq!(valid.iter().sum::<u64>(), 200);
    assert_eq!(app.counts(&id).await, (Some(0), 0, 200));
}
