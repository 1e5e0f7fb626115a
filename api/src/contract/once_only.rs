//! The answer to a request that is done once: the first time, and when it comes again.

use domain::act::Once;
use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaResponses, Registry},
    types::ToJSON,
};
use serde_json::Value;

use super::{Success, header};
use crate::once::Repeats;

const REPLAYED: &str = "idempotent-replayed";

/// For answers without secrets.
pub fn nothing_to_hide(_: &mut Value) {}

/// For the answer about a key that was just made.
pub fn hide_key(answer: &mut Value) {
    if let Some(key) = answer.get_mut("key") {
        *key = Value::Null;
    }
}

/// For the answer about many of them.
pub fn hide_keys(answer: &mut Value) {
    answer.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten().for_each(hide_key);
}

/// An answer, or the one of before.
pub enum OnceOnly<T> {
    /// It was done now.
    First(T),
    /// It was done before.
    Again(String),
}

impl<T: ToJSON> OnceOnly<T> {
    /// The answer to a request that was done now; it is kept for its repetitions after `hide` has taken the secrets out.
    pub async fn done(repeats: &Repeats, once: Option<Once>, answer: T, hide: fn(&mut Value)) -> Self {
        if let Some(once) = once {
            let mut kept = answer.to_json().unwrap_or_default();
            hide(&mut kept);
            repeats.keep(&once, &kept.to_string()).await;
        }
        Self::First(answer)
    }
}

impl<T: ToJSON> IntoResponse for OnceOnly<T> {
    fn into_response(self) -> Response {
        match self {
            Self::First(answer) => Success(answer).into_response(),
            Self::Again(text) => {
                Response::builder().content_type("application/json").header(REPLAYED, "true").body(text)
            }
        }
    }
}

impl<T: ToJSON> ApiResponse for OnceOnly<T> {
    fn meta() -> MetaResponses {
        const TAG: (&str, &str) =
            ("Idempotent-Replayed", "`true`: this was done before, by a request with the same `Idempotency-Key`.");
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader { required: false, ..header(TAG, "string") });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
