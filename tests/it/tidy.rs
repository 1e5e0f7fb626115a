//! Rules about the source code: structure, dependencies, sizes, and lints.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder of the workspace, with their path from its root.
fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder, &["rs"])
}

/// All files in a folder and its subfolders that have one of these extensions.
pub(super) fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let mut folders = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // Installed and generated files are not sources.
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

pub(super) fn every_source() -> Vec<(String, String)> {
    CRATES.iter().chain(&["tests"]).flat_map(|name| sources(name)).collect()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().expect("the first part")
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn the_top_level_folder_has_only_known_entries() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
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
        assert!(
            allowed.contains(name.as_str()) || name.starts_with('.') || made_by_use,
            "{name} is not listed as a file at the root of the workspace"
        );
    }
}

/// The largest number of lines of code in a file, without comments and blank lines.
const MAX_CODE_LINES: usize = 400;

#[test]
fn files_are_short_and_begin_with_a_description() {
    for (name, text) in every_source() {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let lines = text.lines().filter(is_code).count();
        assert!(lines <= MAX_CODE_LINES, "{name} has {lines} lines of code: split it by purpose");
        assert!(text.starts_with("//!"), "{name} does not begin with a description");
    }
}

/// The same for files of the dashboard and its tests.
const MAX_DASHBOARD_LINES: usize = 320;

#[test]
fn dashboard_files_are_short_and_insert_no_html() {
    let is_source = |(name, _): &(String, String)| !name.ends_with("schema.d.ts");
    let sources = files("api/dashboard", &["ts", "tsx", "css"]);
    for (name, text) in sources.into_iter().chain(files("tests/dashboard", &["ts"])).filter(is_source) {
        let is_comment = |line: &str| ["//", "/*", "* ", "*/", "{/*"].iter().any(|begin| line.starts_with(begin));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_comment(line)).count();
        assert!(lines <= MAX_DASHBOARD_LINES, "{name} has {lines} lines of code: split it by purpose");
        let is_configuration = name.ends_with(".config.ts");
        let begins = text.starts_with("// ") || text.starts_with("/* ") || is_configuration;
        assert!(begins, "{name} does not begin with a description");
        for word in ["innerHTML", "dangerouslySetInnerHTML", "eval(", "sessionStorage", "@import"] {
            assert!(!text.contains(word) || name == "tests/dashboard/secrets.spec.ts", "{name}: {word}");
        }
    }
}

#[test]
fn crates_depend_in_one_direction() {
    let forbidden: [(&str, &[&str]); 4] = [
        ("domain", &["serde", "sea-orm", "http", "poem", "tokio", "tracing", "persistence", "migration", "claviger"]),
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

/// The top-level modules of the crates, from the lowest: each uses only those before it. Modules in one line depend on each other:
/// no module is added to such a line, and one that no longer depends on the others gets a line of its own.
const LEVELS: [(&str, &[&str]); 3] = [
    (
        "domain",
        &[
            "bounds",
            "change",
            "clock",
            "coded_enum",
            "cooperation",
            "validated_string",
            "id",
            "deny_reason",
            "permissions",
            "broken_rule",
            "error",
            "optimistic",
            "usage",
            "audit",
            // The operations, and the ports with the values that they take and return.
            "auth keys organizations ports verify",
            "audit_log",
        ],
    ),
    (
        "persistence",
        &[
            "rows",
            "workers",
            "metrics",
            "retention_periods",
            "settings",
            "db",
            "counter_states",
            "key_cache",
            "change_feed",
            "database",
            "audit",
            "idempotency",
            "identity",
            "organizations",
            "api_keys",
            "accounts",
            "ledger",
            "usage",
            "retention",
            "policy_worker",
            "state_collector",
            "better_auth",
        ],
    ),
    (
        "api",
        &[
            "process",
            "http",
            "metrics",
            "auth",
            "verifier",
            "token_issuer",
            "verify_fast_path",
            "forward_auth",
            "idempotency",
            "routes",
            "compat",
            "error_formats",
            "openapi",
            "server",
            "config",
            "dashboard",
            "compose",
            "workers",
            "app",
            "lifecycle",
            "cli",
        ],
    ),
];

/// The code of a file without comments and unit tests.
fn tested_code(text: &str) -> String {
    let text: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let text = text.join("\n");
    let mut parts = text.split("#[cfg(test)]");
    let mut code = parts.next().expect("the first part").to_owned();
    for part in parts {
        // What follows is a declaration, or a block with the rest of the file.
        let end = part.find([';', '{']).expect("an item");
        if part[end..].starts_with('{') {
            break;
        }
        code.push_str(&part[end + 1..]);
    }
    code
}

/// The modules that code names after `crate::`, alone or in a list such as `crate::{a, b::{c, d}}`.
fn used_modules(code: &str) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let (mut depth, mut begin) = (0, 0);
        let list = path.strip_prefix('{').unwrap_or(path);
        for (at, character) in list.char_indices() {
            let is_end = if path.starts_with('{') { character == '}' && depth == 0 } else { !is_of_name(character) };
            if is_end || character == ',' && depth == 0 {
                let item = list[begin..at].trim_start();
                used.insert(item.split(|character| !is_of_name(character)).next().expect("the first part"));
                begin = at + 1;
            }
            match character {
                _ if is_end => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    // Types at the root of a crate are of modules that are looked at, too.
    used.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    used
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn modules_are_found_in_paths_and_lists() {
    let code = tested_code(
        "use crate::{\n    a::{b, c::{d}},\n    // crate::e\n    f,\n};\n#[cfg(test)]\nmod g;\nlet h = crate::i::J;\n\
         #[cfg(test)]\nmod tests {\n    use crate::k;\n}",
    );
    assert_eq!(used_modules(&code), BTreeSet::from(["a", "f", "i"]));
}

#[test]
fn modules_use_only_lower_ones() {
    for (name, levels) in LEVELS {
        let levels: Vec<Vec<&str>> = levels.iter().map(|line| line.split(' ').collect()).collect();
        let level_of = |module: &str| {
            let level = levels.iter().position(|modules| modules.contains(&module));
            level.unwrap_or_else(|| panic!("{name}: {module} is not in LEVELS"))
        };
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (file, text) in sources(&format!("{name}/src")) {
            let module = file.split(['/', '.']).nth(2).expect("a module");
            let is_test = file.ends_with("/tests.rs") || file.contains("/tests/") || file.ends_with("/samples.rs");
            if is_test || ["lib", "main"].contains(&module) {
                continue;
            }
            let own = uses.entry(module.to_owned()).or_default();
            for used in used_modules(&tested_code(&text)).into_iter().filter(|used| *used != module) {
                assert!(level_of(used) <= level_of(module), "{file}: {module} is below {used} and must not use it");
                own.insert(used.to_owned());
            }
        }
        let listed: BTreeSet<&str> = levels.iter().flatten().copied().collect();
        assert_eq!(uses.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed, "the modules of {name}");
        for modules in levels.iter().filter(|modules| modules.len() > 1) {
            for start in modules {
                let mut reached = BTreeSet::from([*start]);
                for _ in modules {
                    let next = reached.iter().flat_map(|module| &uses[*module]).map(String::as_str);
                    let next: Vec<&str> =
                        next.filter_map(|used| modules.iter().find(|module| **module == used)).copied().collect();
                    reached.extend(next);
                }
                assert_eq!(reached.len(), modules.len(), "{name}: {start} reaches only {reached:?} of {modules:?}");
            }
        }
    }
}

#[test]
fn only_compose_uses_persistence() {
    for (name, text) in sources("api") {
        if name != "api/src/compose.rs" {
            for line in code_lines(&text) {
                assert!(!line.contains("persistence::") && !line.contains("sea_orm"), "{name}: {line}");
            }
        }
    }
}

#[test]
fn the_domain_has_no_io() {
    let words = ["async_runtime", "serde", "sea_orm", "poem", "tokio", "std::env", "SystemTime", "Utc::now", "http::"];
    for (name, text) in sources("domain") {
        for line in code_lines(&text) {
            for word in words {
                assert!(!line.contains(word), "{name}: {word} in {line}");
            }
        }
    }
    for (name, text) in sources("persistence") {
        assert!(!text.contains("StatusCode"), "{name} depends on HTTP");
    }
    for (name, text) in sources("migration") {
        for line in code_lines(&text) {
            assert!(!line.contains("entity::") && !line.contains("domain"), "{name}: {line}");
        }
    }
}

#[test]
fn contracts_do_not_use_each_other() {
    for (name, text) in sources("api/src/compat").into_iter().chain(sources("api/src/routes")) {
        for other in ["athena", "livekit", "oauth"].iter().filter(|contract| !name.contains(*contract)) {
            assert!(!text.contains(&format!("{other}::")), "{name} depends on the API {other}");
        }
    }
    for contract in ["compat/athena", "compat/livekit", "compat/oauth", "routes"] {
        let folder = root().join("api/src").join(contract);
        for file in ["dto.rs", "error.rs"] {
            assert!(folder.join(file).exists(), "{contract} has no {file}");
        }
        let words = read(&folder.join("error.rs"));
        assert!(!words.contains("_ =>"), "{contract} has no catch-all arm for errors");
    }
}

/// The largest number of Rust files in a folder: about 20.
const MAX_FILES: usize = 23;

/// Each migration is a file here, in the order of the list of migrations. Migrations are never removed.
const MIGRATIONS: &str = "migration/src";

#[test]
fn folders_have_few_files() {
    let mut counts: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (name, _) in every_source() {
        let folder = Path::new(&name).parent().expect("a folder").to_owned();
        *counts.entry(folder).or_default() += 1;
    }
    for (folder, files) in counts.into_iter().filter(|(folder, _)| folder != Path::new(MIGRATIONS)) {
        assert!(files <= MAX_FILES, "{} has {files} files: group them by feature", folder.display());
    }
}

#[test]
fn lints_are_expected_and_not_allowed() {
    let allow = ["#[allow", "(", "#![allow"];
    for (name, text) in every_source() {
        for line in code_lines(&text) {
            assert!(!line.contains(&format!("{}{}", allow[0], allow[1])), "{name}: {line}");
            assert!(!line.contains(&format!("{}{}", allow[2], allow[1])), "{name}: {line}");
        }
    }
}

#[test]
fn test_sql_is_in_the_listed_files() {
    for (name, text) in sources("tests") {
        const ALLOWED_FILES: [&str; 9] = [
            "tests/src/sql_fixtures.rs",
            "tests/src/sql_identities.rs",
            "tests/src/sql_many_rows.rs",
            "tests/src/sql_usage.rs",
            "tests/src/database.rs",
            "tests/src/earlier_schema.rs",
            "tests/src/tampering.rs",
            "tests/bench/src/fill.rs",
            "tests/it/tidy.rs",
        ];
        if !ALLOWED_FILES.contains(&name.as_str()) {
            for word in ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}

#[test]
fn no_operation_uses_xml_or_yaml() {
    // The parsers in poem-openapi's dependencies have known vulnerabilities (`.deny.toml`).
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
