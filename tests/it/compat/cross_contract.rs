//! A key that was created through one API can be read, verified, changed and revoked through the others.

use harness::{Caller, Tenant, TestApp};
use serde_json::{Value, json};

const ATHENA: &str = "/api/auth/api-key";

/// Creates a key through one of the APIs. Returns its id and its secret.
async fn create_key(app: &TestApp, tenant: &Tenant, through: &str) -> (String, String) {
    let (body, id, key) = match through {
        "locktera" => {
            let body = json!({"name": "n", "permissions": ["files:read"]});
            (tenant.admin.post(&format!("/orgs/{}/api_keys", tenant.org_id), &body).await.json(), "id", "key")
        }
        "athena" => {
            let body = json!({"name": "n", "permissions": {"files": ["read"]}});
            (tenant.admin.post(&format!("{ATHENA}/create"), &body).await.json(), "id", "key")
        }
        _ => {
            let body = json!({"user_name": "n", "user_email": format!("{}@example.com", app.now_millis())});
            (app.anyone().post("/auth/create-key", &body).await.json()["data"].clone(), "key_id", "api_key")
        }
    };
    (body[id].as_str().expect("an id").to_owned(), body[key].as_str().expect("a text").to_owned())
}

async fn verdict(caller: &Caller, key: &str) -> Value {
    caller.post(&format!("{ATHENA}/verify"), &json!({"key": key})).await.json()
}

#[tokio::test]
async fn a_key_of_one_contract_is_visible_and_revocable_in_the_others() {
    let app = TestApp::start().await;
    for made in ["locktera", "athena", "livekit"] {
        for revoked in ["locktera", "athena"] {
            app.clock.advance_seconds(1);
            let tenant = app.tenant(&format!("{made}-{revoked}")).await;
            app.clock.advance_seconds(1);
            let (id, key) = create_key(&app, &tenant, made).await;
            // A sign-up creates an organization, and its key manages it.
            let own = app.caller(&key);
            let checked = own.get("/auth/check-key").await;
            assert_eq!(checked.status, 200, "{made}");
            let org = checked.json()["data"]["org_id"].as_str().expect("an id").to_owned();
            let admin = if made == "livekit" { &own } else { &tenant.admin };
            let listed = admin.get(&format!("/orgs/{org}/api_keys")).await.json();
            let got = admin.get(&format!("{ATHENA}/get?id={id}")).await.json();
            let entry = listed.as_array().expect("keys").iter().find(|key| key["id"] == id.as_str()).expect("listed");
            assert_eq!((&entry["start"], &entry["enabled"]), (&got["start"], &got["enabled"]));
            assert_eq!(verdict(admin, &key).await["valid"], true, "{made}");
            let update = json!({"keyId": id, "name": "other"});
            if made != "livekit" {
                assert_eq!(admin.post(&format!("{ATHENA}/update"), &update).await.status, 200);
                let listed = admin.get(&format!("/orgs/{org}/api_keys")).await.json();
                assert!(listed.as_array().expect("keys").iter().any(|key| key["name"] == "other"));
                let disable = json!({"keyId": id, "enabled": false});
                assert_eq!(admin.post(&format!("{ATHENA}/update"), &disable).await.status, 200);
                assert_eq!(own.get("/auth/check-key").await.status, 401, "disabled through Athena");
                let enable = json!({"keyId": id, "enabled": true});
                assert_eq!(admin.post(&format!("{ATHENA}/update"), &enable).await.status, 200);
            }
            let deleted = if revoked == "locktera" {
                admin.delete(&format!("/orgs/{org}/api_keys/{id}")).await
            } else {
                admin.post(&format!("{ATHENA}/delete"), &json!({"keyId": id})).await
            };
            assert_eq!(deleted.status, 200, "{made} {revoked}");
            assert_eq!(own.get("/auth/check-key").await.status, 401);
            assert_eq!(verdict(&tenant.admin, &key).await["error"]["code"], "INVALID_API_KEY");
        }
    }
}

#[tokio::test]
async fn permissions_are_converted_between_the_contracts() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let keys = format!("/orgs/{}/api_keys", tenant.org_id);
    let flat = json!(["read", "files:write", "files:*", "docs:read", "*"]);
    let created = tenant.admin.post(&keys, &json!({"name": "n", "permissions": flat})).await.json();
    let id = created["id"].as_str().expect("an id");
    let got = tenant.admin.get(&format!("{ATHENA}/get?id={id}")).await.json();
    assert_eq!(got["permissions"].to_string(), r#"{"*":["read","*"],"files":["write","*"],"docs":["read"]}"#);
    let map = json!({"files": ["read"], "*": ["list"], "empty": []});
    let update = json!({"keyId": id, "permissions": map});
    assert_eq!(tenant.admin.post(&format!("{ATHENA}/update"), &update).await.status, 200);
    let listed = tenant.admin.get(&keys).await.json();
    let key = listed.as_array().expect("keys").iter().find(|key| key["id"] == id).expect("listed");
    assert_eq!(key["permissions"], json!(["files:read", "list"]));
}
