//! Imported keys on several nodes: one that has not heard yet calls them unknown, and never for long.

use std::time::{Duration, Instant};

use domain::secret::OldHash;
use harness::{Caller, TestDatabase, binary, cluster::Node, revocation::Revoker};
use serde_json::json;

async fn is_valid(caller: &Caller, text: &str) -> bool {
    let answer = caller.post("/api_keys/verify", &json!({"key": text})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["valid"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_hear_of_imported_keys_and_of_their_end() {
    let database = TestDatabase::fresh().await;
    if !database.is_postgres() {
        return; // On SQLite one process serves.
    }
    let nodes = Node::cluster::<2>(binary(), &database, &[]).await;
    let anyone = Caller::anyone(format!("http://{}", nodes[0].process.address)).keeping_connections();
    let here = Revoker::sign_up(&anyone).await;
    let there = nodes[1].caller(here.admin.bearer());
    let texts = ["a", "b"].map(|letter| letter.repeat(40));
    for text in &texts {
        // Looked for before there is such a shape, on both.
        assert!(!is_valid(&here.admin, text).await && !is_valid(&there, text).await);
    }
    let hash =
        |text: &str| OldHash::of(text).bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let keys = texts.clone().map(|text| json!({"hash": hash(&text), "permissions": ["*"]}));
    let body = json!({"shape": {"length": 40, "alphabet": "letters"}, "keys": keys});
    let made = here.admin.post(&format!("/orgs/{}/api_keys/import", here.org_id), &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let since = Instant::now();
    while !is_valid(&there, &texts[0]).await {
        assert!(since.elapsed() < Duration::from_secs(10), "the other node never hears of the shape");
    }
    assert!(is_valid(&here.admin, &texts[0]).await, "shown there first, it is known here, too");
    assert!(is_valid(&here.admin, &texts[1]).await && is_valid(&there, &texts[1]).await, "and the other way round");
    assert_eq!(nodes[1].caller(&texts[1]).get("/me").await.status, 200);
    for (text, key) in texts.iter().zip(made.json()["keys"].as_array().expect("keys")) {
        here.revoke(key["id"].as_str().expect("an id")).await;
        let since = Instant::now();
        while is_valid(&there, text).await {
            assert!(since.elapsed() < Duration::from_secs(2), "past the bound");
        }
        assert!(!is_valid(&here.admin, text).await);
    }
}
