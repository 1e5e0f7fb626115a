//! Examples in the OpenAPI document. Those of requests and of successful responses were recorded by a test
//! (`tests/it/compat/examples.rs`), which fails if the service answers something else. Those of errors are rendered here.

use domain::{Error, error::Capped, permissions::Permission};
use serde_json::{Map, Value};

use super::{id, operations, samples, schema_examples};
use crate::{
    error_formats::error_format_of,
    http::{
        api_error::{ApiError, Fields},
        contract::ErrorFormat,
    },
};

/// For each operation: `request`, and `responses` by status.
const RECORDED: &str = include_str!("../../openapi/examples.json");

/// The id of the requests in examples of errors.
pub(super) const REQUEST_ID: &str = "5f0c2d1e9a7b4c3d8e5f60718293a4b5";

/// Adds examples to all requests, responses and their schemas, and samples of code to the operations of the quick start.
pub(super) fn add(document: &mut Value) {
    let recorded: Value = serde_json::from_str(RECORDED).expect("a test compares the file with the service");
    for (method, path, operation) in operations(document) {
        let recorded = &recorded[id(operation)];
        if let Some(body) = operation.get_mut("requestBody") {
            set_example(body, &recorded["request"]);
        }
        if let Some(Value::Object(responses)) = operation.get_mut("responses") {
            for (status, response) in responses {
                match error(status, error_format_of(path)) {
                    Some(body) => set_example(response, &body),
                    None => set_example(response, &recorded["responses"][status]),
                }
            }
        }
        add_samples(method, path, operation, &recorded["request"]);
    }
    schema_examples::add(document);
}

fn add_samples(method: &str, path: &str, operation: &mut Map<String, Value>, body: &Value) {
    if samples::OPERATIONS.contains(&id(operation)) {
        let is_public = operation.get("security").is_some_and(|schemes| schemes.as_array().is_some_and(Vec::is_empty));
        let samples = samples::of(method, path, is_public, Some(body).filter(|body| !body.is_null()));
        operation.insert("x-codeSamples".to_owned(), samples);
    }
}

/// Sets the example of each media type of a body.
fn set_example(body: &mut Value, example: &Value) {
    for content in body.get_mut("content").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if !example.is_null() {
            content["example"] = example.clone();
        }
    }
}

/// The body of a typical error with this status. `None`: no error of the API has the status.
fn error(status: &str, format: &ErrorFormat) -> Option<Value> {
    let is_sign_up = format.prefix == crate::compat::livekit::ERROR_FORMAT.prefix;
    let oauth = [crate::compat::oauth::ERROR_FORMAT, crate::compat::oauth::METADATA_ERROR_FORMAT];
    let is_oauth = oauth.iter().any(|oauth| format.prefix == oauth.prefix);
    let error = match status {
        "400" if is_oauth => ApiError::Invalid(Fields::one("token", "is required")),
        "404" if is_oauth => ApiError::NoPublicUrl,
        "403" if is_oauth => ApiError::Domain(Error::Forbidden(Permission::API_KEYS_VERIFY)),
        "400" if is_sign_up => ApiError::Invalid(Fields::one("user_email", "must be an email address")),
        "400" => ApiError::Invalid(Fields::one("name", "must be 1 to 100 characters")),
        "401" => ApiError::Anonymous,
        "403" if is_sign_up => ApiError::SignUpClosed,
        "403" => ApiError::Domain(Error::Forbidden(Permission::API_KEYS_WRITE)),
        "404" => ApiError::Domain(Error::NotFound),
        "408" => ApiError::BodyTimeout,
        "409" => ApiError::Domain(Error::CapReached(Capped::Keys)),
        "412" => ApiError::Domain(Error::VersionMismatch),
        "413" => ApiError::TooLarge { limit: 65_536 },
        "415" => ApiError::UnsupportedMediaType,
        "422" => ApiError::Domain(Error::IdempotencyKeyReused),
        "429" => ApiError::TooManyAttempts { retry_after: 60 },
        "500" => ApiError::Defect(String::new()),
        "503" => ApiError::Busy,
        _ => return None,
    };
    let (rendered, body) = (format.render)(&error, REQUEST_ID);
    (rendered.as_str() == status).then_some(body)
}
