//! Whether the PostgreSQL server can be reached. A pool that cannot connect only reports that it timed out, or that it is exhausted.
//! So after such a failure the monitor connects once without a pool, to find the reason. It logs one ERROR line at the beginning of
//! an outage and one INFO line at its end.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::db::postgres;

/// The state of the server at one URL.
#[derive(Debug)]
pub(crate) struct Reachability {
    url: String,
    /// Whether a failure was reported since the last attempt to connect.
    is_suspect: AtomicBool,
    /// Why it cannot be reached.
    outage: Mutex<Option<String>>,
}

impl Reachability {
    /// A server that can be reached.
    pub(crate) fn of(url: &str) -> Self {
        Self { url: url.to_owned(), is_suspect: AtomicBool::new(false), outage: Mutex::default() }
    }

    /// Reports that a connection failed or timed out.
    pub(crate) fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Relaxed);
    }

    /// Why the server cannot be reached, if that is known.
    pub(crate) fn outage(&self) -> Option<String> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connects if a failure was reported, or if there is an outage, and logs its beginning and end.
    pub(crate) async fn examine(&self, timeout: Duration) {
        if !self.is_suspect.swap(false, Ordering::Relaxed) && self.outage().is_none() {
            return;
        }
        let found = postgres::try_connect(&self.url, timeout).await.err();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*outage, &found) {
            (None, Some(reason)) => tracing::error!(
                target: "claviger", reason,
                "the database server cannot be reached: requests that need the database get 503"
            ),
            (Some(_), None) => tracing::info!(target: "claviger", "the database server can be reached again"),
            _ => {}
        }
        *outage = found;
    }
}
