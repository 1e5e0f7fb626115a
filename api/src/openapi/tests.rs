//! The document after its completion.

use serde_json::json;

use super::*;

fn completed(document: &Value) -> Value {
    serde_json::from_str(&complete(&document.to_string())).expect("JSON")
}

/// A document with one operation that has these members.
fn of_operation(operation: &Value) -> Value {
    json!({"paths": {"/": {"post": operation}}, "components": {"schemas": {}}})
}

/// A document with one operation whose body has the schema `name`.
fn of_request(name: &str, schemas: Value) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{name}")});
    let mut document = of_operation(&json!({"requestBody": {"content": {"application/json": {"schema": schema}}}}));
    document["components"]["schemas"] = schemas;
    document
}

#[test]
fn integer_schemas_get_a_known_format_and_bounds() {
    let schema = |format: &str| json!({"type": "integer", "format": format});
    let cases = [
        (schema("uint64"), json!(["int64", 0, 9_007_199_254_740_991_i64])),
        (schema("uint32"), json!(["int64", 0, 4_294_967_295_i64])),
        (schema("uint16"), json!(["int32", 0, 65_535])),
        (schema("int32"), json!(["int32", -2_147_483_648_i64, 2_147_483_647])),
        (json!({"type": "integer"}), json!(["int64", -9_007_199_254_740_991_i64, 9_007_199_254_740_991_i64])),
        (json!({"type": "integer", "format": "uint64", "minimum": 22.0, "maximum": 256.0}), json!(["int64", 22, 256])),
    ];
    for (derived, expected) in cases {
        let completed = completed(&json!({"x": [derived.clone()]}));
        let schema = &completed["x"][0];
        assert_eq!(json!([schema["format"], schema["minimum"], schema["maximum"]]), expected, "{derived}");
    }
    let map = json!({"type": "object", "additionalProperties": {"type": "integer", "format": "uint64"}});
    assert_eq!(
        completed(&json!({"x": map}))["x"]["additionalProperties"],
        json!({"type": "integer", "format": "int64"})
    );
    // A property that is called `type` is no type.
    let object = json!({"properties": {"type": {"type": "string"}}});
    assert_eq!(completed(&json!({"x": object}))["x"], object);
}

#[test]
fn optional_fields_of_requests_are_nullable_except_in_updates() {
    let list = json!({"type": "array", "items": {"type": "string"}});
    let inner = json!({"$ref": "#/components/schemas/Inner"});
    let properties = json!({"must": list, "list": list, "text": {"type": "string"}, "inner": inner});
    let schema = json!({"type": "object", "required": ["must"], "properties": properties});
    let object = json!({"type": "object", "properties": {"flag": {"type": "boolean"}}});
    let document = of_request("CreateX", json!({"CreateX": schema, "Inner": object, "Answer": schema}));
    let schemas = completed(&document)["components"]["schemas"].take();
    let nulls = |schema: &Value| schema.to_string().matches("nullable").count();
    assert_eq!(
        (nulls(&schemas["Answer"]), nulls(&schemas["CreateX"])),
        (0, 3),
        "responses say themselves what may be null"
    );
    let created = &schemas["CreateX"];
    let nullable = |name: &str| created["properties"][name]["nullable"] == true;
    assert_eq!(["must", "list", "text", "inner"].map(nullable), [false, true, true, true]);
    assert_eq!(created["properties"]["inner"]["allOf"], json!([inner]));
    assert_eq!((&created["additionalProperties"], &created["minProperties"]), (&json!(false), &Value::Null));
    assert_eq!(schemas["Inner"]["properties"]["flag"]["nullable"], true, "schemas of schemas");
    let document = of_request("UpdateX", json!({"UpdateX": object}));
    let updated = completed(&document)["components"]["schemas"]["UpdateX"].take();
    assert_eq!((&updated["properties"]["flag"]["nullable"], &updated["minProperties"]), (&Value::Null, &json!(1)));
}

#[test]
fn fields_have_the_rules_of_their_names() {
    let properties =
        json!({"name": {"type": "string"}, "permission_sets": {"type": "array", "items": {"type": "string"}}});
    let schema = json!({"type": "object", "required": ["name", "permission_sets"], "properties": properties});
    let document = of_request("CreateX", json!({"CreateX": schema}));
    let properties = completed(&document)["components"]["schemas"]["CreateX"]["properties"].take();
    assert_eq!((&properties["name"]["minLength"], &properties["name"]["maxLength"]), (&json!(1), &json!(100)));
    let ids = &properties["permission_sets"];
    assert_eq!((&ids["maxItems"], &ids["items"]["format"]), (&json!(16), &json!("uuid")));
}

#[test]
fn an_operation_has_one_scheme_one_tag_and_its_permission_in_words() {
    let schemes = json!([{"bearerAuth": []}, {"apiKeyHeader": []}, {"apiKeyCookie": []}, {"needs org:read": []}]);
    let operation = json!({"summary": "s", "security": schemes, "operationId": "o", "tags": ["Keys", "Usage"]});
    let mut described = operation.clone();
    described["description"] = "Text.".into();
    for (operation, description) in
        [(operation, "Needs the permission `org:read`."), (described, "Text. Needs the permission `org:read`.")]
    {
        let completed = completed(&of_operation(&operation));
        let operation = &completed["paths"]["/"]["post"];
        assert_eq!(operation["description"], description);
        assert_eq!((&operation["security"], &operation["tags"]), (&Value::Null, &json!(["Usage"])));
        assert_eq!(completed["security"], json!([{"bearerAuth": []}]));
    }
    let completed = completed(&of_operation(&json!({"operationId": "o", "security": [{}]})));
    assert_eq!(completed["paths"]["/"]["post"]["security"], json!([]), "it needs no credential");
}

#[test]
fn what_several_operations_have_is_in_the_components() {
    let error = json!({"description": "d", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ApiError"}}}});
    let parameter = json!({"name": "org_id", "in": "path", "required": true, "schema": {"type": "string"}});
    let operation = |id: &str| json!({"operationId": id, "parameters": [parameter], "responses": {"404": error}});
    let document = json!({"paths": {"/a": {"get": operation("a")}, "/b": {"get": operation("b")}}, "components": {}});
    let completed = completed(&document);
    let operation = &completed["paths"]["/b"]["get"];
    assert_eq!(operation["parameters"], json!([{"$ref": "#/components/parameters/OrgId"}]));
    assert_eq!(operation["responses"]["404"], json!({"$ref": "#/components/responses/NotFound"}));
    let shared = &completed["components"]["responses"]["NotFound"];
    assert_eq!(shared["headers"]["x-request-id"], json!({"$ref": "#/components/headers/XRequestId"}));
    assert_eq!(shared["content"]["application/json"]["example"]["reason"], "not_found");
}

#[test]
fn fields_have_examples_of_bodies_or_by_their_names() {
    let text = json!({"type": "string"});
    let properties = json!({"name": text, "external_id": {"type": "string", "nullable": true}});
    let schemas = json!({"Key": {"type": "object", "properties": properties}, "Inner": {"type": "object"}});
    let schema = json!({"type": "array", "items": {"$ref": "#/components/schemas/Key"}});
    let content = json!({"application/json": {"schema": schema, "example": [{"name": "n", "external_id": null}]}});
    let mut document = of_operation(&json!({"operationId": "o", "responses": {"200": {"content": content}}}));
    document["components"]["schemas"] = schemas;
    let completed = completed(&document);
    let key = &completed["components"]["schemas"]["Key"];
    assert_eq!(key["example"], json!({"name": "n", "external_id": null}));
    let properties = &key["properties"];
    assert_eq!(
        (&properties["name"]["example"], &properties["external_id"]["example"]),
        (&json!("n"), &json!("customer-42"))
    );
    assert_eq!(completed["components"]["schemas"]["Inner"]["example"], json!({}));
}

#[test]
fn code_samples_send_the_example_of_the_request() {
    let body = json!({"name": "it's", "enabled": true, "expires_at": null});
    let samples = samples::of("patch", "/orgs/{org_id}/api_keys/{key_id}", false, Some(&body));
    let source = |n: usize| samples[n]["source"].as_str().expect("a text");
    let curl = "curl --request PATCH \"$CLAVIGER_URL/orgs/$ORG_ID/api_keys/$KEY_ID\" \\\n  \
                --header \"Authorization: Bearer $CLAVIGER_KEY\" \\\n  \
                --header 'Content-Type: application/json' \\\n  \
                --data '{\"name\":\"it'\\''s\",\"enabled\":true,\"expires_at\":null}'";
    assert_eq!(source(0), curl);
    assert!(
        source(1)
            .contains("fetch(`${process.env.CLAVIGER_URL}/orgs/${process.env.ORG_ID}/api_keys/${process.env.KEY_ID}`")
    );
    assert!(source(2).contains("json={\"name\": \"it's\", \"enabled\": True, \"expires_at\": None},"), "{}", source(2));
    assert!(source(3).contains(".patch(format!(\"{claviger_url}/orgs/{org_id}/api_keys/{key_id}\"))"), "{}", source(3));
}
