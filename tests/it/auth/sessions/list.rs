//! Lists of sessions, and ending one of them: by the person or key, and by an administrator.

use std::sync::Arc;

use harness::{Answer, Caller, KeySpec, Tenant, TestApp, TestClock};
use serde_json::{Value, json};

use super::{browser, sign_in};
use crate::{
    audit_log::events::{events, log_of},
    auth::idp::{fixture, status},
};

const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

/// The sessions of a list, the one of the request first.
async fn list(caller: &Caller, path: &str) -> Vec<Value> {
    let answer = caller.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut sessions = answer.json().as_array().expect("a list").clone();
    sessions.sort_by_key(|session| session["current"] != true);
    sessions
}

async fn own(caller: &Caller) -> Vec<Value> {
    list(caller, "/me/sessions").await
}

fn id(session: &Value) -> &str {
    session["id"].as_str().expect("an id")
}

fn reason(answer: &Answer) -> Value {
    answer.json()["reason"].clone()
}

#[tokio::test]
async fn a_key_lists_its_sessions_and_ends_one() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (_, other_key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let unaffected = sign_in(&app, &app.caller(&other_key)).await;
    let agent = format!("Mozilla/5.0 {}", "x".repeat(300));
    let first = sign_in(&app, &tenant.admin.with("user-agent", &agent)).await;
    app.clock.advance_seconds(90);
    let second = sign_in(&app, &tenant.admin).await;
    let sessions = own(&second).await;
    let expected = json!({
        "id": sessions[1]["id"], "created_at": "2026-11-21T08:00:00.250Z", "signed_in_at": "2026-11-21T08:00:00.250Z",
        "last_used_at": "2026-11-21T08:00:00.250Z", "expires_at": "2026-11-21T20:00:00.250Z", "client": "127.0.0.1",
        "user_agent": agent[..200], "current": false,
    });
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[1], expected);
    assert_eq!(
        (&sessions[0]["current"], &sessions[0]["created_at"]),
        (&json!(true), &json!("2026-11-21T08:01:30.250Z"))
    );
    assert_eq!(own(&tenant.admin).await.iter().filter(|session| session["current"] == true).count(), 0, "a key");
    // The last use is to the minute, and visible at once on the node that has seen it.
    assert_eq!(status(&first).await, 200);
    assert_eq!(own(&second).await[1]["last_used_at"], "2026-11-21T08:01:30.250Z");
    app.clock.advance_seconds(59);
    assert_eq!(status(&first).await, 200);
    assert_eq!(own(&second).await[1]["last_used_at"], "2026-11-21T08:01:30.250Z");
    // Pages.
    let page = second.get("/me/sessions?limit=1").await;
    assert_eq!(page.json().as_array().map(Vec::len), Some(1));
    let next = page.header("link").split(['<', '>']).nth(1).expect("a link").to_owned();
    assert_eq!(second.get(&next).await.json()[0]["id"], sessions[0]["id"]);
    // Ending one of them.
    let cookie = first.delete(&format!("/me/sessions/{}", id(&sessions[0]))).await;
    assert_eq!((cookie.status, cookie.header("set-cookie")), (200, ""), "{}", cookie.text);
    assert_eq!((status(&second).await, status(&first).await), (401, 200));
    let again = first.delete(&format!("/me/sessions/{}", id(&sessions[0]))).await;
    assert_eq!((again.status, reason(&again)), (404, json!("not_found")));
    for unknown in [MADE_UP, "nonsense"] {
        assert_eq!(first.delete(&format!("/me/sessions/{unknown}")).await.failure(), again.failure());
    }
    let current = first.delete(&format!("/me/sessions/{}", id(&sessions[1]))).await;
    assert!(current.header("set-cookie").starts_with("__Host-apiKeyCookie=;"), "its own cookie is removed");
    assert_eq!((status(&first).await, status(&unaffected).await), (401, 200));
    assert_eq!(own(&tenant.admin).await, Vec::<Value>::new());
    let closed: Vec<Value> = events(&tenant.admin, &log_of(&tenant)).await;
    let closed: Vec<&Value> = closed.iter().filter(|event| event["action"] == "session.close").collect();
    assert_eq!(closed.len(), 2, "{closed:?}");
    assert!(closed.iter().any(|event| event["target_id"] == sessions[0]["id"]));
}

#[tokio::test]
async fn sessions_of_others_can_be_neither_listed_nor_ended() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let (_, neighbour) = app.key(&mine.org_id, KeySpec::with(&["*"])).await;
    let page = sign_in(&app, &mine.admin).await;
    let session = own(&page).await[0].clone();
    let path = format!("/me/sessions/{}", id(&session));
    for stranger in [&other.admin, &app.caller(&neighbour)] {
        assert_eq!(stranger.delete(&path).await.status, 404);
        assert_eq!(own(stranger).await, Vec::<Value>::new());
    }
    let members = |tenant: &Tenant, user: &str| format!("/orgs/{}/members/{user}/sessions", tenant.org_id);
    let of_admin = members(&mine, &mine.user_id);
    assert_eq!(list(&mine.admin, &of_admin).await.len(), 1);
    // Another organization, a member of another organization, and an id of a session that is not the member's.
    let single = |list: &str| format!("{list}/{}", id(&session));
    for list in [of_admin.clone(), members(&other, &mine.user_id), members(&mine, MADE_UP)] {
        let caller = if list == members(&mine, MADE_UP) { &mine.admin } else { &other.admin };
        let unknown = caller.get(&list).await;
        assert_eq!((unknown.status, reason(&unknown)), (404, json!("not_found")), "{list}");
        assert_eq!(caller.delete(&single(&list)).await.failure(), unknown.failure(), "{list}");
    }
    assert_eq!(other.admin.delete(&single(&members(&other, &other.user_id))).await.status, 404);
    // Permissions.
    let with = async |permission: &str| app.caller(&app.key(&mine.org_id, KeySpec::with(&[permission])).await.1);
    let (reader, other_key) = (with("members:read").await, with("files:read").await);
    assert_eq!((reader.get(&of_admin).await.status, other_key.get(&of_admin).await.status), (200, 403));
    assert_eq!(reader.delete(&single(&of_admin)).await.status, 403);
    assert_eq!(status(&page).await, 200);
    let manager = with("members:admin").await;
    assert_eq!(manager.delete(&single(&of_admin)).await.status, 200);
    assert_eq!((status(&page).await, manager.delete(&single(&of_admin)).await.status), (401, 404));
}

#[tokio::test]
async fn an_administrator_lists_and_ends_the_sessions_of_a_member() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let ada = fixture.join(tenant, "ada", &["api_keys:read"]).await;
    let spec = KeySpec { user_id: Some(ada.clone()), ..KeySpec::with(&["*"]) };
    let key = app.caller(&app.key(&tenant.org_id, spec).await.1);
    let person = fixture.caller_with(&fixture.claims("ada"));
    let pages = [sign_in(app, &person).await, sign_in(app, &key).await];
    let path = format!("/orgs/{}/members/{ada}/sessions", tenant.org_id);
    let sessions = list(&tenant.admin, &path).await;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    assert_eq!(own(&pages[0]).await.len(), 1, "the person does not see the sessions of their keys");
    let page = tenant.admin.get(&format!("{path}?limit=1")).await;
    assert!(page.header("link").contains(&format!("{path}?limit=1&cursor=")), "{}", page.header("link"));
    let of_person = own(&pages[0]).await[0]["id"].clone();
    let ended = tenant.admin.delete(&format!("{path}/{}", of_person.as_str().expect("an id"))).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert_eq!((status(&pages[0]).await, status(&pages[1]).await), (401, 200));
    assert_eq!(list(&tenant.admin, &path).await.len(), 1);
    // A session that the person has opened elsewhere is not this organization's.
    let other = app.tenant("Other").await;
    fixture.join(&other, "ada", &["*"]).await;
    let mut claims = fixture.claims("ada");
    claims["org_id"] = json!(other.org_id);
    let elsewhere = sign_in(app, &fixture.caller_with(&claims)).await;
    assert_eq!(list(&tenant.admin, &path).await.len(), 1);
    let session = own(&elsewhere).await[0].clone();
    assert_eq!(tenant.admin.delete(&format!("{path}/{}", id(&session))).await.status, 404);
    assert_eq!(status(&elsewhere).await, 200);
}

#[tokio::test]
async fn a_person_ends_all_sessions_but_the_current_one_on_every_node() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    // There is only one node on SQLite.
    let node = if app.database.is_postgres() {
        Some(TestApp::start_by(app.database.shared(), Arc::new(TestClock::default()), false, |_| {}).await)
    } else {
        None
    };
    let base = node.as_ref().map_or(app.base(), TestApp::base);
    let first = sign_in(&app, &tenant.admin).await;
    let others = [sign_in(&app, &tenant.admin).await, sign_in(&app, &tenant.admin).await];
    assert_eq!(own(&first.at(&base)).await.len(), 3);
    let single = format!("/me/sessions/{}", id(&own(&others[0]).await[0]));
    assert_eq!(first.at(&base).delete(&single).await.status, 200);
    assert_eq!(status(&others[0]).await, 401);
    let answer = first.delete("/me/sessions?keep_current=true").await;
    assert_eq!((answer.status, answer.json()["ended"].as_u64()), (200, Some(1)), "{}", answer.text);
    assert_eq!(answer.header("set-cookie"), "", "the cookie stays");
    assert_eq!((status(&first.at(&base)).await, status(&others[1].at(&base)).await), (200, 401));
    let wrong = first.delete("/me/sessions?keep_current=1").await;
    assert_eq!((wrong.status, wrong.wrong_fields()), (400, vec!["keep_current".to_owned()]));
    assert_eq!(tenant.admin.delete("/me/sessions?keep_current=true").await.json()["ended"], 1, "a key has no session");
    assert_eq!(status(&first).await, 401);
}

#[tokio::test]
async fn signing_in_again_replaces_the_session_of_the_browser() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let first = tenant.admin.send("POST", "/session", None).await;
    let page = browser(app, &first);
    let from_same = |caller: &Caller| caller.with("cookie", first.cookie()).with("sec-fetch-site", "same-origin");
    let second = from_same(&tenant.admin).send("POST", "/session", None).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!((status(&page).await, status(&browser(app, &second)).await), (401, 200));
    // Of another key or person, it is a new sign-in.
    let (_, other) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let first = tenant.admin.send("POST", "/session", None).await;
    let page = browser(app, &first);
    let from_same = |caller: &Caller| caller.with("cookie", first.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(from_same(&app.caller(&other)).send("POST", "/session", None).await.status, 200);
    assert_eq!(status(&page).await, 200);
    // Persons of a provider.
    fixture.join(tenant, "ada", &[]).await;
    let ada = fixture.caller_with(&fixture.claims("ada"));
    let first = ada.send("POST", "/session", None).await;
    let second = ada.with("cookie", first.cookie()).with("sec-fetch-site", "same-origin");
    assert_eq!(second.send("POST", "/session", None).await.status, 200);
    assert_eq!(status(&browser(app, &first)).await, 401);
}
