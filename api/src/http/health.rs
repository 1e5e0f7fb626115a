//! Liveness and readiness, for load balancers and container runtimes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Outage;
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::http::api_error::ApiError;

/// The state of the database, of the clock of this node and of the key cache.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Whether the database can be read and written, and has the schema of this version.
    ///
    /// # Errors
    /// The database is unavailable.
    async fn is_ready(&self) -> Result<bool, Outage>;

    /// Records an outage that a request had.
    fn observe(&self, outage: &Outage);

    /// Whether the clock of this node differs from that of the database by at most a minute.
    ///
    /// # Errors
    /// The database is unavailable.
    async fn is_clock_right(&self) -> Result<bool, Outage>;

    /// The maximum age of the key cache while heartbeats of the change feed are missing and the cache is still used. `None`: the
    /// heartbeats arrive, or the cache is not used.
    fn staleness(&self) -> Option<Duration>;
}

/// The endpoint `GET /health/live`: always 200.
pub struct Live;

impl Endpoint for Live {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Ok(status(StatusCode::OK, "live"))
    }
}

const WRONG_CLOCK: &str = "the clock of this node differs from the database's by more than a minute";

/// The endpoint `GET /health/ready`: 200 if the service can serve requests, else 503.
pub struct Ready {
    /// The state of the database and of this node.
    pub readiness: Arc<dyn Readiness>,
    /// Cancelled when the service begins to stop: from then on it is not ready.
    pub draining: CancellationToken,
}

impl Endpoint for Ready {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        if self.draining.is_cancelled() {
            return Ok(status(StatusCode::SERVICE_UNAVAILABLE, "stopping"));
        }
        let is_ready = match self.readiness.is_ready().await {
            Ok(true) => {
                self.readiness.is_clock_right().await.map(|is_right| if is_right { Ok(()) } else { Err(WRONG_CLOCK) })
            }
            Ok(false) => Ok(Err("the schema is not current")),
            Err(outage) => Err(outage),
        };
        match is_ready {
            Ok(Ok(())) => Ok(status(StatusCode::OK, "ready")),
            Ok(Err(reason)) => Ok(status(StatusCode::SERVICE_UNAVAILABLE, reason)),
            Err(outage) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(poem::Error::new(ApiError::Domain(outage.into()), status))
            }
        }
    }
}

fn status(code: StatusCode, status: &str) -> Response {
    poem::web::Json(json!({ "status": status })).with_status(code).into_response()
}
