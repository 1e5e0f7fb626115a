//! Envoy's checks over gRPC: the same decisions as over HTTP, in the messages that Envoy reads.

pub(crate) mod answers;
pub(crate) mod gateways;
pub(crate) mod transport;

use std::{collections::HashMap, net::SocketAddr};

use api::config::Config;
use envoy_types::{
    ext_authz::v3::pb::{
        Address, CheckRequest, CheckResponse, HeaderAppendAction, HeaderValue, HeaderValueOption, HttpResponse,
    },
    pb::{
        envoy::{
            config::core::v3::{self as core, SocketAddress},
            service::auth::v3::{
                AttributeContext,
                attribute_context::{HttpRequest, Peer, Request as CheckedRequest},
                authorization_client::AuthorizationClient,
            },
        },
        google::protobuf::{Struct, value::Kind},
    },
};
use harness::{Tenant, TestApp, within};
use serde_json::{Value, json};
use tonic::{Code, Request, Status, transport::Channel};

use super::IDENTITY;

/// The address of visitors.
const VISITOR: &str = "192.0.2.1";

/// A request of a visitor, as Envoy describes it.
#[derive(Clone)]
struct Visit {
    method: String,
    headers: Vec<(String, String)>,
    /// Whether Envoy sends the headers one by one.
    is_raw: bool,
    address: Option<Address>,
    extensions: HashMap<String, String>,
    /// The values of the header `Claviger-Gateway` of the call.
    gateway: Vec<String>,
}

fn address(text: &str) -> Address {
    Address::SocketAddress(SocketAddress { address: text.to_owned(), ..SocketAddress::default() })
}

impl Visit {
    /// A `GET` without a key, whose requirements are in this organization.
    fn of(org_id: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            headers: vec![(":path".to_owned(), "/files".to_owned())],
            is_raw: true,
            address: Some(address(VISITOR)),
            extensions: HashMap::from([("org_id".to_owned(), org_id.to_owned())]),
            gateway: Vec::new(),
        }
    }

    fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn require(mut self, name: &str, value: &str) -> Self {
        self.extensions.insert(name.to_owned(), value.to_owned());
        self
    }

    fn from(mut self, text: &str) -> Self {
        self.address = Some(address(text));
        self
    }

    fn gateway(mut self, value: &str) -> Self {
        self.gateway.push(value.to_owned());
        self
    }

    fn message(&self) -> CheckRequest {
        let headers = self.headers.iter();
        let mut request = HttpRequest { method: self.method.clone(), ..HttpRequest::default() };
        if self.is_raw {
            let raw = |(key, value): &(String, String)| HeaderValue {
                key: key.clone(),
                value: String::new(),
                raw_value: value.clone().into_bytes(),
            };
            request.header_map = Some(core::HeaderMap { headers: headers.map(raw).collect() });
        } else {
            request.headers = headers.cloned().collect();
        }
        let source = Peer { address: Some(core::Address { address: self.address.clone() }), ..Peer::default() };
        let attributes = AttributeContext {
            source: Some(source),
            request: Some(CheckedRequest { http: Some(request), ..CheckedRequest::default() }),
            context_extensions: self.extensions.clone(),
            ..AttributeContext::default()
        };
        CheckRequest { attributes: Some(attributes) }
    }

    fn call(&self) -> Request<CheckRequest> {
        let mut call = Request::new(self.message());
        for value in &self.gateway {
            call.metadata_mut().append("claviger-gateway", value.parse().expect("a value"));
        }
        call
    }
}

/// An answer, with what Envoy does with it.
#[derive(Debug)]
struct Answer {
    code: i32,
    /// 200 if the request is allowed.
    status: i32,
    /// For the API if the request is allowed, else for the visitor.
    headers: Vec<(String, String)>,
    removed: Vec<String>,
    /// For the visitor, if the request is allowed.
    added: Vec<(String, String)>,
    body: String,
    metadata: Value,
}

impl Answer {
    fn of(response: CheckResponse) -> Self {
        let code = response.status.expect("a status").code;
        let metadata = response.dynamic_metadata.map_or(Value::Null, |metadata| to_json(&metadata));
        match response.http_response.expect("a response") {
            HttpResponse::OkResponse(ok) => Self {
                code,
                status: 200,
                headers: pairs(ok.headers),
                removed: ok.headers_to_remove,
                added: pairs(ok.response_headers_to_add),
                body: String::new(),
                metadata,
            },
            HttpResponse::DeniedResponse(denied) => Self {
                code,
                status: denied.status.expect("a status").code,
                headers: pairs(denied.headers),
                removed: Vec::new(),
                added: Vec::new(),
                body: denied.body,
                metadata,
            },
            HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

/// The names and values of headers, each of which replaces what is there already.
fn pairs(options: Vec<HeaderValueOption>) -> Vec<(String, String)> {
    let pair = |option: HeaderValueOption| {
        assert_eq!(option.append_action, i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd));
        let header = option.header.expect("a header");
        assert!(!header.value.is_empty(), "Envoy ignores an empty {}", header.key);
        (header.key, header.value)
    };
    options.into_iter().map(pair).collect()
}

fn to_json(fields: &Struct) -> Value {
    fn value(kind: Option<&Kind>) -> Value {
        match kind {
            Some(Kind::StringValue(text)) => json!(text),
            Some(Kind::NumberValue(number)) => json!(number),
            Some(Kind::BoolValue(is)) => json!(is),
            Some(Kind::ListValue(list)) => list.values.iter().map(|item| value(item.kind.as_ref())).collect(),
            Some(Kind::StructValue(fields)) => to_json(fields),
            Some(Kind::NullValue(_)) | None => Value::Null,
        }
    }
    Value::Object(fields.fields.iter().map(|(name, one)| (name.clone(), value(one.kind.as_ref()))).collect())
}

#[track_caller]
fn assert_allowed(answer: &Answer) {
    assert_eq!((answer.code, answer.status), (0, 200), "{answer:?}");
    for name in IDENTITY {
        let (is_set, is_removed) = (!answer.header(name).is_empty(), answer.removed.iter().any(|own| own == name));
        assert!(is_set != is_removed, "{name} is set or removed: {answer:?}");
    }
    assert!(answer.removed.iter().any(|name| name == "claviger-gateway"), "{answer:?}");
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    let code = match status {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        429 => Code::ResourceExhausted,
        _ => Code::Unavailable,
    };
    assert_eq!((answer.code, answer.status), (code as i32, i32::from(status)), "{answer:?}");
    assert_eq!((answer.header("claviger-deny-reason"), answer.header("content-type")), (reason, "application/json"));
    assert_eq!((answer.header("cache-control"), &answer.metadata["deny_reason"]), ("no-store", &json!(reason)));
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    let expected = json!({
        "message": body["message"], "code": status, "reason": reason, "request_id": answer.header("x-request-id"),
    });
    assert_eq!(body, expected);
    assert!(answer.headers.iter().all(|(name, _)| !IDENTITY.contains(&name.as_str())), "{answer:?}");
    assert_eq!(!answer.header("www-authenticate").is_empty(), status == 401, "{answer:?}");
}

#[track_caller]
fn assert_misconfigured(answer: &Answer, mistake: &str) {
    assert_refused(answer, 403, "misconfigured");
    assert!(answer.header("claviger-misconfigured").contains(mistake), "{mistake}: {answer:?}");
}

/// A service that is asked over gRPC.
struct GrpcApp {
    app: TestApp,
    client: AuthorizationClient<Channel>,
}

impl GrpcApp {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let app = TestApp::start_with(|config| {
            config.ext_authz_listen = Some(([127, 0, 0, 1], 0).into());
            change(config);
        })
        .await;
        let client = client_of(app.ext_authz_address().expect("an address")).await;
        Self { app, client }
    }

    async fn try_check(&self, visit: &Visit) -> Result<Answer, Status> {
        let answered = within("an answer", self.client.clone().check(visit.call())).await;
        answered.map(|response| Answer::of(response.into_inner()))
    }

    async fn check(&self, visit: &Visit) -> Answer {
        self.try_check(visit).await.unwrap_or_else(|status| panic!("{status}"))
    }
}

async fn client_of(address: SocketAddr) -> AuthorizationClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).expect("a URL").connect().await;
    AuthorizationClient::new(channel.expect("a connection"))
}

/// A new key, as it is answered.
async fn created(tenant: &Tenant, body: Value) -> Value {
    let made = tenant.admin.post(&tenant.keys(), &body).await.json();
    assert!(made["key"].is_string(), "{made}");
    made
}
