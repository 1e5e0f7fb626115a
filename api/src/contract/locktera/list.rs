//! The list of keys as an answer: one page, or all of them streamed page by page.

use std::sync::Arc;

use domain::{
    Error,
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
use crate::key_stream::{self, elements};

/// A JSON array of keys.
pub(super) struct KeyList {
    body: Body,
    next: Option<String>,
}

/// All keys of a list from `start` on.
pub(super) async fn all(
    keys: Arc<Keys>,
    authority: Authority,
    listing: Listing,
    start: Start,
) -> Result<KeyList, Error> {
    let body = key_stream::array(keys, authority, listing, start, u64::MAX, render).await?;
    Ok(KeyList { body, next: None })
}

/// One page, and a link to the next if there is one: what was asked, from another place on.
pub(super) async fn page(
    keys: &Keys,
    authority: &Authority,
    listing: &Listing,
    start: Start,
    limit: u64,
    uri: &Uri,
) -> Result<KeyList, Error> {
    let size = usize::try_from(limit).expect("at most a thousand");
    // One more than asked for tells whether there is a next page.
    let mut page = keys.list(authority, listing, start, limit + 1).await?;
    let is_last = page.len() <= size;
    page.truncate(size);
    let organization = authority.organization();
    let rest = page
        .last()
        .filter(|_| !is_last)
        .map(|last| next(uri, &Cursor::write(&listing.order.position(last), listing.order, organization)));
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
