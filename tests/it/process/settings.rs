//! Settings from the environment and from files, unknown variables, and the help texts.

use std::process::Output;

use harness::{Process, TestDatabase, write_secret};
use serde_json::json;
use tempfile::TempDir;

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn the_url_of_the_database_can_be_in_a_file() {
    let directory = TempDir::new().expect("a directory");
    let (database, file) = (directory.path().join("keys.db"), directory.path().join("url"));
    write_secret(&file, &format!("sqlite://{}\n", database.display()));
    let file = file.display().to_string();
    for arguments in [vec!["migrate"], vec!["migrate", "--database-url-file", &file]] {
        let settings = [("CLAVIGER_DATABASE_URL_FILE", file.as_str())];
        let settings = if arguments.len() == 1 { &settings[..] } else { &[] };
        let output = Process::run(&arguments, settings);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(database.exists(), "{arguments:?}");
        std::fs::remove_file(&database).expect("removed");
    }
    let both = [("CLAVIGER_DATABASE_URL_FILE", file.as_str()), ("CLAVIGER_DATABASE_URL", "sqlite://x.db")];
    let output = Process::run(&["migrate"], &both);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("CLAVIGER_DATABASE_URL and CLAVIGER_DATABASE_URL_FILE are both set"));
}

#[tokio::test]
async fn the_url_of_the_database_to_import_from_can_be_in_a_file() {
    let (own, source) = (TestDatabase::fresh().await, TestDatabase::sqlite());
    source.create_better_auth_keys(&[]).await;
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("url");
    write_secret(&file, &format!("{}\n", source.url()));
    let file = file.display().to_string();
    let organization = "00000000-0000-7000-8000-000000000000";
    let import = ["import", "better-auth", "--organization", organization, "--dry-run"];
    let run =
        |more: &[(&str, &str)]| Process::run(&import, &[&[("CLAVIGER_DATABASE_URL", own.url())][..], more].concat());
    let last = |output: &Output| stderr(output).lines().last().unwrap_or_default().to_owned();
    let by_file = run(&[("CLAVIGER_BETTER_AUTH_URL_FILE", &file)]);
    let by_url = run(&[("CLAVIGER_BETTER_AUTH_URL", source.url())]);
    assert_eq!((by_file.status.code(), last(&by_file)), (by_url.status.code(), last(&by_url)));
    assert_ne!(by_file.status.code(), Some(2), "{}", stderr(&by_file));
    for wrong in [
        vec![],
        vec![("CLAVIGER_BETTER_AUTH_URL_FILE", "/nonexistent")],
        vec![("CLAVIGER_BETTER_AUTH_URL_FILE", file.as_str()), ("CLAVIGER_BETTER_AUTH_URL", source.url())],
    ] {
        assert_eq!(run(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn misspelled_settings_are_errors_and_do_not_create_a_database() {
    let directory = TempDir::new().expect("a directory");
    let url = format!("sqlite://{}/keys.db", directory.path().display());
    for (name, expected) in [
        ("CLAVIGER_DATABASE_ULR", "did you mean CLAVIGER_DATABASE_URL?"),
        ("CLAVIGER_DATABASE_HOST", "CLAVIGER_DATABASE_HOST is no setting"),
        ("CLAVIGER_SINGUP", "did you mean CLAVIGER_SIGNUP?"),
    ] {
        // The others are reported, too.
        let settings = [("CLAVIGER_DATABASE_URL", url.as_str()), (name, "hunter2"), ("CLAVIGER_DASHBOARD", "maybe")];
        let output = Process::run(&["serve"], &settings);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.contains(expected) && text.contains("CLAVIGER_DASHBOARD must be") && !text.contains("hunter2"),
            "{text}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn every_command_ends_with_2_if_a_file_with_keys_cannot_be_used() {
    let directory = TempDir::new().expect("a directory");
    let url = format!("sqlite://{}/keys.db", directory.path().display());
    let key = directory.path().join("signing.pem").display().to_string();
    let settings =
        [("CLAVIGER_DATABASE_URL", url.as_str()), ("CLAVIGER_SIGNING_KEY_FILE", &key), ("CLAVIGER_DASHBOARD", "maybe")];
    for command in ["serve", "migrate", "bootstrap", "openapi", "health", "audit verify", "retention run"] {
        let command: Vec<&str> = command.split(' ').collect();
        let output = Process::run(&command, &settings);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {text}");
        assert!(
            text.contains("CLAVIGER_SIGNING_KEY_FILE must name ") && text.contains("CLAVIGER_DASHBOARD must be "),
            "{text}"
        );
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn variables_of_kubernetes_are_ignored_and_others_are_named() {
    let kubernetes = [
        ("CLAVIGER_PORT", "tcp://10.0.0.1:80"),
        ("CLAVIGER_SERVICE_HOST", "10.0.0.1"),
        ("CLAVIGER_SERVICE_PORT", "80"),
        ("CLAVIGER_SERVICE_PORT_HTTP", "80"),
        ("CLAVIGER_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    let output = Process::run(&["openapi"], &kubernetes);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    // An empty filter of the log is the default.
    let output = Process::run(&["openapi"], &[("CLAVIGER_PORT", "8080"), ("CLAVIGER_LOG", "")]);
    assert_eq!(output.status.code(), Some(0));
    let warning: serde_json::Value = serde_json::from_str(&stderr(&output)).expect("one line of JSON");
    assert_eq!((&warning["level"], &warning["name"]), (&json!("WARN"), &json!("CLAVIGER_PORT")));
}

#[test]
fn a_log_filter_that_is_no_level_is_refused() {
    let output = Process::run(&["openapi", "--log", "shout"], &[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("CLAVIGER_LOG must be a level (error, "), "{}", stderr(&output));
}

#[test]
fn the_help_text_shows_settings_in_groups_and_once() {
    let help = |arguments: &[&str]| {
        stdout(&Process::run(arguments, &[("CLAVIGER_DATABASE_URL", "postgres://me:hunter2@db/x")]))
    };
    let all = help(&["--help"]);
    for part in
        ["Network:", "Database:", "Retention:", "Access:", "Process:", "[env: CLAVIGER_LISTEN]", "--database-url-file"]
    {
        assert_eq!(all.matches(part).count(), 1, "{part} in {all}");
    }
    assert!(!all.contains("[default: \"\"]") && !all.contains("[default: ]") && !all.contains("hunter2"), "{all}");
    for command in [vec!["serve"], vec!["health"], vec!["audit", "verify"], vec!["import", "better-auth"]] {
        let text = help(&[&command[..], &["--help"]].concat());
        assert!(!text.contains("CLAVIGER_LISTEN") && !text.contains("--database-url-file"), "{text}");
    }
    assert!(help(&["serve", "--help"]).contains("see `claviger --help`"));
    let health = Process::run(&["health", "--listen", "127.0.0.1:1"], &[]);
    assert!(stderr(&health).contains("http://127.0.0.1:1/health/ready"), "settings are accepted after the command");
}

#[test]
fn the_version_is_printed_whatever_the_settings_are() {
    let expected = format!("claviger {}\n", env!("CARGO_PKG_VERSION"));
    for argument in ["version", "--version"] {
        let output = Process::run(&[argument], &[("CLAVIGER_DASHBOARD", "maybe")]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), expected.clone()), "{argument}");
    }
}
