//! The page of the portal: which pages can embed it. Its functions are tested in a browser, by `tests/dashboard`.

use api::{dashboard::portal_page::MAX_PER_MINUTE, http::origin::cors::CorsOrigins};
use futures_util::future::join_all;
use harness::{Answer, TestApp};
use serde_json::json;

use super::{assert_failed, create, exchange, settings::LOGO};

fn frame_ancestors(page: &Answer) -> String {
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    policy.split_once("frame-ancestors ").expect("frame-ancestors").1.to_owned()
}

#[tokio::test]
async fn only_the_listed_origins_can_embed_the_page() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let platform = app.platform().await;
    let (id, secret) = create(&tenant.admin, &tenant, json!({})).await;
    let page = async |query: &str| app.anyone().get(&format!("/portal{query}")).await;
    let of_session = format!("?session={id}");
    assert_eq!(frame_ancestors(&page(&of_session).await), "'none'", "no origin is listed");
    let settings = |org: &str| format!("/orgs/{org}/portal");
    let origins = json!({"origins": ["https://shop.example", "http://127.0.0.1:3000"], "logo": LOGO});
    assert_eq!(tenant.admin.patch(&settings(&tenant.org_id), &origins).await.status, 200);
    let others = json!({"origins": ["https://other.example"]});
    assert_eq!(other.admin.patch(&settings(&other.org_id), &others).await.status, 200);
    let listed = page(&of_session).await;
    assert_eq!((listed.status, listed.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(frame_ancestors(&listed), "https://shop.example http://127.0.0.1:3000");
    assert_eq!((listed.header("cache-control"), listed.header("referrer-policy")), ("no-cache", "no-referrer"));
    let known = app.anyone().with("if-none-match", listed.header("etag")).get(&format!("/portal{of_session}")).await;
    assert_eq!((known.status, frame_ancestors(&known)), (304, frame_ancestors(&listed)));
    for query in ["", "?session=", "?session=x", "?session=ffffffff-0000-7000-8000-000000000000", &format!("?s={id}")] {
        assert_eq!(frame_ancestors(&page(query).await), "'none'", "{query}");
    }
    assert_eq!(exchange(&app, &secret).await.status, 200);
    assert_eq!(frame_ancestors(&page(&of_session).await), frame_ancestors(&listed), "an opened session has its frame");
    let suspend = json!({"suspended": true});
    assert_eq!(platform.patch(&format!("/orgs/{}", tenant.org_id), &suspend).await.status, 200);
    assert_eq!(frame_ancestors(&page(&of_session).await), "'none'", "suspended");
    let dashboard = app.anyone().get("/").await;
    assert!(dashboard.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn requests_for_the_page_that_read_a_session_are_limited() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = create(&tenant.admin, &tenant, json!({})).await;
    let unknown = "ffffffff-0000-7000-8000-000000000000";
    let paths = [id.as_str(), unknown].map(|session| format!("/portal?session={session}"));
    let anyone = app.anyone();
    let requests = (0..3 * MAX_PER_MINUTE).map(|n| anyone.get(&paths[usize::from(n % 2 == 0)]));
    let (served, refused): (Vec<Answer>, Vec<Answer>) =
        join_all(requests).await.into_iter().partition(|answer| answer.status == 200);
    assert!(served.len() >= MAX_PER_MINUTE as usize && !refused.is_empty(), "{}", served.len());
    for answer in &refused {
        assert_failed(answer, 429, "too_many_attempts");
        assert!(!answer.header("retry-after").is_empty());
    }
    let metrics = app.anyone().get("/metrics").await.text;
    let counted = format!("claviger_attempts_refused_total{{kind=\"portal_page\"}} {}\n", refused.len());
    assert!(metrics.contains(&counted), "{metrics}");
    // Without a session nothing is read. Sessions themselves are not affected.
    for query in ["", "?session=x"] {
        assert_eq!(app.anyone().get(&format!("/portal{query}")).await.status, 200, "{query}");
    }
    super::open(&app, &tenant, json!({})).await;
}

#[tokio::test]
async fn without_the_dashboard_there_is_no_page_and_no_link() {
    let app = TestApp::start_with(|config| config.dashboard = false).await;
    let tenant = app.tenant("Acme").await;
    assert_eq!(app.anyone().get("/portal").await.status, 404);
    let created = tenant.admin.post(&super::sessions(&tenant), &super::session(json!({}))).await;
    assert_eq!((created.status, &created.json()["url"]), (200, &json!(null)), "{}", created.text);
}

#[tokio::test]
async fn pages_of_other_origins_cannot_read_the_portal() {
    let app = TestApp::start_with(|config| config.cors_origins = CorsOrigins::Any).await;
    let tenant = app.tenant("Acme").await;
    let portal = super::open(&app, &tenant, json!({})).await.with("origin", "https://shop.example");
    let me = tenant.admin.with("origin", "https://shop.example").get("/me").await;
    assert_eq!(me.header("access-control-allow-origin"), "*", "the operator allows all origins");
    for path in ["/portal/session", "/portal/api_keys", "/portal"] {
        let answer = portal.get(path).await;
        assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (200, None), "{path}");
        let preflight =
            app.anyone().with("origin", "https://shop.example").with("access-control-request-method", "GET");
        let preflight =
            preflight.with("access-control-request-headers", "authorization").send("OPTIONS", path, None).await;
        assert_eq!(preflight.headers.get("access-control-allow-origin"), None, "{path}");
    }
    assert_eq!(app.anyone().get("/portals").await.header("access-control-allow-origin"), "*", "another path");
}
