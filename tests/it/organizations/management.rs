//! Organizations: settings, suspension, caps, and deletion.

use std::time::Duration;

use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

async fn verdict(caller: &Caller, key: &str) -> Value {
    caller.post("/api_keys/verify", &json!({"key": key})).await.json()
}

#[tokio::test]
async fn members_can_read_and_rename_their_own_organization_only() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    let path = format!("/orgs/{}", mine.org_id);
    let answer = mine.admin.get(&path).await.json();
    let names: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    let documented = [
        "id",
        "name",
        "kind",
        "external_id",
        "suspended_at",
        "max_api_keys",
        "max_members",
        "max_permission_sets",
        "keys_can_manage_by_default",
        "key_policy",
        "created_at",
        "deleted_at",
        "restorable_until",
        "api_keys_left",
    ];
    assert_eq!(names, documented);
    assert_eq!(
        (&answer["id"], &answer["name"], &answer["kind"]),
        (&json!(mine.org_id), &json!("Mine"), &json!("tenant"))
    );
    let listed = mine.admin.get("/orgs").await.json();
    assert_eq!(listed, json!([answer]));
    let renamed = mine.admin.patch(&path, &json!({"name": "  Mine, Inc. "})).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Mine, Inc.")));
    assert_eq!(mine.admin.patch(&path, &json!({"name": null})).await.json()["name"], Value::Null);
    assert_eq!(mine.admin.patch(&path, &json!({})).await.status, 400, "nothing to change");
    assert_eq!(mine.admin.patch(&path, &json!({"nmae": "x"})).await.wrong_fields(), ["nmae"]);
    for platform_only in [
        json!({"suspended": true}),
        json!({"external_id": "x"}),
        json!({"max_api_keys": 5}),
        json!({"max_members": null}),
        json!({"name": "x", "max_permission_sets": 1}),
    ] {
        assert_eq!(mine.admin.patch(&path, &platform_only).await.status, 403, "{platform_only}");
    }
    for answer in [
        mine.admin.get(&format!("/orgs/{}", other.org_id)).await,
        mine.admin.patch(&format!("/orgs/{}", other.org_id), &json!({"name": "x"})).await,
        mine.admin.delete(&format!("/orgs/{0}?confirm={0}", other.org_id)).await,
    ] {
        assert_eq!(answer.status, 404);
    }
    assert_eq!(mine.admin.post("/orgs", &json!({})).await.status, 403);
}

#[tokio::test]
async fn the_platform_can_create_find_and_list_organizations() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let mut made = Vec::new();
    for n in 0..5 {
        let body = json!({"name": format!("n{n}"), "external_id": format!("crm-{n}"), "max_members": 7});
        let answer = platform.post("/orgs", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        made.push(answer.json());
        app.clock.advance_seconds(1);
    }
    assert_eq!((&made[0]["max_members"], &made[0]["max_api_keys"]), (&json!(7), &Value::Null));
    assert_eq!(platform.post("/orgs", &json!({"external_id": "crm-3"})).await.status, 409, "no two have the same");
    assert_eq!(platform.get("/orgs?external_id=crm-3").await.json(), json!([made[3]]));
    assert_eq!(platform.get("/orgs?external_id=none").await.json(), json!([]));
    let mut path = "/orgs?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        assert!(seen.len() <= 6, "the pages do not end: {path}");
        let page = platform.get(&path).await;
        seen.extend(page.json().as_array().expect("a page").clone());
        let Some(next) = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>')) else { break };
        path = next.0.to_owned();
    }
    assert_eq!(seen.len(), 6, "the list contains the platform");
    assert!(made.iter().all(|one| seen.contains(one)));
    for wrong in ["/orgs?limit=0", "/orgs?limit=x", "/orgs?cursor=x", "/orgs?external_id="] {
        assert_eq!(platform.get(wrong).await.status, 400, "{wrong}");
    }
    let id = made[0]["id"].as_str().expect("an id");
    let keys = format!("/orgs/{id}/api_keys");
    let key = platform.post(&keys, &json!({"name": "first", "permissions": ["*"], "external_id": "vm-7"})).await.json();
    let answer = verdict(&platform, key["key"].as_str().expect("a key")).await;
    assert_eq!((&answer["org_external_id"], &answer["external_id"]), (&json!("crm-0"), &json!("vm-7")));
    let renamed = platform.patch(&format!("/orgs/{id}"), &json!({"external_id": "crm-00"})).await;
    assert_eq!(renamed.json()["external_id"], "crm-00");
    let answer = verdict(&platform, key["key"].as_str().expect("a key")).await;
    assert_eq!(answer["org_external_id"], "crm-00", "the change takes effect at once");
}

#[tokio::test]
async fn keys_of_a_suspended_organization_are_invalid_until_it_is_resumed() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let quota = domain::keys::quota::Quota { remaining: Some(10), ..domain::keys::quota::Quota::default() };
    let (_, plain) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    let (_, limited) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
    let path = format!("/orgs/{}", tenant.org_id);
    for _ in 0..2 {
        assert_eq!(verdict(&platform, &plain).await["valid"], true);
        assert_eq!(verdict(&platform, &limited).await["valid"], true);
        let suspended = platform.patch(&path, &json!({"suspended": true})).await;
        assert!(suspended.json()["suspended_at"].is_string(), "{}", suspended.text);
        app.clock.advance_seconds(1);
        let again = platform.patch(&path, &json!({"suspended": true})).await;
        assert_eq!(again.json(), suspended.json(), "the time of the first suspension is kept");
        for key in [&plain, &limited] {
            let answer = verdict(&platform, key).await;
            assert_eq!((&answer["valid"], &answer["code"]), (&json!(false), &json!("ORGANIZATION_SUSPENDED")));
            let answer = platform.post("/api/auth/api-key/verify", &json!({"key": key})).await.json();
            assert_eq!(answer["error"]["code"], "ORGANIZATION_SUSPENDED");
        }
        assert_eq!(tenant.admin.get("/auth/check-key").await.status, 401);
        assert_eq!(tenant.admin.get(&path).await.status, 401, "its administrators are refused as well");
        assert_eq!(platform.patch(&path, &json!({"suspended": false})).await.json()["suspended_at"], Value::Null);
    }
    assert_eq!(tenant.admin.get(&path).await.status, 200);
    assert_eq!(verdict(&platform, &limited).await["remaining"], 7, "denied verifications take no uses");
    let own = platform.get("/orgs").await.json();
    let own = own.as_array().expect("all").iter().find(|one| one["kind"] == "platform").expect("itself")["id"].clone();
    let own = format!("/orgs/{}", own.as_str().expect("an id"));
    assert_eq!(platform.patch(&own, &json!({"suspended": true})).await.status, 409);
    assert_eq!(platform.delete(&format!("{own}?confirm={}", &own[6..])).await.status, 409);
}

#[tokio::test]
async fn deleting_an_organization_deletes_its_keys_and_keeps_its_log() {
    let app = TestApp::start_with(|config| config.deleted_organizations_kept = Duration::ZERO).await;
    let (tenant, other, platform) = (app.tenant("Acme").await, app.tenant("Other").await, app.platform().await);
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(verdict(&platform, &key).await["valid"], true);
    let path = format!("/orgs/{}", tenant.org_id);
    for confirm in ["", "?confirm=", "?confirm=yes", &format!("?confirm={}", other.org_id)] {
        assert_eq!(tenant.admin.delete(&format!("{path}{confirm}")).await.wrong_fields(), ["confirm"], "{confirm}");
    }
    for (more, named) in [(format!("confirm={}", other.org_id), "confirm"), ("force=true".to_owned(), "force")] {
        let refused = tenant.admin.delete(&format!("{path}?confirm={}&{more}", tenant.org_id)).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![named.to_owned()]), "{more}");
    }
    let deleted = tenant.admin.delete(&format!("{path}?confirm={}", tenant.org_id)).await;
    assert_eq!(deleted.status, 200);
    assert_eq!(verdict(&platform, &key).await["code"], "INVALID_API_KEY");
    assert_eq!(tenant.admin.get(&path).await.status, 401);
    assert_eq!(platform.get(&path).await.status, 404);
    assert_eq!(platform.delete(&format!("{path}?confirm={}", tenant.org_id)).await.status, 404);
    assert_eq!(other.admin.get(&format!("/orgs/{}", other.org_id)).await.status, 200);
    let actions: Vec<String> = app.audit(&tenant.org_id).await.into_iter().map(|event| event.action).collect();
    assert_eq!(actions, ["organization.sign_up", "api_key.create", "organization.delete"], "the audit log is kept");
    let events = app.audit(&tenant.org_id).await;
    let (first, last) = (&events[0], &events[2]);
    assert_eq!((first.permission.as_str(), first.client.as_str()), ("", "127.0.0.1"));
    assert_eq!((last.permission.as_str(), last.client.as_str()), ("*", "127.0.0.1"));
    assert_eq!(last.request_id, deleted.header("x-request-id"));
    assert_eq!(last.actor_key, tenant.key_id);
}

#[tokio::test]
async fn caps_hold_under_concurrency() {
    let app = TestApp::start_with(|config| config.max_permission_sets = 2).await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let path = format!("/orgs/{}", tenant.org_id);
    assert_eq!(platform.patch(&path, &json!({"max_api_keys": 5, "max_members": 2})).await.status, 200);
    let (keys, body) = (format!("{path}/api_keys"), json!({"name": "n", "permissions": []}));
    let bulk = json!({"keys": [body, body, body, body, body]});
    assert_eq!(tenant.admin.post(&format!("{keys}/bulk_create"), &bulk).await.status, 409, "all or none");
    let made = futures_util::future::join_all((0..10).map(|_| tenant.admin.post(&keys, &body))).await;
    let mut statuses: Vec<u16> = made.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 409, 409, 409, 409, 409, 409], "the first key was there");
    let made = made.iter().find(|answer| answer.status == 200).expect("one").json();
    assert_eq!(tenant.admin.post("/api/auth/api-key/create", &json!({})).await.status, 409);
    let one = format!("{keys}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&one).await.status, 200);
    assert_eq!(tenant.admin.post(&keys, &body).await.status, 200, "the cap is not reached any more");
    for (n, status) in [(1, 200), (2, 409)] {
        let member = json!({"user_email": format!("m{n}@example.com"), "user_name": "M", "permissions": []});
        assert_eq!(tenant.admin.post(&format!("{path}/members"), &member).await.status, status, "{n}");
    }
    for (n, status) in [(1, 200), (2, 200), (3, 409)] {
        let set = json!({"name": format!("n{n}"), "permissions": []});
        assert_eq!(tenant.admin.post(&format!("{path}/permission_sets"), &set).await.status, status, "{n}");
    }
    assert_eq!(platform.patch(&path, &json!({"max_api_keys": null})).await.status, 200);
    assert_eq!(tenant.admin.post(&keys, &body).await.status, 200);
}
