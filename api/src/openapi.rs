//! The OpenAPI document: completes what poem-openapi generates, for readers and for generators of clients.

pub mod docs;

mod components;
mod examples;
mod operations;
mod samples;
mod schema_examples;
mod schemas;

use serde_json::{Map, Value, json};

/// Completes a generated document. Text that is not JSON is returned unchanged.
///
/// 1. `schemas`: bounds and formats of fields, what may be null, and which objects have no further members.
/// 2. `operations`: permissions, credentials, tags, parameters and statuses.
/// 3. `examples`: examples of requests and responses, `samples` of code, and `schema_examples` of fields and parameters.
/// 4. `components`: what several operations have is there once.
#[must_use]
pub fn complete(derived: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(derived) else { return derived.to_owned() };
    schemas::complete(&mut document);
    operations::complete(&mut document);
    examples::add(&mut document);
    describe_service(&mut document);
    components::share(&mut document);
    format!("{document:#}")
}

/// What applies to the whole service.
const DESCRIPTION: &str = "A self-hosted API key service: organizations own keys, and services verify them.\n\n\
    **Credentials.** Operations take an API key, or an access token of an identity provider, as a bearer token. An API key can be \
    sent in the header `x-api-key` or in the cookie `apiKeyCookie` instead; browsers send a session in that cookie. Send one of \
    them only.\n\n\
    **Null.** In the body of a `PATCH`, an absent field is unchanged, and `null` clears it where it can be empty. Elsewhere, `null` \
    is the same as absent where the field is optional.\n\n\
    **Statuses of every path.** 405 for a method that the path does not have, with the header `Allow`; 431 for a request with too \
    large headers, without a body.";

/// Adds contact, documentation and a server with a variable.
fn describe_service(document: &mut Value) {
    document["openapi"] = "3.0.3".into();
    let info = &mut document["info"];
    info["description"] = DESCRIPTION.into();
    info["contact"] = json!({"name": "The operator of this service"});
    document["externalDocs"] = json!({"description": "The API reference of this service.", "url": "/docs"});
    if let Some(servers) = document["servers"].as_array_mut() {
        let version = env!("CARGO_PKG_VERSION");
        let origin =
            json!({"default": "http://127.0.0.1:8080", "description": "Scheme, host, port, and path if there is one."});
        servers.push(json!({
            "url": "{origin}", "description": format!("A service of version {version} anywhere else."), "variables": {"origin": origin},
        }));
    }
}

/// All operations with their method and path.
fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Map<String, Value>)> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object_mut().into_iter().flatten();
        methods
            .filter_map(move |(method, operation)| Some((method.as_str(), path.as_str(), operation.as_object_mut()?)))
    })
}

/// The id of an operation. Empty if it has none.
fn id(operation: &Map<String, Value>) -> &str {
    operation.get("operationId").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
