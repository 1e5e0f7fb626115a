//! Invitations and recovery links that are redeemed by signing in at a provider.

use serde_json::json;

use super::{SignIn, assert_failed};

/// Creates an invitation. Returns its token.
async fn invite(signed: &SignIn) -> String {
    let path = format!("/orgs/{}/invitations", signed.tenant.org_id);
    let body = json!({"user_name": "Ada Lovelace", "permissions": ["api_keys:read"]});
    let made = signed.tenant.admin.post(&path, &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn an_invitation_is_redeemed_by_signing_in() {
    let signed = SignIn::start().await;
    let token = invite(&signed).await;
    let query = format!("?invitation={token}");
    let answer = signed.sign_in("ada", &query, |claims| claims["email"] = json!("ada@acme.example")).await;
    assert_eq!(answer.header("location"), format!("/#/orgs/{}/keys", signed.tenant.org_id));
    let me = signed.page(&answer).get("/me").await.json();
    assert_eq!(me["organization"]["id"], json!(signed.tenant.org_id));
    assert_eq!(me["organization"]["permissions"], json!(["api_keys:read"]));
    assert_eq!((&me["user"]["name"], &me["user"]["email"]), (&json!("Ada Lovelace"), &json!("ada@acme.example")));
    assert_failed(&signed.sign_in("eve", &query, |_| ()).await, "invitation_not_found", "the link again");
    let another = format!("?invitation={}", invite(&signed).await);
    assert_failed(&signed.sign_in("ada", &another, |_| ()).await, "already_member", "a member");
    let query = format!("?invitation={}", "x".repeat(300));
    let answer = signed.app.anyone().get(&format!("/sign_in/acme{query}")).await;
    assert_eq!(answer.header("location"), "/#/sign-in?error=invitation_not_found");
}

#[tokio::test]
async fn an_invitation_is_for_a_person_who_may_act_in_its_organization() {
    let signed = SignIn::start().await;
    let token = invite(&signed).await;
    let other = signed.app.tenant("Other").await;
    let query = format!("?invitation={token}");
    let answer = signed.sign_in("ada", &query, |claims| claims["org_id"] = json!(other.org_id)).await;
    assert_failed(&answer, "invitation_not_allowed", "a token for another organization");
    let answer = signed.sign_in("ada", &query, |claims| claims["nonce"] = json!("x")).await;
    assert_failed(&answer, "invalid_answer", "a sign-in that fails does not redeem the link");
    assert!(signed.sign_in("ada", &query, |_| ()).await.header("location").ends_with("/keys"));
}

#[tokio::test]
async fn another_site_cannot_make_a_person_accept_an_invitation() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let path = format!("/sign_in/acme?invitation={}", invite(&signed).await);
    let foreign = signed.app.anyone().with("sec-fetch-site", "cross-site");
    let answer = foreign.get(&path).await;
    assert_eq!(answer.header("location"), "/#/sign-in?error=denied");
    assert_eq!(answer.cookie(), "", "nothing has begun");
    let answer = foreign.get("/sign_in/acme").await;
    assert!(answer.header("location").contains("/authorize?"), "it may send people here to sign in");
}

#[tokio::test]
async fn a_recovery_link_gives_the_member_a_new_way_to_sign_in() {
    let signed = SignIn::start().await;
    let path = format!("/orgs/{}/members/{}/recovery_links", signed.tenant.org_id, signed.tenant.user_id);
    let made = signed.tenant.admin.send("POST", &path, None).await;
    let query = format!("?invitation={}", made.json()["token"].as_str().expect("a token"));
    let answer = signed.sign_in("ada", &query, |_| ()).await;
    let me = signed.page(&answer).get("/me").await.json();
    assert_eq!(me["user"]["id"], json!(signed.tenant.user_id));
}
