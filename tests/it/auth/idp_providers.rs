//! The examples of `docs/IDENTITY_PROVIDERS.md`, each with a token as that provider makes it.

use harness::{Caller, Provider, SigningKey, Tenant, TestApp, read_issuers, write_secret};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::auth::idp::{membership, with, without};

/// The examples: each heading with the entry of its issuers file.
fn examples() -> Vec<(String, Value)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/IDENTITY_PROVIDERS.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let sections =
        text.split("\n## ").skip(1).filter(|section| !section.starts_with(WORKLOADS) && !section.starts_with(SIGN_IN));
    let example = |section: &str| {
        let json = section.split("```json\n").nth(1)?.split("```").next()?;
        let entries: Value = serde_json::from_str(json).expect("an example is JSON");
        Some((section.lines().next()?.to_owned(), entries[0].clone()))
    };
    sections.filter_map(example).collect()
}

/// The section about trust rules: its entry is for the same provider as one of the others.
const WORKLOADS: &str = "Workloads\n";

/// The section about sign-in: its entries are for several providers, and name files with secrets.
const SIGN_IN: &str = "Sign-in in the browser\n";

#[test]
fn the_entries_for_sign_in_are_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/IDENTITY_PROVIDERS.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let section = text.split("\n## ").find(|section| section.starts_with(SIGN_IN)).expect("the section");
    let folder = TempDir::with_prefix("claviger-test-").expect("a folder");
    let secret = folder.path().join("secret");
    write_secret(&secret, "s");
    let mut entries = Vec::new();
    for json in section.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let mut entry: Value = serde_json::from_str(json).expect("JSON");
        let file = entry[0]["sign_in"]["client_secret_file"].take();
        assert!(file.as_str().is_some_and(|file| file.starts_with("/etc/claviger/")), "{file}");
        entry[0]["sign_in"]["client_secret_file"] = json!(secret);
        entries.push(entry[0].clone());
    }
    let providers = read_issuers(&json!(entries)).expect("valid issuers");
    assert_eq!(providers.iter().filter(|provider| provider.sign_in.is_some()).count(), 4);
}

#[test]
fn the_entry_for_workloads_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/IDENTITY_PROVIDERS.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let section = text.split("\n## ").find(|section| section.starts_with(WORKLOADS)).expect("the section");
    let entry = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an entry");
    let entries: Value = serde_json::from_str(entry).expect("JSON");
    let providers = read_issuers(&entries).expect("valid issuers");
    assert!(section.contains(&format!("\"issuer\": \"{}\"", providers[0].issuer.name)));
}

/// A change of a token: its description, the claim, the new value, and the expected status.
type Change = (&'static str, &'static str, Value, u16);

struct ProviderToken {
    provider: &'static str,
    kind: Option<&'static str>,
    claims: Value,
    subject: &'static str,
    /// The external id of the organization, where tokens name it.
    external_id: Option<&'static str>,
    /// The permissions of the user.
    permissions: Value,
    /// Changes of the token. A claim with the new value `null` is removed.
    changes: Vec<Change>,
}

fn auth0() -> ProviderToken {
    ProviderToken {
        provider: "Auth0",
        kind: Some("JWT"),
        claims: json!({
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "azp": "my_client_id", "scope": "openid profile email",
            "aud": ["https://keys.example.com", "https://acme.eu.auth0.com/userinfo"],
            "org_id": "org_9ybsU1dN2dKfDkBi", "permissions": ["read:keys", "read:invoices"],
        }),
        subject: "auth0|5f7c8ec7c33c6c004bbafe82",
        external_id: Some("org_9ybsU1dN2dKfDkBi"),
        permissions: json!(["api_keys:read"]),
        changes: vec![
            ("another organization", "org_id", json!("org_other"), 403),
            ("another audience", "aud", json!("https://acme.eu.auth0.com/userinfo"), 401),
            ("an organization that is trimmed", "org_id", json!(" org_9ybsU1dN2dKfDkBi"), 401),
        ],
    }
}

fn cognito() -> ProviderToken {
    ProviderToken {
        provider: "Amazon Cognito",
        kind: None,
        claims: json!({
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["key-readers", "staff"], "token_use": "access",
            "scope": "aws.cognito.signin.user.admin", "client_id": "1example23456789", "username": "ada", "version": 2,
        }),
        subject: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        external_id: None,
        permissions: json!(["api_keys:read"]),
        changes: vec![
            ("an ID token", "token_use", json!("id"), 401),
            ("another app client", "client_id", json!("2example"), 401),
            ("no app client", "client_id", Value::Null, 401),
            ("an app client, but another audience", "aud", json!("https://other.example"), 401),
            ("an app client and its audience", "aud", json!(["1example23456789"]), 200),
        ],
    }
}

const ENTRA_TENANT: &str = "9122040d-6c67-4c5b-b112-36a304b66dad";

fn entra_user() -> ProviderToken {
    ProviderToken {
        provider: "Microsoft Entra ID",
        kind: Some("JWT"),
        claims: json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "azp": "client", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": ENTRA_TENANT, "scp": "Keys.Read User.Read",
            "preferred_username": "ada@acme.example", "ver": "2.0",
        }),
        subject: "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        external_id: Some(ENTRA_TENANT),
        permissions: json!(["api_keys:read"]),
        changes: vec![
            ("another tenant", "tid", json!("00000000-6c67-4c5b-b112-36a304b66dad"), 401),
            ("no tenant", "tid", Value::Null, 401),
            ("the tenant in a list", "tid", json!([ENTRA_TENANT]), 401),
            ("no object id", "oid", Value::Null, 401),
        ],
    }
}

fn entra_application() -> ProviderToken {
    ProviderToken {
        claims: json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "azp": "client", "oid": "11111111-ff1a-4d56-abd1-7e4f7d38e474",
            "sub": "11111111-ff1a-4d56-abd1-7e4f7d38e474", "tid": ENTRA_TENANT, "roles": ["Keys.ReadWrite.All"], "ver": "2.0",
        }),
        subject: "11111111-ff1a-4d56-abd1-7e4f7d38e474",
        permissions: json!(["api_keys:read", "api_keys:write"]),
        changes: vec![],
        ..entra_user()
    }
}

fn github() -> ProviderToken {
    ProviderToken {
        provider: "GitHub Actions",
        kind: Some("JWT"),
        claims: json!({
            "aud": "https://keys.example.com", "sub": "repo:acme/app:ref:refs/heads/main", "ref": "refs/heads/main",
            "repository": "acme/app", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65",
            "event_name": "push", "ref_type": "branch", "run_attempt": "2",
        }),
        subject: "74",
        external_id: None,
        permissions: json!(["*"]),
        changes: vec![
            ("the repository of another owner", "repository_owner_id", json!("66"), 401),
            ("an owner that is a number", "repository_owner_id", json!(65), 401),
            ("another branch", "ref", json!("refs/heads/main2"), 401),
            ("a pull request", "event_name", json!("pull_request_target"), 401),
            ("no event", "event_name", Value::Null, 401),
            ("a run by hand", "event_name", json!("workflow_dispatch"), 200),
        ],
    }
}

fn gitlab() -> ProviderToken {
    ProviderToken {
        provider: "GitLab CI/CD",
        kind: Some("JWT"),
        claims: json!({
            "aud": "https://keys.example.com", "sub": "project_path:acme/app:ref_type:branch:ref:main", "namespace_id": "72",
            "namespace_path": "acme", "project_id": "20", "project_path": "acme/app", "ref": "main", "ref_protected": "true",
        }),
        subject: "20",
        external_id: None,
        permissions: json!(["*"]),
        changes: vec![
            ("another namespace", "namespace_id", json!("73"), 401),
            ("a branch that is not protected", "ref_protected", json!("false"), 401),
            ("a boolean instead of a string", "ref_protected", json!(true), 401),
        ],
    }
}

fn keycloak() -> ProviderToken {
    ProviderToken {
        provider: "Keycloak",
        kind: Some("JWT"),
        claims: json!({
            "aud": ["claviger", "account"], "sub": "f1d2d2f9-0000-4000-8000-000000000001", "typ": "Bearer", "azp": "app",
            "realm_access": {"roles": ["Administrator", "default-roles-acme"]},
            "resource_access": {"claviger": {"roles": ["Key Reader", "Other"]}, "account": {"roles": ["Administrator"]}},
            "organization": {"acme": {"id": "42c3e46f-2477-44d7-a85b-d3b43f6b31fa"}}, "preferred_username": "ada",
        }),
        subject: "f1d2d2f9-0000-4000-8000-000000000001",
        external_id: Some("acme"),
        permissions: json!(["api_keys:read"]),
        changes: vec![
            ("an ID token", "typ", json!("ID"), 401),
            ("the organization in a list", "organization", json!(["acme"]), 200),
            ("two organizations", "organization", json!({"acme": {}, "other": {}}), 401),
            ("another organization", "organization", json!({"other": {}}), 403),
            ("an organization that is none", "organization", json!({"id": "acme"}), 401),
        ],
    }
}

fn kubernetes() -> ProviderToken {
    ProviderToken {
        provider: "Kubernetes service accounts",
        kind: None,
        claims: json!({
            "aud": ["claviger"], "sub": "system:serviceaccount:billing:worker", "jti": "1",
            "kubernetes.io": {"namespace": "billing", "serviceaccount": {"name": "worker", "uid": "2"}},
        }),
        subject: "system:serviceaccount:billing:worker",
        external_id: None,
        permissions: json!(["*"]),
        changes: vec![
            ("another namespace", "kubernetes.io", json!({"namespace": "default"}), 401),
            ("a namespace that is nested deeper", "kubernetes.io", json!({"namespace": {"namespace": "billing"}}), 401),
            ("the token of the API server", "aud", json!(["https://kubernetes.default.svc.cluster.local"]), 401),
        ],
    }
}

fn okta_user() -> ProviderToken {
    ProviderToken {
        provider: "Okta",
        kind: None,
        claims: json!({
            "aud": "api://default", "sub": "ada@acme.example", "uid": "00uid4BxXw6I6TV4m0g3", "cid": "nmdP1fcyvdVO11AL7ECm",
            "scp": ["openid", "keys.read"], "ver": 1,
        }),
        subject: "00uid4BxXw6I6TV4m0g3",
        external_id: None,
        permissions: json!(["api_keys:read"]),
        changes: vec![("a user id that is a number", "uid", json!(7), 401)],
    }
}

fn okta_client() -> ProviderToken {
    ProviderToken {
        claims: json!({
            "aud": "api://default", "sub": "nmdP1fcyvdVO11AL7ECm", "cid": "nmdP1fcyvdVO11AL7ECm", "scp": ["keys.manage"], "ver": 1,
        }),
        subject: "nmdP1fcyvdVO11AL7ECm",
        permissions: json!(["api_keys:read", "api_keys:write"]),
        changes: vec![],
        ..okta_user()
    }
}

fn zitadel() -> ProviderToken {
    ProviderToken {
        provider: "Zitadel",
        kind: Some("JWT"),
        claims: json!({
            "aud": ["69234237810729019", "client"], "sub": "77776025198584418", "urn:zitadel:iam:user:resourceowner:id": "165",
            "urn:zitadel:iam:org:project:roles": {
                "key-reader": {"165": "acme.zitadel.cloud"}, "admin": {"200": "vendor.zitadel.cloud"},
            },
        }),
        subject: "77776025198584418",
        external_id: Some("165"),
        permissions: json!(["api_keys:read"]),
        changes: vec![
            ("another organization", "urn:zitadel:iam:user:resourceowner:id", json!("200"), 403),
            ("roles that are a number", "urn:zitadel:iam:org:project:roles", json!(1), 401),
        ],
    }
}

struct Fixture {
    app: TestApp,
    key: SigningKey,
    platform: Caller,
}

impl Fixture {
    fn caller_with(&self, token: &ProviderToken, claims: &Value) -> Caller {
        let mut header = Header::new(Algorithm::RS256);
        (header.typ, header.kid) = (token.kind.map(str::to_owned), Some(self.key.id.clone()));
        self.app.caller(&self.key.sign_with(&header, claims))
    }

    /// Makes the user of this token a member of a new organization.
    async fn join(&self, token: &ProviderToken, issuer: &str, claims: &Value, name: &str) -> Tenant {
        let tenant = self.app.tenant(name).await;
        if let Some(external_id) = token.external_id {
            let path = format!("/orgs/{}", tenant.org_id);
            let named = self.platform.patch(&path, &json!({"external_id": external_id})).await;
            assert_eq!(named.status, 200, "{}", named.text);
        }
        let member = json!({"issuer": issuer, "subject": token.subject, "user_name": "Ada", "permissions": ["*"]});
        let added = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await;
        assert_eq!(added.status, 200, "{}: {}", token.provider, added.text);
        let accepted = self.caller_with(token, claims).send("POST", &membership(&tenant), None).await;
        assert_eq!(accepted.status, 200, "{}: {}", token.provider, accepted.text);
        tenant
    }
}

#[tokio::test]
async fn each_example_accepts_a_token_of_its_provider_and_no_other() {
    let key = SigningKey::rsa("k1");
    let provider = Provider::start(&[]).await;
    // As some publish it: without an algorithm.
    let mut published = serde_json::to_value(key.public()).expect("JSON");
    published.as_object_mut().expect("a key").remove("alg");
    provider.respond_with("200 OK", "", &json!({"keys": [published]}).to_string());
    let examples = examples();
    let local = |(_, entry): &(String, Value)| with(&without(entry, "ca_file"), "jwks", json!(provider.jwks()));
    let providers = read_issuers(&Value::Array(examples.iter().map(local).collect())).expect("the examples are valid");
    let app = TestApp::start_with(|config| config.providers = providers).await;
    let platform = app.platform().await;
    let fixture = Fixture { app, key, platform };
    let tokens = [
        auth0(),
        cognito(),
        entra_user(),
        github(),
        gitlab(),
        keycloak(),
        kubernetes(),
        okta_user(),
        okta_client(),
        zitadel(),
    ];
    let tested = |name: &String| tokens.iter().any(|token| token.provider == name);
    assert!(examples.iter().all(|(name, _)| tested(name)), "each example has a token");
    for (n, token) in tokens.iter().enumerate() {
        let tenant = check(&fixture, token, &examples, &format!("tenant{n}")).await;
        if token.provider == "Microsoft Entra ID" {
            in_the_same_organization(&fixture, &entra_application(), &tenant, &examples).await;
        }
    }
}

fn claims_of(fixture: &Fixture, token: &ProviderToken, examples: &[(String, Value)]) -> (String, Value) {
    let found = examples.iter().find(|(name, _)| name == token.provider);
    let issuer = found.unwrap_or_else(|| panic!("an example of {}", token.provider)).1["issuer"].clone();
    let claims = with(&with(&token.claims, "iss", issuer.clone()), "exp", json!(fixture.app.now_seconds() + 300));
    (issuer.as_str().expect("a text").to_owned(), claims)
}

async fn check(fixture: &Fixture, token: &ProviderToken, examples: &[(String, Value)], name: &str) -> Tenant {
    let (issuer, claims) = claims_of(fixture, token, examples);
    let unknown = fixture.caller_with(token, &claims).get("/me").await;
    assert_eq!(unknown.status, 403, "{}: {}", token.provider, unknown.text);
    let tenant = fixture.join(token, &issuer, &claims, name).await;
    is_admitted(fixture, token, &claims, &tenant).await;
    for (what, claim, value, expected) in &token.changes {
        let changed = if value.is_null() { without(&claims, claim) } else { with(&claims, claim, value.clone()) };
        let answer = fixture.caller_with(token, &changed).get("/me").await;
        assert_eq!(answer.status, *expected, "{}: {what}: {}", token.provider, answer.text);
    }
    let other = ProviderToken { kind: Some("logout+jwt"), ..auth0() };
    assert_eq!(fixture.caller_with(&other, &claims).get("/me").await.status, 401, "{}: another type", token.provider);
    tenant
}

async fn is_admitted(fixture: &Fixture, token: &ProviderToken, claims: &Value, tenant: &Tenant) {
    let me = fixture.caller_with(token, claims).get("/me").await;
    assert_eq!(me.status, 200, "{}: {}", token.provider, me.text);
    let me = me.json();
    assert_eq!(me["organization"]["id"], json!(tenant.org_id), "{}", token.provider);
    assert_eq!(me["organization"]["permissions"], token.permissions, "{}", token.provider);
    assert_eq!(me["identity"]["subject"], json!(token.subject), "{}", token.provider);
}

async fn in_the_same_organization(
    fixture: &Fixture,
    token: &ProviderToken,
    tenant: &Tenant,
    examples: &[(String, Value)],
) {
    let (issuer, claims) = claims_of(fixture, token, examples);
    let member = json!({"issuer": issuer, "subject": token.subject, "user_name": "App", "permissions": ["*"]});
    let added = tenant.admin.post(&format!("/orgs/{}/members", tenant.org_id), &member).await;
    assert_eq!(added.status, 200, "{}", added.text);
    is_admitted(fixture, token, &claims, tenant).await;
}
