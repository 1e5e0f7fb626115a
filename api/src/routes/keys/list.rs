//! The response to a list of keys: one page, or all keys streamed page by page.

use std::sync::Arc;

use domain::{
    auth::caller::Authority,
    keys::{
        Keys,
        api_key::ApiKey,
        list::{Listing, Start},
    },
};
use poem::{
    Body, IntoResponse, Response,
    http::{Uri, header::LINK},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};

use super::cursor::Cursor;
use crate::routes::{
    dto::KeyView,
    page::{link_header, next_link},
};
use crate::{
    http::{api_error::ApiError, list_slots::ListSlots},
    routes::keys::stream::{self, elements},
};

/// A JSON array of keys.
pub(crate) struct KeyList {
    body: Body,
    next: Option<String>,
}

/// All keys of a list from `start` on, streamed.
pub(crate) async fn all(
    (keys, lists): (Arc<Keys>, Arc<ListSlots>),
    authority: Authority,
    listing: Listing,
    start: Start,
) -> Result<KeyList, ApiError> {
    let body = stream::array((keys, lists), authority, listing, start, u64::MAX, render).await?;
    Ok(KeyList { body, next: None })
}

/// One page of at most `limit` keys. If there are more, with a link to the next page: the same URL with another cursor.
pub(crate) async fn page(
    (keys, lists): (Arc<Keys>, Arc<ListSlots>),
    authority: Authority,
    listing: Listing,
    start: Start,
    limit: u64,
    uri: &Uri,
) -> Result<KeyList, ApiError> {
    let size = usize::try_from(limit).expect("at most a thousand");
    let (organization, order) = (authority.organization(), listing.order);
    // One more than requested, to find out whether there is a next page.
    let read = stream::page(keys, authority, listing, start, limit + 1);
    let mut page = lists.read(organization, read).await?;
    let is_last = page.len() <= size;
    page.truncate(size);
    let next = page
        .last()
        .filter(|_| !is_last)
        .map(|last| next_link(uri, &Cursor::write(&order.position(last), order, organization)));
    Ok(KeyList { body: Body::from_string(format!("[{}]", elements(&page, render).await)), next })
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
                headers: vec![link_header()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        KeyView::register(registry);
    }
}
