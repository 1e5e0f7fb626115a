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
use crate::{off_thread, once::Repeats};

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
    /// The same, written already because it is long.
    Long(String),
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

impl<T: ToJSON> OnceOnly<T> {
    /// The same for a long answer, which a thread of its own makes and writes.
    pub async fn long(
        repeats: &Repeats,
        once: Option<Once>,
        answer: impl FnOnce() -> T + Send + 'static,
        hide: fn(&mut Value),
    ) -> Self {
        let is_kept = once.is_some();
        let write = move || {
            let mut answer = answer().to_json().unwrap_or_default();
            let text = answer.to_string();
            let kept = is_kept.then(|| {
                hide(&mut answer);
                answer.to_string()
            });
            (text, kept)
        };
        let (text, kept) = off_thread::run(true, write).await;
        if let (Some(once), Some(kept)) = (once, kept) {
            repeats.keep(&once, &kept).await;
        }
        Self::Long(text)
    }
}

impl<T: ToJSON> IntoResponse for OnceOnly<T> {
    fn into_response(self) -> Response {
        match self {
            Self::First(answer) => Success(answer).into_response(),
            Self::Long(text) => Response::builder().content_type("application/json").body(text),
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
