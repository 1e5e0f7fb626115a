//! One page of a list that is in the order of its identifiers: an array, and a link to the next page.

use poem::{
    IntoResponse, Response,
    http::{Uri, header::LINK},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::{dto::PageSize, parameters::Serial};
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
        let after = cursor.map(|cursor| cursor.id().ok_or_else(wrong_cursor)).transpose()?;
        Ok(Self { limit, after })
    }

    /// The same, for a list that is numbered.
    pub(super) fn read_serial(
        limit: Option<&Unread<PageSize>>,
        cursor: Option<&Unread<Serial>>,
    ) -> Result<Self, Failure> {
        let limit = limit.map(PageSize::read).transpose()?.unwrap_or(USUAL);
        let after = cursor.map(|cursor| cursor.text().parse().map_err(|_| wrong_cursor())).transpose()?;
        Ok(Self { limit, after })
    }

    /// One more than wanted tells whether there is a next page.
    pub(super) fn look(&self) -> u64 {
        self.limit + 1
    }
}

pub(super) fn wrong_cursor() -> Failure {
    Failure::Invalid(Fields::one("cursor", "is not a cursor of this list"))
}

/// What was asked for at this address, from another place on.
pub(super) fn next(uri: &Uri, cursor: &str) -> String {
    let asked =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let pairs: Vec<&str> = asked.collect();
    let pairs = [pairs.as_slice(), &[&format!("cursor={cursor}")]].concat().join("&");
    format!("<{}?{pairs}>; rel=\"next\"", uri.path())
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
        let (views, last) = Self::cut(asked, &mut found, id);
        let limit = asked.limit;
        Self { views, next: last.map(|cursor| format!("<{path}limit={limit}&cursor={cursor}>; rel=\"next\"")) }
    }

    /// The page of the list at this address that `found` begins.
    pub(super) fn going_on<T, U>(asked: &Asked<T>, uri: &Uri, mut found: Vec<U>, id: impl Fn(&U) -> String) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let (views, last) = Self::cut(asked, &mut found, id);
        Self { views, next: last.map(|cursor| next(uri, &cursor)) }
    }

    /// As many as were asked for, and the last of them where it is not the last of all.
    fn cut<T, U>(asked: &Asked<T>, found: &mut Vec<U>, id: impl Fn(&U) -> String) -> (Vec<V>, Option<String>)
    where
        V: for<'a> From<&'a U>,
    {
        let size = usize::try_from(asked.limit).expect("at most a thousand");
        let is_last = found.len() <= size;
        found.truncate(size);
        let last = found.last().filter(|_| !is_last).map(id);
        (found.iter().map(V::from).collect(), last)
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
                description: "A page of the list.",
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
