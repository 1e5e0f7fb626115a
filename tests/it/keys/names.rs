//! Names and other texts for people: no invisible characters, normalized, and found whatever their case. Times in requests.

use harness::{Answer, Tenant, TestApp};
use serde_json::{Value, json};

#[track_caller]
fn assert_wrong(answer: &Answer, field: &str, character: char) {
    assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!("invalid_fields")), "{}", answer.text);
    let expected = format!("must not contain the invisible character U+{:04X}", u32::from(character));
    assert_eq!(answer.json()["fields"], json!({(field): expected}));
}

#[tokio::test]
async fn texts_with_invisible_characters_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (admin, platform) = (&tenant.admin, app.platform().await);
    let org = format!("/orgs/{}", tenant.org_id);
    let key = format!("{}/{}", tenant.keys(), tenant.key_id);
    for character in
        ['\u{200B}', '\u{202E}', '\u{2066}', '\u{FEFF}', '\u{2028}', '\u{2029}', '\u{3164}', '\u{2800}', '\u{FE0F}']
    {
        let text = format!("a{character}b");
        let with = |mut body: Value, field: &str| {
            body[field] = json!(text);
            body
        };
        let plain = || json!({"name": "n", "permissions": []});
        for field in ["name", "description", "external_id"] {
            assert_wrong(&admin.post(&tenant.keys(), &with(plain(), field)).await, field, character);
            assert_wrong(&admin.patch(&key, &with(json!({}), field)).await, field, character);
        }
        assert_wrong(&admin.patch(&org, &with(json!({}), "name")).await, "name", character);
        assert_wrong(&admin.post(&format!("{org}/permission_sets"), &with(plain(), "name")).await, "name", character);
        let member = json!({"user_email": "m@example.com", "permissions": []});
        assert_wrong(&admin.post(&format!("{org}/members"), &with(member, "user_name")).await, "user_name", character);
        assert_wrong(&platform.post("/orgs", &with(json!({}), "external_id")).await, "external_id", character);
        let shape = json!({"prefix": "sk_", "length": 64, "alphabet": "hex"});
        let keys = json!([with(json!({"hash": "ab".repeat(32), "permissions": []}), "name")]);
        let imported = json!({"shape": shape, "keys": keys});
        assert_wrong(&admin.post(&format!("{}/import", tenant.keys()), &imported).await, "keys[0].name", character);
        // The other contracts have their own format.
        let hex = format!("U+{:04X}", u32::from(character));
        let athena = admin.post("/api/auth/api-key/create", &json!({"name": text})).await;
        let message = athena.json()["message"].as_str().expect("a message").to_owned();
        assert!(athena.status == 400 && message.contains("[body.name]") && message.contains(&hex), "{}", athena.text);
        let sign_up = json!({"user_name": text, "org_name": "n", "user_email": "n@example.com"});
        let sign_up = app.anyone().post("/auth/create-key", &sign_up).await;
        assert!(sign_up.status == 400 && sign_up.text.contains(&hex), "{}", sign_up.text);
    }
    for blank in ["", " ", "\u{3000}\u{A0}\u{2003}"] {
        let refused = admin.post(&tenant.keys(), &json!({"name": blank, "permissions": []})).await;
        assert_eq!((refused.status, refused.wrong_fields()), (400, vec!["name".to_owned()]), "{blank:?}");
    }
}

async fn create(tenant: &Tenant, name: &str) -> Value {
    let made = tenant.admin.post(&tenant.keys(), &json!({"name": name, "permissions": []})).await;
    assert_eq!(made.status, 200, "{name:?}: {}", made.text);
    made.json()
}

async fn search(tenant: &Tenant, part: &str) -> Vec<String> {
    let query: String = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
    let list = tenant.admin.get(&format!("{}?name={query}", tenant.keys())).await;
    assert_eq!(list.status, 200, "{}", list.text);
    let keys = list.json().as_array().expect("an array").clone();
    keys.iter().map(|key| key["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn names_are_normalized_and_found_whatever_their_case() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    for (name, stored, searches) in [
        ("Ame\u{301}lie", "Amélie", &["amélie", "AME\u{301}LIE", "É"][..]),
        ("Straße 7", "Straße 7", &["STRASSE", "straße", "7"]),
        ("ΟΔΟΣ", "ΟΔΟΣ", &["οδος", "οδοσ"]),
        ("Build-Server", "Build-Server", &["BUILD", "d-s"]),
        ("👩‍💻 laptop ❤️", "👩‍💻 laptop ❤️", &["LAPTOP", "👩‍💻"]),
        ("ключ", "ключ", &["КЛЮЧ"]),
    ] {
        assert_eq!(create(&tenant, name).await["name"], stored);
        for part in searches {
            assert_eq!(search(&tenant, part).await, [stored], "{part}");
        }
    }
    // A changed name is found by its new letters only.
    let id = create(&tenant, "Ödland").await["id"].clone();
    let path = format!("{}/{}", tenant.keys(), id.as_str().expect("an id"));
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "Plain"})).await.status, 200);
    assert_eq!((search(&tenant, "ödland").await.len(), search(&tenant, "PLAIN").await.len()), (0, 1));
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "Übung"})).await.status, 200);
    assert_eq!((search(&tenant, "plain").await.len(), search(&tenant, "übung").await.len()), (0, 1));
}

#[tokio::test]
async fn stored_names_of_earlier_versions_stay_readable() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let id = create(&tenant, "plain").await["id"].as_str().expect("an id").to_owned();
    app.rename_everything("a\u{200B}O\u{308}").await;
    let path = format!("{}/{id}", tenant.keys());
    let old = tenant.admin.get(&path).await;
    assert_eq!((old.status, &old.json()["name"]), (200, &json!("a\u{200B}O\u{308}")), "{}", old.text);
    for path in ["/me".to_owned(), format!("/orgs/{}", tenant.org_id), format!("/orgs/{}/members", tenant.org_id)] {
        assert_eq!(tenant.admin.get(&path).await.status, 200, "{path}");
    }
    // Other settings can be changed, and the name is replaced by a valid one.
    assert_eq!(tenant.admin.patch(&path, &json!({"enabled": false})).await.json()["name"], "a\u{200B}O\u{308}");
    assert_eq!(tenant.admin.patch(&path, &json!({"name": "new"})).await.json()["name"], "new");
}

#[tokio::test]
async fn the_migration_folds_the_names_of_existing_keys() {
    let database = harness::TestDatabase::empty().await;
    let (organization, keys) = database.create_keys_before("_folded_names", &["Ödland", "Plain", "STRAßE"]).await;
    let app = TestApp::start_on(database, |_| {}).await;
    let platform = app.platform().await;
    for (id, part) in keys.iter().zip(["ödl", "plAIN", "strasse"]) {
        let query: String = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
        let list = platform.get(&format!("/orgs/{organization}/api_keys?name={query}")).await.json();
        assert_eq!((list.as_array().map(Vec::len), &list[0]["id"]), (Some(1), &json!(id)), "{part}");
    }
}

#[tokio::test]
async fn times_in_requests_say_what_is_wrong() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let body = |time: &str| json!({"name": "n", "permissions": [], "expires_at": time});
    let leap = tenant.admin.post(&tenant.keys(), &body("2026-12-31T23:59:60Z")).await;
    assert_eq!((leap.status, leap.wrong_fields()), (400, vec!["expires_at".to_owned()]), "{}", leap.text);
    assert!(leap.text.contains("seconds from 00 to 59"), "{}", leap.text);
    let made = tenant.admin.post(&tenant.keys(), &body("2027-01-01T02:00:00+0200")).await;
    assert_eq!(made.json()["expires_at"], "2027-01-01T00:00:00Z", "{}", made.text);
    let list = async |time: &str| tenant.admin.get(&format!("{}?expires_before={time}", tenant.keys())).await;
    let plus = list("2027-01-01T02:00:01+02:00").await;
    assert_eq!((plus.status, plus.wrong_fields()), (400, vec!["expires_before".to_owned()]), "{}", plus.text);
    assert!(plus.text.contains("write + as %2B"), "{}", plus.text);
    for time in ["2027-01-01T02:00:01%2B02:00", "2027-01-01T02:00:01%2B0200"] {
        assert_eq!(list(time).await.json().as_array().map(Vec::len), Some(1), "{time}");
    }
}
