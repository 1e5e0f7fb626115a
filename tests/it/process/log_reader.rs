//! A log that is not read, and files that block: neither the service nor its shutdown waits for them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use api::process::system::SystemClock;
use domain::clock::Clock;
use harness::{Caller, MAX_WAIT, Process, Provider, SigningKey, TestDatabase, binary, wait_until, wait_until_blocking};
use serde_json::json;

/// Sends requests with long log lines: `each` on each of 8 connections, one after the other.
fn load(address: SocketAddr, each: usize) {
    let id = "x".repeat(100);
    let request = format!("GET /auth/check-key HTTP/1.1\r\nhost: x\r\nx-api-key: x\r\nx-request-id: {id}\r\n\r\n");
    let client = |_| {
        let request = request.clone();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(MAX_WAIT)).expect("a time limit");
            let mut buffer = [0; 4_096];
            for _ in 0..each {
                stream.write_all(request.as_bytes()).expect("sent");
                let mut answer = Vec::new();
                while !answer.ends_with(b"\"data\":null}") {
                    let count = stream.read(&mut buffer).expect("an answer in time");
                    assert!(count > 0, "the connection is closed: {}", String::from_utf8_lossy(&answer));
                    answer.extend_from_slice(&buffer[..count]);
                }
            }
        })
    };
    let clients: Vec<_> = (0..8).map(client).collect();
    for client in clients {
        client.join().expect("a response to each request");
    }
}

async fn dropped(anyone: &Caller) -> f64 {
    let text = anyone.get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("claviger_log_lines_dropped_total "));
    line.expect("it is there").parse().expect("a number")
}

#[tokio::test]
async fn an_unread_log_does_not_block_the_service() {
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_AUTH_FAILURE_RATE", "1000000")];
    let mut process = Process::serve_with_unread_log(binary(), &settings);
    let anyone = process.anyone();
    assert!(dropped(&anyone).await.abs() < f64::EPSILON);
    let address = process.address;
    tokio::task::spawn_blocking(move || load(address, 1_500)).await.expect("a response to each request");
    let body = json!({"user_name": "Ada", "user_email": "ada@example.com"});
    let key = anyone.post("/auth/create-key", &body).await.json()["data"]["api_key"].clone();
    let verified =
        anyone.with_bearer(key.as_str().expect("a key")).post("/api_keys/verify", &json!({"key": key})).await;
    assert_eq!(verified.json()["valid"], true, "{}", verified.text);
    assert_eq!(anyone.get("/health/live").await.status, 200);
    let before = dropped(&anyone).await;
    assert!(before > 0.0, "the buffer is smaller than what was written");
    // Once the log is read again, it says how many lines were dropped.
    process.read_log();
    let reported = wait_until("the line about dropped lines", async || {
        let log = process.log();
        let lines = log.lines().filter(|line| line.contains("log lines were dropped"));
        let reported: Vec<u64> =
            lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["lines"].as_u64()).collect();
        if reported.is_empty() { Err(log.lines().last().unwrap_or_default().to_owned()) } else { Ok(reported) }
    })
    .await;
    assert!(reported.iter().sum::<u64>() > 0, "{reported:?}");
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("\"message\":\"stopped\""), "the end is in the log again");
}

#[test]
fn an_unread_log_does_not_block_the_shutdown() {
    let database = TestDatabase::sqlite();
    let settings = [
        ("CLAVIGER_DATABASE_URL", database.url()),
        ("CLAVIGER_AUTH_FAILURE_RATE", "1000000"),
        ("CLAVIGER_SHUTDOWN_TIMEOUT", "2s"),
    ];
    let process = Process::serve_with_unread_log(binary(), &settings);
    // More than the pipe holds.
    load(process.address, 100);
    process.signal("TERM");
    assert_eq!(process.wait().0.code(), Some(0));
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[tokio::test]
async fn a_blocking_jwks_file_does_not_block_the_shutdown() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let (keys, issuers) = (directory.path().join("keys.json"), directory.path().join("issuers.json"));
    make_fifo(&keys);
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let mut entry = provider.entry(&json!("tenants"));
    entry["jwks"] = json!(keys);
    std::fs::write(&issuers, json!([entry]).to_string()).expect("a file");
    let (database, issuers) = (TestDatabase::sqlite(), issuers.display().to_string());
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_ISSUERS_FILE", &issuers)]);
    let token = key.sign(&provider.claims("ada", SystemClock.now().millis() / 1_000));
    let answer = process.anyone().with_bearer(&token).get("/me").await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        log.contains("cannot read the JWKS of an identity provider") && !log.contains("the database is unavailable"),
        "{log}"
    );
}

/// A process that does not outlive its test.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process has a handler of SIGTERM.
fn handles_sigterm(pid: u32) -> bool {
    const SIGTERM_BIT: u64 = 1 << 14;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & SIGTERM_BIT != 0))
}

#[test]
fn a_second_signal_ends_a_blocked_start() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let key = directory.path().join("key.pem");
    make_fifo(&key);
    let database = TestDatabase::sqlite();
    let child = Command::new(binary())
        .arg("serve")
        .env("CLAVIGER_LISTEN", "127.0.0.1:0")
        .env("CLAVIGER_DATABASE_URL", database.url())
        .env("CLAVIGER_SIGNING_KEY_FILE", &key)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut child = KillOnDrop(child);
    let pid = child.0.id();
    wait_until_blocking("a handler of SIGTERM", || handles_sigterm(pid).then_some(()).ok_or("none"));
    // Several, because signals that arrive before the first is handled count as one.
    let status = wait_until_blocking("the end of the process", || {
        let kill = Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status();
        assert!(kill.expect("kill runs").success());
        child.0.try_wait().expect("a child").ok_or("it runs")
    });
    assert_eq!((status.code(), status.signal()), (Some(1), None));
}
