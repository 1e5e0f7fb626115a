//! The list of keys: as a whole, in pages, and while keys are created and deleted.

use std::collections::HashSet;

use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<String> {
    list.as_array().expect("an array").iter().map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
}

fn next(link: &str) -> Option<String> {
    if link.is_empty() {
        return None;
    }
    let (target, relation) = link.split_once('>').expect("a target");
    assert_eq!(relation, "; rel=\"next\"");
    let target = target.strip_prefix('<').expect("a target");
    assert!(target.starts_with("/orgs/"), "relative to the host");
    Some(target.to_owned())
}

async fn traverse(caller: &Caller, first: String, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut path = Some(first);
    let mut seen = Vec::new();
    while let Some(current) = path {
        assert!(seen.len() < 100_000, "the pages do not end: {current}");
        let page = caller.get(&current).await;
        assert_eq!(page.status, 200, "{}", page.text);
        seen.extend(ids(&page.json()));
        path = next(page.header("link"));
        between().await;
    }
    seen
}

#[tokio::test]
async fn pages_contain_every_key_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    for n in 0..7 {
        // Three keys in each second: they are sorted by id.
        if n % 3 == 0 {
            app.clock.advance_seconds(1);
        }
        app.key(&tenant.org_id, KeySpec::with(&[])).await;
    }
    let all = ids(&tenant.admin.get(&keys).await.json());
    assert_eq!(all.len(), 8);
    assert_eq!(all[0], tenant.key_id, "oldest first");
    for limit in [1, 2, 3, 7, 8, 1_000] {
        let paged = traverse(&tenant.admin, format!("{keys}?limit={limit}"), async || {}).await;
        assert_eq!(paged, all, "limit {limit}");
    }
    let page = tenant.admin.get(&format!("{keys}?limit=8")).await;
    assert_eq!(page.header("link"), "", "no empty last page");
}

#[tokio::test]
async fn a_cursor_is_valid_for_its_own_list_only() {
    let app = TestApp::start().await;
    let (mine, other) = (app.tenant("Mine").await, app.tenant("Other").await);
    app.key(&mine.org_id, KeySpec::with(&[])).await;
    let page = mine.admin.get(&format!("/orgs/{}/api_keys?limit=1", mine.org_id)).await;
    let target = next(page.header("link")).expect("a next page");
    let cursor = target.split("cursor=").nth(1).expect("a cursor");
    let rest = mine.admin.get(&format!("/orgs/{}/api_keys?cursor={cursor}", mine.org_id)).await;
    assert_eq!(ids(&rest.json()).len(), 1, "without a limit: all remaining keys");
    for wrong in [cursor, &cursor[1..], "x", "", "%00", &"A".repeat(54)] {
        let answer = other.admin.get(&format!("/orgs/{}/api_keys?limit=1&cursor={wrong}", other.org_id)).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert_eq!(
            answer.failure()["fields"],
            json!({"cursor": "is not a cursor of this list; start again without a cursor"})
        );
    }
}

#[tokio::test]
async fn pages_are_complete_while_keys_are_created_and_deleted() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    app.copy_key(&tenant.key_id, 10_000).await;
    let all = ids(&tenant.admin.get(&keys).await.json());
    assert_eq!(all.len(), 10_001);
    let steady: HashSet<String> = all.into_iter().collect();
    assert_eq!(steady.len(), 10_001, "no double");

    let mut last: Option<String> = None;
    let churn = async || {
        app.clock.advance_seconds(1);
        if let Some(id) = last.take() {
            assert_eq!(tenant.admin.delete(&format!("{keys}/{id}")).await.status, 200);
        }
        let created = tenant.admin.post(&keys, &json!({"name": "come and go", "permissions": []})).await;
        last = Some(created.json()["id"].as_str().expect("an id").to_owned());
    };
    let paged = traverse(&tenant.admin, format!("{keys}?limit=250"), churn).await;
    let seen: HashSet<String> = paged.iter().cloned().collect();
    assert_eq!(seen.len(), paged.len(), "no double");
    assert!(seen.is_superset(&steady), "no gap");
}
