//! Forward-auth: what a gateway is answered, and what it must not get wrong.

pub(crate) mod answers;
pub(crate) mod check_gateway;
pub(crate) mod credentials;
pub(crate) mod ext_authz;
pub(crate) mod gateways;
pub(crate) mod limits;
pub(crate) mod transport;

use api::{config::Config, forward_auth::GatewaySecret, http::client_ip::TrustedProxies};
use harness::{Answer, Tenant};
use serde_json::json;

/// The gateway secret of tests.
pub(crate) const SECRET: &str = "0123456789abcdef-0123456789ABCDEF";

/// The identity headers of an answer that allows a request.
pub(crate) const IDENTITY: [&str; 8] = [
    "claviger-key-id",
    "claviger-key-name",
    "claviger-org-id",
    "claviger-org-external-id",
    "claviger-user-id",
    "claviger-external-id",
    "claviger-permissions",
    "claviger-metadata",
];

/// Gateways need [`SECRET`].
pub(crate) fn with_secret(config: &mut Config) {
    config.forward_auth_secret = GatewaySecret::parse(SECRET).expect("a secret");
}

/// The gateway on this machine is a trusted proxy.
pub(crate) fn with_trusted_gateway(config: &mut Config) {
    config.trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("a network")]);
}

/// The path for the keys of an organization.
pub(crate) fn path(tenant: &Tenant, query: &str) -> String {
    format!("/forward-auth/{}{query}", tenant.org_id)
}

/// Asserts that a request is allowed. The body is empty, and every identity header is there.
#[track_caller]
pub(crate) fn assert_allowed(answer: &Answer) {
    assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{:?}", answer.headers);
    for name in IDENTITY {
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(answer.headers.get("claviger-deny-reason"), None);
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// Asserts that a request is refused with this status and reason, and with nothing about any key.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    let (found, body) = (answer.header("claviger-deny-reason"), &answer.text);
    assert_eq!((answer.status, found), (status, reason), "{body} {}", answer.header("claviger-misconfigured"));
    let body = answer.json();
    let expected = json!({
        "message": body["message"], "code": status, "reason": reason, "request_id": answer.header("x-request-id"),
    });
    assert_eq!(body, expected);
    assert!(body["message"].as_str().is_some_and(|message| !message.to_lowercase().contains("claviger")), "{body}");
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    for name in IDENTITY {
        assert_eq!(answer.headers.get(name), None, "{name}");
    }
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
}

/// Asserts that a gateway is not configured correctly, and that the answer, which goes to this machine, says why.
#[track_caller]
pub(crate) fn assert_misconfigured(answer: &Answer, mistake: &str) {
    assert_refused(answer, 403, "misconfigured");
    assert_eq!(answer.json()["message"], "The gateway in front of this API is not configured correctly.");
    let sentence = answer.header("claviger-misconfigured");
    assert!(sentence.contains(mistake), "{sentence}");
}
