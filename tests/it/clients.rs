//! A Rust client, generated from the committed document while this compiles, goes through the quick start.
//! The TypeScript and Python clients are beside this: `tests/clients/run`.

use harness::TestApp;
use reqwest::header::{HeaderMap, HeaderValue};

#[expect(warnings, clippy::all, clippy::pedantic, unreachable_pub, reason = "generated")]
mod generated {
    progenitor::generate_api!(spec = "../docs/openapi.json", interface = Positional);
}

use generated::{Client, types};

fn client(base: &str, key: Option<&str>) -> Client {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("text");
        headers.insert("authorization", value);
    }
    let client = reqwest::Client::builder().default_headers(headers).build().expect("a client");
    Client::new_with_client(base, client)
}

#[tokio::test]
async fn the_generated_rust_client_goes_through_the_quick_start() {
    let app = TestApp::start().await;
    let base = app.base();
    let sign_up = types::SignUp {
        user_name: "John Doe".parse().expect("a name"),
        user_email: "john@example.com".parse().expect("an address"),
        org_name: Some("Acme Corp".parse().expect("a name")),
    };
    let data = client(&base, None).create_key(&sign_up).await.expect("signed up").into_inner().data;
    let admin = client(&base, Some(&data.api_key));
    let checked = admin.check_key().await.expect("a good key").into_inner();
    assert_eq!(checked.data.user_email.as_deref(), Some("john@example.com"));
    app.clock.advance_seconds(1);
    let new = types::CreateApiKey {
        external_id: None,
        permission_sets: Vec::new(),
        name: "New API Key".parse().expect("a name"),
        permissions: vec!["read".to_owned()],
        not_before: None,
        expires_at: None,
        allowed_addresses: Vec::new(),
        metadata: serde_json::Map::new(),
        prefix: None,
        remaining: None,
        refill_amount: None,
        refill_interval: None,
        rate_limit_max: None,
        rate_limit_window: None,
    };
    let created = admin.create_api_key(&data.org_id, None, &new).await.expect("created").into_inner();
    let reader = client(&base, created.key.as_deref());
    let listed = reader
        .list_api_keys(
            &data.org_id,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        )
        .await
        .expect("listed")
        .into_inner();
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [data.key_id, created.id]);
    let refused = reader.delete_api_key(&data.org_id, &created.id).await.expect_err("a reader cannot delete");
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(403));
    let me = admin.get_me().await.expect("known").into_inner();
    assert_eq!(me.organizations[0].permissions.as_deref(), Some(&["*".to_owned()][..]));
    let new = types::CreateToken { audience: "storage".to_owned(), permissions: Vec::new(), ttl_seconds: Some(60) };
    let made = admin.create_token(&new).await.expect("a token").into_inner();
    assert_eq!(made.token_type, "Bearer");
    admin.delete_api_key(&data.org_id, &created.id).await.expect("deleted");
    let refused = reader.check_key().await.expect_err("the key is gone");
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(401));
}
