//! What is right, and how what is wrong is told.

use clap::{FromArgMatches, Parser};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn check(flags: &[&str]) -> Result<Config, String> {
    let line = std::iter::once("claviger").chain(flags.iter().copied());
    let matches = <Line as clap::CommandFactory>::command().mut_args(|arg| arg.env(None)).get_matches_from(line);
    let line = Line::from_arg_matches(&matches).expect("every setting is a text");
    line.arguments.check().map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_defaults_are_good() {
    let config = check(&[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.public_origin, "http://127.0.0.1:8080");
    assert_eq!(config.database_shown(), "sqlite://claviger.db");
}

#[test]
fn all_mistakes_are_told_without_the_values() {
    let wrong = [
        "--listen=secret",
        "--metrics-listen=secret",
        "--database-url=mysql://secret",
        "--database-connections=0",
        "--database-timeout=secret",
        "--staleness-bound=100ms",
        "--cache-keys=-1",
        "--cache-mib=0",
        "--max-keys=0",
        "--max-members=secret",
        "--max-permission-sets=-1",
        "--max-changes=999",
        "--dashboard=secret",
        "--signup=secret",
        "--signup-rate=0",
        "--auth-failure-rate=-1",
        "--management-rate=0",
        "--trusted-proxies=10.0.0.0/33",
        "--public-origin=https://keys.example/secret",
        "--request-timeout=0s",
        "--max-connections=secret",
        "--shutdown-timeout=secret",
        "--log=se=cr=et",
    ];
    let mistakes = check(&wrong).err().expect("everything is wrong");
    assert_eq!(mistakes.lines().count(), wrong.len(), "{mistakes}");
    assert!(!mistakes.contains("secret"), "{mistakes}");
}

#[test]
fn a_password_is_not_shown() {
    let config = check(&["--database-url=postgres://me:hunter2@db.example:5433/keys?password=hunter2"]);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.database_shown(), "postgres://db.example:5433/keys");
}

#[test]
fn origins_are_as_browsers_write_them() {
    assert_eq!(origin("https://Keys.Example:443/"), Some("https://keys.example".to_owned()));
    assert_eq!(origin("http://[::1]:8080"), Some("http://[::1]:8080".to_owned()));
    for text in ["keys.example", "https://keys.example/path", "ftp://keys.example", "https://me@keys.example", "null"] {
        assert_eq!(origin(text), None, "{text}");
    }
}
