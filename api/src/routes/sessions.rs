//! Browser sessions: sign-in and sign-out (`/session`), the caller's sessions (`/me/sessions`), and the caller (`/me`).

pub(super) mod active;
mod cookie;

use std::sync::Arc;

use domain::{
    auth::{
        authorize::Authorizer,
        caller::{Caller, Principal},
        federation::FederatedLogin,
        sessions::Sessions,
    },
    keys::Keys,
};
use poem::Request;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

pub(super) use self::cookie::Cookie;
pub use self::cookie::SessionCookies;
use self::{
    active::{ActiveSession, ActiveSessionView},
    cookie::removed_session_cookie,
};
use super::{
    dto::{Message, PageSize},
    error::Reading,
    keys::list_query::{self, Flag},
    me::{EndedSessions, Me, SessionView, SignedOut},
    page::{Page, PageRequest},
};
use crate::{
    auth::{
        authenticator::Authenticator,
        authorized::AuthenticatedCaller,
        credentials::{Credential, Site},
        sign_in::SignInProviders,
    },
    http::{
        api_error::{ApiError, Fields},
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
        operations::check_request,
    },
};

/// The operations on sessions, and on the caller.
pub struct SessionRoutes {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Lists and ends sessions.
    pub sessions: Arc<Sessions>,
    /// Reads the profile of a key.
    pub keys: Arc<Keys>,
    /// Reads the profile of a user of an identity provider.
    pub federation: Arc<FederatedLogin>,
    /// Opens sessions and signs their cookies.
    pub cookies: SessionCookies,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
    /// The providers at which people sign in and out.
    pub providers: Arc<SignInProviders>,
}

#[OpenApi(tag = "Tag::SessionsAndTokens")]
impl SessionRoutes {
    /// Create a session (sign in)
    ///
    /// Exchanges an API key, or an access token of an identity provider, for a session: sets the cookie `apiKeyCookie`,
    /// or `__Host-apiKeyCookie` over https and without a base path.
    /// A session of a key expires after 12 hours, or when the key expires; a session of an access token expires with
    /// the token, unless the operator has configured a longer time. A session that is not used for 2 hours ends. The
    /// operator can configure these times. Its permissions are evaluated on each request: it ends when it is deleted or
    /// its key is disabled or deleted, and it loses the permissions of a membership that is removed. It replaces the
    /// session that the browser has, if that is one of the same key or person.
    #[oai(path = "/session", method = "post", operation_id = "openSession")]
    async fn open_session(
        &self,
        credential: Credential,
        request: &Request,
    ) -> Result<Cookie<SessionView>, ErrorResponse<Reading>> {
        if credential.site.is_cross_site() {
            return Err(ApiError::CrossSite.into());
        }
        let caller = self.authenticator.authenticate(&credential).await?;
        self.cookies.require_configured()?;
        self.authorizer.count_caller(&caller)?;
        check_request(request)?;
        let (session, cookie) = self.cookies.open(&caller, &credential.site).await?;
        Ok(Cookie { cookie: Some(cookie), body: SessionView::from(&session) })
    }

    /// Delete the session (sign out)
    ///
    /// Ends the session of the cookie on every node, and removes the cookie. 404 if the credential is not a session.
    /// If the person is signed in at an identity provider, too, `logout_url` is the page that ends that.
    #[oai(path = "/session", method = "delete", operation_id = "closeSession")]
    async fn close_session(
        &self,
        credential: Credential,
        request: &Request,
    ) -> Result<Cookie<SignedOut>, ErrorResponse<Reading>> {
        let caller = self.authenticator.identify(&credential).await?;
        // Without a check of permissions: a session whose key can no longer manage this service can still be ended.
        if caller.origin.session.is_none() {
            caller.require_management()?;
        }
        self.authorizer.count_caller(&caller)?;
        check_request(request)?;
        self.sessions.close(&caller).await?;
        let logout_url = self.logout_url(&caller, &credential.site).await;
        let cookie = Some(removed_session_cookie(&credential.site));
        Ok(Cookie { cookie, body: SignedOut::new(logout_url) })
    }

    /// List the caller's sessions
    ///
    /// The sessions that were created with the caller's key, or by the caller as a person (with a passkey or at an identity provider), and
    /// that have not ended. Needs no permission.
    #[oai(path = "/me/sessions", method = "get", operation_id = "listSessions")]
    async fn list_sessions(
        &self,
        caller: AuthenticatedCaller,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<ActiveSessionView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (after, fetch_limit, current) = (page_request.after, page_request.fetch_limit(), caller.origin.session);
        let (sessions, caller) = (self.sessions.clone(), caller.into_caller());
        let organization = caller.organization();
        let read = async move { sessions.own_sessions(&caller, after, fetch_limit).await };
        let found = match organization {
            Ok(organization) => self.lists.read(organization, read).await?,
            // A person who acts in no organization has at most 100 sessions.
            Err(_) => read.await?,
        };
        let found = ActiveSession::all(found, current);
        Ok(Page::new(&page_request, "/me/sessions?", found, |active| active.session.id.to_string()).await)
    }

    /// Sign out everywhere
    ///
    /// Ends all sessions that were created with the caller's key, or by the caller as a person (with a passkey or at an identity provider),
    /// on every node, including the session of this request; removes the cookie. With `keep_current=true`, the session of
    /// this request stays. Needs no permission.
    #[oai(path = "/me/sessions", method = "delete", operation_id = "endSessions")]
    async fn end_sessions(
        &self,
        request: &Request,
        caller: AuthenticatedCaller,
        /// Whether the session of this request stays; default `false`.
        keep_current: Query<Option<RawParam<Flag>>>,
    ) -> Result<Cookie<EndedSessions>, ErrorResponse<Reading>> {
        let mut fields = Fields::default();
        let keeps = list_query::flag(&mut fields, "keep_current", keep_current.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        let ended = self.sessions.end_own_sessions(&caller, keeps).await?;
        let cookie = (!keeps).then(|| removed_session_cookie(&Site::of(request)));
        Ok(Cookie { cookie, body: EndedSessions { ended } })
    }

    /// End one of the caller's sessions
    ///
    /// On every node. If it is the session of this request, the cookie is removed. Needs no permission.
    #[oai(path = "/me/sessions/:session_id", method = "delete", operation_id = "endSession")]
    async fn end_session(
        &self,
        request: &Request,
        caller: AuthenticatedCaller,
        /// Id of the session.
        session_id: Path<RawParam<Id>>,
    ) -> Result<Cookie<Message>, ErrorResponse<Reading>> {
        let session = session_id.id();
        self.sessions.end_own_session(&caller, session).await?;
        let is_current = caller.origin.session.is_some() && caller.origin.session == session;
        let cookie = is_current.then(|| removed_session_cookie(&Site::of(request)));
        Ok(Cookie { cookie, body: Message { message: "Session ended".to_owned() } })
    }

    /// Get the caller and their permissions
    ///
    /// Needs no permission.
    #[oai(path = "/me", method = "get", operation_id = "getMe")]
    async fn get_me(&self, credential: Credential, request: &Request) -> Result<Success<Me>, ErrorResponse<Reading>> {
        let caller = self.authenticator.identify(&credential).await?;
        check_request(request)?;
        let in_session = caller.origin.session.is_some();
        Ok(Success(match &caller.principal {
            Principal::Key(key) => Me::of_key(key, &self.keys.profile(&caller).await?, in_session),
            Principal::FederatedUser(person) => {
                Me::of_federated_user(person, self.federation.user(person).await?.as_ref(), in_session)
            }
        }))
    }
}

impl SessionRoutes {
    /// The page of the caller's identity provider that ends their session there, and then shows the dashboard again.
    async fn logout_url(&self, caller: &Caller, site: &Site) -> Option<String> {
        let identity = &caller.federated_user()?.claims.identity;
        let provider = self.providers.of_issuer(&identity.issuer)?;
        let back = format!("{}/", site.service.as_ref()?.issuer());
        provider.logout_url(&identity.subject, &back).await.map(String::from)
    }
}
