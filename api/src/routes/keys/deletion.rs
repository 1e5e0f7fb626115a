//! When a key was deleted, and by whom, in JSON.

use domain::keys::KeyDeletion;
use poem_openapi::Object;

use super::settings::CreatorView;
use crate::http::{openapi_types::Nullable, rfc3339::Rfc3339};

/// The deletion of a key that can still be restored.
#[derive(Object)]
#[oai(rename = "ApiKeyDeletion")]
pub(crate) struct KeyDeletionView {
    /// Deletion time.
    deleted_at: Rfc3339,
    /// Who deleted the key; null if the audit log does not have the event any more.
    deleted_by: Nullable<CreatorView>,
}

impl From<KeyDeletion> for KeyDeletionView {
    fn from(KeyDeletion { at, by }: KeyDeletion) -> Self {
        Self { deleted_at: Rfc3339(at), deleted_by: Nullable(by.map(CreatorView::from)) }
    }
}
