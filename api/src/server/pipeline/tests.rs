//! Tests failures that no operation has: a panic, and a response that never comes.

use poem::{endpoint::make_sync, test::TestClient};

use super::*;
use crate::{http::body::budget, process::system::SystemEntropy};

struct NoDatabase;

#[async_trait::async_trait]
impl Readiness for NoDatabase {
    async fn is_ready(&self) -> std::result::Result<bool, domain::Outage> {
        Ok(true)
    }

    async fn is_clock_right(&self) -> std::result::Result<bool, domain::Outage> {
        Ok(true)
    }

    fn observe(&self, _: &domain::Outage) {}

    fn staleness(&self) -> Option<Duration> {
        None
    }
}

fn pipeline<E: Endpoint>(inner: E) -> TestClient<Pipeline<E>> {
    TestClient::new(Pipeline {
        fast_routes: None,
        forward_auth: None,
        inner,
        proxies: TrustedProxies::default(),
        bodies: Arc::new(BodyBudget::new(budget::DEFAULT_LARGE_BUDGET)),
        time_limit: Duration::from_secs(1),
        operations: Arc::default(),
        request_ids: RequestIds::new(&SystemEntropy),
        metrics: Metrics::new(),
        denied_changes: None,
        readiness: Arc::new(NoDatabase),
        base_path: None,
        cors: None,
    })
}

#[tokio::test]
async fn a_panic_is_a_500_in_the_form_of_the_contract() {
    let pipeline = pipeline(make_sync(|_| -> Response { panic!("a secret detail") }));
    let answer = pipeline.get("/orgs/x").header("x-request-id", "one").send().await;
    answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
    answer.assert_header("cache-control", "no-store");
    let message = "An error occurred on the server; give its operator the request id";
    let body = serde_json::json!({"message": message, "code": 500, "reason": "internal", "request_id": "one"});
    answer.assert_json(body).await;
    let answer = pipeline.get("/auth/x").header("x-request-id", "one").send().await;
    answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
    let message = "An error occurred on the server (request one)";
    answer.assert_json(serde_json::json!({"success": false, "message": message, "data": null})).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_past_the_time_limit_gets_503() {
    let pipeline = pipeline(poem::endpoint::make(async |_| -> Result<Response> { std::future::pending().await }));
    let answer = pipeline.get("/auth/x").send().await;
    answer.assert_status(StatusCode::SERVICE_UNAVAILABLE);
    answer.assert_header("retry-after", "1");
}
