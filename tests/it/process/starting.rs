//! The start of the service: errors in one sentence, and no warnings where nothing is wrong.

use std::{net::TcpListener, process::Output};

use harness::{Process, TestApp, TestDatabase, binary_after};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_start_with_an_address_in_use_does_not_create_a_database() {
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
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "no database was created");
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
async fn a_first_start_logs_no_warnings() {
    let database = TestDatabase::empty().await;
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", database.url())]);
    let address = process.address;
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let warned = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
    // The limit of open files depends on the machine.
    let warned: Vec<&str> = warned.filter(|line| !line.contains("open files")).collect();
    assert!(warned.is_empty(), "{warned:?}");
    assert!(!log.contains("Applying") && !log.contains("already exists"), "no line for each migration: {log}");
    let started = log.lines().take_while(|line| !line.contains("stopping"));
    let last = started.last().expect("a line");
    // On PostgreSQL there is no signing key, so the dashboard cannot be used.
    let [with_key, without] =
        [format!("Open http://{address} — no key yet? Sign up there."), format!("Serving http://{address} — ")];
    assert!(last.contains(&with_key) || last.contains(&without), "{last}");
}

#[test]
fn the_last_line_says_how_to_get_a_key() {
    let database = TestDatabase::sqlite();
    for (dashboard, sign_up, expected) in [
        ("on", "closed", "Open http://ORIGIN — no key yet? Run `claviger bootstrap`."),
        ("off", "closed", "Serving http://ORIGIN — no key yet? Run `claviger bootstrap`."),
        ("off", "open", "Serving http://ORIGIN — no key yet? Send POST http://ORIGIN/auth/create-key."),
    ] {
        let settings =
            [("CLAVIGER_DASHBOARD", dashboard), ("CLAVIGER_SIGNUP", sign_up), ("CLAVIGER_LISTEN", "0.0.0.0:0")];
        let process = Process::serve(&[&[("CLAVIGER_DATABASE_URL", database.url())], &settings[..]].concat());
        let origin = format!("localhost:{}", process.address.port());
        process.signal("TERM");
        let log = process.wait().1;
        assert!(log.contains(&expected.replace("ORIGIN", &origin)), "{log}");
    }
}

#[test]
fn what_clients_on_other_machines_need_is_logged_as_warnings() {
    const ORIGIN: &str = "CLAVIGER_PUBLIC_ORIGIN is not set: no access tokens are issued";
    const SIGN_UP: &str = "sign-up is closed, because clients on other machines can connect";
    let database = TestDatabase::sqlite();
    for (settings, expected) in [
        (&[("CLAVIGER_LISTEN", "0.0.0.0:0")][..], &[ORIGIN, SIGN_UP][..]),
        (&[("CLAVIGER_LISTEN", "0.0.0.0:0"), ("CLAVIGER_SIGNUP", "closed")], &[ORIGIN]),
        (&[("CLAVIGER_PUBLIC_ORIGIN", "https://keys.example.com")], &[SIGN_UP]),
        (&[("CLAVIGER_TRUSTED_PROXIES", "127.0.0.1")], &[SIGN_UP]),
        (&[("CLAVIGER_TRUSTED_PROXIES", "127.0.0.1"), ("CLAVIGER_SIGNUP", "open")], &[]),
    ] {
        let process = Process::serve(&[&[("CLAVIGER_DATABASE_URL", database.url())], settings].concat());
        process.signal("TERM");
        let log = process.wait().1;
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("\"WARN\"")).collect();
        for text in [ORIGIN, SIGN_UP] {
            let count = warned.iter().filter(|line| line.contains(text)).count();
            assert_eq!(count, usize::from(expected.contains(&text)), "{settings:?}: {text}: {warned:?}");
        }
    }
}

#[test]
fn a_missing_directory_of_the_database_is_named() {
    for command in ["serve", "migrate", "bootstrap"] {
        let output = Process::run(&[command], &[("CLAVIGER_DATABASE_URL", "sqlite:///nonexistent/claviger.db")]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(
            text.contains("the directory /nonexistent does not exist; create it, or correct "),
            "{command}: {text}"
        );
    }
}

#[tokio::test]
async fn a_database_of_another_application_is_refused() {
    let database = TestDatabase::sqlite();
    database.create_better_auth_keys(&[]).await;
    let before = std::fs::read(database.file()).expect("a file");
    for command in ["serve", "migrate", "bootstrap"] {
        let output = Process::run(&[command], &[("CLAVIGER_DATABASE_URL", database.url())]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.contains("this is the database of another application"), "{command}: {text}");
    }
    assert_eq!(std::fs::read(database.file()).expect("a file").len(), before.len(), "it is unchanged");
}

#[test]
fn the_open_file_limit_is_raised_and_too_low_ones_are_logged() {
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
    let line = log.lines().find(|line| line.contains("CLAVIGER_MAX_CONNECTIONS")).expect("a warning");
    let warning: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&warning["open_files"], &warning["wanted"]), (&500.into(), &10_000.into()));
    assert!(warning["connections"].as_u64().is_some_and(|connections| (100..500).contains(&connections)), "{warning}");
}

#[test]
fn the_health_command_has_a_time_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let output = Process::run(&["health"], &[("CLAVIGER_LISTEN", &address)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&address) && stderr(&output).contains("no response within"),
        "{}",
        stderr(&output)
    );
    drop(silent);
}

#[test]
fn a_refused_database_connection_is_reported() {
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
        assert!(!text.contains("unknown setting"), "{text}");
    }
}
