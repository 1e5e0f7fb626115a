//! The rules of the house that a program can check, so that nobody has to remember them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder of the workspace, with their path from its root.
fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder, &["rs"])
}

/// All files below a folder that end like this.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut folders = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // What is installed and what is built is not ours to write.
                if !path.ends_with("node_modules") && !path.ends_with("dist") {
                    folders.push(path);
                }
            } else if extensions.iter().any(|extension| path.extension().is_some_and(|own| own == *extension)) {
                let name = path.strip_prefix(root()).expect("below").display().to_string();
                sources.push((name, read(&path)));
            }
        }
    }
    assert!(!sources.is_empty(), "{folder} has sources");
    sources
}

const CRATES: [&str; 4] = ["domain", "migration", "persistence", "api"];

fn every_source() -> Vec<(String, String)> {
    CRATES.iter().chain(&["tests"]).flat_map(|name| sources(name)).collect()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().expect("the first part")
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn the_top_level_is_fixed() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "CHANGELOG.md",
        "Dockerfile",
        "LICENSE",
        "README.md",
        "api",
        "docs",
        "domain",
        "migration",
        "persistence",
        "tests",
    ]
    .into();
    for entry in fs::read_dir(root()).expect("the workspace") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        let made_by_use = name == "target" || name.starts_with("claviger.db");
        assert!(allowed.contains(name.as_str()) || name.starts_with('.') || made_by_use, "{name} at the top");
    }
}

/// The most lines of code, without comments and blank lines, that a file may have.
const MAX_CODE_LINES: usize = 400;

#[test]
fn files_are_short_and_say_what_they_are() {
    for (name, text) in every_source() {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = text.lines().filter(is_code).count();
        assert!(lines <= MAX_CODE_LINES, "{name} has {lines} lines of code: split it by what its parts do");
        assert!(text.starts_with("//!"), "{name} does not begin by saying what it is");
    }
}

#[test]
fn the_dashboard_is_short_files_without_markup_from_texts() {
    let is_source = |(name, _): &(String, String)| !name.ends_with("schema.d.ts");
    let sources = files("api/dashboard", &["ts", "tsx", "css"]);
    for (name, text) in sources.into_iter().chain(files("tests/dashboard", &["ts"])).filter(is_source) {
        let lines = text.lines().count();
        assert!(lines <= 320, "{name} has {lines} lines: it is two files");
        let is_configuration = name.ends_with(".config.ts");
        let begins = text.starts_with("// ") || text.starts_with("/* ") || is_configuration;
        assert!(begins, "{name} does not begin by saying what it is");
        for word in ["innerHTML", "dangerouslySetInnerHTML", "eval(", "sessionStorage", "@import"] {
            assert!(!text.contains(word) || name == "tests/dashboard/secrets.spec.ts", "{name}: {word}");
        }
    }
}

#[test]
fn crates_depend_in_one_direction() {
    let forbidden: [(&str, &[&str]); 4] = [
        ("domain", &["serde", "sea-orm", "poem", "tokio", "tracing", "persistence", "migration", "claviger"]),
        ("migration", &["domain", "persistence", "api", "poem"]),
        ("persistence", &["api", "poem", "serde_json"]),
        ("api", &["sea-orm", "migration"]),
    ];
    for (name, forbidden) in forbidden {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().expect("a name");
            assert!(!forbidden.contains(&dependency), "{name} depends on {dependency}");
        }
    }
}

#[test]
fn only_compose_names_persistence() {
    for (name, text) in sources("api") {
        if name != "api/src/compose.rs" {
            for line in code_lines(&text) {
                assert!(!line.contains("persistence::") && !line.contains("sea_orm"), "{name}: {line}");
            }
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let words = ["async_runtime", "serde", "sea_orm", "poem", "tokio", "std::env", "SystemTime", "Utc::now", "http"];
    for (name, text) in sources("domain") {
        for line in code_lines(&text) {
            for word in words {
                assert!(!line.contains(word), "{name}: {word} in {line}");
            }
        }
    }
    for (name, text) in sources("persistence") {
        assert!(!text.contains("StatusCode"), "{name} knows HTTP");
    }
    for (name, text) in sources("migration") {
        for line in code_lines(&text) {
            assert!(!line.contains("entity") && !line.contains("domain"), "{name}: {line}");
        }
    }
}

#[test]
fn contracts_do_not_know_each_other() {
    let contracts = ["locktera", "livekit", "athena"];
    for (name, text) in sources("api/src/contract") {
        for other in contracts.iter().filter(|contract| !name.contains(*contract)) {
            assert!(!text.contains(&format!("{other}::")), "{name} names {other}");
        }
    }
    for contract in contracts {
        let folder = root().join("api/src/contract").join(contract);
        for file in ["dto.rs", "error.rs"] {
            assert!(folder.join(file).exists(), "{contract} has the shape of the others: {file}");
        }
        let words = read(&folder.join("error.rs"));
        assert!(
            !words.contains("_ =>") || contract == "locktera",
            "{contract} says what each failure means, one by one"
        );
    }
}

#[test]
fn lints_are_expected_never_allowed() {
    let allow = ["#[allow", "(", "#![allow"];
    for (name, text) in every_source() {
        for line in code_lines(&text) {
            assert!(!line.contains(&format!("{}{}", allow[0], allow[1])), "{name}: {line}");
            assert!(!line.contains(&format!("{}{}", allow[2], allow[1])), "{name}: {line}");
        }
    }
}

#[test]
fn sql_of_the_tests_is_in_its_three_places() {
    for (name, text) in sources("tests") {
        if !["tests/src/aging.rs", "tests/src/database.rs", "tests/bench/src/fill.rs", "tests/it/house.rs"]
            .contains(&name.as_str())
        {
            for word in ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}

#[test]
fn no_operation_speaks_xml_or_yaml() {
    // The parsers that poem-openapi brings along have known faults (`.deny.toml`).
    for (name, text) in sources("api/src") {
        for word in ["Xml", "Yaml", "quick_xml", "serde_yaml", "multipart"] {
            assert!(!text.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn every_setting_is_in_the_readme() {
    let readme = read(&root().join("README.md"));
    let config = read(&root().join("api/src/config/arguments.rs"));
    let mut settings = 0;
    for name in config.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
        settings += 1;
    }
    assert!(settings > 10);
}
