//! The deployment files of docs/deploy, and the workflows: they can be parsed, what they name exists, and their settings are
//! valid. The settings that docs/gateways names exist, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use api::lifecycle;
use harness::{KeySpec, Process, TestApp, test_config};
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::tidy::root;

/// The files below a folder of the workspace, by their path in it, without what git ignores there.
fn files(folder: &str) -> BTreeMap<String, String> {
    let top = root().join(folder);
    let mut folders = vec![top.clone()];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&top).expect("below").display().to_string();
            if name == "compose/secrets" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    files
}

fn deploy() -> BTreeMap<String, String> {
    files("docs/deploy")
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == extension)
}

/// The documents of a YAML file; JSON is YAML, too.
fn parse(name: &str, text: &str) -> Vec<Yaml> {
    let documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!documents.is_empty(), "{name} is empty");
    documents
}

/// All documents of the YAML and JSON files of docs/deploy, each with the name of its file.
fn documents() -> Vec<(String, Yaml)> {
    let is_data = |name: &str| has_extension(name, "yaml") || has_extension(name, "json");
    let data = deploy().into_iter().filter(|(name, _)| is_data(name));
    data.flat_map(|(name, text)| parse(&name, &text).into_iter().map(move |one| (name.clone(), one))).collect()
}

/// A value and all values in it.
fn walk(value: &Yaml) -> Vec<&Yaml> {
    let inner: Vec<&Yaml> = match value {
        Yaml::Array(items) => items.iter().collect(),
        Yaml::Hash(members) => members.values().collect(),
        _ => Vec::new(),
    };
    std::iter::once(value).chain(inner.into_iter().flat_map(walk)).collect()
}

/// The words of a text that begin like this.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(move |letter| !is_part(letter)).filter(move |word| word.len() > prefix.len() && word.starts_with(prefix))
}

#[test]
fn deployment_files_begin_with_a_comment_and_can_be_parsed() {
    for (name, text) in deploy() {
        let start = text.strip_prefix("#!/bin/sh\n").unwrap_or(&text);
        if has_extension(&name, "json") {
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(value["__comment"].is_string(), "{name}");
        } else {
            assert!(start.starts_with("# "), "{name} begins with a comment that says what it is");
        }
    }
    assert!(documents().len() > 10);
    for (name, text) in files(".github/workflows") {
        assert!(parse(&name, &text)[0]["jobs"].is_hash(), "{name}");
    }
}

#[test]
fn every_deployment_file_is_listed() {
    let deploy = deploy();
    for name in deploy.keys().filter(|name| !name.ends_with("README.md") && !name.ends_with(".gitignore")) {
        assert!(deploy["README.md"].contains(&format!("]({name})")), "{name} is not in docs/deploy/README.md");
    }
}

#[test]
fn every_setting_in_a_deployment_file_exists() {
    let help = Process::run(&["--help"], &[]).stdout;
    let help = String::from_utf8(help).expect("text");
    let known: BTreeSet<&str> =
        help.split("[env: ").skip(1).filter_map(|rest| words(rest, "CLAVIGER_").next()).collect();
    assert!(known.len() > 10);
    for (name, text) in deploy().into_iter().chain(files("docs/gateways")) {
        for setting in words(&text, "CLAVIGER_") {
            assert!(known.contains(setting), "{name}: {setting}");
        }
    }
}

/// The environments that deployment files give the service: of Docker Compose, Kubernetes and systemd.
fn environments() -> Vec<(String, Vec<(String, String)>)> {
    let mut environments = Vec::new();
    let mut add = |name: &str, variables: Vec<(String, String)>| {
        let settings: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with("CLAVIGER_")).collect();
        if !settings.is_empty() {
            environments.push((name.to_owned(), settings));
        }
    };
    let text = |value: &Yaml| value.as_str().map(str::to_owned);
    for (name, document) in documents() {
        for value in walk(&document) {
            for variables in [&value["environment"], &value["data"]].into_iter().filter_map(Yaml::as_hash) {
                add(&name, variables.iter().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect());
            }
            if let Some(variables) = value["env"].as_vec() {
                let pair = |one: &Yaml| Some((text(&one["name"])?, text(&one["value"])?));
                add(&name, variables.iter().filter_map(pair).collect());
            }
        }
    }
    let lines = deploy()["systemd/claviger.env"].clone();
    let lines = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    add("systemd/claviger.env", lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    environments
}

#[test]
fn the_settings_of_deployment_files_are_valid() {
    let environments = environments();
    let names: BTreeSet<&str> = environments.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["compose/postgres.yaml", "compose/sqlite.yaml", "kubernetes/claviger.yaml", "kubernetes/sqlite.yaml"];
    assert_eq!(names, expected.into_iter().chain(["systemd/claviger.env"]).collect());
    let directory = tempfile::TempDir::new().expect("a directory");
    let url = directory.path().join("url");
    harness::write_secret(&url, "postgres://claviger:password@postgres/claviger\n");
    let key = directory.path().join("signing.pem");
    harness::write_secret(&key, &harness::SigningKey::ed25519("").pem());
    let [url, key] = [url, key].map(|path| path.display().to_string());
    for (name, settings) in environments {
        // Files like those that are mounted there.
        let value = |name: &str, text: &str| match name {
            "CLAVIGER_SIGNING_KEY_FILE" => key.clone(),
            name if name.ends_with("_URL_FILE") => url.clone(),
            _ => text.to_owned(),
        };
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, text)| (name.clone(), value(name, text))).collect();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        // This command reads all settings, and opens neither the database nor an address.
        let output = Process::run(&["openapi"], &settings);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !log.contains("unknown setting"), "{name}: {log}");
    }
}

/// The names of the labels in a selector or a list, such as `{state="used"}` or `(outcome, le)`.
fn label_names(list: &str) -> impl Iterator<Item = &str> {
    let parts = list.split(',').map(|part| part.trim().split(['=', '!', '~']).next().unwrap_or_default().trim());
    parts.filter(|name| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'))
}

/// Labels that Prometheus itself adds, and that of histograms.
const PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

#[tokio::test]
async fn every_metric_and_label_in_a_deployment_file_is_served() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    // Metrics with labels are served from their first use on.
    assert_eq!(tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.status, 200);
    assert_eq!(app.anyone().post("/auth/create-key", &json!({})).await.status, 400);
    let text = app.anyone().get("/metrics").await.text;
    let mut served: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().expect("a name"), ""));
        served.entry(name).or_default().extend(label_names(labels.split('}').next().unwrap_or_default()));
    }
    let mut found = BTreeSet::new();
    for (name, document) in documents() {
        for text in walk(&document).into_iter().filter_map(Yaml::as_str) {
            for prefix in ["claviger_", "process_"] {
                for metric in words(text, prefix) {
                    let labels = served.get(metric).unwrap_or_else(|| panic!("{name}: {metric} is not served"));
                    let own = |label: &str| labels.contains(label) || PROMETHEUS.contains(&label);
                    for rest in text.split(metric).skip(1).filter_map(|rest| rest.strip_prefix('{')) {
                        for label in label_names(rest.split('}').next().unwrap_or_default()) {
                            assert!(own(label), "{name}: {metric} has no label {label}");
                        }
                    }
                    // An expression groups by labels of its metrics.
                    for list in text.split(" by (").skip(1).filter_map(|rest| rest.split(')').next()) {
                        for label in label_names(list) {
                            assert!(own(label), "{name}: {metric} has no label {label}");
                        }
                    }
                    found.insert(metric.to_owned());
                }
            }
        }
    }
    for metric in served.keys().filter(|name| name.starts_with("claviger_")) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
        assert!(found.iter().any(|one| one.starts_with(base)), "{metric} is in no dashboard and no alert");
    }
}

#[test]
fn supervisors_wait_as_long_as_stopping_may_take() {
    // The default, and what the last lines of the log may take.
    let config = api::config::Config { shutdown_timeout: Duration::from_secs(30), ..test_config("sqlite::memory:") };
    let stop = (lifecycle::stop_time_limit(&config) + Duration::from_secs(2)).as_secs();
    let deploy = deploy();
    // None means 0.
    let stop_of = |name: &str| {
        let has_delay = deploy[name].lines().any(|line| line.trim() == "CLAVIGER_SHUTDOWN_DELAY: 5s");
        stop + if has_delay { 5 } else { 0 }
    };
    let seconds = |text: &str| text.trim_end_matches('s').parse::<u64>().expect("seconds");
    let mut checked = 0;
    for (name, document) in documents() {
        for value in walk(&document) {
            if let Some(limit) = value["terminationGracePeriodSeconds"].as_i64() {
                let before =
                    value["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().expect("preStop");
                assert!(u64::try_from(limit - before).expect("seconds") >= stop_of(&name), "{name}");
                checked += 1;
            }
            if value["environment"]["CLAVIGER_LISTEN"].as_str().is_some() {
                let limit = seconds(value["stop_grace_period"].as_str().expect("a time"));
                assert!(limit >= stop_of(&name), "{name}");
                checked += 1;
            }
        }
    }
    // Of the multi-node manifests; the unit has room for the delay that claviger.env suggests.
    assert_eq!(deploy.keys().filter(|name| stop_of(name) > stop).count(), 2);
    let limit = deploy["systemd/claviger.service"]
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="))
        .expect("a time");
    assert!(seconds(limit) >= stop + 5);
    assert!(checked >= 6);
}

#[test]
fn pods_run_as_the_user_of_the_image_without_privileges() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("a file");
    let user: i64 =
        dockerfile.split("--uid ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it").parse().expect("it");
    let documents = documents();
    let pods: Vec<&Yaml> =
        documents.iter().map(|(_, one)| &one["spec"]["template"]["spec"]).filter(|pod| pod.is_hash()).collect();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(pod["enableServiceLinks"].as_bool(), Some(false));
        let security = &pod["securityContext"];
        assert_eq!((security["runAsUser"].as_i64(), security["fsGroup"].as_i64()), (Some(user), Some(user)));
        assert_eq!(security["runAsNonRoot"].as_bool(), Some(true));
        let security = &pod["containers"][0]["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"].as_bool(), Some(true));
        assert_eq!(security["allowPrivilegeEscalation"].as_bool(), Some(false));
    }
    assert!(deploy()["compose/prepare"].contains(&format!("chown {user}:{user} ")));
}
