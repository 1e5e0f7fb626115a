//! Valid settings, and how invalid ones are reported.

use clap::{FromArgMatches, Parser};

use super::{values::cors_origins, *};
use crate::http::origin::cors::{CorsOrigins, OriginPattern};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn read(flags: &[&str]) -> (Arguments, ArgMatches) {
    let line = std::iter::once("claviger").chain(flags.iter().copied());
    let matches = <Cli as clap::CommandFactory>::command().mut_args(|arg| arg.env(None)).get_matches_from(line);
    let line = Cli::from_arg_matches(&matches).expect("every argument is parsed as text");
    (line.arguments, matches)
}

fn check(flags: &[&str]) -> Result<Config, String> {
    let (arguments, matches) = read(flags);
    arguments.check(&matches, &UnknownSettings::default()).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_default_settings_are_valid() {
    let config = check(&[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.public_url.as_ref().map(PublicUrl::issuer).as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(config.cors_origins, CorsOrigins::Off);
    assert_eq!(config.database_url_without_secrets(), "sqlite://claviger.db");
}

#[test]
fn all_invalid_settings_are_reported_without_their_values() {
    let wrong = [
        "--listen=secret",
        "--metrics-listen=secret",
        "--database-url=mysql://secret",
        "--database-connections=0",
        "--database-timeout=secret",
        "--staleness-bound=100ms",
        "--cache-keys=-1",
        "--cache-mib=0",
        "--max-api-keys=0",
        "--max-members=secret",
        "--max-permission-sets=-1",
        "--max-changes=999",
        "--deleted-organizations-kept=secret",
        "--dashboard=secret",
        "--signup=secret",
        "--signup-rate=0",
        "--auth-failure-rate=-1",
        "--management-rate=0",
        "--trusted-proxies=10.0.0.0/33",
        "--public-origin=secret",
        "--cors-origins=https://a.example,secret",
        "--provider-session-time=13h",
        "--request-timeout=0s",
        "--max-connections=secret",
        "--shutdown-delay=11min",
        "--shutdown-timeout=secret",
        "--log=se=cr=et",
    ];
    let mistakes = check(&wrong).err().expect("all settings are invalid");
    assert_eq!(mistakes.lines().count(), wrong.len(), "{mistakes}");
    let flags = wrong.iter().filter_map(|flag| flag.strip_prefix("--")?.split_once('='));
    for (line, (flag, _)) in mistakes.lines().zip(flags) {
        let name = format!("CLAVIGER_{} must be ", flag.replace('-', "_").to_uppercase());
        assert!(line.starts_with(&name), "{line}");
    }
    assert!(!mistakes.contains("secret"), "{mistakes}");
}

#[test]
fn sign_up_is_by_address_unless_it_is_set() {
    let mode = |flags: &[&str]| check(flags).map(|config| (config.sign_up, config.is_sign_up_open()));
    assert_eq!(mode(&[]), Ok((SignUpMode::Automatic, true)));
    for remote in ["--listen=0.0.0.0:8080", "--public-origin=https://keys.example.com", "--trusted-proxies=127.0.0.1"] {
        assert_eq!(mode(&[remote]), Ok((SignUpMode::Automatic, false)), "{remote}");
    }
    assert_eq!(mode(&["--listen=0.0.0.0:8080", "--signup=open"]), Ok((SignUpMode::Open, true)));
    assert_eq!(mode(&["--signup=closed"]), Ok((SignUpMode::Closed, false)));
}

#[test]
fn trusted_proxies_are_parsed_as_the_addresses_of_a_key() {
    let flag = |text: &str| check(&[&format!("--trusted-proxies={text}")]).map(|config| config.trusted_proxies);
    let trusted = flag("10.0.0.0/8, ::1,::ffff:192.0.2.0/120,").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let contains = |address: &str| trusted.contains(address.parse().expect("an address"));
    assert!(contains("10.1.2.3") && contains("::1") && contains("192.0.2.7") && !contains("192.0.3.1"));
    let mistakes = flag("192.0.2.1,10.0.0.1/8").err();
    let expected =
        "CLAVIGER_TRUSTED_PROXIES must be networks without bits after the prefix: 10.0.0.0/8, not 10.0.0.1/8";
    assert_eq!(mistakes.as_deref(), Some(expected));
}

#[test]
fn every_setting_has_a_help_text() {
    let command = <Cli as clap::CommandFactory>::command();
    let settings = command.get_arguments().filter(|argument| argument.get_env().is_some());
    let helps: Vec<String> = settings.filter_map(clap::Arg::get_help).map(ToString::to_string).collect();
    assert_eq!(helps.len(), command.get_arguments().filter(|argument| argument.get_env().is_some()).count());
    assert_eq!(helps[0], "Address and port to serve on");
}

#[test]
fn the_database_password_is_not_shown() {
    let config = check(&["--database-url=postgres://me:hunter2@db.example:5433/keys?password=hunter2"]);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.database_url_without_secrets(), "postgres://db.example:5433/keys");
}

#[test]
fn the_listen_address_is_the_public_url_only_on_loopback() {
    for (flags, issuer, warns) in [
        (&["--listen=127.0.0.1:80"][..], Some("http://127.0.0.1"), false),
        (&["--listen=[::1]:8080"], Some("http://[::1]:8080"), false),
        (&["--listen=0.0.0.0:8080"], None, true),
        (&["--listen=[::]:8080"], None, true),
        (&["--listen=10.0.0.9:8080"], None, true),
        (
            &["--listen=0.0.0.0:8080", "--public-origin=https://example.com/keys"],
            Some("https://example.com/keys"),
            false,
        ),
        (&["--public-origin=http://keys.example"], Some("http://keys.example"), true),
        (&["--public-origin=http://localhost:8080"], Some("http://localhost:8080"), false),
    ] {
        let config = check(flags).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let warning = config.public_url_warning();
        assert_eq!(config.public_url.as_ref().map(PublicUrl::issuer).as_deref(), issuer, "{flags:?}");
        assert_eq!(warning.is_some(), warns, "{flags:?}");
        assert!(warning.is_none_or(|warning| warning.contains("CLAVIGER_PUBLIC_ORIGIN")));
    }
}

#[test]
fn cors_origins_are_a_list_or_an_asterisk() {
    let origins = |text: &str| cors_origins(text).ok();
    let pattern = |text: &str| OriginPattern::parse(text).expect("a pattern");
    let two = CorsOrigins::Matching(vec![pattern("https://a.example"), pattern("https://*.b.example")]);
    for text in ["https://a.example,https://*.b.example", " https://a.example ,\nhttps://*.b.example\n"] {
        assert_eq!(origins(text), Some(two.clone()), "{text}");
    }
    assert_eq!(origins("*"), Some(CorsOrigins::Any));
    assert_eq!(origins(" "), Some(CorsOrigins::Off));
    for text in ["*,https://a.example", "null", "https://a.example/path", "a.example"] {
        assert_eq!(origins(text), None, "{text}");
    }
}

#[test]
fn log_filters_are_levels_and_levels_of_targets() {
    for filter in
        ["", "info", "DEBUG", "off", "warn,claviger=debug", "claviger=trace", "claviger[request{org_id}]=debug"]
    {
        assert!(check(&["--log", filter]).is_ok(), "{filter}");
    }
    for filter in ["shout", "inf", "claviger", "claviger=shout", "info,claviger"] {
        let mistakes = check(&["--log", filter]).err().expect(filter);
        assert!(mistakes.starts_with("CLAVIGER_LOG must be a level (error, warn, "), "{mistakes}");
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn flag(name: &str, file: &tempfile::NamedTempFile) -> String {
    format!("--{name}={}", file.path().display())
}

#[test]
fn secrets_and_lists_can_be_in_files() {
    let (url, networks) = (file("postgres://me:hunter2@db/keys\n"), file("10.0.0.0/8\n::1, 192.0.2.1\n\n"));
    let config = check(&[&flag("database-url-file", &url), &flag("trusted-proxies-file", &networks)]);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.database_url, "postgres://me:hunter2@db/keys");
    let listed = check(&["--trusted-proxies=10.0.0.0/8,::1,192.0.2.1"]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.trusted_proxies.0, listed.trusted_proxies.0);
    let mistakes = check(&["--database-url-file="]).err();
    assert_eq!(mistakes.as_deref(), Some("CLAVIGER_DATABASE_URL_FILE must name a file; remove it if there is none"));
}

#[test]
fn wrong_files_are_reported_without_their_content() {
    let (wrong, several) = (file("mysql://hunter2"), file("postgres://me:hunter2@db/keys\npostgres://hunter2/x"));
    for (flags, expected) in [
        (vec![flag("database-url-file", &wrong)], "the content of CLAVIGER_DATABASE_URL_FILE must be like sqlite://"),
        (vec![flag("database-url-file", &several)], "the content of CLAVIGER_DATABASE_URL_FILE must be one line"),
        (vec!["--database-url-file=/nonexistent".to_owned()], "CLAVIGER_DATABASE_URL_FILE must name a readable file: "),
        (
            vec![flag("database-url-file", &wrong), "--database-url=sqlite://claviger.db".to_owned()],
            "CLAVIGER_DATABASE_URL and CLAVIGER_DATABASE_URL_FILE are both set: remove one of them",
        ),
        (vec![flag("trusted-proxies-file", &wrong)], "the content of CLAVIGER_TRUSTED_PROXIES_FILE must be addresses"),
        (vec!["--tls-cert-file=a".to_owned()], "CLAVIGER_TLS_KEY_FILE must be set, because CLAVIGER_TLS_CERT_FILE is"),
        (vec!["--tls-key-file=a".to_owned()], "CLAVIGER_TLS_CERT_FILE must be set, because CLAVIGER_TLS_KEY_FILE is"),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mistakes = check(&flags).err().expect(expected);
        assert!(mistakes.starts_with(expected) && mistakes.lines().count() == 1, "{mistakes}");
        assert!(!mistakes.contains("hunter2"), "{mistakes}");
    }
}

#[test]
fn with_tls_the_default_origin_is_https() {
    let (arguments, _) = read(&["--tls-cert-file=a", "--tls-key-file=b"]);
    let has_tls = arguments.has_tls(&mut ConfigErrors::default());
    let url = arguments.public_url_or_default(has_tls);
    assert_eq!(url.as_ref().map(PublicUrl::issuer).as_deref(), Some("https://127.0.0.1:8080"));
}

#[test]
fn files_with_keys_are_checked_with_the_other_settings() {
    let (empty, open) = (file(""), file("-----BEGIN PRIVATE KEY-----"));
    std::fs::set_permissions(open.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("changed");
    for (key, expected) in [
        (flag("signing-key-file", &empty), "it must contain Ed25519 private keys"),
        (flag("signing-key-file", &open), "other users can read or change the file"),
        ("--signing-key-file=/nonexistent".to_owned(), "No such file"),
        ("--signing-key-file=/".to_owned(), "/: "),
    ] {
        let tls_key = flag("tls-key-file", &empty);
        let flags = [key.as_str(), "--tls-cert-file=/nonexistent", &tls_key, "--signup=maybe"];
        let mistakes = check(&flags).err().expect(expected);
        let lines: Vec<&str> = mistakes.lines().collect();
        assert_eq!(lines.len(), 3, "{mistakes}");
        assert!(lines[0].starts_with("CLAVIGER_SIGNUP must be "), "{mistakes}");
        assert!(
            lines[1].starts_with("CLAVIGER_SIGNING_KEY_FILE must name ") && lines[1].contains(expected),
            "{mistakes}"
        );
        assert!(lines[2].starts_with("CLAVIGER_TLS_CERT_FILE and CLAVIGER_TLS_KEY_FILE must name "), "{mistakes}");
    }
}

#[test]
fn clients_on_other_machines_are_expected_by_address_origin_and_proxies() {
    for (flags, expected) in [
        (&["--listen=127.0.0.2:8080"][..], true),
        (&["--listen=[::1]:8080"], true),
        (&["--listen=[::ffff:127.0.0.1]:8080"], true),
        (&["--listen=[::]:8080"], false),
        (&["--listen=192.0.2.1:8080"], false),
        (&["--public-origin=http://localhost:8080"], true),
        (&["--public-origin=http://[::1]:8080"], true),
        (&["--public-origin=http://keys.example.com"], false),
        (&["--trusted-proxies=::1"], false),
        (&["--trusted-proxies=10.0.0.0/8", "--public-origin=http://localhost:8080"], false),
    ] {
        let config = check(flags).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(config.is_for_this_machine(), expected, "{flags:?}");
    }
}
