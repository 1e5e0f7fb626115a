//! Pages of an audit log: cursors do not depend on other organizations.

use harness::{Tenant, TestApp};
use serde_json::{Value, json};

use crate::audit_log::events::{create, events, log_of};

/// A page of two events, and the cursor of the next one.
async fn page(tenant: &Tenant, cursor: &str) -> (Vec<Value>, String) {
    let cursor = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
    let answer = tenant.admin.get(&format!("{}?limit=2{cursor}", log_of(tenant))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let next = answer.header("link").split("cursor=").nth(1).and_then(|rest| rest.split('>').next());
    (answer.json().as_array().expect("an array").clone(), next.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_log_cursor_does_not_depend_on_other_organizations() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for _ in 0..3 {
        create(&tenant.admin, &tenant, &[]).await;
        for _ in 0..5 {
            create(&other.admin, &other, &[]).await;
        }
    }
    let (first, cursor) = page(&tenant, "").await;
    assert_eq!(cursor, format!("seq.{}", first[1]["seq"]), "the sequence number of the last event");
    create(&other.admin, &other, &[]).await;
    assert_eq!(page(&tenant, "").await, (first, cursor.clone()));
    let (second, next) = page(&tenant, &cursor).await;
    assert_eq!((second.len(), next.as_str()), (2, ""));
    // Cursors of earlier versions were numbers over all organizations.
    for wrong in ["17", "seq.", "seq.x", "seq.-1", "unchained.x", "seq.99999999999999999999"] {
        let refused = tenant.admin.get(&format!("{}?limit=2&cursor={wrong}", log_of(&tenant))).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["cursor".to_owned()]), "{wrong}");
        assert_eq!(
            refused.json()["fields"]["cursor"],
            json!("is not a cursor of this list; start again without a cursor")
        );
    }
}

#[tokio::test]
async fn events_without_a_sequence_number_are_listed_last() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    for _ in 0..7 {
        create(&tenant.admin, &tenant, &[]).await;
        create(&other.admin, &other, &[]).await;
    }
    app.unchain_events(&tenant.org_id, 5).await;
    let all = events(&tenant.admin, &log_of(&tenant)).await;
    let places: Vec<_> = all.iter().map(|event| event["seq"].as_u64()).collect();
    assert_eq!(places, [Some(8), Some(7), Some(6), None, None, None, None, None]);
    let (mut seen, mut cursors, mut cursor) = (Vec::new(), Vec::new(), String::new());
    for pages in 0.. {
        assert!(pages < 100, "the pages do not end: {cursor}");
        let (some, next) = page(&tenant, &cursor).await;
        seen.extend(some);
        if next.is_empty() {
            break;
        }
        cursors.push(next.clone());
        cursor = next;
    }
    assert_eq!(seen, all, "page by page");
    assert_eq!(cursors, ["seq.7", "unchained.1", "unchained.3"]);
    let creations = events(&tenant.admin, &format!("{}?action=api_key.create", log_of(&tenant))).await;
    assert_eq!(creations.len(), 7);
}
