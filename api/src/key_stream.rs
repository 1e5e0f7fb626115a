//! Any number of keys as one JSON array, read page by page as the client takes them. While a client is slow no transaction is
//! held, no connection, and no place for reading; memory holds one page.

use std::{io, sync::Arc};

use domain::{
    Error,
    api_key::ApiKey,
    caller::Authority,
    cooperation::Pace,
    keys::Keys,
    listing::{Listing, Position, Start},
};
use futures_util::stream;
use poem::Body;

use crate::{
    failure::Failure,
    lists::{Lists, Stream},
};

/// Keys in one read: few enough that a slow client does not cost much memory, and that writing them as JSON takes no thread
/// from others for long.
const PAGE: u64 = 250;

/// What one list of keys is.
struct Source {
    keys: Arc<Keys>,
    lists: Arc<Lists>,
    authority: Authority,
    listing: Listing,
    render: fn(&ApiKey) -> String,
    /// None where the first page is the whole list.
    stream: Option<Stream>,
}

/// A page of keys, as a read of its own.
pub async fn page(
    keys: Arc<Keys>,
    authority: Authority,
    listing: Listing,
    start: Start,
    limit: u64,
) -> Result<Vec<ApiKey>, Error> {
    keys.list(&authority, &listing, start, limit).await
}

/// What the stream does next.
enum Next {
    Begin(Vec<ApiKey>),
    GoOn(Position),
    End,
}

/// The elements of a JSON array. There may be megabytes of them, so others get to run meanwhile.
pub async fn elements<T>(values: &[T], render: impl Fn(&T) -> String) -> String {
    let (mut text, mut pace) = (String::new(), Pace::default());
    for (n, value) in values.iter().enumerate() {
        let element = render(value);
        if n > 0 {
            text.push(',');
        }
        text.push_str(&element);
        pace.worked(element.len()).await;
    }
    text
}

/// At most `most` keys from `start` on. The first page is read before the answer begins, so that a database that is away is
/// told as such. A failure on the way breaks the connection off: a list that ends early must not look whole.
pub async fn array(
    (keys, lists): (Arc<Keys>, Arc<Lists>),
    authority: Authority,
    listing: Listing,
    start: Start,
    most: u64,
    render: fn(&ApiKey) -> String,
) -> Result<Body, Failure> {
    let organization = authority.organization();
    let read = page(keys.clone(), authority.clone(), listing.clone(), start, PAGE.min(most));
    let first = lists.read(organization, read).await?;
    let goes_on = first.len() as u64 == PAGE && most > PAGE;
    let stream = if goes_on { Some(lists.open_stream(organization).await?) } else { None };
    let source = Arc::new(Source { keys, lists, authority, listing, render, stream });
    let state = (Next::Begin(first), most);
    let chunks = stream::try_unfold(state, move |(next, left)| chunk(source.clone(), next, left));
    Ok(Body::from_bytes_stream(chunks))
}

impl Source {
    async fn read_on(&self, after: Position, limit: u64) -> Result<Vec<ApiKey>, Failure> {
        let (keys, authority, listing) = (self.keys.clone(), self.authority.clone(), self.listing.clone());
        let read = page(keys, authority, listing, Start::After(after), limit);
        match &self.stream {
            Some(stream) => self.lists.read_on(stream, read).await,
            None => Ok(Vec::new()),
        }
    }
}

async fn chunk(source: Arc<Source>, next: Next, left: u64) -> io::Result<Option<(String, (Next, u64))>> {
    let (before, page) = match next {
        Next::Begin(page) => ("[", page),
        Next::GoOn(after) => {
            let page = source.read_on(after, PAGE.min(left)).await.map_err(broken_off)?;
            (if page.is_empty() { "" } else { "," }, page)
        }
        Next::End => return Ok(None),
    };
    let count = page.len() as u64;
    let left = left - count;
    let (after, next) = match page.last() {
        Some(last) if count == PAGE && left > 0 => ("", Next::GoOn(source.listing.order.position(last))),
        _ => ("]", Next::End),
    };
    Ok(Some((format!("{before}{}{after}", elements(&page, source.render).await), (next, left))))
}

fn broken_off(failure: Failure) -> io::Error {
    tracing::error!(target: "claviger", cause = %failure, "a list of keys was broken off");
    io::Error::other(failure)
}
