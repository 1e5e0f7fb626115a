//! Signing in at an identity provider with the browser.

mod answers;
mod configuration;
mod id_tokens;
mod invitations;

use api::config::Config;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use harness::{Answer, Caller, Provider, SigningKey, Tenant, TestApp, read_issuers, write_secret};
use jsonwebtoken::Header;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

/// The cookie of a sign-in in progress.
const COOKIE: &str = "__Host-claviger_sign_in";

/// A service at which people sign in at one provider.
struct SignIn {
    app: TestApp,
    provider: Provider,
    key: SigningKey,
    tenant: Tenant,
    _folder: TempDir,
}

/// A browser that was sent to the provider.
struct Begun {
    /// The parameters of the address at the provider.
    parameters: Vec<(String, String)>,
    cookie: String,
}

impl Begun {
    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

impl SignIn {
    async fn start() -> Self {
        Self::start_with(|_| (), |_| ()).await
    }

    /// A service with a changed entry of the issuers file, and changed settings.
    async fn start_with(change: impl FnOnce(&mut Value), settings: impl FnOnce(&mut Config)) -> Self {
        let key = SigningKey::ed25519("k1");
        let provider = Provider::start(&[&key]).await;
        provider.describe(&provider.sign_in_metadata());
        let folder = TempDir::with_prefix("claviger-test-").expect("a folder");
        let secret = folder.path().join("secret");
        write_secret(&secret, "s3cret:+\n");
        let mut entry = provider.entry(&json!("tenants"));
        entry["sign_in"] = json!({
            "id": "acme", "name": "Acme account", "client_id": "claviger web", "client_secret_file": secret,
        });
        change(&mut entry);
        let providers = read_issuers(&json!([entry])).expect("valid issuers");
        let app = TestApp::start_with(|config| {
            config.providers = providers;
            settings(config);
        })
        .await;
        let tenant = app.tenant("Acme").await;
        Self { app, provider, key, tenant, _folder: folder }
    }

    /// Adds a user of the provider as a member.
    async fn add(&self, subject: &str) {
        let member = json!({
            "issuer": self.provider.issuer(), "subject": subject, "user_name": subject, "permissions": ["api_keys:read"],
        });
        let added = self.tenant.admin.post(&format!("/orgs/{}/members", self.tenant.org_id), &member).await;
        assert_eq!(added.status, 200, "{}", added.text);
    }

    /// Begins a sign-in. `query`: with its question mark.
    async fn begin(&self, query: &str) -> Begun {
        let answer = self.app.anyone().get(&format!("/sign_in/acme{query}")).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let url = Url::parse(answer.header("location")).expect("a URL");
        assert_eq!(url.path(), "/authorize");
        Begun { parameters: url.query_pairs().into_owned().collect(), cookie: answer.cookie().to_owned() }
    }

    /// The claims of a valid ID token.
    fn claims(&self, begun: &Begun, subject: &str) -> Value {
        let now = self.app.now_seconds();
        json!({
            "iss": self.provider.issuer(), "aud": "claviger web", "sub": subject, "iat": now, "exp": now + 300,
            "nonce": begun.parameter("nonce"),
        })
    }

    /// Answers the next request for a token with an ID token with these claims.
    fn answer_with(&self, claims: &Value) {
        self.answer_with_token(&self.key.sign_as("JWT", claims));
    }

    fn answer_with_token(&self, token: &str) {
        let body = json!({"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token});
        self.provider.answer_token("200 OK", &body);
    }

    /// The browser comes back from the provider with the right parameters.
    async fn come_back(&self, begun: &Begun) -> Answer {
        self.come_back_with(begun, &[]).await
    }

    /// As [`Self::come_back`], with other values for some parameters. An empty one is left out.
    async fn come_back_with(&self, begun: &Begun, changes: &[(&str, &str)]) -> Answer {
        let issuer = self.provider.issuer();
        let mut parameters = vec![("code", "c0de"), ("state", begun.parameter("state")), ("iss", issuer.as_str())];
        for (name, value) in changes {
            parameters.retain(|(own, _)| own != name);
            parameters.extend((!value.is_empty()).then_some((*name, *value)));
        }
        let path = Url::parse_with_params("http://here/sign_in/acme/callback", parameters).expect("a URL");
        let path = format!("{}?{}", path.path(), path.query().expect("a query"));
        self.app.anyone().with("cookie", &begun.cookie).get(&path).await
    }

    /// Signs in, with changed claims of the ID token.
    async fn sign_in(&self, subject: &str, query: &str, change: impl FnOnce(&mut Value)) -> Answer {
        let begun = self.begin(query).await;
        let mut claims = self.claims(&begun, subject);
        change(&mut claims);
        self.answer_with(&claims);
        self.come_back(&begun).await
    }

    /// The page with the session of this answer.
    fn page(&self, answer: &Answer) -> Caller {
        self.app.anyone().with("cookie", answer.cookie()).with("sec-fetch-site", "same-origin")
    }
}

/// Asserts that a sign-in has failed for this reason, and opened no session.
fn assert_failed(answer: &Answer, reason: &str, what: &str) {
    assert_eq!(answer.status, 303, "{what}: {}", answer.text);
    assert_eq!(answer.header("location"), format!("/#/sign-in?error={reason}"), "{what}");
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text")).collect();
    assert!(cookies.iter().all(|cookie| cookie.starts_with(&format!("{COOKIE}=;"))), "{what}: {cookies:?}");
}

#[tokio::test]
async fn a_person_signs_in_at_their_provider() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let options = signed.app.anyone().get("/sign_in").await.json();
    let provider = json!({"id": "acme", "issuer": signed.provider.issuer(), "name": "Acme account"});
    assert_eq!(options["providers"], json!([provider]));
    assert_eq!((&options["passkeys"], &options["sign_up"]), (&json!(true), &json!(true)));
    let begun = signed.begin("?return_to=/organizations").await;
    let redirect = "https://keys.example/sign_in/acme/callback";
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "claviger web"),
        ("redirect_uri", redirect),
        ("code_challenge_method", "S256"),
        ("scope", "openid profile email"),
        ("prompt", ""),
        ("max_age", ""),
    ] {
        assert_eq!(begun.parameter(name), value, "{name}");
    }
    assert!(begun.parameter("state").len() >= 22 && begun.parameter("nonce").len() >= 22);
    signed.answer_with(&signed.claims(&begun, "ada"));
    let answer = signed.come_back(&begun).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/#/organizations"), "{}", answer.text);
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text")).collect();
    assert!(cookies[0].starts_with("__Host-apiKeyCookie=") && cookies[0].contains("SameSite=Strict"), "{cookies:?}");
    assert!(cookies[1].starts_with(&format!("{COOKIE}=;")) && cookies[1].contains("Max-Age=0"), "{cookies:?}");
    let me = signed.page(&answer).get("/me").await;
    assert_eq!(me.status, 200, "{}", me.text);
    assert_eq!(me.json()["credential"], "session");
    assert_eq!(me.json()["identity"], json!({"issuer": signed.provider.issuer(), "subject": "ada"}));
    // The code was exchanged with the secret of the client, and the proof that this browser had begun.
    let request = &signed.provider.token_requests()[0];
    let (head, body) = request.split_once("\r\n\r\n").expect("a request");
    assert!(head.to_lowercase().contains("authorization: basic "), "{head}");
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value.as_str());
    assert_eq!((value("code"), value("redirect_uri")), ("c0de", redirect));
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, value("code_verifier").as_bytes()));
    assert_eq!(begun.parameter("code_challenge"), challenge);
    assert!(!body.contains("s3cret"), "{body}");
}

#[tokio::test]
async fn the_cookie_of_a_sign_in_is_only_for_this_service_and_says_nothing() {
    let signed = SignIn::start().await;
    let answer = signed.app.anyone().get("/sign_in/acme?return_to=/organizations").await;
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(cookie.starts_with(COOKIE) && !cookie.contains("Domain"), "{cookie}");
    assert_eq!((answer.header("cache-control"), answer.header("referrer-policy")), ("no-store", "no-referrer"));
    let state = Url::parse(answer.header("location")).expect("a URL");
    let state = state.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    assert!(!cookie.contains(&state) && !cookie.contains("organizations"), "{cookie}");
}

#[tokio::test]
async fn signing_out_names_the_page_that_ends_the_session_at_the_provider() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let answer = signed.sign_in("ada", "", |_| ()).await;
    assert_eq!(answer.header("location"), "/#/", "without a page to return to");
    let out = signed.page(&answer).send("DELETE", "/session", None).await;
    let url = Url::parse(out.json()["logout_url"].as_str().expect("a URL")).expect("a URL");
    assert_eq!(url.path(), "/logout");
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    for (name, value) in
        [("client_id", "claviger web"), ("logout_hint", "ada"), ("post_logout_redirect_uri", "https://keys.example/")]
    {
        assert!(parameters.contains(&(name.to_owned(), value.to_owned())), "{url}");
    }
    assert_eq!(signed.page(&answer).get("/me").await.status, 401, "the session has ended here, too");
    // The session of a key has no provider.
    let opened = signed.tenant.admin.send("POST", "/session", None).await;
    let out = signed.page(&opened).send("DELETE", "/session", None).await;
    assert_eq!((out.status, &out.json()["logout_url"]), (200, &Value::Null));
}

#[tokio::test]
async fn only_pages_of_the_dashboard_are_returned_to() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    for (return_to, location) in [
        ("%2Forgs%2F1%2Fkeys%3Fstatus%3Denabled", "/#/orgs/1/keys?status=enabled"),
        ("https://evil.example", "/#/"),
        ("%2F%2Fevil.example", "/#/"),
        ("%2F%5Cevil.example", "/#/"),
        ("%2Fa%0D%0ALocation:%20https://evil.example", "/#/"),
        ("javascript:alert(1)", "/#/"),
        ("%2Fa&return_to=%2Fb", "/#/"),
    ] {
        let answer = signed.sign_in("ada", &format!("?return_to={return_to}"), |_| ()).await;
        assert_eq!((answer.status, answer.header("location")), (303, location), "{return_to}");
    }
}

#[tokio::test]
async fn a_fresh_sign_in_needs_the_time_of_authentication() {
    let signed = SignIn::start().await;
    signed.add("ada").await;
    let begun = signed.begin("?fresh=true").await;
    assert_eq!((begun.parameter("prompt"), begun.parameter("max_age")), ("login", "0"));
    let now = signed.app.now_seconds();
    for (at, is_accepted) in [(None, false), (Some(now - 31), false), (Some(now), true)] {
        let answer = signed.sign_in("ada", "?fresh=true", |claims| claims["auth_time"] = json!(at)).await;
        if is_accepted {
            assert_eq!(answer.header("location"), "/#/");
        } else {
            assert_failed(&answer, "not_fresh", &format!("{at:?}"));
        }
    }
    let answer = signed.sign_in("ada", "", |claims| claims["auth_time"] = json!(now - 3_600)).await;
    assert_eq!(answer.header("location"), "/#/", "no fresh one was requested");
}

/// A token that is not signed.
fn unsigned(claims: &Value) -> String {
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.", encode(&json!({"alg": "none", "typ": "JWT"})), encode(claims))
}

/// A header with this algorithm and the id of the provider's key.
fn header(algorithm: jsonwebtoken::Algorithm) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some("k1".to_owned());
    header
}
