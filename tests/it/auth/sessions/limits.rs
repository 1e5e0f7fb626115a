//! How long sessions last: at most the configured time, and not longer than the configured time without a use.

use std::{sync::Arc, time::Duration};

use api::config::Config;
use harness::{TestApp, TestClock, wait_until};
use serde_json::json;

use super::sign_in;
use crate::auth::idp::{fixture_with, status};

fn limits(hours: u64, idle_hours: u64) -> impl FnOnce(&mut Config) {
    move |config| {
        config.session_time = Duration::from_hours(hours);
        config.session_idle_time = Duration::from_hours(idle_hours);
    }
}

#[tokio::test]
async fn a_session_ends_after_the_configured_time_however_much_it_is_used() {
    let app = TestApp::start_with(limits(3, 2)).await;
    let tenant = app.tenant("Acme").await;
    let opened = tenant.admin.send("POST", "/session", None).await;
    assert!(opened.header("set-cookie").contains("Max-Age=10800"), "{}", opened.header("set-cookie"));
    let page = super::browser(&app, &opened);
    for _ in 0..3 {
        assert_eq!(status(&page).await, 200);
        app.clock.advance_seconds(3_599);
    }
    assert_eq!(status(&page).await, 200, "a few seconds before its end");
    app.clock.advance_seconds(3);
    assert_eq!(status(&page).await, 401);
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let app = TestApp::start_with(limits(12, 2)).await;
    let tenant = app.tenant("Acme").await;
    let (used, unused) = (sign_in(&app, &tenant.admin).await, sign_in(&app, &tenant.admin).await);
    app.clock.advance_seconds(7_199);
    assert_eq!(status(&used).await, 200);
    app.clock.advance_seconds(1);
    assert_eq!((status(&used).await, status(&unused).await), (200, 401));
    wait_until("the use is stored", async || {
        let listed = tenant.admin.get("/me/sessions").await;
        if listed.json().as_array().map(Vec::len) == Some(1) { Ok(()) } else { Err(listed.text) }
    })
    .await;
    app.clock.advance_seconds(7_198);
    assert_eq!(status(&used).await, 200);
    app.clock.advance_seconds(7_200);
    assert_eq!(status(&used).await, 401, "two hours after the last use");
    assert_eq!(tenant.admin.get("/me/sessions").await.json(), json!([]), "ended sessions are not listed");
    let count = async || app.database.stored_requests_and_sessions().await.1;
    assert_eq!(count().await, 2);
    app.purge().await;
    assert_eq!(count().await, 0, "they are removed before they expire");
}

#[tokio::test]
async fn every_node_knows_the_last_use() {
    let app = TestApp::start_with(limits(12, 2)).await;
    if !app.database.is_postgres() {
        return;
    }
    let tenant = app.tenant("Acme").await;
    let clock = Arc::new(TestClock::default());
    let node = TestApp::start_by(app.database.shared(), clock.clone(), false, limits(12, 2)).await;
    let page = sign_in(&app, &tenant.admin).await;
    for _ in 0..3 {
        app.clock.advance_seconds(5_400);
        clock.advance_seconds(5_400);
        assert_eq!(status(&page).await, 200);
        let known = tenant.admin.get("/me/sessions").await.json()[0]["last_used_at"].clone();
        wait_until("the other node knows it", async || {
            let listed = tenant.admin.at(&node.base()).get("/me/sessions").await.json();
            if listed[0]["last_used_at"] == known { Ok(()) } else { Err(listed) }
        })
        .await;
        assert_eq!(status(&page.at(&node.base())).await, 200);
    }
}

#[tokio::test]
async fn the_time_for_providers_is_within_that_of_all_sessions() {
    let settings = |config: &mut Config| {
        limits(1, 1)(config);
        config.provider_session_time = Duration::from_hours(12);
    };
    let fixture = fixture_with(|_| (), settings).await;
    fixture.join(&fixture.tenant, "ada", &[]).await;
    let page = sign_in(&fixture.app, &fixture.caller_with(&fixture.claims("ada"))).await;
    for _ in 0..2 {
        fixture.app.clock.advance_seconds(1_799);
        assert_eq!(status(&page).await, 200);
    }
    fixture.app.clock.advance_seconds(2);
    assert_eq!(status(&page).await, 401);
}
