//! Imported keys on several nodes: they become valid and revoked on all nodes.

use std::time::Duration;

use domain::keys::secret::LegacyHash;
use harness::{Caller, TestDatabase, binary, cluster::Node, revocation::Revoker, wait_until, wait_until_refused};
use serde_json::json;

async fn is_valid(caller: &Caller, text: &str) -> bool {
    let answer = caller.post("/api_keys/verify", &json!({"key": text})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["valid"] == true
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn imported_keys_become_valid_and_revoked_on_every_node() {
    let database = TestDatabase::fresh().await;
    let nodes = Node::cluster::<2>(binary(), &database, &[]).await;
    let anyone = nodes[0].process.anyone().keeping_connections();
    let here = Revoker::sign_up(&anyone).await;
    let there = nodes[1].caller(here.admin.bearer());
    let secrets = ["a", "b"].map(|letter| letter.repeat(40));
    for text in &secrets {
        // Both nodes have cached them as unknown keys.
        assert!(!is_valid(&here.admin, text).await && !is_valid(&there, text).await);
    }
    let hash =
        |text: &str| LegacyHash::of(text).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let keys = secrets.clone().map(|text| json!({"hash": hash(&text), "permissions": ["*"]}));
    let body = json!({"shape": {"length": 40, "alphabet": "letters"}, "keys": keys});
    let made = here.admin.post(&format!("/orgs/{}/api_keys/import", here.org_id), &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    wait_until("the other node to know the key format", async || {
        is_valid(&there, &secrets[0]).await.then_some(()).ok_or("invalid")
    })
    .await;
    assert!(is_valid(&here.admin, &secrets[0]).await, "valid here after its first verification on the other node");
    assert!(
        is_valid(&here.admin, &secrets[1]).await && is_valid(&there, &secrets[1]).await,
        "valid on the other node after its first verification here"
    );
    assert_eq!(nodes[1].caller(&secrets[1]).get("/me").await.status, 200);
    for (text, key) in secrets.iter().zip(made.json()["keys"].as_array().expect("keys")) {
        let revoked = here.revoke(key["id"].as_str().expect("an id")).await;
        wait_until_refused("a revoked key", revoked, Duration::from_secs(2), async || is_valid(&there, text).await)
            .await;
        assert!(!is_valid(&here.admin, text).await);
    }
}
