//! The opaque cursor of a list of keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    id::{KeyId, OrganizationId},
    keys::list::{ListPosition, Order, SortField, SortKey},
};
use poem_openapi::registry::MetaSchema;

use crate::http::{
    api_error::ApiError,
    openapi_types::{ParameterSchema, RawParam},
};
use crate::routes::page::wrong_cursor;

/// The position of a key in the list of one organization, in one sort order. A list of another organization or in another order
/// rejects it.
#[derive(Debug)]
pub(crate) struct Cursor;

/// Bytes of the organization's id and the key's id.
const ID_BYTES: usize = 16 + 16;

impl Cursor {
    /// Encodes the sort order, the ids of organization and key, and the sort key, in base64url without padding.
    pub(crate) fn write(position: &ListPosition, order: Order, organization: OrganizationId) -> String {
        let mut bytes = vec![order_code(order)];
        bytes.extend(organization.uuid().as_bytes());
        bytes.extend(position.id.uuid().as_bytes());
        match &position.sort_key {
            SortKey::Number(number) => bytes.extend(number.to_be_bytes()),
            SortKey::Text(text) => bytes.extend(text.as_bytes()),
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(crate) fn read(
        text: &RawParam<Self>,
        order: Order,
        organization: OrganizationId,
    ) -> Result<ListPosition, ApiError> {
        Self::parse(text.text(), order, organization).ok_or_else(wrong_cursor)
    }

    /// As [`Cursor::read`], for a cursor that is not a parameter. `None`: it is not one of this list.
    pub(crate) fn parse(text: &str, order: Order, organization: OrganizationId) -> Option<ListPosition> {
        parse(text, order, organization)
    }
}

/// The first byte of a cursor: a letter for the sort field, in upper case for descending order.
fn order_code(order: Order) -> u8 {
    let letter = match order.by {
        SortField::CreatedAt => b'c',
        SortField::Name => b'n',
        SortField::LastUsedAt => b'u',
        SortField::ExpiresAt => b'e',
        SortField::RequestCount => b'r',
    };
    if order.is_descending { letter.to_ascii_uppercase() } else { letter }
}

fn parse(text: &str, order: Order, organization: OrganizationId) -> Option<ListPosition> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (code, rest) = bytes.split_first()?;
    let (ids, sort_key) = rest.split_at_checked(ID_BYTES)?;
    let (organization_id, id) = ids.split_at(16);
    if *code != order_code(order) || organization_id != organization.uuid().as_bytes() {
        return None;
    }
    let sort_key = match order.by {
        SortField::Name => {
            SortKey::Text(String::from_utf8(sort_key.to_vec()).ok().filter(|text| !text.contains('\0'))?)
        }
        SortField::CreatedAt | SortField::LastUsedAt | SortField::ExpiresAt | SortField::RequestCount => {
            SortKey::Number(i64::from_be_bytes(sort_key.try_into().ok()?))
        }
    };
    Some(ListPosition { sort_key, id: KeyId::from_uuid(uuid::Uuid::from_slice(id).ok()?) })
}

impl ParameterSchema for Cursor {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}
