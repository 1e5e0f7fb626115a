//! Is the process alive, and can it do its work? For load balancers and container runtimes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Outage;
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::StatusCode};
use serde_json::json;

use crate::failure::Failure;

/// Says whether what the service stands on is there.
#[async_trait]
pub trait Readiness: Send + Sync {
    /// Whether the database can be read, has the schema that this program needs, and can be written.
    async fn is_ready(&self) -> Result<bool, Outage>;

    /// Takes note of an outage that a request has met.
    fn observe(&self, outage: &Outage);

    /// Whether the clock of this node is within a minute of the database's.
    async fn is_clock_right(&self) -> Result<bool, Outage>;

    /// How old what is remembered may be, while it is relied on although nothing has been heard of the changes of others for
    /// longer than usual.
    fn silence(&self) -> Option<Duration>;
}

/// `GET /health/live`: 200 as long as the process serves.
pub struct Live;

impl Endpoint for Live {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        Ok(status(StatusCode::OK, "live"))
    }
}

const WRONG_CLOCK: &str = "the clock of this node differs from the database's by more than a minute";

/// `GET /health/ready`: 200 where requests can be answered, else 503.
pub struct Ready(pub Arc<dyn Readiness>);

impl Endpoint for Ready {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let is_ready = match self.0.is_ready().await {
            Ok(true) => self.0.is_clock_right().await.map(|is_right| if is_right { Ok(()) } else { Err(WRONG_CLOCK) }),
            Ok(false) => Ok(Err("the schema is not current")),
            Err(outage) => Err(outage),
        };
        match is_ready {
            Ok(Ok(())) => Ok(status(StatusCode::OK, "ready")),
            Ok(Err(reason)) => Ok(status(StatusCode::SERVICE_UNAVAILABLE, reason)),
            Err(outage) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(poem::Error::new(Failure::Refused(outage.into()), status))
            }
        }
    }
}

fn status(code: StatusCode, status: &str) -> Response {
    poem::web::Json(json!({ "status": status })).with_status(code).into_response()
}
