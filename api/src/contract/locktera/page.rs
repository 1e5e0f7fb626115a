//! One page of a list that is in the order of its identifiers: an array, and a link to the next page.

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

use super::{dto::PageSize, parameters::Serial};
use crate::{
    failure::{Failure, Fields},
    key_stream::elements,
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
}

impl<T> Asked<T> {
    /// The same, for a list whose cursors are read by `parse`.
    pub(super) fn read_with(
        limit: Option<&Unread<PageSize>>,
        cursor: Option<&Unread<Serial>>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, Failure> {
        let limit = limit.map(PageSize::read).transpose()?.unwrap_or(USUAL);
        let after = cursor.map(|cursor| parse(cursor.text()).ok_or_else(wrong_cursor)).transpose()?;
        Ok(Self { limit, after })
    }

    /// One more than wanted tells whether there is a next page.
    pub(super) fn look(&self) -> u64 {
        self.limit + 1
    }
}

pub(super) fn wrong_cursor() -> Failure {
    Failure::Invalid(Fields::one("cursor", "is not a cursor of this list; begin without one"))
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
    text: String,
    next: Option<String>,
    view: PhantomData<fn() -> V>,
}

impl<V: ToJSON> Page<V> {
    /// The page of the list at `path` (with what it was asked by, ending with `?` or `&`) that `found` begins.
    pub(super) async fn new<T, U>(asked: &Asked<T>, path: &str, found: Vec<U>, id: impl Fn(&U) -> String) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let limit = asked.limit;
        Self::cut(asked, found, id, |cursor| format!("<{path}limit={limit}&cursor={cursor}>; rel=\"next\"")).await
    }

    /// The page of the list at this address that `found` begins.
    pub(super) async fn going_on<T, U>(asked: &Asked<T>, uri: &Uri, found: Vec<U>, id: impl Fn(&U) -> String) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        Self::cut(asked, found, id, |cursor| next(uri, &cursor)).await
    }

    /// As many as were asked for, and a link that begins after the last of them where it is not the last of all.
    async fn cut<T, U>(
        asked: &Asked<T>,
        mut found: Vec<U>,
        id: impl Fn(&U) -> String,
        link: impl FnOnce(String) -> String,
    ) -> Self
    where
        V: for<'a> From<&'a U>,
    {
        let size = usize::try_from(asked.limit).expect("at most a thousand");
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
