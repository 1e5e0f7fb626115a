//! One page of a list: a JSON array, and a link to the next page in the header `Link`.

use std::marker::PhantomData;

use poem::{
    IntoResponse, Response,
    http::{Uri, header::LINK},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::dto::PageSize;
use crate::routes::keys::list_query::EventCursor;
use crate::{
    http::{
        api_error::{ApiError, Fields},
        openapi_types::{Id, RawParam},
    },
    routes::keys::stream::elements,
};

/// The page size without the parameter `limit`.
pub(super) const DEFAULT_LIMIT: u64 = 100;

/// The requested page.
pub(super) struct PageRequest<T> {
    /// Maximum number of items.
    limit: u64,
    /// The position of the last item of the previous page. `None`: the first page.
    pub(super) after: Option<T>,
}

impl<T: std::str::FromStr> PageRequest<T> {
    pub(super) fn read(limit: Option<&RawParam<PageSize>>, cursor: Option<&RawParam<Id>>) -> Result<Self, ApiError> {
        let limit = limit.map(PageSize::read).transpose()?.unwrap_or(DEFAULT_LIMIT);
        let after = cursor.map(|cursor| cursor.id().ok_or_else(wrong_cursor)).transpose()?;
        Ok(Self { limit, after })
    }
}

impl<T> PageRequest<T> {
    /// As [`PageRequest::read`], for a list whose cursors are parsed by `parse`.
    pub(super) fn read_with(
        limit: Option<&RawParam<PageSize>>,
        cursor: Option<&RawParam<EventCursor>>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, ApiError> {
        let limit = limit.map(PageSize::read).transpose()?.unwrap_or(DEFAULT_LIMIT);
        let after = cursor.map(|cursor| parse(cursor.text()).ok_or_else(wrong_cursor)).transpose()?;
        Ok(Self { limit, after })
    }

    /// The number of items to read: one more than requested, to find out whether there is a next page.
    pub(super) fn fetch_limit(&self) -> u64 {
        self.limit + 1
    }
}

pub(super) fn wrong_cursor() -> ApiError {
    ApiError::Invalid(Fields::one("cursor", "is not a cursor of this list; start again without a cursor"))
}

/// The link to the next page: the URL of the request with another cursor.
pub(super) fn next_link(uri: &Uri, cursor: &str) -> String {
    let other_parameters =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let pairs: Vec<&str> = other_parameters.collect();
    let pairs = [pairs.as_slice(), &[&format!("cursor={cursor}")]].concat().join("&");
    format!("<{}?{pairs}>; rel=\"next\"", uri.path())
}

/// A page of items `V`.
pub(super) struct Page<V> {
    text: String,
    next: Option<String>,
    view: PhantomData<fn() -> V>,
}

impl<V: ToJSON> Page<V> {
    /// The page of a list at `path`, which has the filters of the request and ends with `?` or `&`. `found` are the items read, one
    /// more than requested if there is a next page.
    pub(super) async fn new<T, U>(
        page_request: &PageRequest<T>,
        path: &str,
        found: Vec<U>,
        id: impl Fn(&U) -> String,
    ) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let limit = page_request.limit;
        Self::from_items(page_request, found, id, |cursor| {
            format!("<{path}limit={limit}&cursor={cursor}>; rel=\"next\"")
        })
        .await
    }

    /// As [`Page::new`], with the link made from the URL of the request.
    pub(super) async fn with_uri<T, U>(
        page_request: &PageRequest<T>,
        uri: &Uri,
        found: Vec<U>,
        id: impl Fn(&U) -> String,
    ) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        Self::from_items(page_request, found, id, |cursor| next_link(uri, &cursor)).await
    }

    /// As [`Page::with_uri`], for a list of at most `limit` items whose position the caller has read.
    pub(super) async fn of<U>(limit: u64, uri: &Uri, found: Vec<U>, id: impl Fn(&U) -> String) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        Self::with_uri(&PageRequest::<()> { limit, after: None }, uri, found, id).await
    }

    /// Truncates the items to the requested number, and adds a link to the next page if there are more.
    async fn from_items<T, U>(
        page_request: &PageRequest<T>,
        mut found: Vec<U>,
        id: impl Fn(&U) -> String,
        link: impl FnOnce(String) -> String,
    ) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let size = usize::try_from(page_request.limit).expect("at most a thousand");
        let is_last = found.len() <= size;
        found.truncate(size);
        let next = found.last().filter(|_| !is_last).map(id).map(link);
        let elements = elements(&found, |one| V::from(one).to_json_string()).await;
        Self { text: format!("[{elements}]"), next, view: PhantomData }
    }
}

impl<V: ToJSON> IntoResponse for Page<V> {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("application/json");
        if let Some(next) = self.next {
            response = response.header(LINK, next);
        }
        response.body(self.text)
    }
}

impl<V: Type + ToJSON> ApiResponse for Page<V> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "A page of the list.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: Vec::<V>::schema_ref() }],
                headers: vec![link_header()],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        V::register(registry);
    }
}

/// The documentation of the header `Link`.
pub(super) fn link_header() -> MetaHeader {
    MetaHeader {
        name: "Link".to_owned(),
        description: Some("Link to the next page, `rel=\"next\"` (RFC 8288); absent on the last page.".to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
