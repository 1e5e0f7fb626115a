//! What the operator sees of the whole service: organizations by their name, and totals.

use harness::{Answer, KeySpec, TestApp};
use serde_json::{Value, json};

/// The names of a list of organizations, sorted: the ids of organizations that were created at the same time have no order.
fn names(list: &Answer) -> Vec<String> {
    let list = list.json();
    let names = list.as_array().expect("a list").iter().filter_map(|one| Some(one["name"].as_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn organizations_are_found_by_a_part_of_their_name() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let mut ids = Vec::new();
    for name in ["Straßenbau Köln", "STRASSE Ost", "Acme", "Acme Labs", "100%"] {
        let made = platform.post("/orgs", &json!({"name": name})).await;
        ids.push(made.json()["id"].as_str().expect("an id").to_owned());
    }
    platform.post("/orgs", &json!({})).await;
    let find = async |query: &str| names(&platform.get(&format!("/orgs?{query}")).await);
    assert_eq!(find("name=strasse").await, ["STRASSE Ost", "Straßenbau Köln"]);
    assert_eq!(find("name=k%C3%B6LN").await, ["Straßenbau Köln"]);
    assert_eq!(find("name=%25").await, ["100%"], "there are no wildcards");
    assert_eq!(find("name=nothing").await, Vec::<String>::new());
    let first = platform.get("/orgs?name=acme&limit=1").await;
    let next = first.header("link").to_owned();
    let next = next.strip_prefix('<').and_then(|link| link.split('>').next()).expect("a link");
    assert!(next.contains("name=acme"), "{next}");
    let second = platform.get(next).await;
    let mut both = [names(&first), names(&second)].concat();
    both.sort();
    assert_eq!((both, second.headers.contains_key("link")), (vec!["Acme".to_owned(), "Acme Labs".to_owned()], false));
    assert_eq!(platform.delete(&format!("/orgs/{0}?confirm={0}", ids[2])).await.status, 200);
    assert_eq!(find("name=acme").await, ["Acme Labs"]);
    assert_eq!(find("name=ACME&deleted=true").await, ["Acme"]);
    let invalid = platform.get(&format!("/orgs?name={}", "x".repeat(101))).await;
    assert_eq!((invalid.status, invalid.wrong_fields()), (400, vec!["name".to_owned()]));
    let tenant = app.tenant("Mine").await;
    assert_eq!(names(&tenant.admin.get("/orgs?name=acme").await), Vec::<String>::new());
    assert_eq!(names(&tenant.admin.get("/orgs?name=mi").await), ["Mine"]);
}

#[tokio::test]
async fn the_platform_reads_the_totals() {
    let app = TestApp::start().await;
    let platform = app.platform().await;
    let (small, large, gone) = (app.tenant("Small").await, app.tenant("Large").await, app.tenant("Gone").await);
    for _ in 0..2 {
        let made = large.admin.post(&large.keys(), &json!({"name": "n", "permissions": []})).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
    let suspended = platform.patch(&format!("/orgs/{}", small.org_id), &json!({"suspended": true})).await;
    assert_eq!(suspended.status, 200);
    assert_eq!(platform.delete(&format!("/orgs/{0}?confirm={0}", gone.org_id)).await.status, 200);
    let state = platform.get("/service").await;
    assert_eq!(state.status, 200, "{}", state.text);
    let state = state.json();
    assert_eq!((&state["organizations"], &state["suspended_organizations"]), (&json!(3), &json!(1)));
    assert_eq!((&state["api_keys"], &state["members"]), (&json!(5), &json!(2)), "{state}");
    assert_eq!(state["version"], env!("CARGO_PKG_VERSION"));
    let largest: Vec<&Value> = state["largest_organizations"].as_array().expect("a list").iter().collect();
    assert_eq!(largest.len(), 3);
    assert_eq!(
        *largest[0],
        json!({"org_id": large.org_id, "name": "Large", "kind": "tenant", "external_id": null, "api_keys": 3})
    );
    let refused = small.admin.get("/service").await.status;
    assert_eq!(refused, 401, "its organization is suspended");
    assert_eq!(large.admin.get("/service").await.json()["reason"], "platform_only");
    let own = platform.get("/me").await.json()["organization"]["id"].as_str().expect("an id").to_owned();
    let (_, reader) = app.key(&own, KeySpec::with(&["members:read"])).await;
    assert_eq!(app.caller(&reader).get("/service").await.json()["reason"], "permission_required");
}
