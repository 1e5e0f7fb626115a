//! Tokens of identity providers that are not exchanged.

use api::config::Config;
use harness::{Provider, SigningKey, Tenant, TestApp, read_issuers};
use serde_json::{Value, json};

use super::{MADE_UP, create, exchange, for_github, github, jwt, of_workloads, rules, token};
use crate::{
    auth::idp::{fixture, fixture_with, with, without},
    oauth::requests::assert_error,
};

#[tokio::test]
async fn tokens_that_are_not_valid_are_not_exchanged() {
    let fixture = fixture(|entry| {
        of_workloads(entry);
        entry["require"] = json!({"repository_owner_id": "65"});
    })
    .await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    create(tenant, &for_github(&fixture)).await;
    let (good, now) = (github(&fixture), app.now_seconds());
    let org = [("org_id", tenant.org_id.as_str())];
    token(&exchange(app, &jwt(&fixture, &good), &org).await);
    let stranger = SigningKey::ed25519("k1");
    let forged = jwt(&fixture, &good);
    let (head, signature) = forged.rsplit_once('.').expect("a JWT");
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let sign = |claims: &Value| jwt(&fixture, claims);
    let mut descriptions = Vec::new();
    for wrong in [
        sign(&with(&good, "iss", json!("https://issuer.example"))),
        sign(&with(&good, "aud", json!("another service"))),
        sign(&without(&good, "aud")),
        sign(&with(&good, "exp", json!(now - 31))),
        sign(&without(&good, "exp")),
        sign(&with(&good, "nbf", json!(now + 31))),
        sign(&with(&good, "repository_owner_id", json!("66"))),
        sign(&without(&good, "sub")),
        stranger.sign_as("JWT", &good),
        fixture.key.sign_as("at+jwt", &good),
        format!("{head}.{flipped}{}", &signature[1..]),
        format!("{head}."),
        "a.b.c".to_owned(),
        "nonsense".to_owned(),
        tenant.admin.bearer().to_owned(),
    ] {
        descriptions.push(assert_error(&exchange(app, &wrong, &org).await, 400, "invalid_request"));
    }
    assert!(descriptions.iter().all(|text| *text == descriptions[0]), "{descriptions:?}");
    assert!(descriptions[0].contains("configured identity provider"), "{}", descriptions[0]);
    // Its own tokens are not those of an identity provider.
    let own = token(&exchange(app, &jwt(&fixture, &good), &org).await);
    assert_error(&exchange(app, &own, &org).await, 400, "invalid_request");
    let missing = exchange(app, &jwt(&fixture, &good), &[]).await;
    assert!(assert_error(&missing, 400, "invalid_request").contains("org_id"));
    let actor = [org[0], ("actor_token", "x")];
    assert_error(&exchange(app, &jwt(&fixture, &good), &actor).await, 400, "invalid_request");
    let kind = [org[0], ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")];
    assert_error(&exchange(app, &jwt(&fixture, &good), &kind).await, 400, "invalid_request");
}

#[tokio::test]
async fn what_no_rule_accepts_looks_like_what_does_not_exist() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant, good) = (&fixture.app, &fixture.tenant, github(&fixture));
    let other = app.tenant("Other").await;
    let org = ("org_id", tenant.org_id.as_str());
    let job = jwt(&fixture, &good);
    let mut descriptions = vec![assert_error(&exchange(app, &job, &[org]).await, 400, "invalid_request")];
    let rule = create(tenant, &for_github(&fixture)).await;
    let foreign = create(&other, &for_github(&fixture)).await;
    let disabled = json!({"name": "Disabled", "enabled": false});
    let mut body = for_github(&fixture);
    body.as_object_mut().expect("an object").extend(disabled.as_object().expect("an object").clone());
    let disabled = create(tenant, &body).await;
    for more in [vec![org], vec![org, ("trust_rule_id", &rule)], vec![("org_id", other.org_id.as_str())]] {
        token(&exchange(app, &job, &more).await);
    }
    for claims in [
        with(&good, "repository_id", json!("75")),
        with(&good, "repository_id", json!(74)),
        with(&good, "repository_id", json!(["74"])),
        with(&good, "repository_id", json!("74 ")),
        with(&good, "ref", json!("refs/heads/Main")),
        with(&good, "ref", json!("refs/heads/mainly")),
        without(&good, "event_name"),
        with(&good, "event_name", json!("pull_request_target")),
    ] {
        let answer = exchange(app, &jwt(&fixture, &claims), &[org]).await;
        descriptions.push(assert_error(&answer, 400, "invalid_request"));
    }
    for more in [
        vec![("org_id", MADE_UP)],
        vec![("org_id", "nonsense")],
        vec![org, ("trust_rule_id", MADE_UP)],
        vec![org, ("trust_rule_id", "nonsense")],
        vec![org, ("trust_rule_id", &foreign)],
        vec![org, ("trust_rule_id", &disabled)],
        vec![("org_id", other.org_id.as_str()), ("trust_rule_id", &rule)],
    ] {
        descriptions.push(assert_error(&exchange(app, &job, &more).await, 400, "invalid_request"));
    }
    assert!(descriptions.iter().all(|text| *text == descriptions[0]), "{descriptions:?}");
}

#[tokio::test]
async fn of_several_rules_that_accept_a_token_the_request_names_one() {
    let fixture = fixture(of_workloads).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    let one = create(tenant, &for_github(&fixture)).await;
    let wide = json!({
        "name": "All of the owner", "issuer": fixture.provider.issuer(), "claims": {"repository_owner_id": "65"},
        "permissions": ["files:list"],
    });
    let two = create(tenant, &wide).await;
    let (job, org) = (jwt(&fixture, &github(&fixture)), ("org_id", tenant.org_id.as_str()));
    let description = assert_error(&exchange(app, &job, &[org]).await, 400, "invalid_request");
    assert!(description.contains("trust_rule_id"), "{description}");
    for (rule, scope) in [(&one, "files:read files:write"), (&two, "files:list")] {
        let answer = exchange(app, &job, &[org, ("trust_rule_id", rule)]).await;
        assert_eq!(answer.json()["scope"], scope, "{}", answer.text);
    }
    super::change(tenant, &two, json!({"enabled": false})).await;
    assert_eq!(exchange(app, &job, &[org]).await.json()["scope"], "files:read files:write");
}

#[tokio::test]
async fn an_issuer_is_trusted_only_where_it_is_configured() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let tenants = |organizations: Value| {
        let mut entry = provider.entry(&organizations);
        of_workloads(&mut entry);
        entry["claims"] = json!({"organization": "tenant"});
        read_issuers(&json!([entry])).expect("valid issuers")
    };
    let everywhere = tenants(json!("tenants"));
    let app = TestApp::start_with(|config| config.providers = everywhere).await;
    let (acme, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let rule = json!({"name": "n", "issuer": provider.issuer(), "claims": {"sub": "job"}, "permissions": []});
    for tenant in [&acme, &other] {
        create(tenant, &rule).await;
    }
    let claims = provider.claims("job", app.now_seconds());
    let of = |tenant: &Tenant| [("org_id", tenant.org_id.clone())];
    let send = async |app: &TestApp, claims: &Value, tenant: &Tenant| {
        let org = of(tenant);
        let more: Vec<(&str, &str)> = org.iter().map(|(name, value)| (*name, value.as_str())).collect();
        exchange(app, &key.sign_as("JWT", claims), &more).await
    };
    token(&send(&app, &claims, &acme).await);
    // A token that names an organization is for that one only.
    let named = with(&claims, "tenant", json!(acme.org_id));
    token(&send(&app, &named, &acme).await);
    assert_error(&send(&app, &named, &other).await, 400, "invalid_request");
    let (_, database) = app.stop().await;
    let app = TestApp::start_on(database, |config| config.providers = tenants(json!([acme.org_id]))).await;
    token(&send(&app, &claims, &acme).await);
    assert_error(&send(&app, &claims, &other).await, 400, "invalid_request");
    let new = with(&rule, "name", json!("m"));
    let refused = other.admin.at(&app.base()).post(&rules(&other), &new).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["issuer".to_owned()]));
    assert_eq!(acme.admin.at(&app.base()).post(&rules(&acme), &new).await.status, 200);
}

#[tokio::test]
async fn failed_exchanges_count_as_failed_attempts() {
    let limited = |config: &mut Config| config.auth_failure_rate = 2;
    let fixture = fixture_with(of_workloads, limited).await;
    let (app, tenant) = (&fixture.app, &fixture.tenant);
    create(tenant, &for_github(&fixture)).await;
    let org = ("org_id", tenant.org_id.as_str());
    let job = jwt(&fixture, &github(&fixture));
    for _ in 0..3 {
        token(&exchange(app, &job, &[org]).await);
    }
    let unmatched = jwt(&fixture, &fixture.claims("other"));
    assert_error(&exchange(app, &unmatched, &[org]).await, 400, "invalid_request");
    assert_error(&exchange(app, "a.b.c", &[org]).await, 400, "invalid_request");
    for refused in [&unmatched, "a.b.c", &job] {
        let answer = exchange(app, refused, &[org]).await;
        assert_error(&answer, 429, "temporarily_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
}

#[tokio::test]
async fn without_an_issuer_of_tokens_nothing_is_exchanged() {
    let fixture = fixture_with(of_workloads, |config| config.public_url = None).await;
    create(&fixture.tenant, &for_github(&fixture)).await;
    let job = jwt(&fixture, &github(&fixture));
    let answer = exchange(&fixture.app, &job, &[("org_id", fixture.tenant.org_id.as_str())]).await;
    assert_error(&answer, 503, "server_error");
}
