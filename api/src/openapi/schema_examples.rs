//! Examples of schemas, parameters and headers in the OpenAPI document.

use serde_json::{Map, Value, json};

use super::{examples::REQUEST_ID, operations};

/// Adds an example to each schema and each of its fields: a part of an example of a request or response that has the schema. What
/// is in no such example gets one by its name and type, and so do parameters and headers.
pub(super) fn add(document: &mut Value) {
    let mut schemas = document["components"]["schemas"].clone();
    let named = schemas.clone();
    let mut found = Map::new();
    for (_, _, operation) in operations(document) {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            add_to_parameter(&named, &name, parameter);
        }
        let mut bodies: Vec<&mut Value> = Vec::new();
        for (name, value) in operation.iter_mut() {
            match (name.as_str(), value) {
                ("requestBody", body) => bodies.push(body),
                ("responses", Value::Object(responses)) => bodies.extend(responses.values_mut()),
                _ => {}
            }
        }
        for body in bodies {
            for (name, header) in body.get_mut("headers").and_then(Value::as_object_mut).into_iter().flatten() {
                add_to_parameter(&named, name, header);
            }
            let contents = body.get_mut("content").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
            for content in contents.filter(|content| content.get("example").is_some()) {
                let example = content["example"].clone();
                collect(&named, &content["schema"], &example, &mut found);
                if content["schema"].get("$ref").is_none() {
                    content["schema"]["example"] = example;
                }
            }
        }
    }
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        let example = found.remove(name).unwrap_or_else(|| by_name(&named, name, schema));
        add_to_parts(&named, name, schema, &example);
        schema["example"] = example;
    }
    document["components"]["schemas"] = schemas;
}

/// Adds `example` to the named schemas in `schema` that have no example yet.
fn collect(schemas: &Value, schema: &Value, example: &Value, found: &mut Map<String, Value>) {
    let name = reference(schema).filter(|_| !example.is_null());
    let schema = name.map_or(schema, |name| &schemas[name]);
    if let Some(name) = name.filter(|name| !found.contains_key(*name)) {
        found.insert(name.to_owned(), example.clone());
    }
    match example {
        Value::Object(members) => {
            for (name, value) in members {
                collect(schemas, &schema["properties"][name], value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(schemas, &schema["items"], item, found)),
        _ => {}
    }
}

/// The name of the schema that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    let path = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    path.and_then(|path| path.rsplit('/').next())
}

fn add_to_parameter(schemas: &Value, name: &str, parameter: &mut Value) {
    let example = by_name(schemas, name, &parameter["schema"]);
    if parameter["schema"].get("$ref").is_none() {
        parameter["schema"]["example"] = example.clone();
    }
    parameter["example"] = example;
}

/// Adds the parts of `example` to the fields or items of a schema.
fn add_to_parts(schemas: &Value, name: &str, schema: &mut Value, example: &Value) {
    for (name, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        add_to_part(schemas, name, property, &example[name]);
    }
    if let Some(items) = schema.get_mut("items") {
        add_to_part(schemas, name, items, &example[0]);
    }
}

fn add_to_part(schemas: &Value, name: &str, schema: &mut Value, example: &Value) {
    // Keywords next to a `$ref` are ignored.
    if schema.get("$ref").is_some() {
        return;
    }
    let example = if example.is_null() { by_name(schemas, name, schema) } else { example.clone() };
    add_to_parts(schemas, name, schema, &example);
    // Validators take an `id` in a schema for the name of the schema. The one in the example of the whole object is enough.
    let is_open = schema["type"] == "object" && schema.get("properties").is_none();
    if is_open && example.get("id").is_some() {
        return;
    }
    schema["example"] = example;
}

/// An example by the name and the type of a field, parameter or header.
fn by_name(schemas: &Value, name: &str, schema: &Value) -> Value {
    let schema = reference(schema).map_or(schema, |name| &schemas[name]);
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => true.into(),
        (Some("integer"), _) if name == "Retry-After" => 60.into(),
        (Some("integer"), _) => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        (Some("array"), _) => json!([by_name(schemas, name, &schema["items"])]),
        (Some("object"), _) => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), by_name(schemas, name, schema))).collect()
        }
        (_, Some("uuid")) => "0199f0c2-4d1e-7000-8000-000000000001".into(),
        (_, Some("date-time")) => "2026-11-21T08:00:00Z".into(),
        (_, Some("email")) => "jo@example.com".into(),
        _ => text(name).into(),
    }
}

/// An example of a text by the name of its field, parameter or header.
fn text(name: &str) -> &'static str {
    match name {
        "ETag" | "If-Match" => "\"3\"",
        "Idempotency-Key" => "create-reader-1",
        "Link" => "</orgs?limit=100&cursor=0199f0c2-4d1e-7000-8000-000000000001>; rel=\"next\"",
        "Set-Cookie" => "apiKeyCookie=eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl; Path=/; HttpOnly; SameSite=Strict",
        "WWW-Authenticate" => "Bearer",
        "x-request-id" | "request_id" => REQUEST_ID,
        "action" => "api_key.create",
        "changed_fields" => "expires_at",
        "allowed_addresses" => "203.0.113.0/24",
        "client" | "ip" => "192.0.2.1",
        "cursor" => "eyJ2IjoxfQ",
        "description" => "Reads the files of a customer",
        "external_id" | "org_external_id" => "customer-42",
        "hash" | "sha256" => "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "ids" => "0199f0c2-4d1e-7000-8000-000000000001",
        "issuer" => "https://login.example.org",
        "metadata" => "{\"plan\":\"pro\"}",
        "org_name" => "Acme",
        "permission" | "permissions" => "files:read",
        "allowed" => "create",
        "color" => "#3b5bdb",
        "logo" => "data:image/png;base64,iVBORw0KGgo=",
        "origins" => "https://shop.example.com",
        "return_url" => "https://shop.example.com/account",
        "prefix" => "cvg_",
        "secret_start" | "start" => "cvg_4bCd5E",
        "subject" => "ada",
        "user" => "none",
        "user_name" => "Jo",
        _ => "Reader",
    }
}
