//! Trust rules: their settings, their bounds, and that they grant nothing that the caller does not have.

use std::time::Duration;

use harness::{Answer, KeySpec, TestApp};
use serde_json::{Value, json};

use crate::{
    audit_log::events::{events, log_of},
    auth::idp::{Fixture, fixture, fixture_with},
    oauth::workload::{create, rules},
};

const MADE_UP: &str = "01a1fd3b-5f15-77c5-bbb0-186d2b075cec";

fn rule(fixture: &Fixture, name: &str, permissions: Value) -> Value {
    let mut body = json!({"name": name, "issuer": fixture.provider.issuer(), "claims": {"repository_id": "74"}});
    body["permissions"] = permissions;
    body
}

/// The rule with other fields.
fn with_fields(fixture: &Fixture, fields: Value) -> Value {
    let mut body = rule(fixture, "n", json!([]));
    let Value::Object(fields) = fields else { panic!("an object") };
    body.as_object_mut().expect("an object").extend(fields);
    body
}

fn id(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_trust_rule_is_created_read_changed_and_deleted() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let full = json!({
        "name": " Release ", "description": "For the release job.", "issuer": fixture.provider.issuer(),
        "claims": {"repository_id": "74", "ref": ["a", "b"], "/x/y": true, "list": ["only"]},
        "permissions": ["files:read"], "audiences": ["storage"], "ttl_seconds": 60, "enabled": false,
    });
    let made = tenant.admin.post(&rules(tenant), &full).await;
    let id = id(&made);
    let expected = json!({
        "id": id, "name": "Release", "description": "For the release job.", "issuer": fixture.provider.issuer(),
        "claims": {"repository_id": "74", "ref": ["a", "b"], "/x/y": true, "list": "only"},
        "permissions": ["files:read"], "audiences": ["storage"], "ttl_seconds": 60, "enabled": false, "version": 0,
        "created_at": "2026-11-21T08:00:00.250Z", "updated_at": "2026-11-21T08:00:00.250Z",
    });
    assert_eq!((made.json(), made.header("etag")), (expected.clone(), "\"0\""));
    let path = format!("{}/{id}", rules(tenant));
    let read = tenant.admin.get(&path).await;
    assert_eq!((read.json(), read.header("etag")), (expected, "\"0\""));
    app.clock.advance_seconds(1);
    let changes = json!({
        "name": "Build", "description": null, "claims": {"sub": "s"}, "permissions": null, "audiences": null,
        "ttl_seconds": 900, "enabled": true,
    });
    let answer = tenant.admin.with("if-match", "\"0\"").patch(&path, &changes).await;
    let expected = json!({
        "id": id, "name": "Build", "description": null, "issuer": fixture.provider.issuer(), "claims": {"sub": "s"},
        "permissions": [], "audiences": [], "ttl_seconds": 900, "enabled": true, "version": 1,
        "created_at": "2026-11-21T08:00:00.250Z", "updated_at": "2026-11-21T08:00:01.250Z",
    });
    assert_eq!((answer.json(), answer.header("etag")), (expected, "\"1\""));
    // The other fields are unchanged.
    let answer = tenant.admin.patch(&path, &json!({"ttl_seconds": 1})).await.json();
    assert_eq!((&answer["claims"], &answer["ttl_seconds"]), (&json!({"sub": "s"}), &json!(1)));
    assert_eq!(tenant.admin.patch(&path, &json!({})).await.json()["reason"], "nothing_to_change");
    for (method, body) in [("PATCH", Some(json!({"name": "x"}))), ("DELETE", None)] {
        for tag in ["\"1\"", "nonsense"] {
            let body = body.as_ref().map(|body: &Value| body.to_string().into_bytes());
            let refused = tenant.admin.with("if-match", tag).send(method, &path, body).await;
            assert_eq!((refused.status, &refused.json()["reason"]), (412, &json!("version_mismatch")), "{method}");
        }
    }
    // By default it is enabled, without a description, for any audience and for five minutes.
    let second = tenant.admin.post(&rules(tenant), &rule(&fixture, "second", json!([]))).await.json();
    assert_eq!(
        json!([second["description"], second["audiences"], second["ttl_seconds"], second["enabled"]]),
        json!([null, [], 300, true])
    );
    let page = tenant.admin.get(&format!("{}?limit=1", rules(tenant))).await;
    assert_eq!((page.json().as_array().map(Vec::len), &page.json()[0]["id"]), (Some(1), &json!(id)));
    let next = page.header("link").split(['<', '>']).nth(1).expect("a link to the next page").to_owned();
    let next = tenant.admin.get(&next[next.find("/orgs").expect("a path")..]).await.json();
    assert_eq!((next.as_array().map(Vec::len), &next[0]["id"]), (Some(1), &second["id"]));
    assert_eq!(tenant.admin.with("if-match", "2").delete(&path).await.status, 200);
    assert_eq!(tenant.admin.get(&path).await.status, 404);
    assert_eq!(tenant.admin.delete(&path).await.status, 404);
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "x"})).await.status, 404);
    let log = events(&tenant.admin, &format!("{}?action=trust_rule.", log_of(tenant))).await;
    let done: Vec<_> = log.iter().map(|event| (&event["action"], &event["permission"])).collect();
    let admin = json!("trust_rules:admin");
    let (create, update, delete) = (json!("trust_rule.create"), json!("trust_rule.update"), json!("trust_rule.delete"));
    assert_eq!(done, [&delete, &create, &update, &update, &create].map(|action| (action, &admin)));
    assert_eq!(log[0]["target_id"], json!(id));
}

#[tokio::test]
async fn invalid_trust_rules_are_refused() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let path = format!("{}/{}", rules(tenant), create(tenant, &rule(&fixture, "first", json!([]))).await);
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let claims = |count: usize| Value::Object(many(count).into_iter().map(|name| (name, json!("x"))).collect());
    let wide: Vec<String> = (0..200).map(|n| format!("files:{n:030}")).collect();
    for (wrong, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(101)}), "name"),
        (json!({"description": "x".repeat(501)}), "description"),
        (json!({"issuer": "https://issuer.example"}), "issuer"),
        (json!({"issuer": ""}), "issuer"),
        (json!({"claims": {}}), "claims"),
        (json!({"claims": []}), "claims"),
        (json!({"claims": claims(17)}), "claims"),
        (json!({"claims": {"a": []}}), "claims"),
        (json!({"claims": {"a": many(17)}}), "claims"),
        (json!({"claims": {"a": ["x", "x"]}}), "claims"),
        (json!({"claims": {"a": 1}}), "claims"),
        (json!({"claims": {"a": null}}), "claims"),
        (json!({"claims": {"a": {"b": "c"}}}), "claims"),
        (json!({"claims": {"a": ["x", ["y"]]}}), "claims"),
        (json!({"claims": {"a": ""}}), "claims"),
        (json!({"claims": {"a": "x\ny"}}), "claims"),
        (json!({"claims": {"a": "x".repeat(513)}}), "claims"),
        (json!({"claims": {"": "x"}}), "claims"),
        (json!({"claims": {"/a~2": "x"}}), "claims"),
        (json!({"claims": {("x".repeat(256)): "x"}}), "claims"),
        (json!({"claims": {"a": "x", " a": "x"}}), "claims"),
        (json!({"claims": {"iss": "x", "sub": "x"}}), "claims"),
        (json!({"claims": {"aud": "claviger"}}), "claims"),
        (json!({"claims": {"/aud/0": "claviger"}}), "claims"),
        (json!({"claims": {"a": many(16).iter().map(|n| n.repeat(300)).collect::<Vec<_>>()}}), "claims"),
        (json!({"permissions": ["a:b:c"]}), "permissions"),
        (json!({"permissions": wide}), "permissions"),
        (json!({"permissions": many(257)}), "permissions"),
        (json!({"audiences": [""]}), "audiences"),
        (json!({"audiences": ["x".repeat(256)]}), "audiences"),
        (json!({"audiences": ["a", "a"]}), "audiences"),
        (json!({"audiences": many(17)}), "audiences"),
        (json!({"ttl_seconds": 0}), "ttl_seconds"),
        (json!({"ttl_seconds": 901}), "ttl_seconds"),
        (json!({"ttl_seconds": "60"}), "ttl_seconds"),
        (json!({"enabled": "yes"}), "enabled"),
        (json!({"secret": "x"}), "secret"),
    ] {
        let made = tenant.admin.post(&rules(tenant), &with_fields(&fixture, wrong.clone())).await;
        assert_eq!((made.status, made.wrong_fields()), (400, vec![field.to_owned()]), "{wrong}: {}", made.text);
        let updated = tenant.admin.patch(&path, &wrong).await;
        assert_eq!(
            (updated.status, updated.wrong_fields()),
            (400, vec![field.to_owned()]),
            "{wrong}: {}",
            updated.text
        );
    }
    let unchanged = tenant.admin.patch(&path, &json!({"claims": null, "description": "d"})).await.json();
    assert_eq!(unchanged["claims"], json!({"repository_id": "74"}));
    for field in ["name", "issuer", "ttl_seconds", "enabled"] {
        assert_eq!(tenant.admin.patch(&path, &json!({(field): null})).await.wrong_fields(), [field]);
    }
    for field in ["name", "issuer", "claims", "permissions"] {
        let mut body = rule(&fixture, "n", json!([]));
        body.as_object_mut().expect("an object").remove(field);
        assert_eq!(tenant.admin.post(&rules(tenant), &body).await.wrong_fields(), [field]);
    }
    // The largest values are accepted, and stored as they are.
    let values: Vec<String> = (0..16).map(|n| format!("{n:0220}")).collect();
    let largest = json!({
        "name": "x".repeat(100), "description": "x".repeat(500), "claims": {"a": values, "b": "x".repeat(512)},
        "audiences": many(16),
    });
    let made = tenant.admin.post(&rules(tenant), &with_fields(&fixture, largest.clone())).await;
    let read = tenant.admin.get(&format!("{}/{}", rules(tenant), id(&made))).await.json();
    for (field, value) in largest.as_object().expect("an object") {
        assert_eq!(read[field], *value, "{field}");
    }
    let twice = tenant.admin.post(&rules(tenant), &rule(&fixture, " first ", json!([]))).await;
    assert_eq!((twice.status, &twice.json()["reason"]), (409, &json!("name_taken")));
    let second = create(tenant, &rule(&fixture, "second", json!([]))).await;
    let renamed = tenant.admin.patch(&format!("{}/{second}", rules(tenant)), &json!({"name": "first"})).await;
    assert_eq!((renamed.status, &renamed.json()["reason"]), (409, &json!("name_taken")));
}

#[tokio::test]
async fn trust_rules_of_others_and_of_the_platform_do_not_exist() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let other = app.tenant("Other").await;
    let foreign = create(&other, &rule(&fixture, "n", json!([]))).await;
    for id in [foreign.as_str(), MADE_UP, "nonsense"] {
        let path = format!("{}/{id}", rules(tenant));
        assert_eq!(tenant.admin.get(&path).await.status, 404, "{id}");
        assert_eq!(tenant.admin.patch(&path, &json!({"name": "x"})).await.status, 404, "{id}");
        assert_eq!(tenant.admin.delete(&path).await.status, 404, "{id}");
    }
    assert_eq!(tenant.admin.get(&rules(tenant)).await.json(), json!([]));
    assert_eq!(tenant.admin.get(&rules(&other)).await.status, 404);
    // The same name in two organizations, also by the platform.
    let platform = app.platform().await;
    assert_eq!(platform.post(&rules(tenant), &rule(&fixture, "n", json!(["*"]))).await.status, 200);
    let own = platform.get("/me").await.json()["organization"]["id"].as_str().expect("an id").to_owned();
    let refused = platform.post(&format!("/orgs/{own}/trust_rules"), &rule(&fixture, "n", json!([]))).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["issuer".to_owned()]));
    for permission in ["read", "admin", "*:read", "*:admin", "org:admin", "api_keys:write"] {
        let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[permission])).await;
        assert_eq!(app.caller(&key).get(&rules(tenant)).await.status, 403, "{permission}");
        let made = app.caller(&key).post(&rules(tenant), &rule(&fixture, "m", json!([]))).await;
        assert_eq!(made.status, 403, "{permission}");
    }
}

#[tokio::test]
async fn a_trust_rule_cannot_grant_beyond_the_caller() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let reason = |answer: &Answer| if answer.status == 200 { Value::Null } else { answer.json()["reason"].clone() };
    let exceeds = json!("exceeds_permissions");
    let all = format!("{}/{}", rules(tenant), create(tenant, &rule(&fixture, "all", json!(["*"]))).await);
    let files = format!("{}/{}", rules(tenant), create(tenant, &rule(&fixture, "files", json!(["files:read"]))).await);
    let held = ["trust_rules:admin", "trust_rules:read", "files:read", "files:write"];
    let weak = app.caller(&app.key(&tenant.org_id, KeySpec::with(&held)).await.1);
    for (n, permissions) in
        [json!(["*"]), json!(["files:*"]), json!(["users:read"]), json!(["members:admin"])].into_iter().enumerate()
    {
        let made = weak.post(&rules(tenant), &rule(&fixture, &n.to_string(), permissions.clone())).await;
        assert_eq!((made.status, reason(&made)), (403, exceeds.clone()), "{permissions}");
        let widened = weak.patch(&files, &json!({"permissions": permissions})).await;
        assert_eq!((widened.status, reason(&widened)), (403, exceeds.clone()), "{permissions}");
    }
    // Nor by pointing a rule with more permissions to other workloads, by enabling it again, or by anything else.
    for change in [
        json!({"claims": {"repository_id": "666"}}),
        json!({"permissions": []}),
        json!({"permissions": ["files:read"], "claims": {"repository_id": "666"}}),
        json!({"audiences": ["other"]}),
        json!({"ttl_seconds": 900}),
        json!({"name": "mine"}),
        json!({"enabled": true, "name": "mine"}),
    ] {
        let refused = weak.patch(&all, &change).await;
        assert_eq!((refused.status, reason(&refused)), (403, exceeds.clone()), "{change}");
    }
    assert_eq!(weak.patch(&all, &json!({"enabled": false})).await.status, 200, "it only restricts the rule");
    let enabled = weak.patch(&all, &json!({"enabled": true})).await;
    assert_eq!((enabled.status, reason(&enabled)), (403, exceeds.clone()));
    assert_eq!(weak.patch(&files, &json!({"permissions": ["files:read", "files:write"]})).await.status, 200);
    assert_eq!(weak.patch(&files, &json!({"claims": {"repository_id": "75"}})).await.status, 200);
    // A user's key is bounded by the user.
    let bounded = KeySpec { user_id: Some(tenant.user_id.clone()), ..KeySpec::with(&["*"]) };
    let bounded = app.caller(&app.key(&tenant.org_id, bounded).await.1);
    app.change_memberships("trust_rules:admin files:read").await;
    let made = bounded.post(&rules(tenant), &rule(&fixture, "bounded", json!(["files:write"]))).await;
    assert_eq!((made.status, reason(&made)), (403, exceeds));
    assert_eq!(bounded.post(&rules(tenant), &rule(&fixture, "bounded", json!(["files:read"]))).await.status, 200);
}

#[tokio::test]
async fn a_key_with_an_expiry_or_addresses_cannot_extend_a_trust_rule() {
    let fixture = fixture(|_| ()).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let (_, short) = app.key(&tenant.org_id, KeySpec { expires_in: Some(600), ..KeySpec::with(&["*"]) }).await;
    let restricted = json!({"name": "n", "permissions": ["*"], "allowed_addresses": ["127.0.0.1"]});
    let restricted = tenant.admin.post(&tenant.keys(), &restricted).await.json();
    let restricted = restricted["key"].as_str().expect("a key").to_owned();
    for (n, (key, reason)) in [(short, "exceeds_expiry"), (restricted, "exceeds_addresses")].into_iter().enumerate() {
        let caller = app.caller(&key);
        let made = create(tenant, &rule(&fixture, &format!("rule {n}"), json!(["files:read"]))).await;
        let path = format!("{}/{made}", rules(tenant));
        let refused = caller.post(&rules(tenant), &rule(&fixture, "m", json!(["files:read"]))).await;
        assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!(reason)));
        for change in [
            json!({"permissions": ["files:*"]}),
            json!({"claims": {"sub": "other"}}),
            json!({"audiences": ["storage"], "ttl_seconds": 900}),
        ] {
            let refused = caller.patch(&path, &change).await;
            assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!(reason)), "{change}");
        }
        for (change, status) in [
            (json!({"audiences": ["storage"]}), 200),
            (json!({"audiences": ["mail"]}), 403),
            (json!({"ttl_seconds": 60, "description": "d"}), 200),
            (json!({"enabled": false}), 200),
            (json!({"claims": {"sub": "other"}}), 200),
            (json!({"enabled": true}), 403),
            (json!({"permissions": []}), 200),
            (json!({"enabled": true}), 200),
        ] {
            assert_eq!(caller.patch(&path, &change).await.status, status, "{change}");
        }
        let nothing = caller.post(&rules(tenant), &rule(&fixture, &format!("nothing {n}"), json!([]))).await;
        assert_eq!(nothing.status, 200, "a rule without permissions grants nothing");
    }
}

#[tokio::test]
async fn simultaneous_requests_do_not_exceed_the_maximum_of_trust_rules() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let caller = tenant.admin.keeping_connections();
    for n in 0..98 {
        let made = caller.post(&rules(tenant), &rule(&fixture, &n.to_string(), json!([]))).await;
        assert_eq!(made.status, 200, "{n}: {}", made.text);
    }
    let bodies: Vec<Value> = (0..8).map(|n| rule(&fixture, &format!("last {n}"), json!([]))).collect();
    let path = rules(tenant);
    let answers = futures_util::future::join_all(bodies.iter().map(|body| tenant.admin.post(&path, body))).await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((refused.status, &refused.json()["reason"]), (409, &json!("trust_rule_limit_reached")));
    }
    assert_eq!(made, 2);
    let listed = tenant.admin.get(&rules(tenant)).await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(100));
    let one = format!("{}/{}", rules(tenant), listed[0]["id"].as_str().expect("an id"));
    assert_eq!(tenant.admin.delete(&one).await.status, 200);
    assert_eq!(tenant.admin.post(&path, &bodies[0]).await.status, if answers[0].status == 200 { 409 } else { 200 });
}

#[tokio::test]
async fn of_simultaneous_changes_of_one_version_one_succeeds() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let path = format!("{}/{}", rules(tenant), create(tenant, &rule(&fixture, "n", json!([]))).await);
    let caller = tenant.admin.with("if-match", "\"0\"");
    let bodies: Vec<Value> = (0..4).map(|n| json!({"ttl_seconds": 100 + n})).collect();
    let changes = futures_util::future::join_all(bodies.iter().map(|body| caller.patch(&path, body)));
    let deletions = futures_util::future::join_all((0..2).map(|_| caller.delete(&path)));
    let (changes, deletions) = tokio::join!(changes, deletions);
    let statuses: Vec<u16> = changes.iter().chain(&deletions).map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 404, 412].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_repeated_creation_creates_one_trust_rule() {
    let fixture = fixture(|_| ()).await;
    let tenant = &fixture.tenant;
    let caller = tenant.admin.with("idempotency-key", "k");
    let body = rule(&fixture, "n", json!([]));
    let (first, again) = (caller.post(&rules(tenant), &body).await, caller.post(&rules(tenant), &body).await);
    assert_eq!((id(&first), first.header("etag")), (id(&again), "\"0\""));
    assert_eq!((again.header("idempotent-replayed"), again.header("etag")), ("true", "\"0\""));
    assert_eq!(tenant.admin.get(&rules(tenant)).await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_trust_rules_of_a_purged_organization_are_removed() {
    let fixture = fixture_with(|_| (), |config| config.deleted_organizations_kept = Duration::ZERO).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    create(tenant, &rule(&fixture, "n", json!(["files:read"]))).await;
    let platform = app.platform().await;
    let kept = app.tenant("Kept").await;
    create(&kept, &rule(&fixture, "n", json!([]))).await;
    assert_eq!(stored(app).await, 2);
    let path = format!("/orgs/{0}?confirm={0}", tenant.org_id);
    assert_eq!(platform.delete(&path).await.status, 200);
    harness::wait_until("the rule is removed", async || {
        let stored = stored(app).await;
        if stored == 1 { Ok(()) } else { Err(stored) }
    })
    .await;
}

async fn stored(app: &TestApp) -> i64 {
    app.database.stored_trust_rules().await
}
