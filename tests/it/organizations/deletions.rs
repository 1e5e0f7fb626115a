//! Deletions of many rows: they take effect at once, other requests are served between the batches, and they continue after a
//! restart of the process.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use api::process::system::SystemClock;
use domain::{
    Error,
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::Clock,
    id::OrganizationId,
    keys::quota::Quota,
    organizations::organization::Deletion,
    ports::Organizations,
};
use harness::{Caller, KeySpec, MAX_WAIT, Process, TestApp, TestDatabase, wait_until};
use persistence::Store;
use serde_json::{Value, json};

const EXPIRED: &str = "/api/auth/api-key/delete-all-expired-api-keys";

async fn verdict(caller: &Caller, key: &str) -> Value {
    caller.post("/api_keys/verify", &json!({"key": key})).await.json()
}

/// A metered key, whose uses are counted in the database before the response.
fn metered() -> KeySpec {
    KeySpec { quota: Quota { remaining: Some(1_000_000), ..Quota::default() }, ..KeySpec::with(&[]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_keys_are_deleted_in_batches_while_others_are_served() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let (expired, _) = app.key(&tenant.org_id, KeySpec { expires_in: Some(-1), ..KeySpec::with(&[]) }).await;
    app.database.copy_key(&expired, 4_999).await;
    let (_, key) = app.key(&other.org_id, metered()).await;
    #[expect(clippy::disallowed_methods, reason = "it is waited for below")]
    let deletion = tokio::spawn({
        let admin = tenant.admin.clone();
        async move {
            let (mut deleted, mut answer) = (0, admin.post(EXPIRED, &json!({})).await);
            // On a slow machine one call may not have the time for all.
            while answer.text != r#"{"deleted":0}"# {
                assert_eq!(answer.status, 200, "{}", answer.text);
                deleted += answer.json()["deleted"].as_u64().expect("a number");
                answer = admin.post(EXPIRED, &json!({})).await;
            }
            deleted
        }
    });
    let mut served = 0;
    let deadline = Instant::now() + MAX_WAIT;
    while !deletion.is_finished() {
        assert!(Instant::now() < deadline, "the deletion has not ended after {served} verifications");
        let (_, before) = app.database.stored_keys(&tenant.org_id).await;
        let answer = verdict(&other.admin, &key).await;
        let (_, after) = app.database.stored_keys(&tenant.org_id).await;
        assert_eq!(answer["code"], "VALID");
        served += u32::from(before > 0 && after < 5_000);
    }
    assert!(served > 0, "a key was verified while some keys were deleted and others not");
    assert_eq!(deletion.await.expect("it ends"), 5_000);
    assert_eq!(app.database.stored_keys(&tenant.org_id).await, (5_001, 5_000), "the first key remains");
    let events = app.audit(&tenant.org_id).await;
    let deletions = events.iter().filter(|event| event.action == "api_key.delete");
    assert_eq!(deletions.filter(|event| event.actor_key == tenant.key_id).count(), 5_000);
    assert_eq!(app.anyone().with_bearer(tenant.admin.bearer()).get("/auth/check-key").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_near_the_time_limit_returns_its_count_and_can_be_continued() {
    let app = TestApp::start_with(|config| config.request_timeout = Duration::from_secs(3)).await;
    let tenant = app.tenant("Acme").await;
    let (expired, _) = app.key(&tenant.org_id, KeySpec { expires_in: Some(-1), ..KeySpec::with(&[]) }).await;
    app.database.copy_key(&expired, 149_999).await;
    let mut deleted = 0;
    for _ in 0..2 {
        let answer = tenant.admin.post(EXPIRED, &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let count = answer.json()["deleted"].as_i64().expect("a number");
        assert!((1..150_000).contains(&count), "{count} in one call");
        deleted += count;
        assert_eq!(
            app.database.stored_keys(&tenant.org_id).await,
            (150_001, deleted),
            "the response has the number of deleted keys"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_organization_is_unknown_at_once_and_removed_in_batches() {
    let app = TestApp::start_with(|config| config.deleted_organizations_kept = Duration::ZERO).await;
    let (other, platform) = (app.tenant("Other").await, app.platform().await);
    let made = platform.post("/orgs", &json!({"name": "Large", "external_id": "crm-1"})).await.json();
    let org_id = made["id"].as_str().expect("an id");
    let (path, keys) = (format!("/orgs/{org_id}"), format!("/orgs/{org_id}/api_keys"));
    let (key_id, key) = app.key(org_id, KeySpec::with(&[])).await;
    let (_, limited) = app.key(org_id, metered()).await;
    app.database.copy_key(&key_id, 20_000).await;
    let member = json!({"user_email": "m@example.com", "user_name": "M", "permissions": []});
    assert_eq!(platform.post(&format!("{path}/members"), &member).await.status, 200);
    let set = json!({"name": "s", "permissions": []});
    assert_eq!(platform.post(&format!("{path}/permission_sets"), &set).await.status, 200);
    let (_, own) = app.key(&other.org_id, metered()).await;
    for key in [&key, &limited] {
        assert_eq!(verdict(&platform, key).await["code"], "VALID");
    }

    let deleted = platform.delete(&format!("{path}?confirm={org_id}")).await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    for key in [&key, &limited] {
        assert_eq!(verdict(&platform, key).await["code"], "INVALID_API_KEY");
    }
    let again = platform.post("/orgs", &json!({"external_id": "crm-1"})).await;
    assert_eq!(again.status, 200, "its external id is free");
    let found = platform.get("/orgs?external_id=crm-1").await.json();
    assert_eq!(found, json!([again.json()]));
    for answer in [
        platform.get(&keys).await,
        platform.post(&keys, &json!({"name": "n", "permissions": []})).await,
        platform.post(&format!("{path}/members"), &member).await,
        platform.post(&format!("{path}/permission_sets"), &set).await,
        platform.patch(&path, &json!({"name": "x"})).await,
        platform.delete(&format!("{path}?confirm={org_id}")).await,
        other.admin.get(&path).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let mut left = BTreeSet::new();
    wait_until("the removal of the organization", async || {
        assert_eq!(verdict(&other.admin, &own).await["code"], "VALID", "keys of another organization stay valid");
        let answer = platform.get(&path).await;
        if answer.status == 404 {
            return Ok(());
        }
        let answer = answer.json();
        assert!(answer["deleted_at"].is_string());
        left.insert(answer["api_keys_left"].as_u64().expect("a number"));
        Err(answer)
    })
    .await;
    assert!(left.len() > 2, "requests were served between the batches: {left:?}");
    assert_eq!(app.database.stored_keys(org_id).await, (0, 0));
    let last = app.audit(org_id).await.pop().expect("the audit log is kept");
    assert_eq!(last.action, "organization.delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_delete_an_organization_once_and_both_remove_its_rows() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    app.database.copy_key(&tenant.key_id, 10_000).await;
    let connect = async || {
        let mut settings = app.database.settings();
        settings.retention.deleted_organizations = Duration::ZERO;
        Store::connect(&settings).await.expect("a database connection")
    };
    let (one, two) = (connect().await, connect().await);
    let organization: OrganizationId = tenant.org_id.parse().expect("an id");
    let context = AuditContext {
        organization,
        actor: Actor::Operator,
        action: Action::DeleteOrganization,
        permission: None,
        origin: RequestContext::default(),
        at: SystemClock.now(),
    };
    let (first, second) = tokio::join!(
        Organizations::delete(&*one.database, organization, &context),
        Organizations::delete(&*two.database, organization, &context)
    );
    let outcomes = [first, second];
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(Deletion::Removing))).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::NotFound))).count(), 1, "{outcomes:?}");
    // Each returns when nothing is left, or when the other one removes the rest.
    wait_until("the removal of all keys", async || {
        let (one, two) = tokio::join!(one.remove_deleted_rows(), two.remove_deleted_rows());
        one.and(two).expect("both succeed");
        let (left, _) = app.database.stored_keys(&tenant.org_id).await;
        (left == 0).then_some(()).ok_or(left)
    })
    .await;
    let deletions = app.audit(&tenant.org_id).await.into_iter().filter(|event| event.action == "organization.delete");
    assert_eq!(deletions.count(), 1);
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_continues_after_a_restart() {
    for signal in ["KILL", "TERM"] {
        let database = TestDatabase::fresh().await;
        let settings = [("CLAVIGER_DATABASE_URL", database.url()), ("CLAVIGER_DELETED_ORGANIZATIONS_KEPT", "0s")];
        let root = String::from_utf8(Process::run(&["bootstrap"], &settings).stdout).expect("text");
        let process = Process::serve(&settings);
        let platform = process.anyone().with_bearer(root.trim());
        let org_id = platform.post("/orgs", &json!({})).await.json()["id"].as_str().expect("an id").to_owned();
        let made = platform.post(&format!("/orgs/{org_id}/api_keys"), &json!({"name": "n", "permissions": []})).await;
        let made = made.json();
        let (key_id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
        assert_eq!(verdict(&platform, key).await["code"], "VALID");
        database.copy_key(key_id, 50_000).await;
        assert_eq!(platform.delete(&format!("/orgs/{org_id}?confirm={org_id}")).await.status, 202);
        process.signal(signal);
        let (status, log) = process.wait();
        let expected = if signal == "KILL" { (None, Some(9)) } else { (Some(0), None) };
        assert_eq!((status.code(), status.signal()), expected, "{log}");
        assert!(database.stored_keys(&org_id).await.0 > 0, "it ended in the middle");

        let process = Process::serve(&settings);
        let platform = platform.at(&format!("http://{}", process.address));
        assert_eq!(verdict(&platform, key).await["code"], "INVALID_API_KEY", "after {signal}");
        wait_until("the removal of the organization", async || {
            assert_eq!(verdict(&platform, key).await["code"], "INVALID_API_KEY");
            let answer = platform.get(&format!("/orgs/{org_id}")).await;
            (answer.status == 404).then_some(()).ok_or(answer.text)
        })
        .await;
        assert_eq!(database.stored_keys(&org_id).await, (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_set_of_many_keys_is_ineffective_at_once_and_removed_in_batches() {
    let app = TestApp::start().await;
    let (tenant, platform) = (app.tenant("Acme").await, app.platform().await);
    let (sets, keys) =
        (format!("/orgs/{}/permission_sets", tenant.org_id), format!("/orgs/{}/api_keys", tenant.org_id));
    let body = json!({"name": "readers", "permissions": ["files:read"]});
    let set = tenant.admin.post(&sets, &body).await.json();
    let set_id = set["id"].as_str().expect("an id");
    let (key_id, key) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    app.database.copy_key(&key_id, 5_000).await;
    app.attach_set_to_all_keys(&tenant.org_id, set_id).await;
    let reads = json!({"key": key, "permissions": ["files:read"]});
    assert_eq!(platform.post("/api_keys/verify", &reads).await.json()["code"], "VALID");
    assert_eq!(tenant.admin.delete(&format!("{sets}/{set_id}")).await.status, 409, "keys have it");

    let deleted = tenant.admin.delete(&format!("{sets}/{set_id}?detach=true")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    assert_eq!(platform.post("/api_keys/verify", &reads).await.json()["code"], "INSUFFICIENT_PERMISSIONS");
    assert_eq!(tenant.admin.get(&sets).await.json(), json!([]));
    assert_eq!(tenant.admin.get(&format!("{keys}/{key_id}")).await.json()["permission_sets"], json!([]));
    for answer in [
        tenant.admin.get(&format!("{sets}/{set_id}")).await,
        tenant.admin.patch(&format!("{sets}/{set_id}"), &json!({"permissions": ["*"]})).await,
        tenant.admin.patch(&format!("{keys}/{key_id}"), &json!({"permission_sets": [set_id]})).await,
        tenant.admin.delete(&format!("{sets}/{set_id}?detach=true")).await,
    ] {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    assert_eq!(tenant.admin.post(&sets, &body).await.status, 200, "its name is free");
    wait_until("the removal of the permission set", async || {
        assert_eq!(platform.post("/api_keys/verify", &reads).await.json()["code"], "INSUFFICIENT_PERMISSIONS");
        let stored = app.database.stored_set(set_id).await;
        (stored == (0, 0)).then_some(()).ok_or(stored)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_data_is_purged_in_batches() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let body = json!({"name": "n", "permissions": []});
    assert_eq!(tenant.admin.with("idempotency-key", "once").post(&keys, &body).await.status, 200);
    assert_eq!(tenant.admin.send("POST", "/session", None).await.status, 200);
    assert_eq!(tenant.admin.post("/tokens", &json!({"audience": "a"})).await.status, 200);
    // More than two batches of each kind.
    app.database.copy_requests(1_200).await;
    let (expired, _) = app.key(&tenant.org_id, KeySpec { expires_in: Some(-1), ..KeySpec::with(&[]) }).await;
    app.database.copy_key(&expired, 1_200).await;
    assert_eq!(tenant.admin.post(EXPIRED, &json!({})).await.text, r#"{"deleted":1201}"#);
    let store = app.database.store().await;
    let after = |hours: i64| app.clock.now().plus_millis(hours * 60 * 60 * 1_000);
    store.purge(after(11), None, true).await.expect("purged");
    assert_eq!(app.database.stored_requests_and_sessions().await, (1_201, 1));
    store.purge(after(13), None, true).await.expect("purged");
    assert_eq!(app.database.stored_requests_and_sessions().await, (0, 0));
    assert_eq!(app.database.stored_families_and_deleted_keys().await, (0, 1_201));
    store.purge(after(31 * 24), None, true).await.expect("purged");
    assert_eq!(app.database.stored_families_and_deleted_keys().await, (0, 0));
    store.close().await;
}
