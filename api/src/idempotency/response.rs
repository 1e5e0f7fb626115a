//! Responses to requests with an idempotency key: to the first request, and to repeated ones.

use std::marker::PhantomData;

use poem::{IntoResponse, Response, http::header::ETAG};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaResponses, Registry},
    types::ToJSON,
};
use serde::Deserialize;
use serde_json::Value;

use crate::http::{
    contract::{Success, header},
    if_match::{entity_tag, entity_tag_header},
};

const REPLAYED: &str = "idempotent-replayed";

/// A response that can be stored with an idempotency key.
pub trait StoredResponse: ToJSON + 'static {
    /// Where the response contains secrets.
    const SECRETS: Secrets;

    /// Whether it is an object with the member `version`, which is also in the header `ETag`.
    const HAS_VERSION: bool = false;

    /// Whether it may be so long that it is serialized on a blocking thread.
    const IS_LONG: bool = false;
}

/// Where a response contains secrets. They are not stored: a repeated request gets null instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Nowhere.
    None,
    /// In the member `key`.
    Key,
    /// In the member `key` of each element of the member `keys`.
    Keys,
    /// In the members `token` and `url`.
    Link,
}

impl Secrets {
    pub(super) fn remove(self, response: &mut Value) {
        match self {
            Self::None => {}
            Self::Key => remove_member(response, "key"),
            Self::Link => ["token", "url"].into_iter().for_each(|name| remove_member(response, name)),
            Self::Keys => {
                response
                    .get_mut("keys")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                    .for_each(|key| remove_member(key, "key"));
            }
        }
    }
}

fn remove_member(response: &mut Value, name: &str) {
    if let Some(secret) = response.get_mut(name) {
        *secret = Value::Null;
    }
}

/// A response, or the stored response to an earlier request, as JSON. Only
/// [`crate::idempotency::IdempotencyHeader::run`] makes one.
pub struct Idempotent<T> {
    text: String,
    is_replayed: bool,
    document: PhantomData<fn() -> T>,
}

impl<T> Idempotent<T> {
    pub(super) fn first(text: String) -> Self {
        Self { text, is_replayed: false, document: PhantomData }
    }

    pub(super) fn replayed(text: String) -> Self {
        Self { text, is_replayed: true, document: PhantomData }
    }
}

/// The version in a response.
fn version(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    serde_json::from_str::<Versioned>(text).ok().map(|response| response.version)
}

impl<T: StoredResponse> IntoResponse for Idempotent<T> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("application/json");
        if self.is_replayed {
            response = response.header(REPLAYED, "true");
        }
        if let Some(version) = T::HAS_VERSION.then(|| version(&self.text)).flatten() {
            response = response.header(ETAG, entity_tag(version));
        }
        response.body(self.text)
    }
}

impl<T: StoredResponse> ApiResponse for Idempotent<T> {
    fn meta() -> MetaResponses {
        const TAG: (&str, &str) = (
            "Idempotent-Replayed",
            "`true` if this is the stored response to an earlier request with the same `Idempotency-Key`.",
        );
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader { required: false, ..header(TAG, "string") });
            response.headers.extend(T::HAS_VERSION.then(entity_tag_header));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_removed_from_stored_responses() {
        let key = json!({"id": 1, "key": "secret"});
        let keys = json!({"keys": [key, key]});
        let without = |secrets: Secrets, mut response: Value| {
            secrets.remove(&mut response);
            response
        };
        assert_eq!(without(Secrets::None, key.clone()), key);
        assert_eq!(without(Secrets::Key, key.clone()), json!({"id": 1, "key": null}));
        assert_eq!(without(Secrets::Key, json!({"id": 1})), json!({"id": 1}));
        let removed = json!({"id": 1, "key": null});
        let link = json!({"id": 1, "token": "secret", "url": "https://keys.example/#/invitation/secret"});
        assert_eq!(without(Secrets::Link, link), json!({"id": 1, "token": null, "url": null}));
        assert_eq!(without(Secrets::Keys, keys), json!({"keys": [removed, removed]}));
    }
}
