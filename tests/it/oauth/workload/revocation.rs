//! Tokens of workloads end with what their trust rule grants.

use std::collections::BTreeSet;

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{change, create, exchange, for_github, github, jwt, of_workloads, rules, token};
use crate::{
    auth::{
        idp::{Fixture, fixture, fixture_with},
        tokens::Checker,
    },
    oauth::{
        introspection::is_active,
        requests::{REVOKE, assert_error, post},
    },
};

#[tokio::test]
async fn a_restricted_rule_revokes_its_tokens_and_nothing_else() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant, checker) = (&fixture.app, &fixture.tenant, Checker(&fixture.app));
    let rule = create(tenant, &for_github(&fixture)).await;
    let untouched = json!({
        "name": "Other", "issuer": fixture.provider.issuer(), "claims": {"sub": "other"}, "permissions": ["files:read"],
    });
    create(tenant, &untouched).await;
    let org = ("org_id", tenant.org_id.as_str());
    let new = async |claims: &Value| token(&exchange(app, &jwt(&fixture, claims), &[org]).await);
    let job = || github(&fixture);
    let stays = new(&fixture.claims("other")).await;
    let family = async |token: &str| checker.family(&json!({"token": token})).await;
    let mut revoked = BTreeSet::new();
    // What does not restrict the rule revokes nothing.
    let (first, same) = (new(&job()).await, new(&job()).await);
    assert_eq!(family(&first).await, family(&same).await);
    for harmless in [
        json!({"name": "Renamed", "description": "d"}),
        json!({"permissions": ["files:read", "files:write", "files:list"]}),
        json!({"ttl_seconds": 900}),
        json!({"ttl_seconds": 60}),
    ] {
        change(tenant, &rule, harmless.clone()).await;
        assert!(is_active(&tenant.admin, &first).await, "{harmless}");
    }
    assert_eq!(checker.revoked().await, revoked);
    let restrictions = [
        json!({"permissions": ["files:write", "files:read"]}),
        json!({"claims": {"repository_id": "74", "ref": "refs/heads/main"}}),
        json!({"audiences": ["storage"]}),
        json!({"enabled": false}),
    ];
    for restriction in restrictions {
        change(tenant, &rule, json!({"enabled": true, "permissions": ["files:read", "files:write", "files:list"]}))
            .await;
        let token = new(&job()).await;
        assert!(is_active(&tenant.admin, &token).await, "{restriction}");
        revoked.insert(family(&token).await);
        change(tenant, &rule, restriction.clone()).await;
        assert!(!is_active(&tenant.admin, &token).await, "{restriction}");
        assert!(checker.revoked().await.is_superset(&revoked), "{restriction}");
    }
    // Enabling the rule again does not bring them back.
    change(tenant, &rule, json!({"enabled": true})).await;
    assert!(checker.revoked().await.is_superset(&revoked));
    // RFC 7009, by those who may delete keys.
    let one = new(&job()).await;
    let (_, reader) = app.key(&tenant.org_id, KeySpec::with(&["api_keys:read", "trust_rules:read"])).await;
    assert_error(&post(&app.caller(&reader), REVOKE, &[("token", &one)]).await, 403, "insufficient_scope");
    let other = app.tenant("Other").await;
    assert_eq!(post(&other.admin, REVOKE, &[("token", &one)]).await.status, 200);
    assert!(is_active(&tenant.admin, &one).await, "unknown to others");
    assert_eq!(post(&tenant.admin, REVOKE, &[("token", &one)]).await.status, 200);
    assert!(!is_active(&tenant.admin, &one).await);
    let next = new(&job()).await;
    assert!(is_active(&tenant.admin, &next).await);
    revoked.extend([family(&one).await, family(&next).await]);
    assert_eq!(tenant.admin.delete(&format!("{}/{rule}", rules(tenant))).await.status, 200);
    assert!(!is_active(&tenant.admin, &next).await);
    let all = checker.revoked().await;
    assert!(all.is_superset(&revoked) && !all.contains(&family(&stays).await), "{all:?}");
    let own = app.anyone().get(&format!("/.well-known/revoked?org_id={}", tenant.org_id)).await;
    let own = checker.claims(&own.text, "revoked+jwt").await;
    assert_eq!(own["revoked"].as_array().map(Vec::len), Some(all.len()), "{own}");
    assert!(is_active(&tenant.admin, &stays).await);
    // Also on another node.
    let admin = tenant.admin.clone();
    let Fixture { app, .. } = fixture;
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |_| {}).await;
    assert!(is_active(&admin.at(&app.base()), &stays).await && !is_active(&admin.at(&app.base()), &next).await);
    assert_eq!(Checker(&app).revoked().await, all);
}

#[tokio::test]
async fn suspended_and_deleted_organizations_have_no_workloads() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    create(tenant, &for_github(&fixture)).await;
    let (job, org) = (jwt(&fixture, &github(&fixture)), ("org_id", tenant.org_id.as_str()));
    let issued = token(&exchange(app, &job, &[org]).await);
    let platform = app.platform().await;
    let path = format!("/orgs/{}", tenant.org_id);
    let family = Checker(app).family(&json!({"token": issued})).await;
    for suspended in [true, false] {
        assert_eq!(platform.patch(&path, &json!({"suspended": suspended})).await.status, 200);
        let answer = exchange(app, &job, &[org]).await;
        if suspended {
            assert!(assert_error(&answer, 400, "invalid_request").contains("suspended"));
            let unmatched = jwt(&fixture, &fixture.claims("other"));
            let description = assert_error(&exchange(app, &unmatched, &[org]).await, 400, "invalid_request");
            assert!(!description.contains("suspended"), "only the organization's workloads learn it: {description}");
        } else {
            token(&answer);
        }
        assert_eq!(is_active(&platform, &issued).await, !suspended);
        assert_eq!(Checker(app).revoked().await.contains(&family), suspended);
    }
    assert_eq!(platform.delete(&format!("{path}?confirm={}", tenant.org_id)).await.status, 200);
    assert_error(&exchange(app, &job, &[org]).await, 400, "invalid_request");
    assert!(!is_active(&platform, &issued).await);
    assert_eq!(platform.post(&format!("{path}/restore"), &json!({})).await.status, 200);
    token(&exchange(app, &job, &[org]).await);
}

#[tokio::test]
async fn token_groups_of_a_rule_are_bounded() {
    let fixture = fixture_with(of_workloads, |config| config.bounds.token_groups_of_secret = 2).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let rule = create(tenant, &for_github(&fixture)).await;
    let (job, org) = (jwt(&fixture, &github(&fixture)), ("org_id", tenant.org_id.as_str()));
    token(&exchange(app, &job, &[org, ("scope", "files:read")]).await);
    token(&exchange(app, &job, &[org, ("scope", "files:write")]).await);
    assert_error(&exchange(app, &job, &[org]).await, 429, "temporarily_unavailable");
    token(&exchange(app, &job, &[org, ("scope", "files:read")]).await);
    // Groups of earlier generations count, too, until their tokens have expired.
    let mut issued = 2;
    loop {
        change(tenant, &rule, json!({"enabled": false})).await;
        change(tenant, &rule, json!({"enabled": true})).await;
        let answer = exchange(app, &job, &[org]).await;
        if answer.status != 200 {
            assert_error(&answer, 429, "temporarily_unavailable");
            break;
        }
        issued += 1;
    }
    assert_eq!(issued, 6);
    app.clock.advance_seconds(361);
    let job = jwt(&fixture, &github(&fixture));
    token(&exchange(app, &job, &[org]).await);
}
