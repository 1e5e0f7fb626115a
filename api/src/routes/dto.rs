//! Types that several operations of the native API share. Its JSON has field names in `snake_case`, permissions in flat form, and
//! times as RFC 3339 in UTC.

use poem_openapi::{Object, registry::MetaSchema};

pub(super) use super::keys::settings::{CreatedKeyView, KeyView};
use crate::http::{
    api_error::{ApiError, Fields},
    openapi_types::{ParameterSchema, RawParam},
};

/// Confirms the operation.
#[derive(Object)]
#[oai(rename = "Confirmation")]
pub(super) struct Message {
    /// Message for humans.
    pub(super) message: String,
}

/// The parameter `limit`: the maximum number of items on a page, 1 to 1000.
#[derive(Debug)]
pub(super) struct PageSize;

impl PageSize {
    pub(super) const MAX: u64 = 1_000;

    pub(super) fn read(text: &RawParam<Self>) -> Result<u64, ApiError> {
        let plain = !text.text().is_empty() && text.text().bytes().all(|byte| byte.is_ascii_digit());
        text.text()
            .parse()
            .ok()
            .filter(|size| plain && (1..=Self::MAX).contains(size))
            .ok_or_else(|| ApiError::Invalid(Fields::one("limit", "must be a whole number from 1 to 1000")))
    }
}

impl ParameterSchema for PageSize {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(1_000.0), ..MetaSchema::new_with_format("integer", "int32") }
    }
}
