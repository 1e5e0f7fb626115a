//! Forward-auth: a gateway in front of an API (nginx `auth_request`, Caddy `forward_auth`, Traefik `ForwardAuth`, Envoy …) asks for
//! each request of a visitor whether it is allowed. The status of the answer says so, and its headers say who the visitor is.
//!
//! These requests have any method, and with some gateways the visitor's path and query. So they are answered here, by
//! [`crate::server::pipeline`], before the framework's routing; there is one path, also for keys that are cached.
//!
//! What a gateway gets wrong is refused with 403: an answer with 200 would let everybody in, and one with 500 would hide the reason.
//!
//! Envoy can also ask over gRPC: [`ext_authz`] reads and writes its messages, and the decision is the same.

mod answer;
mod credential;
pub mod ext_authz;
mod gateway;
mod mistakes;
mod requirements;
mod target;

use std::{net::IpAddr, sync::Arc, time::Duration};

use domain::{
    deny_reason::DenyReason,
    id::OrganizationId,
    verify::{
        Requester, VerifyRequest,
        result::{Valid, Verdict},
    },
};
use poem::http::{HeaderMap, Method, request::Parts};
use prometheus::{Histogram, IntCounter};

pub use crate::forward_auth::{answer::Answer, gateway::GatewaySecret, target::is_of_gateway};
use crate::{
    auth::authenticator::Authenticator,
    forward_auth::{
        credential::Credential,
        ext_authz::Check,
        gateway::GatewayHeader,
        mistakes::{Misconfigured, MistakeReports},
        requirements::Requirements,
        target::Target,
    },
    http::{
        api_error::ApiError,
        client_ip::{Client, RequestSource, TrustedProxies},
    },
    metrics::Metrics,
    verifier::Verifier,
};

/// How gateways ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// With requests to `/forward-auth`.
    Http,
    /// With checks of Envoy.
    Grpc,
}

impl Transport {
    /// The operation id, in metrics and the log.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Http => "forwardAuth",
            Self::Grpc => "extAuthz",
        }
    }
}

/// Answers the requests of gateways.
pub struct ForwardAuth {
    /// How gateways ask.
    pub transport: Transport,
    /// The secret that every request must have. `None`: the setting is not set.
    secret: Option<GatewaySecret>,
    authenticator: Arc<Authenticator>,
    verifier: Arc<Verifier>,
    mistakes: MistakeReports,
    allowed: IntCounter,
    seconds: Histogram,
}

/// The request of a visitor, as the gateway reports it.
#[derive(Clone, Copy)]
pub struct VisitorRequest<'a> {
    /// The method of the gateway's request, or with gRPC that of the visitor.
    pub method: &'a Method,
    /// The headers, as far as the gateway sends them.
    pub headers: &'a HeaderMap,
}

/// A request of a gateway.
pub struct Question {
    /// The visitor.
    pub client: Client,
    /// What the gateway requires.
    asked: Result<(Option<OrganizationId>, Requirements), Misconfigured>,
    /// Whether the answer may say what is configured wrongly: to a client on this machine, and to one with the right secret.
    shows_mistakes: bool,
}

/// Whether a visitor's request is allowed.
enum Decision {
    /// It needs no key.
    Anonymous,
    /// Its key is valid.
    Allowed(Box<Valid>),
    /// It has no key.
    MissingCredential,
    /// It has several keys.
    SeveralCredentials,
    /// Its key is not valid, or not for this request.
    Denied(DenyReason, Option<Arc<domain::verify::cached_key::CachedKey>>),
}

impl ForwardAuth {
    /// `secret`: what every request must have in `Claviger-Gateway`. `None`: no request may have this header.
    #[must_use]
    pub fn new(
        transport: Transport,
        secret: Option<GatewaySecret>,
        authenticator: Arc<Authenticator>,
        verifier: Arc<Verifier>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            transport,
            secret,
            authenticator,
            verifier,
            mistakes: MistakeReports::new(metrics.misconfigured_forward_auth.clone()),
            allowed: metrics.request_counter(transport.operation(), 200),
            seconds: metrics.duration_histogram(transport.operation()),
        }
    }

    /// Reads a request of a gateway. `peer`: the IP address of the other end of the connection.
    #[must_use]
    pub fn read(&self, head: &Parts, peer: IpAddr, proxies: &TrustedProxies) -> Question {
        let gateway = gateway::authenticate(self.secret.as_ref(), &head.headers);
        let has_secret = matches!(gateway, Ok(Some(_)));
        let client = if has_secret {
            proxies.forwarded_client(peer, &head.headers)
        } else {
            proxies.client(peer, &head.headers)
        };
        let asked = gateway.and_then(|header| asked(head, header, client));
        Question { client, asked, shows_mistakes: shows_mistakes(has_secret, peer) }
    }

    /// Reads a message of Envoy. `metadata`: that of the call, where Envoy sends the header `Claviger-Gateway`. `peer`: the IP
    /// address of the other end of the connection.
    #[must_use]
    pub fn read_check(&self, metadata: &HeaderMap, check: &Check, peer: IpAddr, proxies: &TrustedProxies) -> Question {
        let gateway = gateway::authenticate(self.secret.as_ref(), metadata);
        let has_secret = matches!(gateway, Ok(Some(_)));
        // Every message has an address and requirements, which must be those of a gateway.
        let is_trusted = has_secret || proxies.contains(peer.to_canonical());
        let asked = gateway
            .and_then(|header| if is_trusted { check.requirements(header) } else { Err(mistakes::UNTRUSTED_GATEWAY) });
        Question { client: check.client(peer, proxies), asked, shows_mistakes: shows_mistakes(has_secret, peer) }
    }

    /// Decides about a request of a gateway. A use of a valid key is counted.
    ///
    /// # Errors
    /// The database is unavailable, or the network of the visitor failed too often.
    pub async fn answer(
        &self,
        question: &Question,
        request: VisitorRequest<'_>,
        request_id: &str,
    ) -> Result<Answer, ApiError> {
        let (organization, requirements) = match &question.asked {
            Ok(asked) => asked,
            Err(mistake) => {
                self.mistakes.report(*mistake);
                return Ok(answer::misconfigured(*mistake, question.shows_mistakes, request_id));
            }
        };
        Ok(match self.decide(*organization, requirements, question.client, request).await? {
            Decision::Anonymous => answer::anonymous(),
            Decision::Allowed(valid) => answer::allowed(&valid, requirements),
            Decision::MissingCredential => answer::missing_credential(requirements, request_id),
            Decision::SeveralCredentials => answer::several_credentials(requirements, request_id),
            Decision::Denied(reason, key) => answer::denied(reason, key.as_deref(), requirements, request_id),
        })
    }

    /// The answer to a request that could not be decided.
    #[must_use]
    pub fn fail(&self, question: &Question, failure: &ApiError, request_id: &str) -> Answer {
        answer::failed(failure, question.asked.as_ref().ok().map(|(_, requirements)| requirements), request_id)
    }

    /// Counts an answer that allows a request, with its duration.
    pub fn count_allowed(&self, took: Duration) {
        self.allowed.inc();
        self.seconds.observe(took.as_secs_f64());
    }

    async fn decide(
        &self,
        organization: Option<OrganizationId>,
        requirements: &Requirements,
        client: Client,
        request: VisitorRequest<'_>,
    ) -> Result<Decision, ApiError> {
        if requirements.allow_anonymous_options && is_options(request, requirements) {
            return Ok(Decision::Anonymous);
        }
        let credential = credential::read(request.headers, requirements);
        let secret = match &credential {
            Credential::Missing => return Ok(Decision::MissingCredential),
            Credential::Malformed | Credential::Several => None,
            Credential::Key(secret) => Some(&**secret),
        };
        // The address of the gateway does not stand for a visitor: otherwise one of them could lock out all others.
        let from = client.known_address();
        let source = from.map(|address| RequestSource { address, is_behind_untrusted_proxy: false });
        if source.is_none() {
            self.mistakes.report(mistakes::NO_ADDRESS);
        }
        let failures = &self.authenticator.failures;
        if let Some(source) = &source {
            let is_cached = || secret.is_some_and(|secret| self.authenticator.keys.is_cached(secret));
            failures.require_unless(source, is_cached)?;
        }
        let verdict = match secret {
            Some(secret) => {
                let verify = VerifyRequest {
                    secret,
                    permissions: &requirements.permissions,
                    any_permission: &requirements.any_permission,
                    organization,
                    from: from.map(|address| address.0),
                    cost: requirements.cost,
                };
                self.verifier.verify(Requester::Gateway, verify).await?
            }
            None => Verdict::Denied { deny_reason: DenyReason::InvalidApiKey, key: None },
        };
        match verdict {
            Verdict::Valid(valid) => Ok(Decision::Allowed(Box::new(valid))),
            Verdict::Denied { deny_reason, key } => {
                if let Some(source) = &source
                    && is_failed_authentication(deny_reason)
                {
                    failures.count(source)?;
                }
                Ok(match credential {
                    Credential::Several => Decision::SeveralCredentials,
                    _ => Decision::Denied(deny_reason, key),
                })
            }
        }
    }
}

/// Whether a gateway may know what is configured wrongly: one with the right secret, and one on this machine.
fn shows_mistakes(has_secret: bool, peer: IpAddr) -> bool {
    has_secret || peer.to_canonical().is_loopback()
}

/// What a gateway asks for. `header`: its header `Claviger-Gateway`, which has the right secret.
fn asked(
    head: &Parts,
    header: Option<GatewayHeader<'_>>,
    client: Client,
) -> Result<(Option<OrganizationId>, Requirements), Misconfigured> {
    if client.is_behind_untrusted_proxy(&head.headers) {
        return Err(mistakes::UNTRUSTED_PROXY);
    }
    let target = Target::parse(head.uri.path())?;
    if target.organization.is_none() && header.is_none() {
        return Err(mistakes::ANY_WITHOUT_SECRET);
    }
    let query = head.uri.query().unwrap_or_default();
    let requirements = match header {
        Some(header) if header.has_requirements() => {
            if target.is_exact && !query.is_empty() {
                return Err(mistakes::REQUIREMENTS_TWICE);
            }
            header.requirements()?
        }
        // With a trailing path, the query is the visitor's.
        Some(_) if !target.is_exact => Requirements::default(),
        None if !target.is_exact => return Err(mistakes::PATH_WITHOUT_HEADER),
        Some(_) | None => Requirements::parse(query)?,
    };
    Ok((target.organization, requirements))
}

/// Whether the visitor's method is `OPTIONS`. A repeated or missing header is another method.
fn is_options(request: VisitorRequest<'_>, requirements: &Requirements) -> bool {
    let Some(name) = &requirements.method_header else { return *request.method == Method::OPTIONS };
    let mut values = request.headers.get_all(name).iter();
    values.next().is_some_and(|value| value.as_bytes() == Method::OPTIONS.as_str().as_bytes())
        && values.next().is_none()
}

/// Whether a denied key counts as a failed attempt of the visitor's network, as it does where keys authenticate callers.
fn is_failed_authentication(reason: DenyReason) -> bool {
    match reason {
        DenyReason::InvalidApiKey
        | DenyReason::OrganizationSuspended
        | DenyReason::KeyDisabled
        | DenyReason::KeyNotYetValid
        | DenyReason::KeyExpired
        | DenyReason::AddressNotAllowed => true,
        DenyReason::InsufficientPermissions | DenyReason::UsageExceeded { .. } | DenyReason::RateLimited { .. } => {
            false
        }
    }
}
