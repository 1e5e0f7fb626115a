//! The Dockerfile: `.dockerignore` excludes no file that it copies, and it copies every package of the workspace before it
//! builds the dependencies. `tests/container` builds the image.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::tidy::{self, root};

fn read(name: &str) -> String {
    tidy::read(&root().join(name))
}

/// The rules of `.dockerignore`: the last one that matches a path or a folder above it applies.
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

    fn matches(&self, path: &str) -> bool {
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

/// The sources and the destination of a `COPY` from the workspace.
fn copied(instruction: &str) -> Option<(Vec<String>, String)> {
    let mut words: Vec<String> = instruction.strip_prefix("COPY ")?.split_whitespace().map(str::to_owned).collect();
    if words.iter().any(|word| word.starts_with("--from=")) {
        return None;
    }
    let to = words.pop().expect("a COPY has a destination");
    Some((words, to))
}

/// The files at or below a path of the workspace that the build needs. Of the dashboard, these are in `dist`.
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
fn dockerignore_rules_are_parsed() {
    let ignored = Ignored::parse("*\n!a\n!b/kept\n# a comment\na/*\n!a/dist\n**/*.log\n?.txt\n");
    for path in ["c", "c/d", "b/other", "a/src", "a/src/x.rs", "a/dist/x.log", "deep/er/x.log", "1.txt"] {
        assert!(ignored.matches(path), "{path} is left out");
    }
    for path in ["a", "b/kept", "b/kept/x", "a/dist", "a/dist/x.js"] {
        assert!(!ignored.matches(path), "{path} is not excluded");
    }
}

#[test]
fn the_files_copied_into_the_image_exist() {
    let ignored = Ignored::parse(&read(".dockerignore"));
    let mut count = 0;
    for (sources, _) in instructions().iter().filter_map(|line| copied(line)) {
        for source in sources {
            assert!(root().join(&source).exists(), "COPY {source}: no such file or folder");
            assert!(!ignored.matches(&source), "COPY {source}: .dockerignore excludes it");
            for file in files(&source) {
                assert!(!ignored.matches(&file), "COPY {source}: .dockerignore excludes {file}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} files");
}

#[test]
fn every_package_is_copied_before_the_first_build() {
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
