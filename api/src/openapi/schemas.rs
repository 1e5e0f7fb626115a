//! Schemas of the OpenAPI document: what poem-openapi cannot say, and what generators of clients need.

use std::collections::{BTreeSet, HashMap};

use domain::{
    auth::portal::session::{PortalAction, PortalTheme},
    keys::quota::MAX_INTEGER,
};
use serde_json::{Map, Value, json};

/// Completes all schemas:
///
/// - Integers are `int32` or `int64`, each with `minimum` and `maximum`. Many generators treat an unknown format like `uint64` as
///   32 bits. Only the values of maps have no bounds: with them, orval 7 generates code that does not compile.
/// - Schemas have no title: it would be the name of a type in the code of the service, and some generators use it.
/// - Fields have the bounds, patterns and formats of [`rules`].
/// - In bodies of the native API, optional fields are nullable, except in updates, where only those are that `null` clears. Arrays
///   that are not nullable would be sent empty by some generators when none was set.
/// - Bodies whose unknown members are an error have no `additionalProperties`. Updates have at least one property.
/// - The description of a field is next to its `allOf` with a reference, not repeated as a second part of it.
pub(super) fn complete(document: &mut Value) {
    remove_described_parts(document);
    for schema in document["components"]["schemas"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(schema) = schema.as_object_mut() {
            schema.shift_remove("title");
        }
    }
    let rules = rules();
    for name in request_schemas(document) {
        if let Some(Value::Object(schema)) = document.pointer_mut(&format!("/components/schemas/{name}")) {
            complete_request(&name, schema, &rules);
        }
    }
    for (place, keywords) in constants() {
        let (schema, property) = place.split_once('.').unwrap_or_default();
        if let Some(property) = document.pointer_mut(&format!("/components/schemas/{schema}/properties/{property}")) {
            merge(property, keywords);
        }
    }
    bound_integers(document);
}

fn complete_request(name: &str, schema: &mut Map<String, Value>, rules: &HashMap<&str, Value>) {
    let is_lenient = name.starts_with("Athena");
    let is_update = name.starts_with("Update");
    // Forms have no null, and unknown parameters are ignored (RFC 6749 §3.2).
    let is_form = name.starts_with("OAuth");
    if !is_lenient && !is_update && !is_form {
        allow_null(schema);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (property, schema) in properties {
            let special = rules.get(format!("{name}.{property}").as_str());
            if let Some(keywords) = special.or_else(|| rules.get(property.as_str()).filter(|_| !is_lenient)) {
                merge(schema, keywords.clone());
            }
        }
        // The body of a sign-up may have further members, as in LiveKit's API.
        if !is_lenient && !is_form && name != "SignUpRequest" {
            schema.insert("additionalProperties".to_owned(), false.into());
        }
    }
    if is_update {
        schema.insert("minProperties".to_owned(), 1.into());
    }
}

/// The bounds, patterns and formats of fields of requests, by their names; those of one schema only as `schema.field`. They are
/// those of the domain.
fn rules() -> HashMap<&'static str, Value> {
    let line = |max: u32| json!({"minLength": 1, "maxLength": max, "pattern": LINE});
    let plain = json!({"minLength": 1, "maxLength": 255, "pattern": PLAIN});
    let name = line(100);
    let name_or_empty = json!({"maxLength": 100, "pattern": PLAIN_OR_EMPTY});
    let id = json!({"format": "uuid"});
    let prefix = json!({"pattern": "^[A-Za-z0-9_-]{0,32}$"});
    HashMap::from([
        ("name", name.clone()),
        ("CreateOrganizationRequest.name", name_or_empty.clone()),
        ("UpdateOrganizationRequest.name", name_or_empty.clone()),
        ("org_name", name_or_empty.clone()),
        ("user_name", name),
        ("user_email", email()),
        ("description", line(500)),
        ("AllowedPermissionInput.permission", json!({"pattern": PERMISSION})),
        ("AllowedPermissionInput.description", line(200)),
        ("addresses_required_for", json!({"maxItems": 50, "items": {"pattern": PERMISSION}})),
        ("permission_set_id", id.clone()),
        ("CheckKeyPolicyRequest.cursor", json!({"minLength": 1})),
        ("external_id", line(255)),
        ("permissions", json!({"maxItems": 256, "items": {"pattern": PERMISSION}})),
        ("permission_sets", json!({"maxItems": 16, "items": id})),
        ("allowed_addresses", json!({"minItems": 1, "maxItems": 64, "items": {"pattern": NETWORK}})),
        ("ip", json!({"pattern": ADDRESS})),
        ("ids", json!({"items": id})),
        ("org_id", id.clone()),
        ("user_id", id.clone()),
        ("hash", json!({"pattern": "^([0-9A-Fa-f]{64}|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=?)$"})),
        ("issuer", json!({"minLength": 1})),
        ("subject", plain.clone()),
        ("audience", plain),
        ("audiences", json!({"maxItems": 16, "items": {"minLength": 1, "maxLength": 255, "pattern": PLAIN}})),
        ("claims", json!({"minProperties": 1, "maxProperties": 16})),
        ("trust_rule_id", id.clone()),
        ("permissions_ceiling", json!({"maxItems": 64, "items": {"pattern": PERMISSION}})),
        ("allowed", json!({"maxItems": 4, "items": {"enum": PortalAction::CODES}})),
        ("theme", json!({"enum": PortalTheme::CODES})),
        ("return_url", json!({"maxLength": 2048, "pattern": "^https?://[!-~]+$"})),
        ("CreatePortalSessionRequest.prefix", json!({"pattern": "^[A-Za-z0-9_-]{1,32}$"})),
        ("color", json!({"pattern": "^#[0-9A-Fa-f]{6}$"})),
        ("logo", json!({"maxLength": 43_800, "pattern": LOGO})),
        ("origins", json!({"maxItems": 20, "items": {"maxLength": 300, "pattern": r"^https?://[A-Za-z0-9.:\[\]-]+$"}})),
        ("AthenaVerifyKeyRequest.key", json!({"minLength": 1})),
        ("AthenaCreateKeyRequest.name", name_or_empty.clone()),
        ("AthenaCreateKeyRequest.prefix", prefix),
        ("AthenaCreateKeyRequest.userId", id.clone()),
        ("AthenaUpdateKeyRequest.name", name_or_empty),
        ("AthenaUpdateKeyRequest.keyId", id.clone()),
        ("AthenaUpdateKeyRequest.userId", id.clone()),
        ("AthenaDeleteKeyRequest.keyId", id),
    ])
}

/// An e-mail address: the service has further rules.
pub(super) fn email() -> Value {
    json!({"format": "email", "minLength": 3, "maxLength": 254, "pattern": r"^[^@\s]+@[^@\s]+$"})
}

/// No control characters, and not only whitespace.
const LINE: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";

/// No control characters.
pub(super) const PLAIN: &str = r"^[^\x00-\x1F\x7F-\x9F]+$";

/// As [`PLAIN`], or empty.
pub(super) const PLAIN_OR_EMPTY: &str = r"^[^\x00-\x1F\x7F-\x9F]*$";

/// A data URL of an image.
const LOGO: &str = "^data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}$";

/// The characters of an IP address.
const ADDRESS: &str = "^[0-9A-Fa-f:.]{2,45}$";

/// The characters of an IP address or of a network in CIDR notation.
const NETWORK: &str = "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$";

/// A permission in flat form.
pub(super) const PERMISSION: &str = r"^(\*|[A-Za-z0-9_.-]{1,64})(:(\*|[A-Za-z0-9_.-]{1,64}))?$";

/// Fields of responses that always have the same value, and what else their types do not say.
fn constants() -> Vec<(&'static str, Value)> {
    let constant = |value: &str| json!({"enum": [value]});
    let hash = json!({"pattern": "^[0-9a-f]{64}$"});
    vec![
        ("Token.token_type", constant("Bearer")),
        ("OAuthIntrospection.token_type", constant("Bearer")),
        ("OAuthToken.token_type", constant("Bearer")),
        ("Jwk.kty", constant("OKP")),
        ("Jwk.crv", constant("Ed25519")),
        ("Jwk.alg", constant("EdDSA")),
        ("Jwk.use", constant("sig")),
        ("Jwk.x", json!({"pattern": "^[A-Za-z0-9_-]{43}$"})),
        ("AuditEvent.hash", hash),
        ("AthenaApiKey.configId", constant("default")),
        ("AthenaCreatedApiKey.configId", constant("default")),
    ]
}

/// Adds keywords to a schema. Those of items are added to its items.
pub(super) fn merge(schema: &mut Value, keywords: Value) {
    match (schema, keywords) {
        (Value::Object(schema), Value::Object(keywords)) => {
            for (name, value) in keywords {
                if name == "items"
                    && let Some(items) = schema.get_mut("items")
                {
                    merge(items, value);
                } else {
                    schema.insert(name, value);
                }
            }
        }
        (schema, keywords) => *schema = keywords,
    }
}

/// The names of all schemas that request bodies refer to, directly or through other schemas.
fn request_schemas(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let mut names = BTreeSet::new();
    let mut pending: Vec<&Value> = operations.filter_map(|operation| operation.get("requestBody")).collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => {
                let name = members.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
                if let Some(name) = name.filter(|name| names.insert((*name).to_owned())) {
                    pending.push(&document["components"]["schemas"][name]);
                }
                pending.extend(members.values());
            }
            _ => {}
        }
    }
    names
}

/// Makes all optional fields nullable.
fn allow_null(schema: &mut Map<String, Value>) {
    let required: Vec<Value> = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if required.iter().any(|required| required == name) {
            continue;
        }
        // Keywords next to a `$ref` are ignored.
        if property.get("$ref").is_some() {
            *property = json!({"allOf": [property.take()]});
        }
        property["nullable"] = true.into();
    }
}

/// Sets a standard format, and bounds that are integers, for all integer schemas.
fn bound_integers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Object(members) => {
            if has_type(members, "integer") {
                let (format, min, max) = range(members.get("format").and_then(Value::as_str));
                members.insert("format".to_owned(), format.into());
                for (name, default) in [("minimum", min), ("maximum", max)] {
                    let bound = members.get(name).and_then(to_integer).unwrap_or(default);
                    members.insert(name.to_owned(), bound.into());
                }
            }
            members.values_mut().for_each(bound_integers);
            if let Some(Value::Object(values)) = members.get_mut("additionalProperties") {
                values.remove("minimum");
                values.remove("maximum");
            }
        }
        _ => {}
    }
}

/// Removes the parts of an `allOf` that are only a description: poem-openapi repeats the description of a field there.
fn remove_described_parts(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_described_parts),
        Value::Object(members) => {
            if let Some(Value::Array(parts)) = members.get_mut("allOf") {
                let is_description = |part: &Map<String, Value>| part.keys().all(|name| name == "description");
                parts.retain(|part| !part.as_object().is_some_and(is_description));
            }
            members.values_mut().for_each(remove_described_parts);
        }
        _ => {}
    }
}

/// A bound as an integer; poem-openapi writes bounds like `1.0`.
fn to_integer(bound: &Value) -> Option<i64> {
    let text = bound.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}

/// The format, minimum and maximum for an integer format of poem-openapi. No request or response has integers above 2^53 - 1.
fn range(format: Option<&str>) -> (&'static str, i64, i64) {
    let largest = i64::try_from(MAX_INTEGER).unwrap_or(i64::MAX);
    match format {
        Some("int8") => ("int32", i8::MIN.into(), i8::MAX.into()),
        Some("int16") => ("int32", i16::MIN.into(), i16::MAX.into()),
        Some("int32") => ("int32", i32::MIN.into(), i32::MAX.into()),
        Some("uint8") => ("int32", 0, u8::MAX.into()),
        Some("uint16") => ("int32", 0, u16::MAX.into()),
        Some("uint32") => ("int64", 0, u32::MAX.into()),
        Some("uint64") => ("int64", 0, largest),
        _ => ("int64", -largest, largest),
    }
}

fn has_type(schema: &Map<String, Value>, ty: &str) -> bool {
    schema.get("type").is_some_and(|value| value == ty)
}
