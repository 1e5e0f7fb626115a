//! Filters and sort orders of lists of keys.

use std::collections::HashSet;

use domain::keys::quota::Quota;
use harness::{Caller, KeySpec, Tenant, TestApp, wait_until};
use serde_json::{Value, json};

async fn create(tenant: &Tenant, body: Value) -> String {
    let mut whole = json!({"name": "n", "permissions": []});
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    let made = tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &whole).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["id"].as_str().expect("an id").to_owned()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("an array").iter().map(|key| key["name"].as_str().expect("a name")).collect()
}

async fn listed(caller: &Caller, path: &str) -> Vec<String> {
    let list = caller.get(path).await;
    assert_eq!(list.status, 200, "{path}: {}", list.text);
    names(&list.json()).into_iter().filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn each_filter_selects_its_keys() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let set = json!({"name": "readers", "permissions": ["files:read"]});
    let set = tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &set).await.json();
    let plain = json!({"name": "Plain ÄB%_x", "metadata": {"plan": "pro", "seats": 5, "on": true, "n": "\u{0}"}});
    create(&tenant, plain).await;
    let off = create(&tenant, json!({"name": "off", "permissions": ["files:*"], "metadata": {"plan": "free"}})).await;
    create(&tenant, json!({"name": "soon", "expires_at": "2026-11-21T08:00:05Z", "permission_sets": [set["id"]]}))
        .await;
    create(&tenant, json!({"name": "external", "external_id": "x-1", "permissions": ["read", "files:write"]})).await;
    let own = app.tenant("Else").await;
    create(&own, json!({"name": "foreign", "external_id": "x-1"})).await;
    // Uses of metered keys are stored before the response.
    let metered = || Quota { remaining: Some(100), ..Quota::default() };
    let (_, used) = app.key(&tenant.org_id, KeySpec { quota: metered(), ..KeySpec::with(&[]) }).await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    assert_eq!(tenant.admin.patch(&format!("{path}/{off}"), &json!({"enabled": false})).await.status, 200);
    app.clock.advance_seconds(10);
    assert_eq!(tenant.admin.post("/api_keys/verify", &json!({"key": used})).await.json()["code"], "VALID");
    let owner = tenant.user_id.clone();
    for (query, expected) in [
        ("enabled=true", vec!["Plain ÄB%_x", "soon", "external"]),
        ("enabled=false", vec!["off"]),
        ("expired=true", vec!["soon"]),
        ("expired=false", vec!["Plain ÄB%_x", "off", "external"]),
        ("name=PLAIN", vec!["Plain ÄB%_x"]),
        ("name=b%25_X", vec!["Plain ÄB%_x"]),
        ("name=%25", vec!["Plain ÄB%_x"]),
        ("name=%C3%A4b", vec!["Plain ÄB%_x"]),
        ("name=a%CC%88B", vec!["Plain ÄB%_x"]),
        ("name=ab", vec![]),
        ("external_id=x-1", vec!["external"]),
        ("permission=files:read", vec!["off", "soon", "external"]),
        ("permission=files:write", vec!["off", "external"]),
        ("permission=files:delete", vec!["off"]),
        ("permission=other:read", vec!["external"]),
        ("permission=ile:read", vec!["external"]),
        (r#"metadata={"plan":"pro"}"#, vec!["Plain ÄB%_x"]),
        (r#"metadata={"plan":"pro","seats":5,"on":true}"#, vec!["Plain ÄB%_x"]),
        (r#"metadata={"plan":"pro","seats":6}"#, vec![]),
        (r#"metadata={"seats":"5"}"#, vec![]),
        (r#"metadata={"on":1}"#, vec![]),
        (r#"metadata={"plan":"free"}&enabled=true"#, vec![]),
        (r#"metadata={"plan":"free"}&enabled=false"#, vec!["off"]),
    ] {
        let found: HashSet<String> = listed(&tenant.admin, &format!("{path}?{query}")).await.into_iter().collect();
        assert_eq!(found, expected.into_iter().map(ToOwned::to_owned).collect(), "{query}");
    }
    let count = async |query: &str| {
        let list = tenant.admin.get(&format!("{path}?{query}")).await;
        list.json().as_array().unwrap_or_else(|| panic!("{}", list.text)).len()
    };
    assert_eq!((count("user=none").await, count(&format!("user={owner}")).await), (5, 1));
    assert_eq!(count(&format!("user={}", own.user_id)).await, 0);
    let unused = async |before: &str| count(&format!("user=none&last_used_before=2026-11-21T{before}Z")).await;
    assert_eq!((unused("08:00:10").await, unused("08:00:11").await), (4, 5), "unused keys match");
    assert_eq!(count("user=none&last_used_before=1970-01-01T00:00:00Z").await, 4);
    assert_eq!((count("user=none&used=true").await, count("user=none&used=false").await), (1, 4));
    assert_eq!(count("expires_before=2026-11-21T08:00:05Z").await, 0);
    assert_eq!(count("expires_before=2026-11-21T08:00:05.001Z").await, 1);
    for (query, name) in [
        ("enabled=yes", "enabled"),
        ("used=yes", "used"),
        ("exhausted=0", "exhausted"),
        ("rotating=maybe", "rotating"),
        ("expires_before=soon", "expires_before"),
        ("expired=1", "expired"),
        ("deleted=", "deleted"),
        ("user=nobody", "user"),
        ("permission=a:b:c", "permission"),
        ("last_used_before=yesterday", "last_used_before"),
        ("sort=size", "sort"),
        ("sort=name", "limit"),
        ("name=%00", "name"),
        ("id=not-a-uuid", "id"),
        ("start=", "start"),
        ("start=cvg%25", "start"),
        ("start=cvg_00000000000000000000000000000000000", "start"),
        ("last_used_before=2026-11-21T23:59:60Z", "last_used_before"),
        ("metadata=plan", "metadata"),
        ("metadata={}", "metadata"),
        (r#"metadata={"a":1.5}"#, "metadata"),
        (r#"metadata={"a":{"b":1}}"#, "metadata"),
        (r#"metadata={"a b":1}"#, "metadata"),
        (r#"metadata={"a\"b":1}"#, "metadata"),
    ] {
        let refused = tenant.admin.get(&format!("{path}?{query}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![name.to_owned()]), "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn keys_with_a_permission_are_found_among_long_and_many_lists() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = tenant.keys();
    let listed = async |query: &str| {
        let mut names = listed(&tenant.admin, &format!("{path}?{query}")).await;
        names.sort();
        names
    };
    // The index has the first 200 characters.
    let mut long: Vec<String> = (0..40).map(|n| format!("resource-{n:02}:read")).collect();
    long.push("zeta:write".to_owned());
    let long = create(&tenant, json!({"name": "long", "permissions": long})).await;
    create(&tenant, json!({"name": "short", "permissions": ["zeta:write", "resource-00:read"]})).await;
    assert_eq!(listed("permission=zeta:write").await, ["long", "short"]);
    assert_eq!(listed("permission=resource-39:read").await, ["long"]);
    assert_eq!(listed("permission=zeta:read").await, [""; 0]);
    assert_eq!(tenant.admin.delete(&format!("{path}/{long}")).await.status, 200);
    assert_eq!(listed("permission=zeta:write").await, ["short"]);
    assert_eq!(listed("permission=zeta:write&deleted=true").await, ["long"]);
    for (lists, first) in [(60, 0), (1_000, 60)] {
        let key = |n| json!({"name": format!("n{n}"), "permissions": [format!("n{n}:read"), "common:read"]});
        let keys: Vec<Value> = (first..first + lists).map(key).collect();
        let made = tenant.admin.post(&format!("{path}/bulk_create"), &json!({"keys": keys})).await;
        assert_eq!(made.status, 200, "{}", made.text);
        assert_eq!(listed("permission=common:read").await.len(), first + lists);
        assert_eq!(listed("permission=n7:read").await, ["n7"]);
        assert_eq!(listed("permission=n7:write").await, [""; 0]);
    }
}

#[tokio::test]
async fn exhausted_and_rotating_keys_can_be_listed() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    let spent = create(&tenant, json!({"name": "spent", "remaining": 0})).await;
    app.clock.advance_seconds(1);
    create(&tenant, json!({"name": "one", "remaining": 1})).await;
    app.clock.advance_seconds(1);
    let rotated = create(&tenant, json!({"name": "rotated"})).await;
    let list = async |query: &str| listed(&tenant.admin, &format!("{path}?{query}")).await;
    assert_eq!(list("exhausted=true").await, ["spent"]);
    assert_eq!(list("exhausted=false").await, ["one", "rotated"]);
    assert_eq!(list("rotating=true").await, [""; 0]);
    assert_eq!(list("rotating=false").await, ["spent", "one", "rotated"]);
    let rotate = async |key: &str, grace: u64| {
        let answer = tenant.admin.post(&format!("{path}/{key}/rotate"), &json!({"grace_seconds": grace})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["previous_secret_expires_at"].clone()
    };
    assert_eq!(rotate(&rotated, 60).await, "2026-11-21T08:01:02.250Z");
    assert_eq!(rotate(&spent, 0).await, Value::Null, "without a grace period there is no previous secret");
    assert_eq!(list("rotating=true").await, ["rotated"]);
    assert_eq!(list("rotating=false").await, ["spent", "one"]);
    app.clock.advance_seconds(60);
    assert_eq!(list("rotating=true").await, [""; 0], "the previous secret has expired");
    let ended = tenant.admin.get(&format!("{path}/{rotated}")).await.json();
    assert_eq!(ended["previous_secret_expires_at"], "2026-11-21T08:01:02.250Z");
}

#[tokio::test]
async fn every_sort_order_can_be_paged() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (name, expires_at) in [
        ("b", Value::Null),
        ("A", json!("2027-01-01T00:00:00Z")),
        ("a", json!("2026-12-01T00:00:00Z")),
        ("C", Value::Null),
        ("B", json!("2026-12-01T00:00:00Z")),
        ("ä", Value::Null),
    ] {
        create(&tenant, json!({"name": name, "expires_at": expires_at})).await;
        app.clock.advance_seconds(1);
    }
    let path = format!("/orgs/{}/api_keys", tenant.org_id);
    for (sort, expected) in [
        ("created_at", ["b", "A", "a", "C", "B", "ä"]),
        ("-created_at", ["ä", "B", "C", "a", "A", "b"]),
        // Equal values are sorted by id, which is the order of creation.
        ("name", ["A", "a", "b", "B", "C", "ä"]),
        ("-name", ["ä", "C", "B", "b", "a", "A"]),
        ("expires_at", ["a", "B", "A", "b", "C", "ä"]),
        ("-expires_at", ["ä", "C", "b", "A", "B", "a"]),
    ] {
        assert_eq!(listed(&tenant.admin, &format!("{path}?limit=9&sort={sort}")).await, expected, "{sort}");
        for limit in 1..=7 {
            let mut next = Some(format!("{path}?user=none&sort={sort}&limit={limit}"));
            let mut seen = Vec::new();
            while let Some(page) = next {
                assert!(seen.len() <= expected.len(), "the pages do not end: {page}");
                let answer = tenant.admin.get(&page).await;
                seen.extend(names(&answer.json()).into_iter().map(ToOwned::to_owned));
                let link = answer.header("link").to_owned();
                next = link.strip_prefix('<').and_then(|link| Some(link.split_once('>')?.0.to_owned()));
            }
            assert_eq!(seen, expected, "{sort}, {limit} at a time");
        }
    }
    // By use.
    let mut keys = Vec::new();
    for uses in [1, 3, 2] {
        let quota = Quota { remaining: Some(100), ..Quota::default() };
        let (id, key) = app.key(&tenant.org_id, KeySpec { quota, ..KeySpec::with(&[]) }).await;
        for _ in 0..uses {
            app.clock.advance_seconds(1);
            assert_eq!(tenant.admin.post("/api_keys/verify", &json!({"key": key})).await.json()["code"], "VALID");
        }
        keys.push(id);
    }
    let by = async |sort: &str| {
        let list = tenant.admin.get(&format!("{path}?sort={sort}&limit=3&user=none")).await.json();
        let ids = list.as_array().expect("keys").iter().map(|key| key["id"].as_str().unwrap_or_default().to_owned());
        ids.collect::<Vec<_>>()
    };
    let in_order = |places: [usize; 3]| places.map(|place| keys[place].clone()).to_vec();
    // On SQLite the rows by which it is sorted get the uses a moment later.
    wait_until("the order by use", async || {
        let found = by("-request_count").await;
        if found == in_order([1, 2, 0]) { Ok(()) } else { Err(found) }
    })
    .await;
    assert_eq!(by("-last_used_at").await, in_order([2, 1, 0]));
    // A cursor is valid for its own sort order only.
    let first = tenant.admin.get(&format!("{path}?limit=1&sort=name")).await;
    let cursor =
        first.header("link").split("cursor=").nth(1).and_then(|rest| rest.split('>').next()).expect("a cursor");
    for sort in ["created_at", "-name", "expires_at"] {
        let refused = tenant.admin.get(&format!("{path}?limit=1&sort={sort}&cursor={cursor}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["cursor".to_owned()]), "{sort}");
    }
}
