//! `CLAVIGER_SHUTDOWN_DELAY`: after the signal to stop the service is not ready, but serves until the delay has passed.

use harness::{Process, TestDatabase, wait_until};

#[tokio::test]
async fn during_the_delay_the_service_is_not_ready_but_accepts_connections() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SHUTDOWN_DELAY", "10min")]);
    // Each request has its own connection.
    let anyone = process.anyone();
    assert_eq!(anyone.get("/health/ready").await.status, 200);
    process.signal("TERM");
    let answer = wait_until("the service not to be ready", async || {
        let answer = anyone.get("/health/ready").await;
        if answer.status == 503 { Ok(answer) } else { Err(answer.status) }
    })
    .await;
    assert_eq!(answer.text, r#"{"status":"stopping"}"#);
    assert_eq!(anyone.get("/health/live").await.status, 200);
    assert_eq!(anyone.get("/me").await.status, 401, "requests are served");
    // A second signal ends the delay, and no request.
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("CLAVIGER_SHUTDOWN_DELAY") && log.contains("\"stopped\""), "{log}");
}

#[test]
fn the_delay_ends() {
    let database = TestDatabase::sqlite();
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_SHUTDOWN_DELAY", "50ms")]);
    process.signal("INT");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}
