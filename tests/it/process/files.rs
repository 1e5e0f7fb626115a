//! Files that the service creates can be read by their owner only, and the root key is not lost.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use harness::{Process, TestDatabase, binary, run_to_end};
use serde_json::json;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn created_files_are_readable_by_their_owner_only() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("claviger.db");
    let url = format!("sqlite://{}", path.display());
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", &url)]);
    let body = json!({"user_name": "Ada", "user_email": "ada@example.com"});
    let answer = process.anyone().post("/auth/create-key", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        names.push(entry.file_name().into_string().expect("text"));
    }
    names.sort();
    let endings = ["", "-shm", "-wal", ".lock", ".signing-key.pem"];
    assert_eq!(names, endings.map(|ending| format!("claviger.db{ending}")));
    process.signal("TERM");
    let log = process.wait().1;
    assert!(!log.contains("other users can read"), "{log}");
    // It warns of an existing file that others can read.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let process = Process::serve(&[("CLAVIGER_DATABASE_URL", &url)]);
    process.signal("TERM");
    let log = process.wait().1;
    assert!(log.contains("other users can read the database file"), "{log}");
}

#[test]
fn bootstrap_writes_the_root_key_to_a_file() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("root.key");
    let name = path.display().to_string();
    let database = TestDatabase::sqlite();
    let settings = [("CLAVIGER_DATABASE_URL", database.url())];
    let bootstrap = |more: &[&str]| Process::run(&[&["bootstrap", "--output", &name], more].concat(), &settings);
    let nothing = bootstrap(&["--again"]);
    assert_eq!((nothing.status.code(), path.exists()), (Some(1), false), "no key, no file");
    assert!(stderr(&nothing).contains("there is no database at"), "{}", stderr(&nothing));
    let first = bootstrap(&[]);
    assert_eq!((first.status.code(), first.stdout.as_slice()), (Some(0), &b""[..]), "{}", stderr(&first));
    let key = std::fs::read_to_string(&path).expect("it is there");
    assert!(key.starts_with("cvg_") && key.ends_with('\n') && key.lines().count() == 1);
    assert_eq!(mode(&path), 0o600);
    let second = bootstrap(&["--again"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("not overwritten"), "{}", stderr(&second));
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), key);
    let nowhere = Process::run(&["bootstrap", "--again", "--output", "/nonexistent/root.key"], &settings);
    assert!(nowhere.status.code() == Some(1) && stderr(&nowhere).contains("/nonexistent/root.key"));
}

/// Runs `claviger bootstrap` with this redirection of the shell.
fn bootstrap(database: &TestDatabase, redirection: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" bootstrap {redirection}")).arg(binary());
    run_to_end(shell.env("CLAVIGER_DATABASE_URL", database.url()))
}

#[test]
fn bootstrap_fails_if_the_root_key_cannot_be_printed() {
    let database = TestDatabase::sqlite();
    for redirection in [">&-", "> /dev/null"] {
        let lost = bootstrap(&database, redirection);
        assert_eq!(lost.status.code(), Some(1), "{redirection}");
        assert!(stderr(&lost).contains("--output FILE"), "{redirection}: {}", stderr(&lost));
    }
    // An output that cannot be written is only found when the key is printed: the key exists, and the error says what to do.
    for redirection in ["> /dev/full", "--again 1< /dev/zero"] {
        let lost = bootstrap(&database, redirection);
        assert_eq!(lost.status.code(), Some(1), "{redirection}");
        assert!(stderr(&lost).contains("bootstrap --again"), "{redirection}: {}", stderr(&lost));
    }
    let again = Process::run(&["bootstrap", "--again"], &[("CLAVIGER_DATABASE_URL", database.url())]);
    assert!(again.status.success() && again.stdout.starts_with(b"cvg_"), "{}", stderr(&again));
}
