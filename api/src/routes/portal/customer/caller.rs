//! Authenticates the requests of the page, by the token of its session.

use std::{ops::Deref, sync::Arc};

use domain::{
    Error,
    audit::context::IdempotencyKey,
    auth::{caller::Caller, portal::PortalAuthority},
};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::{
    auth::{
        authenticator::record_in_span,
        authorized::{AccessControl, RequestAuthorization},
        credentials::{PORTAL_SCHEME, PublicRequest, bearer},
    },
    http::{api_error::ApiError, operations::check_request, request_caller::RequestCaller},
};

/// A request with the token of a valid portal session, as `Authorization: Bearer`. It is not accepted in a cookie, so no page of
/// another origin can make a browser send it.
pub(super) struct PortalCaller(PortalAuthority);

impl PortalCaller {
    /// The authority, for work that needs ownership.
    pub(super) fn into_authority(self) -> PortalAuthority {
        self.0
    }
}

impl Deref for PortalCaller {
    type Target = PortalAuthority;

    fn deref(&self) -> &PortalAuthority {
        &self.0
    }
}

impl<'a> ApiExtractor<'a> for PortalCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            PORTAL_SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("The token of a portal session, as a bearer token."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![PORTAL_SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let access = request.data::<Arc<AccessControl>>().expect("every request has the access control as data");
        let sender = PublicRequest::of(request);
        access.authenticator.failures.require(&sender.source)?;
        let Ok(Some(token)) = bearer(request.headers()) else {
            return Err(ApiError::from(Error::PortalSessionRequired).into());
        };
        let authorized = access.portal.authorize(token, sender.context()).await;
        if matches!(authorized, Err(Error::PortalSessionRequired)) {
            access.authenticator.failures.count(&sender.source)?;
        }
        let portal = authorized.map_err(ApiError::from)?;
        record_in_span(portal.caller());
        if let Some(request_caller) = request.data::<RequestCaller>() {
            request_caller.set(portal.caller());
        }
        check_request(request)?;
        Ok(Self(portal))
    }
}

impl RequestAuthorization for PortalCaller {
    type Granted = PortalAuthority;

    fn caller(&self) -> &Caller {
        self.0.caller()
    }

    /// The session: two customers have the same caller, and must not get each other's responses.
    fn principal(&self) -> [u8; 16] {
        *self.0.session().id.uuid().as_bytes()
    }

    fn grant(self, key: Option<IdempotencyKey>) -> PortalAuthority {
        self.0.with_idempotency_key(key)
    }
}
