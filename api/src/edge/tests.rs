//! What no operation brings about: a panic, and an answer that never comes.

use poem::{endpoint::make_sync, test::TestClient};

use super::*;
use crate::{body_budget, system::SystemEntropy};

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

    fn silence(&self) -> Option<Duration> {
        None
    }
}

fn edge<E: Endpoint>(inner: E) -> TestClient<Edge<E>> {
    TestClient::new(Edge {
        hot: None,
        inner,
        proxies: TrustedProxies::default(),
        bodies: Arc::new(BodyBudget::new(body_budget::LARGE)),
        time_limit: Duration::from_secs(1),
        methods: Methods::default(),
        request_ids: RequestIds::new(&SystemEntropy),
        metrics: Metrics::new(),
        refused: None,
        readiness: Arc::new(NoDatabase),
    })
}

#[tokio::test]
async fn a_panic_is_a_failure_in_the_contracts_shape() {
    let edge = edge(make_sync(|_| -> Response { panic!("a secret detail") }));
    let answer = edge.get("/orgs/x").header("x-request-id", "one").send().await;
    answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
    answer.assert_header("cache-control", "no-store");
    let message = "An error occurred on the server";
    answer.assert_json(serde_json::json!({"message": message, "code": 500, "request_id": "one"})).await;
    let answer = edge.get("/auth/x").header("x-request-id", "one").send().await;
    answer.assert_status(StatusCode::INTERNAL_SERVER_ERROR);
    let message = "An error occurred on the server (request one)";
    answer.assert_json(serde_json::json!({"success": false, "message": message, "data": null})).await;
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_is_ended() {
    let edge = edge(poem::endpoint::make(async |_| -> Result<Response> { std::future::pending().await }));
    let answer = edge.get("/auth/x").send().await;
    answer.assert_status(StatusCode::SERVICE_UNAVAILABLE);
    answer.assert_header("retry-after", "1");
}
