//! The documents: the files and names in them exist, their links are valid, and the reference of the APIs agrees with the
//! OpenAPI document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use super::{
    compat::openapi::resolve,
    tidy::{every_source, read, root},
};

/// The documents, by their path from the root of the workspace.
pub(super) fn documents() -> Vec<(String, String)> {
    let mut names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(ToOwned::to_owned).to_vec();
    for entry in fs::read_dir(root().join("docs")).expect("the documents") {
        let name = format!("docs/{}", entry.expect("an entry").file_name().into_string().expect("text"));
        let page_of_folder = format!("{name}/README.md");
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            names.push(name);
        } else if root().join(&page_of_folder).is_file() {
            names.push(page_of_folder);
        }
    }
    names.sort();
    names.into_iter().map(|name| (name.clone(), read(&root().join(name)))).collect()
}

fn document(name: &str) -> String {
    read(&root().join(name))
}

/// The texts between backticks, outside of code blocks.
fn code_spans(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

/// Whether a span names a file or folder: path components with a slash between, or a Rust file.
fn is_path(span: &str) -> bool {
    let is_plain = span.chars().all(|character| character.is_ascii_alphanumeric() || "_-./*".contains(character));
    let is_rust = Path::new(span).extension().is_some_and(|extension| extension == "rs");
    // Paths of the API begin with a slash, `target` is made by a build, and `YYYYMMDD` is a placeholder.
    let is_meant = !span.starts_with('/') && !span.starts_with("target/") && !span.contains("YYYYMMDD");
    is_plain && is_meant && (is_rust || span.trim_end_matches('/').contains('/'))
}

/// Whether a path with `*` for any component exists, with or without `.rs`.
fn exists(base: &Path, path: &str) -> bool {
    match path.split_once('/') {
        Some(("*", rest)) => fs::read_dir(base).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir() && exists(&entry.path(), rest)))
        }),
        Some((first, rest)) => exists(&base.join(first), rest),
        None => base.join(path).exists() || base.join(format!("{path}.rs")).exists(),
    }
}

#[test]
fn paths_in_the_documents_exist() {
    const BASES: [&str; 9] = [
        "",
        "domain/src",
        "persistence/src",
        "api/src",
        "api/dashboard",
        "tests",
        "tests/it",
        "domain/src/keys",
        "domain/src/verify",
    ];
    let sources = every_source();
    let is_file_name = |span: &str| sources.iter().any(|(name, _)| name.ends_with(&format!("/{span}")));
    let mut paths = 0;
    for name in ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/RELIABILITY.md"] {
        for span in code_spans(&document(name)).iter().filter(|span| is_path(span)) {
            let is_there = BASES.iter().any(|base| exists(&root().join(base), span)) || is_file_name(span);
            assert!(is_there, "{name} names {span}, which does not exist");
            paths += 1;
        }
    }
    assert!(paths > 50, "{paths} paths");
}

#[test]
fn the_code_map_names_existing_modules() {
    let text = document("docs/ARCHITECTURE.md");
    let mut modules = 0;
    for name in ["domain", "persistence", "api"] {
        let section = text.split(&format!("### `{name}`\n")).nth(1).expect("a section").split("\n#").next();
        let rows = section.into_iter().flat_map(str::lines).filter(|line| line.starts_with("| `"));
        for span in rows.flat_map(|row| code_spans(row.split(" | ").next().unwrap_or_default())) {
            let is_there = exists(&root().join(name).join("src"), &span);
            assert!(is_there, "the code map has {span} in {name}, which does not exist");
            modules += 1;
        }
    }
    assert!(modules > 20, "{modules} modules");
}

#[test]
fn code_named_in_the_architecture_exists() {
    let sources = every_source();
    let is_other = |character: char| !character.is_ascii_alphanumeric() && character != '_';
    let known: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| text.split(is_other)).collect();
    let is_type = |span: &str| {
        span.starts_with(|first: char| first.is_ascii_uppercase()) && span.contains(|c: char| c.is_ascii_lowercase())
    };
    let is_code = |span: &&String| {
        span.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c)) && (span.contains("::") || is_type(span))
    };
    let mut names = 0;
    for span in code_spans(&document("docs/ARCHITECTURE.md")).iter().filter(is_code) {
        for name in span.split("::") {
            assert!(known.contains(name), "docs/ARCHITECTURE.md names {span}, but nothing is called {name}");
        }
        names += 1;
    }
    assert!(names > 20, "{names} names");
}

/// The address of a heading within its page, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let is_kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    heading.trim_matches(['#', ' ']).to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")
}

fn anchors(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2).flat_map(str::lines);
    outside.filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn links_between_the_documents_are_valid() {
    let mut links = 0;
    for (name, text) in documents() {
        let folder = root().join(&name).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, place) = link.split_once('#').map_or((link, None), |(path, place)| (path, Some(place)));
            let target = if path.is_empty() { root().join(&name) } else { folder.join(path) };
            assert!(target.exists(), "{name} links to {link}, which does not exist");
            let is_there = place.is_none_or(|place| anchors(&read(&target)).iter().any(|anchor| anchor == place));
            assert!(is_there, "{name} links to {link}, which has no such heading");
            links += 1;
        }
    }
    assert!(links > 50, "{links} links");
}

/// The section of the reference of the APIs about an operation.
struct Section {
    heading: String,
    /// The line about the required permission and the idempotency key.
    needs: String,
    text: String,
}

/// The sections of the reference that begin with an operation, such as `GET /me`.
fn sections() -> BTreeMap<String, Section> {
    let text = document("docs/CONTRACTS.md");
    let sections = text.split("\n### ").skip(1).filter_map(|part| {
        let (heading, rest) = part.split_once("\n\n")?;
        let (operation, rest) = rest.strip_prefix('`')?.split_once("` needs ")?;
        let (needs, rest) = rest.split_once('\n')?;
        let text = rest.split("\n## ").next().unwrap_or_default();
        let section = Section { heading: heading.to_owned(), needs: needs.to_owned(), text: text.to_owned() };
        Some((operation.to_owned(), section))
    });
    sections.collect()
}

fn openapi() -> Value {
    serde_json::from_str(&document("docs/openapi.json")).expect("JSON")
}

/// The operations of the OpenAPI document by method and path.
fn operations(openapi: &Value) -> BTreeMap<String, &Value> {
    let paths = openapi["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    });
    operations.collect()
}

#[test]
fn the_reference_has_each_operation_of_the_openapi_document() {
    let openapi = openapi();
    let (operations, sections) = (operations(&openapi), sections());
    assert_eq!(operations.keys().collect::<Vec<_>>(), sections.keys().collect::<Vec<_>>());
    for (name, operation) in operations {
        let section = &sections[&name];
        assert_eq!(operation["summary"], section.heading.as_str(), "{name}");
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        let takes_key = parameters.any(|parameter| resolve(&openapi, parameter)["name"] == "Idempotency-Key");
        assert_eq!(section.needs.contains("Takes an idempotency key"), takes_key, "{name}: {}", section.needs);
        for line in section.text.lines().filter_map(|line| line.strip_prefix("- ")) {
            let Some(status) = line.get(..3).filter(|status| status.parse::<u16>().is_ok()) else { continue };
            assert!(operation["responses"].get(status).is_some(), "{name} has no {status} in openapi.json");
        }
    }
}

/// Finds the parts of an example that its schema does not allow. Required fields must be in examples of requests. Examples of
/// responses are shortened.
fn check(openapi: &Value, schema: &Value, example: &Value, place: &str, is_request: bool) {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    let named = reference.map(|path| openapi.pointer(path.trim_start_matches('#')).expect("the schema"));
    if example.is_null() {
        assert_eq!(schema["nullable"], true, "{place} is not null");
        return;
    }
    let schema = named.unwrap_or(schema);
    match (schema["type"].as_str(), example) {
        (Some("array"), Value::Array(items)) => {
            for item in items {
                check(openapi, &schema["items"], item, place, is_request);
            }
        }
        (Some("object"), Value::Object(members)) => {
            let Some(properties) = schema.get("properties") else { return };
            for (name, value) in members {
                let schema = properties.get(name).unwrap_or_else(|| panic!("{place} has no {name} in openapi.json"));
                check(openapi, schema, value, &format!("{place}.{name}"), is_request);
            }
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in required.filter(|_| is_request) {
                assert!(members.contains_key(name), "{place} lacks {name}");
            }
        }
        (Some("string"), Value::String(_)) => {
            let is_possible = schema["enum"].as_array().is_none_or(|values| values.contains(example));
            assert!(is_possible, "{place}: {example}");
        }
        (Some("integer"), Value::Number(_)) | (Some("boolean"), Value::Bool(_)) => {}
        (kind, _) => panic!("{place}: {example} is no {kind:?}"),
    }
}

#[test]
fn the_examples_of_the_reference_match_the_openapi_document() {
    let openapi = openapi();
    let sections = sections();
    let mut examples = 0;
    for (name, operation) in operations(&openapi) {
        let blocks = sections[&name].text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut blocks = blocks.map(|block| serde_json::from_str::<Value>(block).expect("JSON"));
        if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
            let request = blocks.next().unwrap_or_else(|| panic!("{name} has no example of a request"));
            check(&openapi, schema, &request, &name, true);
        }
        let content = operation.pointer("/responses/200/content").and_then(Value::as_object).expect("an answer");
        let schema = &content.values().next().expect("a media type")["schema"];
        for answer in blocks {
            check(&openapi, schema, &answer, &name, false);
            examples += 1;
        }
    }
    assert!(examples > 30, "{examples} examples");
}

#[test]
fn the_reference_names_the_reasons_of_the_openapi_document() {
    let openapi = openapi();
    // The reasons that follow a status: `- 409 (`name_taken`): …`, `| 404 | `not_found` | …`.
    let reasons = openapi.pointer("/components/schemas/ErrorReason/enum").and_then(Value::as_array);
    let reasons = reasons.expect("the values of ErrorReason");
    let text = document("docs/CONTRACTS.md");
    for reason in reasons.iter().filter_map(Value::as_str) {
        assert!(text.contains(&format!("`{reason}`")), "{reason} is not in docs/CONTRACTS.md");
    }
    for line in text.lines().filter(|line| line.starts_with("- ") && line.get(5..7) == Some(" (")) {
        for span in code_spans(line.split("):").next().unwrap_or_default()) {
            assert!(reasons.contains(&Value::String(span.clone())), "{span} is not a reason: {line}");
        }
    }
}
