//! Moves what several operations have into the components of the OpenAPI document: headers, responses and parameters.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::operations;

/// Calls a function with each part of a kind and its name as a component.
type Visit<'a> = &'a mut dyn FnMut(String, &mut Value);

/// Shares headers, then errors with these headers, then parameters.
pub(super) fn share(document: &mut Value) {
    share_kind(document, "headers", visit_headers);
    share_kind(document, "responses", visit_errors);
    share_kind(document, "parameters", visit_parameters);
}

/// Replaces equal parts by a reference to a component. Of several different parts with the same name, the most frequent one is
/// shared.
fn share_kind(document: &mut Value, kind: &str, visit: fn(&mut Value, Visit<'_>)) {
    let mut found: Vec<(String, Value, usize)> = Vec::new();
    visit(document, &mut |name: String, value: &mut Value| match found
        .iter_mut()
        .find(|(own, same, _)| *own == name && same == value)
    {
        Some((.., count)) => *count += 1,
        None => found.push((name, value.clone(), 1)),
    });
    found.retain(|(.., count)| *count > 1);
    found.sort_by(|one, other| one.0.cmp(&other.0).then(other.2.cmp(&one.2)));
    found.dedup_by(|next, kept| next.0 == kept.0);
    visit(document, &mut |name: String, value: &mut Value| {
        if found.iter().any(|(own, same, _)| *own == name && same == value) {
            *value = json!({"$ref": format!("#/components/{kind}/{name}")});
        }
    });
    if !found.is_empty() {
        document["components"][kind] = found.into_iter().map(|(name, value, _)| (name, value)).collect();
    }
}

fn visit_headers(document: &mut Value, visit: Visit<'_>) {
    for (_, _, operation) in operations(document) {
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, response) in responses {
            for (name, header) in response.get_mut("headers").and_then(Value::as_object_mut).into_iter().flatten() {
                visit(component_name(name), header);
            }
        }
    }
}

fn visit_errors(document: &mut Value, visit: Visit<'_>) {
    for (_, _, operation) in operations(document) {
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten();
        for (status, response) in responses {
            let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
            let Some(status) = status.filter(|status| status.is_client_error() || status.is_server_error()) else {
                continue;
            };
            let schema = response.pointer("/content/application~1json/schema/$ref").and_then(Value::as_str);
            // `ApiError` is the error of the native API; errors of the others have the name of their API.
            let family = schema.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let family = family.strip_suffix("Error").filter(|family| *family != "Api").unwrap_or_default();
            let reason = component_name(&status.canonical_reason().unwrap_or_default().replace(' ', "-"));
            visit(format!("{family}{reason}"), response);
        }
    }
}

fn visit_parameters(document: &mut Value, visit: Visit<'_>) {
    for (_, _, operation) in operations(document) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = parameter["name"].as_str().map(component_name);
            visit(name.unwrap_or_default(), parameter);
        }
    }
}

/// The name of a component: `OrgId` for `org_id`, `RetryAfter` for `Retry-After`.
fn component_name(name: &str) -> String {
    let words = name.split(['-', '_']);
    words
        .flat_map(|word| {
            let mut characters = word.chars();
            characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters)
        })
        .collect()
}
