//! The list of keys as an answer: one page, or all of them streamed page by page.

use std::{io, sync::Arc};

use domain::{Error, api_key::ApiKey, caller::Authority, keys::Keys, ports::Position};
use futures_util::stream;
use poem::{Body, IntoResponse, Response, http::header::LINK};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};

use super::{
    cursor::Cursor,
    dto::{KeyView, PageSize},
};

/// A JSON array of keys.
pub(super) struct KeyList {
    body: Body,
    next: Option<String>,
}

/// One page, and a link to the next if there is one.
pub(super) async fn page(
    keys: &Keys,
    authority: &Authority,
    after: Option<Position>,
    limit: u64,
) -> Result<KeyList, Error> {
    let size = usize::try_from(limit).expect("at most a thousand");
    // One more than asked for tells whether there is a next page.
    let mut page = keys.list(authority, after, limit + 1).await?;
    let is_last = page.len() <= size;
    page.truncate(size);
    let organization = authority.organization();
    let next = page.last().filter(|_| !is_last).map(|last| {
        let cursor = Cursor::write(position(last), organization);
        format!("</orgs/{organization}/api_keys?limit={limit}&cursor={cursor}>; rel=\"next\"")
    });
    Ok(KeyList { body: Body::from_string(format!("[{}]", elements(&page))), next })
}

/// What the stream of all keys does next.
enum Next {
    Begin(Vec<ApiKey>),
    GoOn(Position),
    End,
}

/// All keys. The first page is read before the answer begins, so that a database that is away is told as such; the others
/// as the client takes them. A failure on the way breaks the connection off: a list that ends early must not look whole.
pub(super) async fn all(keys: Arc<Keys>, authority: Authority, after: Option<Position>) -> Result<KeyList, Error> {
    let first = keys.list(&authority, after, PageSize::MAX).await?;
    let source = Arc::new((keys, authority));
    let chunks = stream::try_unfold(Next::Begin(first), move |next| chunk(source.clone(), next));
    Ok(KeyList { body: Body::from_bytes_stream(chunks), next: None })
}

async fn chunk(source: Arc<(Arc<Keys>, Authority)>, next: Next) -> io::Result<Option<(String, Next)>> {
    let (keys, authority) = &*source;
    let (before, page) = match next {
        Next::Begin(page) => ("[", page),
        Next::GoOn(after) => match keys.list(authority, Some(after), PageSize::MAX).await.map_err(broken_off)? {
            page if page.is_empty() => ("", page),
            page => (",", page),
        },
        Next::End => return Ok(None),
    };
    let (after, next) = match page.last() {
        Some(last) if page.len() as u64 == PageSize::MAX => ("", Next::GoOn(position(last))),
        _ => ("]", Next::End),
    };
    Ok(Some((format!("{before}{}{after}", elements(&page)), next)))
}

fn broken_off(error: Error) -> io::Error {
    tracing::error!(target: "claviger", cause = %error, "a list of keys was broken off");
    io::Error::other(error)
}

fn elements(page: &[ApiKey]) -> String {
    let elements: Vec<String> = page.iter().map(|key| KeyView::from(key).to_json_string()).collect();
    elements.join(",")
}

fn position(key: &ApiKey) -> Position {
    Position { created_at: key.created_at, id: key.id }
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
        let link = MetaHeader {
            name: "Link".to_owned(),
            description: Some("The next page, `rel=\"next\"` (RFC 8288); absent on the last one.".to_owned()),
            required: false,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The keys, oldest first.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: "application/json", schema: Vec::<KeyView>::schema_ref() }],
                headers: vec![link],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        KeyView::register(registry);
    }
}
