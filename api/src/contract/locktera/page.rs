//! One page of a list that is in the order of its identifiers: an array, and a link to the next page.

use poem::{IntoResponse, Response, http::header::LINK};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::dto::PageSize;
use crate::{
    failure::{Failure, Fields},
    wire::{Id, Unread},
};

/// Without `limit`.
const USUAL: u64 = 100;

/// Which page is asked for.
pub(super) struct Asked<T> {
    /// The most elements.
    limit: u64,
    /// The last element of the page before.
    pub(super) after: Option<T>,
}

impl<T: std::str::FromStr> Asked<T> {
    pub(super) fn read(limit: Option<&Unread<PageSize>>, cursor: Option<&Unread<Id>>) -> Result<Self, Failure> {
        let limit = limit.map(PageSize::read).transpose()?.unwrap_or(USUAL);
        let wrong = || Failure::Invalid(Fields::one("cursor", "is not a cursor of this list"));
        let after = cursor.map(|cursor| cursor.id().ok_or_else(wrong)).transpose()?;
        Ok(Self { limit, after })
    }

    /// One more than wanted tells whether there is a next page.
    pub(super) fn look(&self) -> u64 {
        self.limit + 1
    }
}

/// A page of `V`.
pub(super) struct Page<V> {
    views: Vec<V>,
    next: Option<String>,
}

impl<V> Page<V> {
    /// The page of the list at `path` (with what it was asked by, ending with `?` or `&`) that `found` begins.
    pub(super) fn new<T, U>(asked: &Asked<T>, path: &str, mut found: Vec<U>, id: impl Fn(&U) -> String) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let size = usize::try_from(asked.limit).expect("at most a thousand");
        let is_last = found.len() <= size;
        found.truncate(size);
        let next = found.last().filter(|_| !is_last).map(|last| {
            let (limit, cursor) = (asked.limit, id(last));
            format!("<{path}limit={limit}&cursor={cursor}>; rel=\"next\"")
        });
        Self { views: found.iter().map(V::from).collect(), next }
    }
}

impl<V: ToJSON> IntoResponse for Page<V> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("application/json");
        if let Some(next) = self.next {
            response = response.header(LINK, next);
        }
        response.body(self.views.to_json_string())
    }
}

impl<V: Type + ToJSON> ApiResponse for Page<V> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A page, in the order of the identifiers.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: Vec::<V>::schema_ref() }],
                headers: vec![link()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        V::register(registry);
    }
}

/// The header that names the next page.
pub(super) fn link() -> MetaHeader {
    MetaHeader {
        name: "Link".to_owned(),
        description: Some("The next page, `rel=\"next\"` (RFC 8288); absent on the last one.".to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
