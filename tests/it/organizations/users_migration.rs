//! The migration that turns memberships of an earlier version into users of one organization.

use harness::{
    Provider, RowLock, SigningKey, TestApp,
    earlier_schema::{
        ACME, ADA, BOB, EVE, EarlierDatabase, FORMER_MEMBER, KEYLESS_MEMBER, KEYS, LONE, LONE_EMAIL, OTHER, ZOE,
    },
    read_issuers, within,
};
use serde_json::{Value, json};

#[tokio::test]
async fn the_migration_turns_memberships_into_users() {
    let key = SigningKey::ed25519("k1");
    let provider = Provider::start(&[&key]).await;
    let EarlierDatabase { database, secrets } = EarlierDatabase::create(&provider.issuer()).await;
    let trusted_providers = read_issuers(&json!([provider.entry(&json!("tenants"))])).expect("valid issuers");
    let app = TestApp::start_on(database, |config| config.providers = trusted_providers).await;
    let caller = |place: usize| app.caller(&secrets[place]);
    let check_key = async |place: usize| caller(place).get("/auth/check-key").await;

    // Keys belong to the user of their organization. Keys of removed members stay invalid.
    let in_acme = check_key(0).await.json()["data"].clone();
    assert_eq!((&in_acme["user_id"], &in_acme["user_name"]), (&json!(ADA), &json!("ada")), "the oldest keeps the id");
    let in_other = check_key(1).await.json()["data"].clone();
    assert_ne!(in_other["user_id"], json!(ADA));
    assert_eq!((&in_other["user_name"], &in_other["user_email"]), (&json!("ada"), &json!("ada@example.com")));
    let me = caller(1).get("/me").await.json();
    let mut held: Vec<Value> = me["organization"]["permissions"].as_array().expect("a list").clone();
    held.sort_by_key(ToString::to_string);
    assert_eq!(held, [json!("files:read"), json!("files:write")], "with the permissions of the permission sets");
    assert_eq!(check_key(3).await.json()["data"]["user_id"], json!(EVE));
    assert_eq!((check_key(2).await.status, check_key(4).await.status), (401, 401));
    let shown = async |place: usize, of: usize| {
        let (id, organization, _) = KEYS[of];
        caller(place).get(&format!("/orgs/{organization}/api_keys/{id}")).await.json()
    };
    let made = shown(5, 1).await;
    assert_eq!((&made["user_id"], &made["created_by"]["id"]), (&in_other["user_id"], &in_other["user_id"]), "{made}");
    for (caller, key, earlier) in [(0, 2, EVE), (5, 4, FORMER_MEMBER)] {
        let user = shown(caller, key).await["user_id"].as_str().expect("an id").to_owned();
        assert_ne!(user, earlier);
        assert_eq!(app.database.stored_user(&user).await, (1, 0), "nothing personal");
    }
    // The creator of a key who has left is the removed user of the organization. A creator without a key is not a user of
    // it.
    let creator_of = async |caller: usize, key: usize| {
        let made = shown(caller, key).await;
        made["created_by"]["id"].as_str().expect("an id").to_owned()
    };
    assert_eq!(json!(creator_of(0, 0).await), shown(0, 2).await["user_id"], "eve of Acme");
    let stranger = creator_of(5, 5).await;
    assert_ne!(stranger, LONE);
    assert_eq!(app.database.stored_user(&stranger).await, (0, 0));
    for user in [FORMER_MEMBER, KEYLESS_MEMBER] {
        assert_eq!(app.database.stored_user(user).await, (0, 0));
    }

    // Members.
    let members = caller(5).get(&format!("/orgs/{OTHER}/members")).await.json();
    let members: Vec<_> = members.as_array().expect("a list").clone();
    let origin = |name: &str| {
        let of_name = members.iter().find(|member| member["user_name"] == name).expect("a member");
        of_name["origin"].as_str().expect("a text").to_owned()
    };
    assert_eq!(members.len(), 4);
    let origins = ["ada", "bob", "eve", "zoe"].map(origin);
    assert_eq!(origins, ["invited", "sign_up", "invited", "identity_provider"]);
    assert!(members.iter().any(|member| member["user_id"] == json!(BOB)));
    let members = caller(0).get(&format!("/orgs/{ACME}/members")).await.json();
    assert_eq!(members.as_array().map(Vec::len), Some(3));

    // Addresses.
    for (name, status) in [("ada", 400), ("bob", 400), ("eve", 200), ("gone", 200), ("nobody", 200), ("zoe", 200)] {
        let body = json!({"user_name": "n", "user_email": format!("{name}@example.com")});
        assert_eq!(app.anyone().post("/auth/create-key", &body).await.status, status, "{name}");
    }

    // The platform finds the address in each form, although the migration has only lower-cased it.
    let platform = app.platform().await;
    for email in [LONE_EMAIL, "lone@BÜCHER.example", "lone@xn--bcher-kva.example"] {
        let email = email.replace('@', "%40").replace('ü', "%C3%BC").replace('Ü', "%C3%9C");
        let found = platform.get(&format!("/users?email={email}")).await.json();
        let found = found.as_array().expect("a list");
        assert_eq!((found.len(), &found[0]["user_id"]), (1, &json!(LONE)), "{email}");
    }

    // Users of a provider keep their current organization: the only one, or the one that they name.
    let person = async |name: &str| {
        let token = key.sign(&provider.claims(name, app.now_seconds()));
        app.caller(&token).get("/me").await.json()
    };
    let lone = person("lone").await;
    assert_eq!((&lone["organization"]["id"], &lone["user"]["id"]), (&json!(ACME), &json!(LONE)));
    let zoe = person("zoe").await;
    assert_eq!((&zoe["organization"], zoe["organizations"].as_array().map(Vec::len)), (&Value::Null, Some(2)));
    let ids: Vec<_> = zoe["organizations"].as_array().expect("a list").iter().map(|place| &place["user_id"]).collect();
    assert!(ids[0] != ids[1] && ids.contains(&&json!(ZOE)), "{zoe}");
    assert_eq!(app.database.stored_requests_and_sessions().await.1, 1, "the session without a user is removed");
}

#[tokio::test]
#[cfg_attr(not(feature = "postgres"), ignore = "needs PostgreSQL")]
async fn the_migration_waits_for_a_verification_of_an_earlier_version() {
    let EarlierDatabase { database, .. } = EarlierDatabase::create("https://id.example").await;
    let store = database.store().await;
    let verify = RowLock::of(&database, KEYS[0].0).await;
    let verification = async {
        verify.wait_for_waiter().await;
        verify.read_users().await;
        drop(verify);
    };
    let (migrated, ()) = within("the migration", async { tokio::join!(store.migrate(), verification) }).await;
    migrated.expect("no deadlock");
    store.close().await;
}
