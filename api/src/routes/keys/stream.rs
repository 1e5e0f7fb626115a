//! Streams any number of keys as one JSON array. The pages are read as fast as the client receives them. While a client is slow, no
//! transaction, database connection or list slot is held, and one page is in memory.

use std::{io, sync::Arc};

use domain::{
    Error,
    auth::caller::Authority,
    cooperation::Pace,
    keys::{
        Keys,
        api_key::ApiKey,
        list::{ListPosition, Listing, Start},
    },
};
use futures_util::stream;
use poem::Body;

use crate::http::{
    api_error::ApiError,
    list_slots::{ListSlots, Stream},
};

/// Keys in one read: few enough that a slow client takes little memory, and that serializing them does not occupy a thread for
/// long.
const MAX_KEYS_PER_READ: u64 = 250;

/// What a stream reads and how it is written.
struct Source {
    keys: Arc<Keys>,
    lists: Arc<ListSlots>,
    authority: Authority,
    listing: Listing,
    render: fn(&ApiKey) -> String,
    /// The slot of the stream. `None`: the first page is the whole list.
    stream: Option<Stream>,
}

/// Reads one page of at most `limit` keys.
pub async fn page(
    keys: Arc<Keys>,
    authority: Authority,
    listing: Listing,
    start: Start,
    limit: u64,
) -> Result<Vec<ApiKey>, Error> {
    keys.list(&authority, &listing, start, limit).await
}

/// The state of a stream.
enum StreamState {
    FirstPage(Vec<ApiKey>),
    After(ListPosition),
    End,
}

/// The elements of a JSON array, separated by commas. There may be megabytes of them, so the task yields from time to time.
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

/// At most `max` keys from `start` on. The first page is read before the response begins, so that an unavailable database is
/// answered with 503. If a later read fails the connection is closed: an incomplete list must not look complete. An unlimited
/// list (`max` is [`u64::MAX`]) is recorded in the audit log.
pub async fn array(
    (keys, lists): (Arc<Keys>, Arc<ListSlots>),
    authority: Authority,
    listing: Listing,
    start: Start,
    max: u64,
    render: fn(&ApiKey) -> String,
) -> Result<Body, ApiError> {
    let organization = authority.organization();
    let read = page(keys.clone(), authority.clone(), listing.clone(), start, MAX_KEYS_PER_READ.min(max));
    let first = lists.read(organization, read).await?;
    if max == u64::MAX {
        keys.record_export(&authority);
    }
    let has_more = first.len() as u64 == MAX_KEYS_PER_READ && max > MAX_KEYS_PER_READ;
    let stream = if has_more { Some(lists.open_stream(organization).await?) } else { None };
    let source = Arc::new(Source { keys, lists, authority, listing, render, stream });
    let state = (StreamState::FirstPage(first), max);
    let chunks = stream::try_unfold(state, move |(next, left)| chunk(source.clone(), next, left));
    Ok(Body::from_bytes_stream(chunks))
}

impl Source {
    async fn read_after(&self, after: ListPosition, limit: u64) -> Result<Vec<ApiKey>, ApiError> {
        let (keys, authority, listing) = (self.keys.clone(), self.authority.clone(), self.listing.clone());
        let read = page(keys, authority, listing, Start::After(after), limit);
        match &self.stream {
            Some(stream) => self.lists.read_next_page(stream, read).await,
            None => Ok(Vec::new()),
        }
    }
}

async fn chunk(source: Arc<Source>, next: StreamState, left: u64) -> io::Result<Option<(String, (StreamState, u64))>> {
    let (before, page) = match next {
        StreamState::FirstPage(page) => ("[", page),
        StreamState::After(after) => {
            let page = source.read_after(after, MAX_KEYS_PER_READ.min(left)).await.map_err(stream_error)?;
            (if page.is_empty() { "" } else { "," }, page)
        }
        StreamState::End => return Ok(None),
    };
    let count = page.len() as u64;
    let left = left - count;
    let (after, next) = match page.last() {
        Some(last) if count == MAX_KEYS_PER_READ && left > 0 => {
            ("", StreamState::After(source.listing.order.position(last)))
        }
        _ => ("]", StreamState::End),
    };
    Ok(Some((format!("{before}{}{after}", elements(&page, source.render).await), (next, left))))
}

fn stream_error(failure: ApiError) -> io::Error {
    tracing::error!(target: "claviger", cause = %failure, "streaming a list of keys was aborted");
    io::Error::other(failure)
}
