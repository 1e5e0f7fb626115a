//! What the database undoes because somebody else is at the same rows is done again, and nobody notices.

use std::time::{Duration, Instant};

use domain::quota::Quota;
use futures_util::{future::join_all, join};
use harness::{Caller, Holder, KeySpec, Process, TestApp, TestDatabase};
use serde_json::json;

fn limited(remaining: u64) -> KeySpec {
    KeySpec { quota: Quota { remaining: Some(remaining), ..Quota::default() }, ..KeySpec::with(&[]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_of_the_ledger_is_not_noticed() {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return; // SQLite has one writer.
    }
    // A wait looks for a deadlock once, after this time; the holder must have begun to wait by then.
    database.make_patient().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let (first, first_key) = app.key(&tenant.org_id, limited(1_000)).await;
    app.clock.advance_seconds(1);
    let (second, second_key) = app.key(&tenant.org_id, limited(1_000)).await;
    let since = Instant::now();
    for remaining in (0..1_000).rev() {
        let holder = Holder::of(&app.database, &second).await;
        let verify = async {
            let keys = json!({"keys": [{"key": first_key}, {"key": second_key}]});
            let answer = tenant.admin.post("/api_keys/verify_batch", &keys).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let verdicts = answer.json()["results"].clone();
            assert!(verdicts.as_array().expect("verdicts").iter().all(|verdict| verdict["remaining"] == remaining));
        };
        let hold = async {
            while !holder.is_waited_for().await {
                assert!(since.elapsed() < Duration::from_mins(1), "nobody waits");
            }
            // The two are counted together or one after the other, as it happens. Together, each has what the other wants.
            let is_deadlock = holder.is_held_by_others(&first).await;
            if is_deadlock {
                holder.also(&first).await;
            }
            drop(holder);
            is_deadlock
        };
        let ((), is_deadlock) = join!(verify, hold);
        let left = i64::from(remaining);
        let counts = (Some(left), 0, 1_000 - left);
        assert_eq!((app.counts(&first).await, app.counts(&second).await), (counts, counts));
        if is_deadlock {
            break;
        }
    }
    while app.database.deadlocks().await == 0 {
        assert!(since.elapsed() < Duration::from_mins(1), "there was no deadlock");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_cannot_be_put_into_an_order_are_made_again() {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return; // SQLite has one writer.
    }
    database.make_serializable().await;
    let app = TestApp::start_on(database, |_| {}).await;
    let tenant = app.tenant("Acme").await;
    let settings = [("CLAVIGER_DATABASE_URL", app.database.url()), ("CLAVIGER_LOG", "warn,claviger=info")];
    let nodes = [Process::serve(&settings), Process::serve(&settings)];
    let callers = nodes.each_ref().map(|node| {
        let anyone = Caller::anyone(format!("http://{}", node.address));
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
    // Changes of the same row meanwhile: they leave the limit as it is.
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
