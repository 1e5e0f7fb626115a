//! Starts that fail, and what a start says: one plain sentence about what is wrong, and no alarm where nothing is.

use std::{net::TcpListener, process::Output, thread};

use harness::{Process, TestApp, TestDatabase, binary, binary_after};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_with_an_address_that_is_taken_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = tempfile::TempDir::new().expect("a directory");
    let url = format!("sqlite://{}/claviger.db", directory.path().display());
    for setting in ["CLAVIGER_LISTEN", "CLAVIGER_METRICS_LISTEN"] {
        let output = Process::run(&["serve"], &[("CLAVIGER_DATABASE_URL", &url), (setting, &address)]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with(&format!("claviger: cannot listen on {address}: ")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "no database was made");
}

#[tokio::test]
async fn a_start_that_fails_at_the_database_does_not_panic() {
    let app = TestApp::start().await;
    app.contract_schema().await;
    let (_, database) = app.stop().await;
    let output = Process::run(&["serve"], &[("CLAVIGER_DATABASE_URL", database.url())]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("claviger: cannot use the database") && !text.contains("panic"), "{text}");
}

#[tokio::test]
async fn a_first_start_has_nothing_to_warn_about() {
    let database = TestDatabase::empty().await;
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let warned = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
    // The number of open files is up to the machine.
    let warned: Vec<&str> = warned.filter(|line| !line.contains("open files")).collect();
    assert!(warned.is_empty(), "{warned:?}");
}

#[test]
fn as_many_files_are_opened_as_the_system_allows() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_MAX_CONNECTIONS", "10000")];
    let process = Process::serve_program(&binary_after(directory.path(), "ulimit -Sn 200; ulimit -Hn 500"), &settings);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).expect("Linux");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        line.split_whitespace().next().expect("a number").to_owned()
    };
    assert_eq!((limit("Max open files").as_str(), limit("Max core file size").as_str()), ("500", "0"));
    process.signal("TERM");
    let (_, log) = process.wait();
    let line = log.lines().find(|line| line.contains("CLAVIGER_MAX_CONNECTIONS")).expect("it warns");
    let warning: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&warning["open_files"], &warning["wanted"]), (&500.into(), &10_000.into()));
    assert!(warning["connections"].as_u64().is_some_and(|connections| (100..500).contains(&connections)), "{warning}");
}

#[test]
fn health_does_not_wait_for_a_silent_port() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    // It hangs up when the program has gone, so that a program that waits for ever is killed and not waited for.
    let child = std::process::Command::new(binary())
        .arg("health")
        .env("CLAVIGER_LISTEN", &address)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let pid = child.id();
    let (told, ended) = std::sync::mpsc::channel();
    let waiting = thread::spawn(move || {
        let output = child.wait_with_output().expect("it ends");
        let _ = told.send(());
        output
    });
    if ended.recv_timeout(std::time::Duration::from_mins(1)).is_err() {
        let _ = std::process::Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
    }
    let output = waiting.join().expect("it ended");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&address) && stderr(&output).contains("no answer within"), "{}", stderr(&output));
    drop(silent);
}

#[test]
fn a_database_server_that_refuses_is_told_so() {
    let url = "postgres://me:hunter2@127.0.0.1:1/keys";
    let settings = [("CLAVIGER_DATABASE_URL", url), ("CLAVIGER_DATABASE_TIMEOUT", "500ms")];
    let own = TestDatabase::sqlite();
    assert!(Process::run(&["migrate"], &[("CLAVIGER_DATABASE_URL", own.url())]).status.success());
    let organization = "00000000-0000-7000-8000-000000000000";
    let import = ["import", "better-auth", "--organization", organization];
    let sources = [("CLAVIGER_DATABASE_URL", own.url()), ("CLAVIGER_BETTER_AUTH_URL", url)];
    let look = Process::run(&["audit", "verify"], &settings);
    for output in [Process::run(&["serve"], &settings), look, Process::run(&import, &sources)] {
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let last = text.lines().last().expect("a line");
        assert!(last.contains("Connection refused") && !text.contains("hunter2"), "{text}");
        assert!(!text.contains("there is no such setting"), "{text}");
    }
}
