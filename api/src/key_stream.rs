//! Any number of keys as one JSON array, read page by page as the client takes them. No transaction is held while a client
//! is slow, and memory holds one page.

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

/// Keys in one read.
const PAGE: u64 = 1_000;

/// What one list of keys is.
struct Source {
    keys: Arc<Keys>,
    authority: Authority,
    listing: Listing,
    render: fn(&ApiKey) -> String,
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
    keys: Arc<Keys>,
    authority: Authority,
    listing: Listing,
    start: Start,
    most: u64,
    render: fn(&ApiKey) -> String,
) -> Result<Body, Error> {
    let first = keys.list(&authority, &listing, start, PAGE.min(most)).await?;
    let source = Arc::new(Source { keys, authority, listing, render });
    let state = (Next::Begin(first), most);
    let chunks = stream::try_unfold(state, move |(next, left)| chunk(source.clone(), next, left));
    Ok(Body::from_bytes_stream(chunks))
}

async fn chunk(source: Arc<Source>, next: Next, left: u64) -> io::Result<Option<(String, (Next, u64))>> {
    let (before, page) = match next {
        Next::Begin(page) => ("[", page),
        Next::GoOn(after) => {
            let page = source.keys.list(&source.authority, &source.listing, Start::After(after), PAGE.min(left)).await;
            let page = page.map_err(broken_off)?;
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

fn broken_off(error: Error) -> io::Error {
    tracing::error!(target: "claviger", cause = %error, "a list of keys was broken off");
    io::Error::other(error)
}
