//! The list of keys as an answer: one page, or all of them streamed page by page.

use std::sync::Arc;

use domain::{
    api_key::ApiKey,
    caller::Authority,
    keys::Keys,
    listing::{Listing, Start},
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

use super::{
    cursor::Cursor,
    dto::KeyView,
    page::{link, next},
};
use crate::{
    failure::Failure,
    key_stream::{self, elements},
    lists::Lists,
};

/// A JSON array of keys.
pub(super) struct KeyList {
    body: Body,
    next: Option<String>,
}

/// All keys of a list from `start` on.
pub(super) async fn all(
    (keys, lists): (Arc<Keys>, Arc<Lists>),
    authority: Authority,
    listing: Listing,
    start: Start,
) -> Result<KeyList, Failure> {
    let body = key_stream::array((keys, lists), authority, listing, start, u64::MAX, render).await?;
    Ok(KeyList { body, next: None })
}

/// One page, and a link to the next if there is one: what was asked, from another place on.
pub(super) async fn page(
    (keys, lists): (Arc<Keys>, Arc<Lists>),
    authority: Authority,
    listing: Listing,
    start: Start,
    limit: u64,
    uri: &Uri,
) -> Result<KeyList, Failure> {
    let size = usize::try_from(limit).expect("at most a thousand");
    let (organization, order) = (authority.organization(), listing.order);
    // One more than asked for tells whether there is a next page.
    let read = key_stream::page(keys, authority, listing, start, limit + 1);
    let mut page = lists.read(organization, read).await?;
    let is_last = page.len() <= size;
    page.truncate(size);
    let rest = page
        .last()
        .filter(|_| !is_last)
        .map(|last| next(uri, &Cursor::write(&order.position(last), order, organization)));
    Ok(KeyList { body: Body::from_string(format!("[{}]", elements(&page, render).await)), next: rest })
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
                headers: vec![link()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        KeyView::register(registry);
    }
}
