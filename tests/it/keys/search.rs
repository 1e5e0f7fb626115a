//! Searching keys by one text in several fields, filters by permission set and by time of creation, and the number of keys.

use harness::{Caller, KeySpec, TestApp};
use serde_json::{Value, json};

async fn listed(caller: &Caller, path: &str) -> Vec<String> {
    let list = caller.get(path).await;
    assert_eq!(list.status, 200, "{path}: {}", list.text);
    let keys = list.json();
    let names = keys.as_array().expect("an array").iter();
    names.map(|key| key["name"].as_str().expect("a name").to_owned()).collect()
}

/// Creates a key with a name and further settings. Returns it.
async fn create(caller: &Caller, keys: &str, name: &str, settings: Value) -> Value {
    let mut body = json!({"name": name, "permissions": []});
    body.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    let made = caller.post(keys, &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()
}

#[tokio::test]
async fn one_text_is_searched_for_in_name_id_external_id_and_secrets() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, keys) = (&tenant.admin, tenant.keys());
    let ship = create(admin, &keys, "Zo\u{eb} ships", json!({"external_id": "Partner-17"})).await;
    let other = create(admin, &keys, "Partner-17 of old", json!({})).await;
    let foreign = app.tenant("Else").await;
    let theirs = create(&foreign.admin, &foreign.keys(), "Partner-17 elsewhere", json!({})).await;
    let text = |key: &Value, field: &str| key[field].as_str().expect("a text").to_owned();
    let by_name = async |query: &str| listed(admin, &format!("{keys}?limit=9&sort=name&search={query}")).await;
    assert_eq!(by_name("ZO%C3%8B").await, ["Zo\u{eb} ships"], "upper and lower case are equal");
    assert_eq!(by_name("zoe").await, [""; 0]);
    assert_eq!(by_name("partner-17").await, ["Partner-17 of old"], "external ids have case");
    assert_eq!(by_name("Partner-17").await, ["Partner-17 of old", "Zo\u{eb} ships"]);
    assert_eq!(by_name("ner-1").await, ["Partner-17 of old", "Zo\u{eb} ships"], "a part is enough");
    assert_eq!(by_name(&text(&ship, "id")).await, ["Zo\u{eb} ships"]);
    assert_eq!(by_name(&text(&ship, "id").to_uppercase()).await, ["Zo\u{eb} ships"]);
    assert_eq!(by_name(&text(&theirs, "id")).await, [""; 0], "a key of another organization");
    assert_eq!(by_name(&text(&other, "start")).await, ["Partner-17 of old"]);
    assert_eq!(by_name(&format!("%20{}%20", text(&other, "start"))).await, ["Partner-17 of old"], "spaces around");
    // An earlier secret, too.
    let rotate = format!("{keys}/{}/rotate", text(&other, "id"));
    assert_eq!(admin.post(&rotate, &json!({"grace_seconds": 0})).await.status, 200);
    assert_eq!(by_name(&text(&other, "start")).await, ["Partner-17 of old"]);
    let all = listed(admin, &format!("{keys}?search=%20")).await;
    assert_eq!(all.len(), 3, "an empty text is no condition");
    for wrong in ["a%00b".to_owned(), "a".repeat(256)] {
        let refused = admin.get(&format!("{keys}?search={wrong}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["search".to_owned()]), "{}", refused.text);
    }
}

#[tokio::test]
async fn keys_are_filtered_by_permission_set_and_by_creation() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, keys) = (&tenant.admin, tenant.keys());
    let sets = format!("/orgs/{}/permission_sets", tenant.org_id);
    let mut ids = Vec::new();
    for name in ["readers", "writers"] {
        let set = admin.post(&sets, &json!({"name": name, "permissions": ["files:read"]})).await;
        ids.push(set.json()["id"].as_str().expect("an id").to_owned());
    }
    // One key in each second: those of the same second are sorted by their ids.
    app.clock.advance_seconds(1);
    create(admin, &keys, "plain", json!({"permissions": ["files:read"]})).await;
    app.clock.advance_seconds(10);
    let reader = create(admin, &keys, "reader", json!({"permission_sets": [ids[0]]})).await;
    app.clock.advance_seconds(1);
    create(admin, &keys, "both", json!({"permission_sets": ids})).await;
    let of_set = async |set: &str| listed(admin, &format!("{keys}?permission_set={set}")).await;
    assert_eq!(of_set(&ids[0]).await, ["reader", "both"]);
    assert_eq!(of_set(&ids[1]).await, ["both"]);
    assert_eq!(of_set(&tenant.org_id).await, [""; 0], "no such set");
    let created_before =
        async |time: &str| listed(admin, &format!("{keys}?created_before=2026-11-21T08:00:{time}Z")).await;
    assert_eq!(created_before("00").await, [""; 0]);
    assert_eq!(created_before("01").await, [""]);
    assert_eq!(created_before("11").await, ["", "plain"]);
    assert_eq!(created_before("12").await, ["", "plain", "reader"]);
    assert_eq!(created_before("13").await, ["", "plain", "reader", "both"]);
    for (query, name) in [("permission_set=readers", "permission_set"), ("created_before=today", "created_before")] {
        let refused = admin.get(&format!("{keys}?{query}")).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec![name.to_owned()]), "{}", refused.text);
    }
    // How many keys and members a change of a set affects.
    let holders = async |set: &str| {
        let answer = admin.get(&format!("{sets}/{set}/holders")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    assert_eq!(holders(&ids[0]).await, json!({"api_keys": 2, "members": 0}));
    assert_eq!(holders(&ids[1]).await, json!({"api_keys": 1, "members": 0}));
    let member =
        json!({"user_name": "Jo", "user_email": "jo@example.com", "permissions": [], "permission_sets": [ids[1]]});
    assert_eq!(admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await.status, 200);
    let path = format!("{keys}/{}", reader["id"].as_str().expect("an id"));
    assert_eq!(admin.delete(&path).await.status, 200);
    assert_eq!(holders(&ids[0]).await, json!({"api_keys": 1, "members": 0}), "without deleted keys");
    assert_eq!(holders(&ids[1]).await, json!({"api_keys": 1, "members": 1}));
    let other = app.tenant("Else").await;
    let foreign = other.admin.get(&format!("/orgs/{}/permission_sets/{}/holders", other.org_id, ids[1])).await;
    assert_eq!(foreign.status, 404, "{}", foreign.text);
}

#[tokio::test]
async fn the_keys_of_a_list_are_counted_on_request_up_to_a_bound() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, keys) = (&tenant.admin, tenant.keys());
    let total = async |query: &str| {
        let page = admin.get(&format!("{keys}?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.header("total-count").to_owned()
    };
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&["files:read"])).await;
    app.copy_key(&id, 9_998).await;
    assert_eq!(total("limit=5").await, "", "only on request");
    assert_eq!(total("limit=5&total=false").await, "");
    assert_eq!(total("limit=5&total=true").await, "10000");
    assert_eq!(total("limit=1&total=true&permission=files:read").await, "10000", "the administrator's key has all");
    assert_eq!(total("limit=1&total=true&permission=*").await, "1");
    assert_eq!(total("limit=1&total=true&deleted=true").await, "0");
    app.key(&tenant.org_id, KeySpec::with(&[])).await;
    assert_eq!(total("limit=5&total=true").await, "10001", "more than 10,000");
    app.copy_key(&id, 50).await;
    assert_eq!(total("limit=5&total=true").await, "10001");
    let refused = admin.get(&format!("{keys}?total=true")).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["limit".to_owned()]), "{}", refused.text);
    let refused = admin.get(&format!("{keys}?limit=1&total=yes")).await;
    assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["total".to_owned()]), "{}", refused.text);
}
