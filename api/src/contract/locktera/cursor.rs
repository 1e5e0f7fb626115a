//! The opaque text that names a place in a list of an organization's keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    id::{KeyId, OrganizationId},
    listing::{By, Mark, Order, Position},
};
use poem_openapi::registry::MetaSchema;

use super::page::wrong_cursor;
use crate::{
    failure::Failure,
    wire::{ParameterSchema, Unread},
};

/// A place in the keys of one organization, in one order. Only that organization's lists in that order take it.
#[derive(Debug)]
pub(super) struct Cursor;

/// Organization and key.
const IDS: usize = 16 + 16;

impl Cursor {
    /// Order, organization, key, and what is ordered by, in base64url.
    pub(super) fn write(position: &Position, order: Order, organization: OrganizationId) -> String {
        let mut bytes = vec![letter(order)];
        bytes.extend(organization.uuid().as_bytes());
        bytes.extend(position.id.uuid().as_bytes());
        match &position.mark {
            Mark::Number(number) => bytes.extend(number.to_be_bytes()),
            Mark::Text(text) => bytes.extend(text.as_bytes()),
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn read(text: &Unread<Self>, order: Order, organization: OrganizationId) -> Result<Position, Failure> {
        parse(text.text(), order, organization).ok_or_else(wrong_cursor)
    }
}

/// Names an order.
fn letter(order: Order) -> u8 {
    let letter = match order.by {
        By::CreatedAt => b'c',
        By::Name => b'n',
        By::LastUsedAt => b'u',
        By::ExpiresAt => b'e',
        By::RequestCount => b'r',
    };
    if order.is_descending { letter.to_ascii_uppercase() } else { letter }
}

fn parse(text: &str, order: Order, organization: OrganizationId) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (own, rest) = bytes.split_first()?;
    let (ids, mark) = rest.split_at_checked(IDS)?;
    let (home, id) = ids.split_at(16);
    if *own != letter(order) || home != organization.uuid().as_bytes() {
        return None;
    }
    let mark = match order.by {
        By::Name => Mark::Text(String::from_utf8(mark.to_vec()).ok().filter(|text| !text.contains('\0'))?),
        By::CreatedAt | By::LastUsedAt | By::ExpiresAt | By::RequestCount => {
            Mark::Number(i64::from_be_bytes(mark.try_into().ok()?))
        }
    };
    Some(Position { mark, id: KeyId::from_uuid(uuid::Uuid::from_slice(id).ok()?) })
}

impl ParameterSchema for Cursor {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}
