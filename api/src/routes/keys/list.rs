//! The response to a list of keys: one page, or all keys streamed page by page.

use std::sync::Arc;

use domain::{
    auth::caller::Authority,
    keys::{
        Keys,
        api_key::ApiKey,
        list::{Listing, MAX_COUNTED, MAX_SORTED, Start},
    },
};
use poem::{
    Body, IntoResponse, Response,
    http::{Uri, header::LINK},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::cursor::Cursor;
use crate::routes::{
    dto::KeyView,
    page::{link_header, next_link},
};
use crate::{
    http::{
        api_error::{ApiError, Fields},
        list_slots::ListSlots,
    },
    routes::keys::stream::{self, elements},
};

/// A JSON array of keys.
pub(crate) struct KeyList {
    body: Body,
    next: Option<String>,
    /// The number of keys that match the filter. `None`: it was not requested.
    total: Option<u64>,
}

/// The header with the number of keys.
pub(crate) const TOTAL_COUNT: &str = "Total-Count";

/// All keys of a list from `start` on, streamed.
pub(crate) async fn all(
    (keys, lists): (Arc<Keys>, Arc<ListSlots>),
    authority: Authority,
    listing: Listing,
    start: Start,
) -> Result<KeyList, ApiError> {
    let body = stream::array((keys, lists), authority, listing, start, u64::MAX, render).await?;
    Ok(KeyList { body, next: None, total: None })
}

/// One page of at most `limit` keys. If there are more, with a link to the next page: the same URL with another cursor. `is_counted`:
/// the response has the number of keys on all pages.
pub(crate) async fn page(
    (keys, lists): (Arc<Keys>, Arc<ListSlots>),
    authority: Authority,
    listing: Listing,
    start: Start,
    (limit, is_counted): (u64, bool),
    uri: &Uri,
) -> Result<KeyList, ApiError> {
    let size = usize::try_from(limit).expect("at most a thousand");
    let (organization, order) = (authority.organization(), listing.order);
    // One more than requested, to find out whether there is a next page.
    let read = async move {
        if !keys.can_sort(&authority, &listing).await? {
            return Err(too_many_to_sort());
        }
        let total = if is_counted { Some(keys.count(&authority, &listing.filter).await?) } else { None };
        Ok::<_, ApiError>((stream::page(keys, authority, listing, start, limit + 1).await?, total))
    };
    let (mut page, total) = lists.read(organization, read).await?;
    let is_last = page.len() <= size;
    page.truncate(size);
    let next = page
        .last()
        .filter(|_| !is_last)
        .map(|last| next_link(uri, &Cursor::write(&order.position(last), order, organization)));
    Ok(KeyList { body: Body::from_string(format!("[{}]", elements(&page, render).await)), next, total })
}

/// The error for an order in which too many keys would have to be sorted.
fn too_many_to_sort() -> ApiError {
    let wrong = format!(
        "is not possible for more than {MAX_SORTED} keys: add a filter such as user, external_id or permission_set, or sort by \
         created_at, name or expires_at"
    );
    ApiError::Invalid(Fields::one("sort", wrong))
}

fn render(key: &ApiKey) -> String {
    KeyView::from(key).to_json_string()
}

impl IntoResponse for KeyList {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("application/json");
        if let Some(next) = self.next {
            response = response.header(LINK, next);
        }
        if let Some(total) = self.total {
            response = response.header(TOTAL_COUNT, total);
        }
        response.body(self.body)
    }
}

impl ApiResponse for KeyList {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The keys.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: Vec::<KeyView>::schema_ref() }],
                headers: vec![link_header(), total_header()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        KeyView::register(registry);
    }
}

/// The documentation of [`TOTAL_COUNT`].
fn total_header() -> MetaHeader {
    let schema =
        MetaSchema { minimum: Some(0.0), maximum: Some(10_001.0), ..MetaSchema::new_with_format("integer", "int32") };
    MetaHeader {
        name: TOTAL_COUNT.to_owned(),
        description: Some(format!(
            "With `total=true`: how many keys match all filters, on all pages. {} means more than {MAX_COUNTED}.",
            MAX_COUNTED + 1
        )),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    }
}
