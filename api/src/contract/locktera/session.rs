//! Signing in to a browser: `/session`, and who one is: `/me`.

use std::sync::Arc;

use domain::{caller::Who, keys::Keys, people::People, sessions::Sessions};
use poem::{IntoResponse, Response, http::header::SET_COOKIE};
use poem_openapi::{
    ApiResponse, OpenApi,
    registry::{MetaResponses, Registry},
    types::ToJSON,
};

use url::Url;

use super::{
    dto::Message,
    error::Reading,
    me::{Me, SessionView},
};
use crate::{
    address::is_this_machine,
    contract::{Failed, Success, Tag, header},
    credentials::{API_KEY_COOKIE, Credential},
    failure::Failure,
    gate::Gate,
    jwt::keyring::Keyring,
};

/// The operations.
pub struct Session {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Opens and closes sessions.
    pub sessions: Arc<Sessions>,
    /// Knows whom keys belong to.
    pub keys: Arc<Keys>,
    /// Knows users.
    pub people: Arc<People>,
    /// Signs cookies.
    pub keyring: Option<Arc<Keyring>>,
    /// Whether browsers send the cookie over https alone.
    pub is_secure: bool,
}

#[OpenApi(tag = "Tag::Credentials")]
impl Session {
    /// Sign in
    ///
    /// Shown an API key or an access token of an identity provider, it sets the cookie `apiKeyCookie` to a session that
    /// speaks for it for 12 hours, or until the key ends. What the session may do is looked up on each request: it is over
    /// when it is closed or the key behind it has gone, and may do nothing any more where a membership has gone.
    #[oai(path = "/session", method = "post", operation_id = "openSession")]
    async fn open_session(&self, credential: Credential) -> Result<Cookie<SessionView>, Failed<Reading>> {
        if credential.site.is_cross() {
            return Err(Failure::CrossSite.into());
        }
        let caller = self.gate.admit(&credential).await?;
        let keyring = self.keyring.as_ref().ok_or(Failure::NotConfigured)?;
        self.gate.count(&caller)?;
        let session = self.sessions.open(&caller).await?;
        let seconds = session.expires_at.millis_since(session.created_at).div_ceil(1_000);
        let cookie = self.cookie(&keyring.sign_session(&session), seconds);
        Ok(Cookie { cookie, body: SessionView::from(&session) })
    }

    /// Sign out
    ///
    /// Ends the session that the cookie speaks of, on every node, and takes the cookie back. Shown anything but a session:
    /// 404.
    #[oai(path = "/session", method = "delete", operation_id = "closeSession")]
    async fn close_session(&self, credential: Credential) -> Result<Cookie<Message>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        self.gate.count(&caller)?;
        self.sessions.close(&caller).await?;
        Ok(Cookie { cookie: self.cookie("", 0), body: Message { message: "Signed out".to_owned() } })
    }

    /// Who one is, and may do what
    ///
    /// Needs no permission.
    #[oai(path = "/me", method = "get", operation_id = "getMe")]
    async fn get_me(&self, credential: Credential) -> Result<Success<Me>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let in_session = caller.origin.session.is_some();
        Ok(Success(match &caller.who {
            Who::Key(key) => Me::of_key(key, &self.keys.profile(&caller).await?, in_session),
            Who::Person(person) => Me::of_person(person, &self.people.user(person.user).await?, in_session),
        }))
    }
}

impl Session {
    fn cookie(&self, value: &str, seconds: u64) -> String {
        let life = cookie::time::Duration::seconds(i64::try_from(seconds).unwrap_or(0));
        let cookie = cookie::Cookie::build((API_KEY_COOKIE, value)).path("/").http_only(true).max_age(life);
        cookie.same_site(cookie::SameSite::Strict).secure(self.is_secure).build().to_string()
    }
}

/// A success that sets the cookie.
struct Cookie<T> {
    cookie: String,
    body: T,
}

impl<T: ToJSON> IntoResponse for Cookie<T> {
    fn into_response(self) -> Response {
        let mut response = Success(self.body).into_response();
        let cookie = self.cookie.parse().expect("a cookie is plain text");
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }
}

impl<T: ToJSON> ApiResponse for Cookie<T> {
    fn meta() -> MetaResponses {
        const SET: (&str, &str) = ("Set-Cookie", "The cookie `apiKeyCookie`: `HttpOnly`, for this origin alone.");
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(header(SET, "string"));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Whether the cookie could be stolen on its way to this origin if it were not encrypted: anywhere but on this machine.
#[must_use]
pub fn needs_https(origin: &str) -> bool {
    !Url::parse(origin).is_ok_and(|url| url.scheme() == "http" && is_this_machine(&url))
}

#[cfg(test)]
mod tests {
    use super::needs_https;

    #[test]
    fn only_on_this_machine_the_cookie_goes_without_encryption() {
        for here in ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "http://127.1.2.3"] {
            assert!(!needs_https(here), "{here}");
        }
        for elsewhere in
            ["https://127.0.0.1", "https://keys.example", "http://keys.example", "http://10.0.0.1", "http://[::2]", ""]
        {
            assert!(needs_https(elsewhere), "{elsewhere}");
        }
    }
}
