//! The opaque text that names a place in an organization's keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    clock::Timestamp,
    id::{KeyId, OrganizationId},
    ports::Position,
};
use poem_openapi::registry::MetaSchema;

use crate::{
    failure::{Failure, Fields},
    wire::{ParameterSchema, Unread},
};

/// A place in the keys of one organization. Only that organization's lists take it.
#[derive(Debug)]
pub(super) struct Cursor;

const LEN: usize = 8 + 16 + 16;

impl Cursor {
    /// `created_at`, key and organization, in base64url.
    pub(super) fn write(position: Position, organization: OrganizationId) -> String {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&position.created_at.millis().to_be_bytes());
        bytes[8..24].copy_from_slice(position.id.uuid().as_bytes());
        bytes[24..].copy_from_slice(organization.uuid().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn read(text: &Unread<Self>, organization: OrganizationId) -> Result<Position, Failure> {
        parse(text.text(), organization)
            .ok_or_else(|| Failure::Invalid(Fields::one("cursor", "is not a cursor of this list")))
    }
}

fn parse(text: &str, organization: OrganizationId) -> Option<Position> {
    let bytes: [u8; LEN] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    if bytes[24..] != *organization.uuid().as_bytes() {
        return None;
    }
    let mut created_at = [0; 8];
    created_at.copy_from_slice(&bytes[..8]);
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[8..24]);
    Some(Position {
        created_at: Timestamp::from_millis(i64::from_be_bytes(created_at)),
        id: KeyId::from_uuid(uuid::Uuid::from_bytes(id)),
    })
}

impl ParameterSchema for Cursor {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}
