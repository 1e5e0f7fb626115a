//! The messages of Envoy's filter `ext_authz` over gRPC (`envoy.service.auth.v3`): what a check says about a visitor's request, and an
//! answer as Envoy reads it. What a gateway requires is in the context extensions, which only the configuration of Envoy sets.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use domain::id::OrganizationId;
use envoy_types::{
    ext_authz::v3::{
        CheckRequestExt,
        pb::{
            CheckRequest, CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue as EnvoyHeader,
            HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
        },
    },
    pb::{
        envoy::service::auth::v3::attribute_context::HttpRequest,
        google::{
            protobuf::{ListValue, Struct, Value, value::Kind},
            rpc,
        },
    },
};
use percent_encoding::percent_decode;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tonic::Code;

use crate::{
    forward_auth::{
        Answer, VisitorRequest,
        answer::{
            EXTERNAL_ID, IDENTITY, KEY_ID, KEY_NAME, LIMIT, METADATA_TRUNCATED, ORG_EXTERNAL_ID, ORG_ID, PERMISSIONS,
            PERMISSIONS_TRUNCATED, RATE_LIMIT, RATE_LIMIT_POLICY, REMAINING, RESET, USER_ID,
        },
        gateway::{GATEWAY, GatewayHeader},
        mistakes::{self, Misconfigured},
        requirements::Requirements,
        target::parse_organization,
    },
    http::{
        api_error::ApiError,
        client_ip::{AddressSource, Client, ClientAddress, TrustedProxies},
    },
};

/// The path of the only method (gRPC over HTTP/2).
pub const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The context extension that has the id of the organization whose keys are accepted.
const ORG_ID_EXTENSION: &str = "org_id";

/// The text fields of the dynamic metadata, with the headers that have the same values.
static TEXT_FIELDS: [(&HeaderName, &str); 6] = [
    (&KEY_ID, "key_id"),
    (&KEY_NAME, "key_name"),
    (&ORG_ID, "org_id"),
    (&ORG_EXTERNAL_ID, "org_external_id"),
    (&USER_ID, "user_id"),
    (&EXTERNAL_ID, "external_id"),
];

/// A check: what Envoy says about the request of a visitor.
#[derive(Default)]
pub struct Check {
    /// `GET` if it has no request, or a method that HTTP does not allow.
    method: Method,
    headers: HeaderMap,
    /// The address of the other end of the visitor's connection, as Envoy writes it. `None`: it is not an IP address.
    source: Option<String>,
    extensions: HashMap<String, String>,
    has_request: bool,
}

impl Check {
    /// Reads a message.
    ///
    /// # Errors
    /// [`ApiError::MalformedRequest`]: there are more headers than a request of HTTP can have.
    pub fn read(message: CheckRequest) -> Result<Self, ApiError> {
        let source = message.get_client_address().cloned();
        let attributes = message.attributes.unwrap_or_default();
        let request = attributes.request.and_then(|request| request.http);
        let has_request = request.is_some();
        let request = request.unwrap_or_default();
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
        Ok(Self { method, headers: headers(request)?, source, extensions: attributes.context_extensions, has_request })
    }

    /// The request of the visitor.
    #[must_use]
    pub fn request(&self) -> VisitorRequest<'_> {
        VisitorRequest { method: &self.method, headers: &self.headers }
    }

    /// The visitor. `peer`: the address of Envoy.
    pub(super) fn client(&self, peer: IpAddr, proxies: &TrustedProxies) -> Client {
        let of_envoy = |source| Client { address: ClientAddress(peer.to_canonical()), source };
        let Some(text) = &self.source else { return of_envoy(AddressSource::Unreported) };
        let address = text.split('%').next().unwrap_or_default();
        address.parse().map_or_else(
            |_| of_envoy(AddressSource::UnreadableHeader),
            |address| proxies.reported_client(address, &self.headers),
        )
    }

    /// What is required. `header`: the header `Claviger-Gateway` of the call, which has the right secret.
    pub(super) fn requirements(
        &self,
        header: Option<GatewayHeader<'_>>,
    ) -> Result<(Option<OrganizationId>, Requirements), Misconfigured> {
        if !self.has_request {
            return Err(mistakes::NO_HTTP_REQUEST);
        }
        if header.is_some_and(GatewayHeader::has_requirements) {
            return Err(mistakes::REQUIREMENTS_IN_METADATA);
        }
        let organization = self.extensions.get(ORG_ID_EXTENSION).and_then(|text| parse_organization(text));
        let organization = organization.ok_or(mistakes::NO_ORG_ID)?;
        if organization.is_none() && header.is_none() {
            return Err(mistakes::ANY_WITHOUT_SECRET);
        }
        Ok((organization, Requirements::parse_extensions(&self.extensions, ORG_ID_EXTENSION)?))
    }
}

/// The headers of a request. Envoy sends them one by one if it is set to (`encode_raw_headers`), else with one value for each name. The
/// names of pseudo-headers such as `:path` are no names of headers, and are left out.
fn headers(request: HttpRequest) -> Result<HeaderMap, ApiError> {
    let raw = request.header_map.unwrap_or_default().headers.into_iter().map(|header| {
        let value = if header.raw_value.is_empty() { header.value.into_bytes() } else { header.raw_value };
        (header.key, value)
    });
    let joined = request.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in raw.chain(joined) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            // A value that HTTP does not allow cannot be a key, but the header is there.
            let value = HeaderValue::from_bytes(&value).unwrap_or(HeaderValue::from_static(""));
            let added = headers.try_append(name, value);
            added.map_err(|_| ApiError::MalformedRequest("The request has too many headers"))?;
        }
    }
    Ok(headers)
}

/// An answer to a check as a message.
#[must_use]
pub fn response(answer: Answer, check: &Check) -> CheckResponse {
    let code = match answer.status {
        StatusCode::OK => Code::Ok,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        _ => Code::Unavailable,
    };
    let dynamic_metadata = Some(dynamic_metadata(&answer)).filter(|metadata| !metadata.fields.is_empty());
    let http_response = if code == Code::Ok {
        HttpResponse::OkResponse(allowed(&answer.headers, check))
    } else {
        HttpResponse::DeniedResponse(denied(answer))
    };
    CheckResponse {
        status: Some(rpc::Status { code: code as i32, ..rpc::Status::default() }),
        dynamic_metadata,
        http_response: Some(http_response),
    }
}

/// The headers for the API and for the visitor. Identity headers without a value are removed, because Envoy does not replace a header
/// by an empty one; so are all others that a visitor may have forged.
fn allowed(headers: &HeaderMap, check: &Check) -> OkHttpResponse {
    let own: Vec<_> = headers.iter().filter(|(name, value)| is_own(name) && !value.is_empty()).collect();
    let kept: BTreeSet<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let known = IDENTITY.into_iter().chain([&PERMISSIONS_TRUNCATED, &METADATA_TRUNCATED, &GATEWAY]);
    let sent = check.headers.keys().filter(|name| is_own(name));
    let removed: BTreeSet<&str> = known.chain(sent).map(HeaderName::as_str).collect();
    let limits = [&RATE_LIMIT, &RATE_LIMIT_POLICY].into_iter();
    OkHttpResponse {
        headers: own.into_iter().map(|(name, value)| replacing(name, value)).collect(),
        headers_to_remove: removed.difference(&kept).map(|name| (*name).to_owned()).collect(),
        response_headers_to_add: limits
            .filter_map(|name| headers.get(name).map(|value| replacing(name, value)))
            .collect(),
        ..OkHttpResponse::default()
    }
}

fn denied(answer: Answer) -> DeniedHttpResponse {
    DeniedHttpResponse {
        status: Some(HttpStatus { code: answer.status.as_u16().into() }),
        headers: answer.headers.iter().map(|(name, value)| replacing(name, value)).collect(),
        body: String::from_utf8(answer.body).unwrap_or_default(),
    }
}

/// Whether only this service may set a header. Some APIs do not distinguish `_` from `-`.
fn is_own(name: &HeaderName) -> bool {
    name.as_str().replace('_', "-").starts_with("claviger-")
}

/// A header that replaces what the visitor or the API has sent. In a refusal, a name that is there twice is sent twice.
fn replacing(name: &HeaderName, value: &HeaderValue) -> HeaderValueOption {
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    HeaderValueOption {
        header: Some(EnvoyHeader { key: name.as_str().to_owned(), value, raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

/// What other filters and the access log of Envoy can use. It says the same as the headers, without their encoding.
fn dynamic_metadata(answer: &Answer) -> Struct {
    let mut fields = HashMap::new();
    let mut add = |name: &str, kind: Kind| fields.insert(name.to_owned(), Value { kind: Some(kind) });
    let header = |name: &HeaderName| answer.headers.get(name).filter(|value| !value.is_empty());
    for (name, field) in TEXT_FIELDS {
        if let Some(value) = header(name) {
            add(field, Kind::StringValue(percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned()));
        }
    }
    if header(&KEY_ID).is_some() {
        let permissions = header(&PERMISSIONS).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let values = permissions.split_ascii_whitespace();
        let values = values.map(|one| Value { kind: Some(Kind::StringValue(one.to_owned())) }).collect();
        add("permissions", Kind::ListValue(ListValue { values }));
    }
    if header(&PERMISSIONS_TRUNCATED).is_some() {
        add("permissions_truncated", Kind::BoolValue(true));
    }
    if let Some(reason) = answer.cause {
        add("deny_reason", Kind::StringValue(reason.to_owned()));
    }
    if let Some((key, organization)) = answer.key {
        add("key_id", Kind::StringValue(key.to_string()));
        add("org_id", Kind::StringValue(organization.to_string()));
    }
    let limits = [(&LIMIT, "limit"), (&REMAINING, "remaining"), (&RESET, "reset")].into_iter();
    let limits = limits.filter_map(|(name, field)| {
        let number = header(name)?.to_str().ok()?.parse().ok()?;
        Some((field.to_owned(), Value { kind: Some(Kind::NumberValue(number)) }))
    });
    let limits = Struct { fields: limits.collect() };
    if !limits.fields.is_empty() {
        add("rate_limit", Kind::StructValue(limits));
    }
    Struct { fields }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::HeaderMap as EnvoyHeaders;

    use super::*;

    fn header(key: &str, value: &str, raw_value: &[u8]) -> EnvoyHeader {
        EnvoyHeader { key: key.to_owned(), value: value.to_owned(), raw_value: raw_value.to_vec() }
    }

    #[test]
    fn headers_are_read_from_both_forms() {
        let request = HttpRequest {
            headers: HashMap::from([
                (":path".to_owned(), "/x".to_owned()),
                ("x-api-key".to_owned(), "k".to_owned()),
                ("x-other".to_owned(), "a\nb".to_owned()),
            ]),
            header_map: Some(EnvoyHeaders {
                headers: vec![
                    header(":method", "GET", b""),
                    header("Authorization", "", b"Bearer \xff"),
                    header("cookie", "a=b", b""),
                    header("cookie", "c=d", b""),
                ],
            }),
            ..HttpRequest::default()
        };
        let headers = headers(request).expect("headers");
        let all = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        assert_eq!(all("authorization"), [b"Bearer \xff"]);
        assert_eq!(all("cookie"), [b"a=b", b"c=d"]);
        assert_eq!((all("x-api-key"), all("x-other")), (vec![&b"k"[..]], vec![&b""[..]]));
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn too_many_headers_are_refused() {
        let many = (0..40_000).map(|number| header(&format!("x{number}"), "", b"")).collect();
        let request = HttpRequest { header_map: Some(EnvoyHeaders { headers: many }), ..HttpRequest::default() };
        assert!(matches!(headers(request), Err(ApiError::MalformedRequest(_))));
    }
}
