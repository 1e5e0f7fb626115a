//! Builds the HTTP endpoint of the service: all routes, inside the request pipeline.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get};
use poem_openapi::{LicenseObject, OpenApiService, ServerObject};

use crate::{
    auth::{
        attempts::{AttemptKind, AttemptLimit},
        audit_denials::DeniedChanges,
        authenticator::Authenticator,
        authorized::AccessControl,
        jwt::{keyring::Keyring, revoked::RevokedList},
        sign_in::attempt::EndedSignIns,
        sign_up_gate::SignUpGate,
    },
    compat::{
        athena::{self, Athena},
        livekit::LiveKit,
        oauth::OAuth,
    },
    compose::Services,
    config::{Config, MetricsAt},
    dashboard::{AtRoot, Dashboard, portal_page::PortalPage},
    forward_auth::{ForwardAuth, Transport},
    http::{
        body::budget::BodyBudget,
        health::{Live, Ready},
        operations::Operations,
        origin::{PublicUrl, PublicUrls, base_path::BasePath, cors::Cors},
        request_id::RequestIds,
    },
    idempotency::IdempotencyService,
    metrics::MetricsEndpoint,
    openapi::{
        self,
        docs::{OpenApiDocument, ReferencePage},
    },
    routes::{
        self, AuditRoutes, BeginSignIn, Ceremonies, FinishSignIn, InvitationRoutes, KeyPolicyRoutes, KeyRoutes,
        MemberRoutes, OrganizationRoutes, PasskeyRoutes, PermissionSetRoutes, PortalCustomerRoutes, PortalRoutes,
        SecretRoutes, SessionCookies, SessionRoutes, SignInRedirects, SignInRoutes, TokenRoutes, TrustRuleRoutes,
        UsageRoutes, UserRoutes, VerifyRoutes,
    },
    server::pipeline::Pipeline,
    token_issuer::TokenIssuer,
    verifier::VerifyCounters,
    verify_fast_path::FastRoutes,
};

/// The operations of all contracts, which are in one OpenAPI document.
type Api = (
    (KeyRoutes, UsageRoutes),
    SecretRoutes,
    AuditRoutes,
    (OrganizationRoutes, KeyPolicyRoutes),
    MemberRoutes,
    InvitationRoutes,
    PermissionSetRoutes,
    (TrustRuleRoutes, PortalRoutes, PortalCustomerRoutes),
    SessionRoutes,
    (SignInRoutes, PasskeyRoutes),
    TokenRoutes,
    UserRoutes,
    VerifyRoutes,
    OAuth,
    LiveKit,
    Athena,
);

/// The operations to sign in, and those on passkeys.
fn people(
    services: &Services,
    config: &Config,
    authenticator: &Arc<Authenticator>,
    cookies: SessionCookies,
    sign_up: Arc<SignUpGate>,
) -> (SignInRoutes, PasskeyRoutes) {
    let ceremonies = Arc::new(Ceremonies {
        public_url: config.public_url.clone(),
        keyring: cookies.keyring.clone(),
        clock: services.clock.clone(),
    });
    let sign_in = SignInRoutes {
        providers: services.sign_in.clone(),
        is_possible: cookies.keyring.is_some() && config.dashboard,
        ceremonies: ceremonies.clone(),
        sign_up: sign_up.clone(),
    };
    let passkeys = PasskeyRoutes {
        authenticator: authenticator.clone(),
        authorizer: services.authorizer.clone(),
        passkeys: services.passkeys.clone(),
        ceremonies,
        cookies,
        sign_up,
    };
    (sign_in, passkeys)
}

fn sign_up_gate(services: &Services, config: &Config) -> SignUpGate {
    let limit = || AttemptLimit::new(config.sign_up_rate, AttemptKind::SignUp, &services.metrics);
    SignUpGate { limit: config.is_sign_up_open().then(limit), metrics: services.metrics.clone() }
}

fn service(services: &Services, config: &Config, authenticator: Arc<Authenticator>) -> OpenApiService<Api, ()> {
    let (authorizer, lists) = (services.authorizer.clone(), services.lists.clone());
    let (keys, organizations) = (services.keys.clone(), services.organizations.clone());
    let (federation, sessions) = (services.federation.clone(), services.sessions.clone());
    let keyring = authenticator.keyring.clone();
    let sign_up_gate = Arc::new(sign_up_gate(services, config));
    let cookies = SessionCookies { sessions: sessions.clone(), keyring: keyring.clone() };
    let issuer = Arc::new(TokenIssuer {
        tokens: services.tokens.clone(),
        workloads: services.workloads.clone(),
        keyring,
        clock: services.clock.clone(),
    });
    let api = (
        (
            KeyRoutes { keys: keys.clone(), lists: lists.clone() },
            UsageRoutes { keys: keys.clone(), lists: lists.clone() },
        ),
        SecretRoutes { keys: keys.clone() },
        AuditRoutes {
            authenticator: authenticator.clone(),
            authorizer: authorizer.clone(),
            log: services.audit.clone(),
            lists: lists.clone(),
        },
        (
            OrganizationRoutes {
                authenticator: authenticator.clone(),
                authorizer: authorizer.clone(),
                organizations: organizations.clone(),
                lists: lists.clone(),
            },
            KeyPolicyRoutes { keys: keys.clone(), lists: lists.clone() },
        ),
        MemberRoutes {
            federation: federation.clone(),
            organizations: organizations.clone(),
            sessions: sessions.clone(),
            lists: lists.clone(),
        },
        InvitationRoutes {
            authenticator: authenticator.clone(),
            authorizer: authorizer.clone(),
            invitations: services.invitations.clone(),
            lists: lists.clone(),
            has_dashboard: config.dashboard,
        },
        PermissionSetRoutes { keys: keys.clone(), organizations: organizations.clone(), lists: lists.clone() },
        (
            TrustRuleRoutes {
                federation: federation.clone(),
                rules: services.trust_rules.clone(),
                lists: lists.clone(),
            },
            PortalRoutes { portal: services.portal.clone(), lists: lists.clone(), has_dashboard: config.dashboard },
            PortalCustomerRoutes {
                authenticator: authenticator.clone(),
                portal: services.portal.clone(),
                lists: lists.clone(),
            },
        ),
        SessionRoutes {
            authenticator: authenticator.clone(),
            authorizer: authorizer.clone(),
            sessions,
            cookies: cookies.clone(),
            keys: keys.clone(),
            federation: federation.clone(),
            lists: lists.clone(),
            providers: services.sign_in.clone(),
        },
        people(services, config, &authenticator, cookies, sign_up_gate.clone()),
        TokenRoutes {
            authenticator: authenticator.clone(),
            authorizer: authorizer.clone(),
            issuer: issuer.clone(),
            revoked_list: RevokedList::new(config.bounds.listed_token_groups),
        },
        UserRoutes { federation, organizations, lists: lists.clone() },
        VerifyRoutes { authenticator: authenticator.clone(), verifier: services.native.clone() },
        OAuth {
            authenticator: authenticator.clone(),
            authorizer: authorizer.clone(),
            verifier: services.introspection.clone(),
            issuer,
        },
        LiveKit {
            authenticator: authenticator.clone(),
            keys: keys.clone(),
            sign_up: services.sign_up.clone(),
            sign_up_gate,
            checks: VerifyCounters::new(&services.metrics, "livekit"),
        },
        Athena { authenticator, authorizer, keys, verifier: services.athena.clone(), lists },
    );
    let path = base_path(config);
    let base_path = if path.is_empty() { "/" } else { path };
    OpenApiService::new(api, "Claviger", env!("CARGO_PKG_VERSION"))
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server(ServerObject::new(base_path).description("This service."))
}

/// The path below which clients reach the service. Empty: the root.
fn base_path(config: &Config) -> &str {
    config.public_url.as_ref().map(PublicUrl::base_path).unwrap_or_default()
}

/// The OpenAPI document as JSON, the same that `GET /openapi.json` returns.
#[must_use]
pub fn document(services: &Services, config: &Config) -> String {
    openapi::complete(&service(services, config, authenticator(services, config, None)).spec())
}

/// The authenticator of all addresses: it counts failed attempts.
#[must_use]
pub fn authenticator(services: &Services, config: &Config, keyring: Option<Arc<Keyring>>) -> Arc<Authenticator> {
    Arc::new(Authenticator {
        keys: services.key_authenticator.clone(),
        federation: services.federation.clone(),
        provider_tokens: services.provider_tokens.clone(),
        sessions: services.sessions.clone(),
        keyring,
        failures: AttemptLimit::new(config.auth_failure_rate, AttemptKind::Authentication, &services.metrics),
    })
}

/// The endpoint of the service: all operations, health checks and documentation, and by the settings the dashboard,
/// `GET /metrics` and forward-auth. Without a keyring, sessions and tokens are disabled.
#[must_use]
pub fn pipeline(
    services: &Services,
    config: &Config,
    authenticator: &Arc<Authenticator>,
) -> Pipeline<impl Endpoint<Output = Response> + 'static> {
    let service = service(services, config, authenticator.clone());
    let derived = service.spec();
    let document = openapi::complete(&derived);
    let page = service.swagger_ui_html().replacen("<title>Swagger UI", "<title>Claviger", 1);
    let reference = ReferencePage::new(page.replacen(&derived, &document, 1));
    let document = OpenApiDocument::new(document);
    let access = AccessControl {
        authenticator: authenticator.clone(),
        authorizer: services.authorizer.clone(),
        portal: services.portal.clone(),
    };
    let idempotency = IdempotencyService { records: services.idempotency.clone(), clock: services.clock.clone() };
    let urls = Arc::new(PublicUrls::new(config.public_url.clone(), config.trusted_proxies.clone()));
    let operations = service.into_endpoint().data(Arc::new(access)).data(Arc::new(idempotency)).data(urls.clone());
    let dashboard = config.dashboard.then(|| Arc::new(Dashboard::new(base_path(config))));
    let routes = health(services)
        .at("/openapi.json", get(document))
        .at("/docs", get(reference))
        .nest_no_strip("/", AtRoot { page: dashboard.clone().map(get), inner: operations });
    let assets = dashboard.iter().flat_map(|dashboard| dashboard.paths().map(|path| (path, get(dashboard.clone()))));
    let routes = assets.fold(routes, |routes, (path, asset)| routes.at(path, asset));
    let portal = dashboard.map(|dashboard| {
        get(PortalPage::new(dashboard, services.portal.clone(), &services.metrics).data(urls.clone()))
    });
    let routes = portal.into_iter().fold(routes, |routes, page| routes.at("/portal", page));
    let routes = if config.dashboard { sign_in(services, authenticator, &urls, routes) } else { routes };
    let routes = if config.metrics == MetricsAt::Service {
        routes.at("/metrics", get(MetricsEndpoint::local(services.metrics.clone())))
    } else {
        routes
    };
    let contracts =
        vec![(routes::FAST_VERIFY, services.native.clone()), (athena::FAST_VERIFY, services.athena.clone())];
    let bodies = Arc::new(BodyBudget::new(config.body_budget));
    let fast_routes = FastRoutes::new(authenticator.clone(), bodies.clone(), &services.metrics, contracts);
    let operations = Operations::of::<Api>();
    let is_forward_auth_here = config.forward_auth && config.forward_auth_address().is_none();
    Pipeline {
        forward_auth: is_forward_auth_here.then(|| gateways(Transport::Http, services, config, authenticator)),
        base_path: BasePath::new(base_path(config), &operations),
        cors: Cors::new(&config.cors_origins),
        ..build_pipeline(services, config, Some(fast_routes), bodies, operations, routes)
    }
}

/// The routes with the redirects of a sign-in at a provider.
fn sign_in(services: &Services, authenticator: &Arc<Authenticator>, urls: &Arc<PublicUrls>, routes: Route) -> Route {
    let redirects = Arc::new(SignInRedirects {
        providers: services.sign_in.clone(),
        authenticator: authenticator.clone(),
        authorizer: services.authorizer.clone(),
        invitations: services.invitations.clone(),
        cookies: SessionCookies { sessions: services.sessions.clone(), keyring: authenticator.keyring.clone() },
        clock: services.clock.clone(),
        ended: EndedSignIns::default(),
    });
    routes
        .at("/sign_in/:provider_id", get(BeginSignIn(redirects.clone()).data(urls.clone())))
        .at("/sign_in/:provider_id/callback", get(FinishSignIn(redirects).data(urls.clone())))
}

/// The endpoint for the separate address of the metrics: `GET /metrics` only.
#[must_use]
pub fn metrics(services: &Services, config: &Config) -> Pipeline<impl Endpoint<Output = Response> + 'static> {
    let routes = Route::new().at("/metrics", get(MetricsEndpoint::new(services.metrics.clone())));
    let bodies = Arc::new(BodyBudget::new(config.body_budget));
    build_pipeline(services, config, None, bodies, Operations::default(), routes)
}

/// The endpoint for a separate address of forward-auth: the requests of gateways that ask in this way, and the health checks.
#[must_use]
pub fn forward_auth(
    transport: Transport,
    services: &Services,
    config: &Config,
    authenticator: &Arc<Authenticator>,
) -> Pipeline<impl Endpoint<Output = Response> + 'static> {
    let bodies = Arc::new(BodyBudget::new(config.body_budget));
    Pipeline {
        forward_auth: Some(gateways(transport, services, config, authenticator)),
        ..build_pipeline(services, config, None, bodies, Operations::default(), health(services))
    }
}

fn gateways(
    transport: Transport,
    services: &Services,
    config: &Config,
    authenticator: &Arc<Authenticator>,
) -> ForwardAuth {
    let (secret, verifier) = (config.forward_auth_secret.clone(), services.forward_auth.clone());
    ForwardAuth::new(transport, secret, authenticator.clone(), verifier, &services.metrics)
}

/// The health checks.
fn health(services: &Services) -> Route {
    let ready = Ready { readiness: services.readiness.clone(), draining: services.draining.clone() };
    Route::new().at("/health/live", get(Live)).at("/health/ready", get(ready))
}

fn build_pipeline(
    services: &Services,
    config: &Config,
    fast_routes: Option<FastRoutes>,
    bodies: Arc<BodyBudget>,
    operations: Operations,
    routes: Route,
) -> Pipeline<impl Endpoint<Output = Response> + 'static> {
    Pipeline {
        fast_routes,
        forward_auth: None,
        bodies,
        inner: routes.map_to_response(),
        proxies: config.trusted_proxies.clone(),
        time_limit: config.request_timeout,
        operations: Arc::new(operations),
        request_ids: RequestIds::new(&*services.entropy),
        metrics: services.metrics.clone(),
        denied_changes: Some(DeniedChanges { log: services.log.clone(), clock: services.clock.clone() }),
        readiness: services.readiness.clone(),
        base_path: None,
        cors: None,
    }
}
