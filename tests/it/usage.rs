//! Usage: the number of verifications over time, of each key, and of those with the most.

pub(crate) mod by_day;
pub(crate) mod ranking;
pub(crate) mod series;

use harness::{Caller, TestApp};
use serde_json::{Value, json};

/// Verifies a key `count` times. Every verification has the expected code.
async fn verify(caller: &Caller, key: &str, permissions: &[&str], (count, code): (usize, &str)) {
    for _ in 0..count {
        let answer = caller.post("/api_keys/verify", &json!({"key": key, "permissions": permissions})).await;
        assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(code)), "{}", answer.text);
    }
}

async fn usage(caller: &Caller, path: &str) -> Value {
    let answer = caller.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

/// Restarts the service, so that all counts are written.
async fn restart(app: TestApp) -> TestApp {
    let before = app.now_seconds();
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    app.clock.advance_seconds(before - app.now_seconds());
    app
}
