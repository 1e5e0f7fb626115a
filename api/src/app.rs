//! Services → endpoint: every path of the service.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get};
use poem_openapi::{LicenseObject, OpenApiService, ServerObject};

use crate::{
    body_budget::BodyBudget,
    compose::Services,
    config::{self, Config, MetricsAt},
    contract::{
        athena::{self, Athena},
        livekit::{LiveKit, SignUp},
        locktera::{
            self, AllKeys, Audit, Bulk, Import, Members, OneKey, Organizations, Rotations, Session, Sets, Tokens,
            Usage, Verify,
        },
    },
    dashboard::{AtRoot, Dashboard},
    docs::{Document, Reference},
    edge::Edge,
    gate::Gate,
    health::{Live, Ready},
    hot::Hot,
    jwt::{keyring::Keyring, outside::Outside, revoked::RevokedList},
    limiter::Limiter,
    methods::Methods,
    metrics::Page,
    once::Repeats,
    refused::RefusedChanges,
    request_id::RequestIds,
    verifier::Outcomes,
};

/// All operations.
type Api = (
    AllKeys,
    Audit,
    Bulk,
    Import,
    OneKey,
    Rotations,
    Organizations,
    Members,
    Sets,
    Session,
    Tokens,
    Usage,
    Verify,
    LiveKit,
    Athena,
);

fn gate(services: &Services, config: &Config, keyring: Option<Arc<Keyring>>) -> Arc<Gate> {
    Arc::new(Gate {
        keys: services.keys.clone(),
        people: services.people.clone(),
        outside: Outside::new(config.providers.clone(), services.clock.clone()),
        sessions: services.sessions.clone(),
        keyring,
        clock: services.clock.clone(),
        rate: services.rate.clone(),
        repeats: Repeats { stored: services.repeats.clone(), clock: services.clock.clone() },
        lists: services.lists.clone(),
        failures: Limiter::new(config.auth_failure_rate),
        own_origin: config.public_origin.clone(),
    })
}

fn service(services: &Services, config: &Config, gate: Arc<Gate>) -> OpenApiService<Api, ()> {
    let bulk = Bulk { gate: gate.clone(), keys: services.keys.clone() };
    let all_keys = AllKeys { gate: gate.clone(), keys: services.keys.clone() };
    let audit = Audit { gate: gate.clone(), log: services.audit.clone() };
    let usage = Usage { gate: gate.clone(), keys: services.keys.clone() };
    let import = Import { gate: gate.clone(), keys: services.keys.clone() };
    let one_key = OneKey { gate: gate.clone(), keys: services.keys.clone() };
    let rotations = Rotations { gate: gate.clone(), keys: services.keys.clone() };
    let session = Session {
        gate: gate.clone(),
        sessions: services.sessions.clone(),
        keys: services.keys.clone(),
        people: services.people.clone(),
        keyring: gate.keyring.clone(),
        is_secure: locktera::needs_https(&config.public_origin),
    };
    let tokens = Tokens {
        gate: gate.clone(),
        tokens: services.tokens.clone(),
        keyring: gate.keyring.clone(),
        list: RevokedList::default(),
        clock: services.clock.clone(),
    };
    let (keys, organizations) = (services.keys.clone(), services.organizations.clone());
    let members = Members {
        gate: gate.clone(),
        keys: keys.clone(),
        people: services.people.clone(),
        organizations: organizations.clone(),
    };
    let sets = Sets { gate: gate.clone(), keys: keys.clone(), organizations: organizations.clone() };
    let organizations = Organizations { gate: gate.clone(), keys, organizations };
    let verify = Verify { gate: gate.clone(), verifier: services.native.clone(), keys: services.keys.clone() };
    let athena = Athena { gate: gate.clone(), keys: services.keys.clone(), verifier: services.athena.clone() };
    let livekit = LiveKit {
        gate,
        keys: services.keys.clone(),
        enroll: services.enroll.clone(),
        who: match config.sign_up {
            config::SignUp::Open => SignUp::Open(Limiter::new(config.sign_up_rate)),
            config::SignUp::Closed => SignUp::Closed,
        },
        clock: services.clock.clone(),
        checks: Outcomes::new(&services.metrics, "livekit"),
        metrics: services.metrics.clone(),
    };
    let api = (
        all_keys,
        audit,
        bulk,
        import,
        one_key,
        rotations,
        organizations,
        members,
        sets,
        session,
        tokens,
        usage,
        verify,
        livekit,
        athena,
    );
    OpenApiService::new(api, "Claviger", env!("CARGO_PKG_VERSION"))
        .description("API keys that a company can run itself: organizations own keys, services verify them.")
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server(ServerObject::new("/").description("This service."))
}

/// The OpenAPI document, as `/openapi.json` answers it.
#[must_use]
pub fn document(services: &Services, config: &Config) -> String {
    service(services, config, gate(services, config, None)).spec()
}

/// The whole service.
#[must_use]
pub fn edge(
    services: &Services,
    config: &Config,
    keyring: Option<Arc<Keyring>>,
) -> Edge<impl Endpoint<Output = Response> + 'static> {
    let gate = gate(services, config, keyring);
    let service = service(services, config, gate.clone());
    let document = Document::new(service.spec());
    let reference = Reference::new(service.swagger_ui_html().replacen("<title>Swagger UI", "<title>Claviger", 1));
    let dashboard = config.dashboard.then(|| Arc::new(Dashboard::new()));
    let routes = Route::new()
        .at("/health/live", get(Live))
        .at("/health/ready", get(Ready(services.readiness.clone())))
        .at("/openapi.json", get(document))
        .at("/docs", get(reference))
        .nest_no_strip("/", AtRoot { page: dashboard.clone().map(get), inner: service.into_endpoint() });
    let assets = dashboard.iter().flat_map(|dashboard| dashboard.paths().map(|path| (path, get(dashboard.clone()))));
    let routes = assets.fold(routes, |routes, (path, asset)| routes.at(path, asset));
    let routes = if config.metrics == MetricsAt::Service {
        routes.at("/metrics", get(Page::local(services.metrics.clone())))
    } else {
        routes
    };
    let contracts = vec![(locktera::HOT, services.native.clone()), (athena::HOT, services.athena.clone())];
    let bodies = Arc::new(BodyBudget::new(config.body_budget));
    let hot = Hot::new(gate, bodies.clone(), &services.metrics, contracts);
    around(services, config, Some(hot), bodies, Methods::of::<Api>(), routes)
}

/// The figures alone, for an address of their own.
#[must_use]
pub fn metrics(services: &Services, config: &Config) -> Edge<impl Endpoint<Output = Response> + 'static> {
    let routes = Route::new().at("/metrics", get(Page::new(services.metrics.clone())));
    let bodies = Arc::new(BodyBudget::new(config.body_budget));
    around(services, config, None, bodies, Methods::default(), routes)
}

fn around(
    services: &Services,
    config: &Config,
    hot: Option<Hot>,
    bodies: Arc<BodyBudget>,
    methods: Methods,
    routes: Route,
) -> Edge<impl Endpoint<Output = Response> + 'static> {
    Edge {
        hot,
        bodies,
        inner: routes.map_to_response(),
        proxies: config.trusted_proxies.clone(),
        time_limit: config.request_timeout,
        methods,
        request_ids: RequestIds::new(&*services.entropy),
        metrics: services.metrics.clone(),
        refused: Some(RefusedChanges { log: services.log.clone(), clock: services.clock.clone() }),
        readiness: services.readiness.clone(),
    }
}
