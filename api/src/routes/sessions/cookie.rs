//! The session cookie: opening a session for a caller, and responses that set or remove the cookie.

use std::sync::Arc;

use domain::auth::{
    caller::Caller,
    session::{Browser, Session, UserAgent},
    sessions::Sessions,
};
use poem::{IntoResponse, Response, http::header::SET_COOKIE};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaResponses, Registry},
    types::ToJSON,
};

use crate::{
    auth::{
        credentials::{Site, session_cookie_name},
        jwt::keyring::Keyring,
    },
    http::{
        api_error::ApiError,
        contract::{Success, header},
        origin::PublicUrl,
    },
};

/// Opens sessions and signs their cookies. Every way to sign in uses it.
#[derive(Clone)]
pub struct SessionCookies {
    /// Creates the sessions.
    pub sessions: Arc<Sessions>,
    /// Signs cookies. `None`: there is no signing key, and sessions cannot be created.
    pub keyring: Option<Arc<Keyring>>,
}

impl SessionCookies {
    /// Whether sessions can be created.
    ///
    /// # Errors
    /// [`ApiError::NotConfigured`] without a signing key.
    pub fn require_configured(&self) -> Result<(), ApiError> {
        if self.keyring.is_some() { Ok(()) } else { Err(ApiError::NotConfigured) }
    }

    /// Creates a session for the caller, which replaces the browser's session of the same secret or person. Returns it with
    /// the value of `Set-Cookie`.
    ///
    /// # Errors
    /// [`ApiError::NotConfigured`] without a signing key; those of [`Sessions::open`].
    pub async fn open(&self, caller: &Caller, site: &Site) -> Result<(Session, String), ApiError> {
        let keyring = self.keyring.as_ref().ok_or(ApiError::NotConfigured)?;
        let browser = Browser {
            user_agent: site.user_agent.as_deref().and_then(UserAgent::from_text),
            session: site.session.as_deref().and_then(|cookie| keyring.read_session(cookie)),
        };
        let session = self.sessions.open(caller, browser).await?;
        let seconds = session.expires_at.millis_since(session.created_at).div_ceil(1_000);
        let cookie = session_cookie(site, &keyring.sign_session(&session), seconds);
        Ok((session, cookie))
    }
}

/// The value of `Set-Cookie` that removes the session cookie.
pub(super) fn removed_session_cookie(site: &Site) -> String {
    session_cookie(site, "", 0)
}

/// The value of `Set-Cookie` for a session. `seconds`: its lifetime; 0 removes the cookie.
fn session_cookie(site: &Site, value: &str, seconds: u64) -> String {
    let url = site.service.as_deref();
    let path = url.map(PublicUrl::base_path).filter(|path| !path.is_empty()).unwrap_or("/");
    let max_age = cookie::time::Duration::seconds(i64::try_from(seconds).unwrap_or(0));
    let cookie = cookie::Cookie::build((session_cookie_name(url), value)).path(path).http_only(true).max_age(max_age);
    let is_secure = url.is_some_and(PublicUrl::is_https);
    cookie.same_site(cookie::SameSite::Strict).secure(is_secure).build().to_string()
}

/// A response that sets the session cookie.
pub(in crate::routes) struct Cookie<T> {
    /// The value of `Set-Cookie`. `None`: the cookie of the browser stays.
    pub(in crate::routes) cookie: Option<String>,
    /// The body.
    pub(in crate::routes) body: T,
}

impl<T: ToJSON> IntoResponse for Cookie<T> {
    fn into_response(self) -> Response {
        let mut response = Success(self.body).into_response();
        if let Some(cookie) = self.cookie {
            response.headers_mut().insert(SET_COOKIE, cookie.parse().expect("a cookie is plain text"));
        }
        response
    }
}

impl<T: ToJSON> ApiResponse for Cookie<T> {
    fn meta() -> MetaResponses {
        const HEADER: (&str, &str) =
            ("Set-Cookie", "Sets the cookie of the session: `HttpOnly`, for this origin only.");
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            // The end of another session leaves the cookie.
            response.headers.push(MetaHeader { required: false, ..header(HEADER, "string") });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}
