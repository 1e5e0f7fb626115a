//! The OpenAPI document: generators read it correctly, and the service accepts the values that it allows.

use std::collections::BTreeSet;

use harness::{KeySpec, Process, TestApp};
use serde_json::{Map, Value, json};

use crate::auth::operations::PROTECTED;

const LARGEST: i64 = 9_007_199_254_740_991;

/// Calls `visit` with each JSON object in a value and its path.
fn visit<'a>(value: &'a Value, place: &str, visitor: &mut impl FnMut(&str, &'a Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visitor(place, members);
            members.iter().for_each(|(name, value)| visit(value, &format!("{place}/{name}"), visitor));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| visit(value, &format!("{place}/{n}"), visitor));
        }
        _ => {}
    }
}

/// The component that a reference names; anything else is returned unchanged.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(path) => document.pointer(path.trim_start_matches('#')).expect("the component"),
        None => value,
    }
}

pub(super) fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().expect("paths");
    paths.values().flat_map(|path| path.as_object().expect("methods").values())
}

/// The names of the schemas of all request bodies, and of the schemas that these refer to.
fn request_schemas(document: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut left: Vec<&Value> = operations(document).filter_map(|operation| operation.get("requestBody")).collect();
    while let Some(value) = left.pop() {
        visit(value, "", &mut |_, members| {
            let Some(path) = members.get("$ref").and_then(Value::as_str) else { return };
            let name = path.rsplit('/').next().expect("a name");
            if names.insert(name.to_owned()) {
                left.push(&document["components"]["schemas"][name]);
            }
        });
    }
    names
}

/// The parts of a schema that generators read wrongly.
fn faults(place: &str, schema: &Map<String, Value>) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let mut check = |is_fault: bool, fault| {
        if is_fault {
            faults.push(fault);
        }
    };
    let is_array = |name: &str| schema.get(name).is_some_and(Value::is_array);
    let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
    check(is_array("oneOf") || is_array("anyOf"), "a choice of schemas");
    let has_null = schema.get("enum").and_then(Value::as_array).is_some_and(|items| items.contains(&Value::Null));
    check(has_null, "null in an enum");
    check(text("format").starts_with("uint"), "a format that is not of OpenAPI");
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        check(parts.len() != 1 || parts[0].get("$ref").is_none(), "allOf that is more than one reference");
        check(schema.contains_key("type"), "a type next to allOf, with which generators do not accept null");
    }
    let is_typed = |schema: &Value| ["type", "$ref", "allOf"].iter().any(|name| schema.get(*name).is_some());
    let properties = schema.get("properties").and_then(Value::as_object);
    check(properties.is_some_and(|properties| !properties.values().all(is_typed)), "a property without a type");
    for name in ["schema", "items"] {
        check(schema.get(name).is_some_and(|schema| !is_typed(schema)), "a schema without a type");
    }
    let has_members = properties.is_some() || schema.contains_key("additionalProperties");
    check(text("type") == "object" && !has_members, "an object without properties");
    if text("type") == "integer" {
        let range = match text("format") {
            "int32" => Some(i32::MIN.into()..=i32::MAX.into()),
            "int64" => Some(-LARGEST..=LARGEST),
            _ => None,
        };
        check(range.is_none(), "an integer with an unknown format");
        let range = range.unwrap_or(0..=0);
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64).filter(|bound| range.contains(bound));
        let is_bounded = bound("minimum").zip(bound("maximum")).is_some_and(|(min, max)| min < max);
        // orval 7 generates code that does not compile for bounds of the values of a map.
        let is_unbounded = schema.get("minimum").or(schema.get("maximum")).is_none();
        let is_right = if place.ends_with("/additionalProperties") { is_unbounded } else { is_bounded };
        check(!is_right, "an integer with other bounds than its format and place allow");
    }
    faults
}

#[tokio::test]
async fn the_document_has_no_schema_that_generators_read_wrongly() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let mut wrong = Vec::new();
    visit(&document, "", &mut |place, schema| {
        wrong.extend(faults(place, schema).into_iter().map(|fault| format!("{place}: {fault}")));
    });
    // Optional arrays and maps must be nullable. For others, some generators send empty ones.
    let requests = request_schemas(&document);
    assert!(requests.len() > 20, "{requests:?}");
    let mut collections = 0;
    for name in requests {
        let schema = &document["components"]["schemas"][&name];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            let is_collection = schema["type"] == "array" || schema.get("additionalProperties").is_some();
            if is_collection && !required.contains(&json!(property)) {
                collections += 1;
                if schema["nullable"] != true {
                    wrong.push(format!("{name}/{property}: may be absent, but not null"));
                }
            }
        }
    }
    assert!(collections > 10, "{collections}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_document_is_the_same_in_docs_and_on_the_command_line() {
    let app = TestApp::start().await;
    let served = app.anyone().get("/openapi.json").await.text;
    let printed = Process::run(&["openapi"], &[]).stdout;
    assert!(served.trim_end() == String::from_utf8(printed).expect("text").trim_end(), "claviger openapi");
    assert!(app.anyone().get("/docs").await.text.contains(served.trim_end()), "/docs");
}

/// A field of a request body.
struct Field {
    pointer: String,
    schema: Value,
}

impl Field {
    /// Its path, in the form that errors have.
    fn label(&self, is_athena: bool) -> String {
        let mut label = String::new();
        for part in self.pointer.split('/').skip(1) {
            match part.parse::<usize>() {
                Ok(n) => label = format!("{label}[{n}]"),
                Err(_) if label.is_empty() => label.push_str(part),
                Err(_) => label = format!("{label}.{part}"),
            }
        }
        if is_athena { format!("[body.{label}]") } else { label }
    }

    /// Values, and whether the document allows them.
    fn values(&self) -> Vec<(Value, bool)> {
        let mut values = Vec::new();
        if self.schema["type"] == "integer" {
            let bound = |name: &str| self.schema[name].as_i64().expect("a bound");
            let (min, max) = (bound("minimum"), bound("maximum"));
            values = vec![(json!(min - 1), false), (json!(min), true), (json!(max), true), (json!(max + 1), false)];
        }
        let bound = |name: &str| self.schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
        if let Some(max) = bound("maxLength").filter(|_| self.schema.get("format").is_none()) {
            values.push((json!("x".repeat(max + 1)), false));
            if self.schema.get("pattern").is_none() {
                values.push((json!("x".repeat(max)), true));
            }
        }
        if let Some(min) = bound("minLength").filter(|min| *min > 0) {
            values.push((json!("x".repeat(min - 1)), false));
        }
        if self.schema.get("pattern").is_some() {
            values.push((json!("\u{0}"), false));
        }
        if let Some(max) = bound("maxItems").filter(|_| self.schema["items"]["type"] == "string") {
            values.push((json!(vec!["ffffffff-0000-0000-0000-000000000000"; max + 1]), false));
        }
        if bound("minItems").is_some() {
            values.push((json!([]), false));
        }
        // The reader of a body says what each field must be, except the id of an object.
        if self.schema["format"] != "uuid" {
            values.push((Value::Null, self.schema["nullable"] == true));
        }
        values
    }
}

fn fields(document: &Value, schema: &Value, pointer: &str, found: &mut Vec<Field>) {
    let schema = resolve(document, schema);
    if !pointer.is_empty() && !pointer.ends_with("/0") {
        found.push(Field { pointer: pointer.to_owned(), schema: schema.clone() });
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        fields(document, property, &format!("{pointer}/{name}"), found);
    }
    if schema["type"] == "array" && schema["items"].get("$ref").is_some() {
        fields(document, &schema["items"], &format!("{pointer}/0"), found);
    }
}

/// The body with this value for a field.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a place");
    let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is not in the body of the operation"));
    parent[name] = value;
    body
}

#[tokio::test]
async fn the_service_accepts_the_documented_bounds_and_nulls() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let (key_id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (mut others, mut nulls) = (0, 0);
    for operation in PROTECTED {
        let (method, path, Some(body)) = (operation.request)(&tenant.org_id, &key_id) else { continue };
        let documented = operations(&document).find(|it| it["operationId"] == operation.id).expect("documented");
        let Some(schema) = documented.pointer("/requestBody/content/application~1json/schema") else { continue };
        let caller = if operation.id.ends_with("Organization") { &platform } else { &tenant.admin };
        let mut found = Vec::new();
        fields(&document, schema, "", &mut found);
        // Of these, the operation needs one or the other.
        found.retain(|field| operation.id != "addMember" || field.pointer != "/user_email");
        found.retain(|field| {
            operation.id != "createPortalSession" || !["/external_id", "/user_id"].contains(&&*field.pointer)
        });
        for field in found {
            let label = field.label(operation.id.contains("Athena"));
            for (value, is_documented) in field.values() {
                *(if value.is_null() { &mut nulls } else { &mut others }) += 1;
                let sent = with(&body, &field.pointer, value.clone());
                let answer = caller.send_json(method, &path, &sent).await;
                let is_named = answer.wrong_fields().contains(&label)
                    || answer.text.contains(&format!("{label} must"))
                    || answer.text.contains(&format!("{label} is required"));
                let is_refused = answer.status == 400 && is_named;
                assert_eq!(is_refused, !is_documented, "{} {label} {value}: {}", operation.id, answer.text);
                assert!(answer.status != 401 && answer.status < 500, "{} {label} {value}", operation.id);
            }
        }
    }
    assert!(others > 150 && nulls > 100, "{others} {nulls}");
}

#[tokio::test]
async fn null_clears_in_updates_and_is_invalid_where_a_field_cannot_be_empty() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let org = format!("/orgs/{}", tenant.org_id);
    let made = async |path: &str, body: Value| tenant.admin.post(&format!("{org}/{path}"), &body).await.json();
    let set = made("permission_sets", json!({"name": "readers", "permissions": ["files:read"]})).await;
    let member = json!({"user_email": "m@example.com", "user_name": "m", "permissions": ["files:write"]});
    let member = made("members", member).await;
    let key =
        made("api_keys", json!({"name": "n", "permissions": ["files:read"], "permission_sets": [set["id"]]})).await;
    let path = |kind: &str, id: &Value| format!("{org}/{kind}/{}", id.as_str().expect("an id"));
    let set_path = path("permission_sets", &set["id"]);
    let member_path = path("members", &member["user_id"]);
    let key_path = path("api_keys", &key["id"]);
    // An absent field is unchanged.
    let renamed = tenant.admin.patch(&set_path, &json!({"name": "viewers"})).await.json();
    assert_eq!((&renamed["name"], &renamed["permissions"]), (&json!("viewers"), &json!(["files:read"])));
    let changed = tenant.admin.patch(&member_path, &json!({"permission_sets": [set["id"]]})).await.json();
    assert_eq!((&changed["permissions"], &changed["permission_sets"]), (&json!(["files:write"]), &json!([set["id"]])));
    // `null` clears a list.
    for (path, field) in [
        (&set_path, "permissions"),
        (&member_path, "permissions"),
        (&member_path, "permission_sets"),
        (&key_path, "permissions"),
        (&key_path, "permission_sets"),
    ] {
        let answer = tenant.admin.patch(path, &json!({field: null})).await;
        assert_eq!((answer.status, &answer.json()[field]), (200, &json!([])), "{path} {field}: {}", answer.text);
    }
    // `null` is invalid where a field cannot be empty.
    for (path, field) in [
        (&set_path, "name"),
        (&key_path, "enabled"),
        (&key_path, "can_manage"),
        (&org, "suspended"),
        (&org, "keys_can_manage_by_default"),
    ] {
        let answer = platform.patch(path, &json!({field: null})).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{path}: {}", answer.text);
        assert!(answer.text.contains("must not be null"), "{}", answer.text);
    }
}

#[tokio::test]
async fn null_is_the_same_as_absent_in_requests_that_create() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let key = json!({
        "name": "n", "permissions": ["files:read"], "permission_sets": null, "allowed_addresses": null, "metadata": null,
    });
    let key = tenant.admin.post(&format!("{org}/api_keys"), &key).await.json();
    let shown = json!([key["permission_sets"], key["allowed_addresses"], key["metadata"]]);
    assert_eq!(shown, json!([[], null, null]));
    let caller = app.caller(key["key"].as_str().expect("a key"));
    let token = caller.post("/tokens", &json!({"audience": "a", "permissions": null})).await.json();
    assert_eq!(token["permissions"], json!(["files:read"]));
    // Verification asks for the permissions in the list; an empty list or object asks for none.
    let verify = async |body: Value| tenant.admin.post("/api_keys/verify", &body).await.json()["code"].clone();
    for (permissions, code) in [
        (json!(["files:write"]), "INSUFFICIENT_PERMISSIONS"),
        (json!(["files:read"]), "VALID"),
        (json!([]), "VALID"),
        (Value::Null, "VALID"),
    ] {
        assert_eq!(verify(json!({"key": key["key"], "permissions": permissions})).await, code, "{permissions}");
    }
    let body = json!({"key": key["key"], "permissions": {}, "context": null});
    assert_eq!(tenant.admin.post("/api/auth/api-key/verify", &body).await.json()["valid"], true);
}

#[tokio::test]
async fn each_operation_has_examples_and_each_error_is_shared() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let (mut examples, mut summaries) = (0, BTreeSet::new());
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(summaries.insert(operation["summary"].as_str()), "{id} has the summary of another operation");
        let bodies = operation["responses"].as_object().expect("responses").iter();
        let bodies = bodies.map(|(status, response)| (status.as_str(), resolve(&document, response)));
        for (what, body) in bodies.chain(operation.get("requestBody").map(|body| ("body", body))) {
            // No test records it: the deletion of an organization would have to take longer than the test.
            if what == "202" {
                continue;
            }
            for (media_type, content) in body["content"].as_object().expect("content") {
                assert!(content.get("example").is_some(), "{id} {what} {media_type}");
                examples += 1;
            }
        }
    }
    assert!(examples > 300, "{examples}");
    for kind in ["responses", "parameters", "headers"] {
        assert!(document["components"][kind].as_object().is_some_and(|shared| shared.len() > 5), "{kind}");
    }
}

#[tokio::test]
async fn the_statuses_of_if_match_and_of_reading_are_documented() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let tenant = app.tenant("Acme").await;
    let admin = tenant.admin.with("if-match", "\"999\"");
    let mut refused = 0;
    for operation in PROTECTED {
        let (method, path, body) = (operation.request)(&tenant.org_id, &tenant.key_id);
        let documented = operations(&document).find(|it| it["operationId"] == operation.id).expect("documented");
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = admin.send(method, &path, body).await;
        let status = answer.status.to_string();
        assert!(documented["responses"].get(&status).is_some(), "{}: {}", operation.id, answer.text);
        refused += usize::from(answer.status == 412);
    }
    assert!(refused > 15, "{refused}");
    let find = operations(&document).find(|it| it["operationId"] == "findApiKey").expect("documented");
    assert!(find["responses"].get("409").is_none(), "an operation that changes nothing has no conflicts");
}

#[tokio::test]
async fn unknown_members_are_refused_where_the_document_says_so() {
    let app = TestApp::start().await;
    let document = app.anyone().get("/openapi.json").await.json();
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let mut bodies = 0;
    for operation in PROTECTED {
        let (method, path, Some(mut body)) = (operation.request)(&tenant.org_id, &tenant.key_id) else { continue };
        let documented = operations(&document).find(|it| it["operationId"] == operation.id).expect("documented");
        let Some(schema) = documented.pointer("/requestBody/content/application~1json/schema") else { continue };
        body["unknown"] = json!(1);
        let is_closed = resolve(&document, schema)["additionalProperties"] == false;
        // Creating an organization needs the platform.
        let caller = if operation.id == "createOrganization" { &platform } else { &tenant.admin };
        let answer = caller.send_json(method, &path, &body).await;
        let is_refused = answer.status == 400 && answer.wrong_fields().contains(&"unknown".to_owned());
        assert_eq!(is_refused, is_closed, "{}: {}", operation.id, answer.text);
        bodies += 1;
    }
    assert!(bodies > 15, "{bodies}");
}
