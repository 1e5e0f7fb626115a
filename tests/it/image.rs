//! The image's Dockerfile held against what it is built from: what it copies is not left out by `.dockerignore`, and every
//! package of the workspace is there before the dependencies are built. Building the image itself is for `tests/container`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("a file of the workspace")
}

/// What `.dockerignore` leaves out: of the rules that match a path or a folder above it, the last one counts.
struct Ignored(Vec<(bool, Vec<String>)>);

impl Ignored {
    fn parse(text: &str) -> Self {
        let rules = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rule = |line: &str| {
            let (keeps, pattern) = line.strip_prefix('!').map_or((false, line), |pattern| (true, pattern));
            let parts = pattern.trim_matches('/').split('/').filter(|part| *part != ".").map(str::to_owned);
            (keeps, parts.collect())
        };
        Self(rules.map(rule).collect())
    }

    fn has(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let matches = |rule: &[String]| (1..=parts.len()).any(|length| path_matches(rule, &parts[..length]));
        self.0.iter().rev().find(|(_, rule)| matches(rule)).is_some_and(|(keeps, _)| !keeps)
    }
}

fn path_matches(rule: &[String], parts: &[&str]) -> bool {
    match (rule, parts) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "**" => (0..=parts.len()).any(|count| path_matches(rest, &parts[count..])),
        ([first, rest @ ..], [part, parts @ ..]) => {
            name_matches(first.as_bytes(), part.as_bytes()) && path_matches(rest, parts)
        }
        _ => false,
    }
}

fn name_matches(rule: &[u8], name: &[u8]) -> bool {
    match (rule, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|count| name_matches(rest, &name[count..])),
        ([b'?', rest @ ..], [_, name @ ..]) => name_matches(rest, name),
        ([b'[' | b'\\', ..], _) => panic!("a rule of .dockerignore that this test does not know"),
        ([letter, rest @ ..], [other, name @ ..]) => letter == other && name_matches(rest, name),
        _ => false,
    }
}

/// An instruction of the Dockerfile, with its continued lines.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    text.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

/// What a `COPY` takes from the workspace, and where it goes.
fn copied(instruction: &str) -> Option<(Vec<String>, String)> {
    let mut words: Vec<String> = instruction.strip_prefix("COPY ")?.split_whitespace().map(str::to_owned).collect();
    if words.iter().any(|word| word.starts_with("--from=")) {
        return None;
    }
    let to = words.pop().expect("a COPY has a destination");
    Some((words, to))
}

/// The files at or below a path of the workspace that the build needs: of the dashboard, what was built of it.
fn files(path: &str) -> Vec<String> {
    let of_page = path.strip_prefix("api/dashboard").filter(|rest| !rest.is_empty());
    if of_page.is_some_and(|rest| !rest.starts_with("/dist")) {
        return Vec::new();
    }
    if !root().join(path).is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(root().join(path)).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    names.flat_map(|name| files(&format!("{path}/{name}"))).collect()
}

#[test]
fn the_rules_of_dockerignore_are_known() {
    let ignored = Ignored::parse("*\n!a\n!b/kept\n# a comment\na/*\n!a/dist\n**/*.log\n?.txt\n");
    for path in ["c", "c/d", "b/other", "a/src", "a/src/x.rs", "a/dist/x.log", "deep/er/x.log", "1.txt"] {
        assert!(ignored.has(path), "{path} is left out");
    }
    for path in ["a", "b/kept", "b/kept/x", "a/dist", "a/dist/x.js"] {
        assert!(!ignored.has(path), "{path} is kept");
    }
}

#[test]
fn what_the_image_copies_is_there() {
    let ignored = Ignored::parse(&read(".dockerignore"));
    let mut count = 0;
    for (sources, _) in instructions().iter().filter_map(|line| copied(line)) {
        for source in sources {
            assert!(root().join(&source).exists(), "COPY {source}: there is no such thing");
            assert!(!ignored.has(&source), "COPY {source}: .dockerignore leaves it out");
            for file in files(&source) {
                assert!(!ignored.has(&file), "COPY {source}: .dockerignore leaves {file} out");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} files");
}

#[test]
fn every_package_is_there_before_the_dependencies_are_built() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let instructions = instructions();
    let first_build = instructions.iter().position(|line| line.contains("cargo build")).expect("it builds");
    let copied: Vec<String> =
        instructions[..first_build].iter().filter_map(|line| copied(line)).flat_map(|(sources, _)| sources).collect();
    let words: Vec<&str> = instructions[first_build].split_whitespace().collect();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 4);
    let relative = |path: &Value| {
        let path = Path::new(path.as_str().expect("a path")).strip_prefix(root()).expect("in the workspace");
        path.to_str().expect("text").to_owned()
    };
    for package in packages {
        let manifest = relative(&package["manifest_path"]);
        assert!(copied.contains(&manifest), "the Dockerfile does not copy {manifest} before the first build");
        for target in package["targets"].as_array().expect("targets") {
            let path = relative(&target["src_path"]);
            assert!(words.contains(&path.as_str()), "the Dockerfile makes no empty {path} before the first build");
        }
    }
}
