//! Operations of the OpenAPI document: permissions, credentials, tags, parameters and statuses.

use serde_json::{Map, Value, json};

use super::{id, operations, schemas};
use crate::{
    auth::{
        authorized::{OWN_KEYS_SEPARATOR, PERMISSION_PREFIX},
        credentials::{PORTAL_SCHEME, SCHEMES},
    },
    http::contract::{REQUEST_ID, Tag, responses},
    idempotency,
};

/// Completes all operations:
///
/// - The permission that an operation needs ([`crate::auth::authorized`]) is the last sentence of its description.
/// - One security scheme is the default of the document. With several, clients send the same key several times.
/// - Each operation has one tag, its last one. The tags are in the order of [`Tag`].
/// - Parameters have bounds, and those without which an operation fails are required.
/// - Statuses that an operation cannot have are removed; those that poem-openapi cannot know are added: a change of an object
///   without versions answers 412 to `If-Match`.
/// - Every response has the id of its request.
pub(super) fn complete(document: &mut Value) {
    document_permissions(document);
    for (method, path, operation) in operations(document) {
        choose_scheme(operation);
        if let Some(Value::Array(tags)) = operation.get_mut("tags") {
            tags.drain(..tags.len().saturating_sub(1));
        }
        complete_parameters(operation);
        if method != "get" && path.contains('{') {
            add_other_version(operation);
        }
        complete_responses(operation);
    }
    document["security"] = json!([{SCHEMES[0]: []}]);
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.sort_by_key(|tag| Tag::ORDER.iter().position(|name| tag["name"] == *name));
    }
}

/// The operation that only a session can be sent to.
const SESSION_ONLY: &str = "closeSession";

/// Removes the security schemes that are the default of the document.
fn choose_scheme(operation: &mut Map<String, Value>) {
    let has = |name: &str| operation.get("security").is_some_and(|schemes| schemes.to_string().contains(name));
    let (is_protected, is_of_portal) = (has(SCHEMES[0]), has(PORTAL_SCHEME));
    if is_of_portal {
        operation.insert("security".to_owned(), json!([{PORTAL_SCHEME: []}]));
    } else if id(operation) == SESSION_ONLY {
        operation.insert("security".to_owned(), json!([{SCHEMES[2]: []}]));
    } else if is_protected {
        operation.remove("security");
    } else {
        operation.insert("security".to_owned(), json!([]));
    }
}

/// Parameters that are read as optional, so that the service can say itself what is missing.
const REQUIRED: [(&str, &str); 5] = [
    ("deleteOrganization", "confirm"),
    ("findUsers", "email"),
    ("eraseUsers", "email"),
    ("getAthenaKey", "id"),
    ("getApiKeysUsage", "ids"),
];

/// One id of a key, or several that are separated by commas.
const KEY_IDS: &str =
    "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(,[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})*$";

/// The bounds, patterns and formats of parameters, by their names.
fn parameter_rule(name: &str) -> Option<Value> {
    Some(match name {
        "Idempotency-Key" => {
            json!({"minLength": 1, "maxLength": 255, "pattern": r#"^("[!-~]*[!#-~]"|[!#-~]([!-~]*[!#-~])?)$"#})
        }
        "If-Match" => json!({"pattern": r#"^(\*|(W/)?("[0-9]+"|[0-9]+)(\s*,\s*(W/)?("[0-9]+"|[0-9]+))*)$"#}),
        "action" => json!({"pattern": r"^[a-z_]+\.[a-z_]*$"}),
        "cursor" => json!({"minLength": 1}),
        "search" => json!({"maxLength": 255, "pattern": schemas::PLAIN_OR_EMPTY}),
        "metadata" => json!({"pattern": "^[{].*[}]$"}),
        "name" => json!({"maxLength": 100, "pattern": schemas::PLAIN_OR_EMPTY}),
        "external_id" => json!({"minLength": 1, "maxLength": 255, "pattern": schemas::PLAIN}),
        "permission" => json!({"pattern": schemas::PERMISSION}),
        "start" => json!({"minLength": 1, "maxLength": 38, "pattern": "^[A-Za-z0-9_-]+$"}),
        "email" => schemas::email(),
        "user" => json!({"pattern": "^(none|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$"}),
        "confirm" | "id" => json!({"format": "uuid"}),
        "ids" => json!({"minLength": 36, "maxLength": 3_699, "pattern": KEY_IDS}),
        _ => return None,
    })
}

fn complete_parameters(operation: &mut Map<String, Value>) {
    let operation_id = id(operation).to_owned();
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        if name == idempotency::HEADER {
            parameter["description"] = idempotency::DESCRIPTION.into();
        }
        if REQUIRED.contains(&(operation_id.as_str(), name.as_str())) {
            parameter["required"] = true.into();
        }
        if let Some(rule) = parameter_rule(&name).filter(|_| parameter["schema"].get("$ref").is_none()) {
            schemas::merge(&mut parameter["schema"], rule);
        }
        if let Some(parameter) = parameter.as_object_mut() {
            // The defaults.
            for (name, default) in [("deprecated", false), ("explode", true)] {
                if parameter.get(name).is_some_and(|value| *value == default) {
                    parameter.shift_remove(name);
                }
            }
        }
    }
}

/// Statuses that operations of a kind can have, but these cannot: they name nothing that could be unknown, or read no body.
const IMPOSSIBLE: &[(&str, &[&str])] = &[
    ("createOrganization", &["404"]),
    ("addPasskey", &["404"]),
    ("createPasskeyOptions", &["404"]),
    ("createPasskeySignInOptions", &["408", "413", "415"]),
    ("createRecoveryLink", &["408", "413", "415"]),
    ("createToken", &["404"]),
    ("deleteAthenaKey", &["409"]),
    ("deleteExpiredAthenaKeys", &["404"]),
    ("endSessions", &["404"]),
    ("eraseUsers", &["404"]),
    ("closePortalSession", &["403", "404", "409"]),
    ("getPortalSession", &["403", "404"]),
    ("listPasskeys", &["404"]),
    ("listPortalKeys", &["403", "404"]),
    ("findApiKey", &["409"]),
    ("findUsers", &["404"]),
    ("getMe", &["404"]),
    ("getService", &["404"]),
    ("listAthenaKeys", &["404"]),
    ("listOrganizations", &["404"]),
    ("openSession", &["404"]),
    ("restoreApiKey", &["408", "413", "415"]),
    ("verifyApiKey", &["409"]),
    ("verifyApiKeysBatch", &["409"]),
    ("verifyAthenaKey", &["404", "409"]),
];

/// Adds the response to an `If-Match` that the object of the operation cannot match, as
/// [`crate::http::operations::check_request`] gives it.
fn add_other_version(operation: &mut Map<String, Value>) {
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    let (status, description) = responses::OTHER_VERSION;
    let Some(mut response) = responses.get("404").cloned() else { return };
    response["description"] = description.into();
    responses.entry(status.to_string()).or_insert(response);
    let mut sorted: Vec<(String, Value)> = std::mem::take(responses).into_iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    responses.extend(sorted);
}

fn complete_responses(operation: &mut Map<String, Value>) {
    let impossible =
        IMPOSSIBLE.iter().find(|(name, _)| *name == id(operation)).map_or(&[][..], |(_, statuses)| *statuses);
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for status in impossible {
        responses.shift_remove(*status);
    }
    for response in responses.values_mut() {
        let (name, description) = REQUEST_ID;
        let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"});
        response["headers"][name] = json!({"description": description, "required": true, "schema": schema});
    }
}

/// Replaces the security schemes that are required permissions by a sentence in the description of the operation.
fn document_permissions(document: &mut Value) {
    for (_, _, operation) in operations(document) {
        let mut needed = Vec::new();
        if let Some(Value::Array(schemes)) = operation.get_mut("security") {
            schemes.retain(|scheme| {
                let name = scheme.as_object().and_then(|scheme| scheme.keys().next());
                let permission = name.and_then(|name| name.strip_prefix(PERMISSION_PREFIX)).map(str::to_owned);
                needed.extend(permission.clone());
                permission.is_none()
            });
        }
        for permission in needed {
            let before = operation.get("description").and_then(Value::as_str).map(|text| format!("{text} "));
            let needed = match permission.split_once(OWN_KEYS_SEPARATOR) {
                None => format!("`{permission}`"),
                Some((all, own)) => format!("`{all}`, or `{own}` for the keys of the caller's own user"),
            };
            let text = format!("{}Needs the permission {needed}.", before.unwrap_or_default());
            set_description(operation, text);
        }
    }
}

/// Sets the description of an operation, after its summary.
fn set_description(operation: &mut Map<String, Value>, text: String) {
    let mut text = Some(Value::String(text));
    for (name, value) in std::mem::take(operation) {
        if name == "description" {
            continue;
        }
        let is_summary = name == "summary";
        operation.insert(name, value);
        if is_summary && let Some(text) = text.take() {
            operation.insert("description".to_owned(), text);
        }
    }
    if let Some(text) = text {
        operation.insert("description".to_owned(), text);
    }
}
