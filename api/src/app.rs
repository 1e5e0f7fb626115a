//! Services → endpoint: every path of the service.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get};
use poem_openapi::{LicenseObject, OpenApiService, ServerObject};

use crate::{
    compose::Services,
    config::{self, Config},
    contract::{
        athena::Athena,
        livekit::{LiveKit, SignUp},
        locktera::{Locktera, Verify},
    },
    docs::{Document, Reference},
    edge::Edge,
    gate::Gate,
    health::{Live, Ready},
    hot::Hot,
    limiter::Limiter,
    methods::Methods,
    request_id::RequestIds,
};

/// All operations.
type Api = (Locktera, Verify, LiveKit, Athena);

fn gate(services: &Services, config: &Config) -> Arc<Gate> {
    let failures = Limiter::new(config.auth_failure_rate);
    Arc::new(Gate::new(services.keys.clone(), services.clock.clone(), failures, config.public_origin.clone()))
}

fn service(services: &Services, config: &Config, gate: Arc<Gate>) -> OpenApiService<Api, ()> {
    let locktera = Locktera { gate: gate.clone(), keys: services.keys.clone() };
    let verify = Verify { gate: gate.clone(), keys: services.keys.clone() };
    let athena = Athena { gate: gate.clone(), keys: services.keys.clone() };
    let livekit = LiveKit {
        gate,
        keys: services.keys.clone(),
        enroll: services.enroll.clone(),
        sign_up: match config.sign_up {
            config::SignUp::Open => SignUp::Open(Limiter::new(config.sign_up_rate)),
            config::SignUp::Closed => SignUp::Closed,
        },
        clock: services.clock.clone(),
    };
    OpenApiService::new((locktera, verify, livekit, athena), "Claviger", env!("CARGO_PKG_VERSION"))
        .description("API keys that a company can run itself: organizations own keys, services verify them.")
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server(ServerObject::new("/").description("This service."))
}

/// The OpenAPI document, as `/openapi.json` answers it.
#[must_use]
pub fn document(services: &Services, config: &Config) -> String {
    service(services, config, gate(services, config)).spec()
}

/// The whole service.
#[must_use]
pub fn edge(services: &Services, config: &Config) -> Edge<impl Endpoint<Output = Response> + 'static> {
    let gate = gate(services, config);
    let service = service(services, config, gate.clone());
    let document = Document(service.spec());
    let reference = Reference(service.swagger_ui_html().replacen("<title>Swagger UI", "<title>Claviger", 1));
    let routes = Route::new()
        .at("/health/live", get(Live))
        .at("/health/ready", get(Ready(services.readiness.clone())))
        .at("/openapi.json", get(document))
        .at("/docs", get(reference))
        .nest_no_strip("/", service.into_endpoint());
    Edge {
        hot: Some(Hot { gate, keys: services.keys.clone(), tally: services.tally.clone() }),
        inner: routes.map_to_response(),
        proxies: config.trusted_proxies.clone(),
        time_limit: config.request_timeout,
        methods: Methods::of::<Api>(),
        request_ids: RequestIds::new(&*services.entropy),
    }
}
