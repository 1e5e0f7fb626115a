//! The metadata of the authorization server (RFC 8414).

use api::http::origin::PublicUrl;
use harness::TestApp;
use serde_json::json;

use crate::oauth::requests::assert_error;

const PATH: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn the_metadata_names_the_endpoints_below_the_issuer() {
    let app = TestApp::start().await;
    let answer = app.anyone().get(PATH).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text);
    let methods = ["client_secret_basic", "client_secret_post"];
    let expected = json!({
        "issuer": "https://keys.example",
        "token_endpoint": "https://keys.example/oauth/token",
        "jwks_uri": "https://keys.example/.well-known/jwks.json",
        "introspection_endpoint": "https://keys.example/oauth/introspect",
        "revocation_endpoint": "https://keys.example/oauth/revoke",
        "service_documentation": "https://keys.example/docs",
        "grant_types_supported": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(app.anyone().get("/.well-known/openid-configuration").await.status, 404);
    assert_eq!(app.anyone().get(&format!("{PATH}/keys")).await.status, 404);
}

#[tokio::test]
async fn below_a_base_path_the_metadata_is_where_rfc_8414_puts_it() {
    let url = "https://example.com/a/keys";
    let app = TestApp::start_with(|config| config.public_url = PublicUrl::parse(url).ok()).await;
    for path in [PATH.to_owned(), format!("/a/keys{PATH}"), format!("{PATH}/a/keys")] {
        let answer = app.anyone().get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let metadata = answer.json();
        assert_eq!(
            (&metadata["issuer"], &metadata["token_endpoint"]),
            (&json!(url), &json!(format!("{url}/oauth/token")))
        );
    }
    assert_eq!(app.anyone().get(&format!("{PATH}/keys")).await.status, 404);
}

#[tokio::test]
async fn a_service_that_issues_no_tokens_has_no_metadata() {
    let app = TestApp::start_with(|config| config.public_url = None).await;
    let description = assert_error(&app.anyone().get(PATH).await, 404, "server_error");
    assert!(description.contains("CLAVIGER_PUBLIC_ORIGIN"), "{description}");
}
