//! Passkeys: signing in with one (`/session/passkey`), registering an account (`/passkeys`), and those of the caller
//! (`/me/passkeys`).

mod ceremony;
mod dto;
mod error;

use std::sync::Arc;

use domain::{
    Error,
    auth::{
        authorize::Authorizer,
        caller::Caller,
        passkey::VerifiedCredential,
        passkeys::{self, Passkeys, RegisteredPerson},
    },
};
use poem::Request;
use poem_openapi::{OpenApi, param::Path};
use serde_json::{Map, Value};

pub use self::ceremony::Ceremonies;
use self::{
    ceremony::CeremonyKind,
    dto::{AddPasskey, CeremonyView, NewAccount, PasskeyView, RegisterAccount, RegisteredView, RenamePasskey, SignIn},
    error::{Registering, SigningIn},
};
use super::{
    dto::Message,
    error::{Reading, Removing, Writing},
    me::SessionView,
    sessions::{Cookie, SessionCookies},
};
use crate::{
    auth::{
        authenticator::Authenticator,
        authorized::AuthenticatedCaller,
        credentials::{PublicRequest, Site},
        sign_up_gate::SignUpGate,
        webauthn::{Rejected, SignInResponse},
    },
    http::{
        api_error::ApiError,
        body::Deferred,
        client_ip::RequestSource,
        contract::{ErrorResponse, Success, Tag},
        openapi_types::{Id, RawParam},
        operations::check_request,
    },
};

/// The operations on passkeys.
pub struct PasskeyRoutes {
    /// Limits failed attempts.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Registers passkeys, and signs people in.
    pub passkeys: Arc<Passkeys>,
    /// Begins and resumes ceremonies.
    pub ceremonies: Arc<Ceremonies>,
    /// Opens sessions and signs their cookies.
    pub cookies: SessionCookies,
    /// Limits sign-ups.
    pub sign_up: Arc<SignUpGate>,
}

#[OpenApi(tag = "Tag::SessionsAndTokens")]
impl PasskeyRoutes {
    /// Begin to sign in with a passkey
    ///
    /// Returns what `navigator.credentials.get` needs, for any passkey of this service. Valid once, for five minutes. Needs no
    /// credential. 503 where browsers have no passkeys: they need the name of a host and HTTPS, or `localhost`.
    #[oai(path = "/session/passkey_options", method = "post", operation_id = "createPasskeySignInOptions")]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn sign_in_options(
        &self,
        public: PublicRequest,
        request: &Request,
    ) -> Result<Success<CeremonyView>, ErrorResponse<SigningIn>> {
        self.require_allowed(&public, request)?;
        let begun = self.ceremonies.party(&public.site)?.begin_sign_in();
        Ok(Success(self.ceremonies.begin(CeremonyKind::SignIn, begun)?))
    }

    /// Sign in with a passkey
    ///
    /// Creates a session, as `POST /session` does. 403 if the passkey is unknown or was removed, the response is for another
    /// origin, is not valid, has expired or was used, or no organization ever had the person as a member. Failed attempts are
    /// limited by IP address.
    #[oai(path = "/session/passkey", method = "post", operation_id = "signInWithPasskey")]
    async fn sign_in(
        &self,
        public: PublicRequest,
        request: &Request,
        /// The response of the authenticator.
        body: Deferred<SignIn>,
    ) -> Result<Cookie<SessionView>, ErrorResponse<SigningIn>> {
        self.require_allowed(&public, request)?;
        self.authenticator.failures.require(&public.source)?;
        let (ceremony, response) = body.read().await?.into_parts();
        let caller = self.counted(&public.source, self.authenticate(&public, &ceremony, &response).await)?;
        self.authorizer.count_caller(&caller)?;
        let (session, cookie) = self.cookies.open(&caller, &public.site).await?;
        Ok(Cookie { cookie: Some(cookie), body: SessionView::from(&session) })
    }

    /// Begin to register with a passkey
    ///
    /// Returns what `navigator.credentials.create` needs to create a passkey of a new account: to redeem an invitation or recovery
    /// link, or to sign up. Valid once, for five minutes. Needs no credential.
    #[oai(path = "/passkey_options", method = "post", operation_id = "createPasskeyRegistrationOptions")]
    async fn registration_options(
        &self,
        public: PublicRequest,
        request: &Request,
        /// What the account is for.
        body: Deferred<NewAccount>,
    ) -> Result<Success<CeremonyView>, ErrorResponse<Registering>> {
        self.require_allowed(&public, request)?;
        self.authenticator.failures.require(&public.source)?;
        let party = self.ceremonies.party(&public.site)?;
        let name = match body.read().await?.into_domain()? {
            passkeys::Purpose::Invitation(token) => {
                let opened = self.passkeys.open_invitation(&token).await.map_err(ApiError::from);
                self.counted(&public.source, opened)?.invitation.name
            }
            passkeys::Purpose::SignUp(_) if !self.sign_up.is_open() => return Err(ApiError::SignUpClosed.into()),
            passkeys::Purpose::SignUp(sign_up) => sign_up.user_name,
        };
        let begun = party.begin_registration(self.passkeys.new_account(), name.as_str(), &[]);
        Ok(Success(self.ceremonies.begin(CeremonyKind::NewAccount, begun)?))
    }

    /// Register with a passkey
    ///
    /// Creates an account with its first passkey, and signs in: the person becomes the member that the link is for, or the first
    /// member of a new organization, with all permissions and without an API key. The fields `invitation`, or `user_name`,
    /// `user_email` and `org_name`, are those of `POST /passkey_options`. An e-mail address can sign up once. Sign-ups are limited as
    /// those of `POST /auth/create-key`; failed attempts are limited by IP address.
    #[oai(path = "/passkeys", method = "post", operation_id = "registerWithPasskey")]
    async fn register(
        &self,
        public: PublicRequest,
        request: &Request,
        /// The response of the authenticator.
        body: Deferred<RegisterAccount>,
    ) -> Result<Cookie<RegisteredView>, ErrorResponse<Registering>> {
        self.require_allowed(&public, request)?;
        self.authenticator.failures.require(&public.source)?;
        let body = body.read().await?;
        let is_sign_up = body.is_sign_up();
        let registered = self.registered(&public, body).await;
        if let (true, Err(failure)) = (is_sign_up, &registered) {
            self.sign_up.count_refused(failure);
        }
        let registered = self.counted(&public.source, registered)?;
        let (session, cookie) = self.cookies.open(&registered.caller, &public.site).await?;
        let body = RegisteredView::new(registered.organization, registered.user, &session);
        Ok(Cookie { cookie: Some(cookie), body })
    }

    /// List your passkeys
    ///
    /// Lists the passkeys of the caller's account, oldest first: at most 20. Needs no permission; 403 for an API key and for a user
    /// of an identity provider, who have none.
    #[oai(path = "/me/passkeys", method = "get", operation_id = "listPasskeys")]
    async fn list(&self, caller: AuthenticatedCaller) -> Result<Success<Vec<PasskeyView>>, ErrorResponse<Reading>> {
        Ok(Success(self.passkeys.list(&caller).await?.iter().map(PasskeyView::from).collect()))
    }

    /// Begin to add a passkey
    ///
    /// Returns what `navigator.credentials.create` needs to create another passkey of the caller's account. Valid once, for five
    /// minutes. 409 if the account has 20 passkeys. Needs no permission.
    #[oai(path = "/me/passkey_options", method = "post", operation_id = "createPasskeyOptions")]
    async fn options(
        &self,
        request: &Request,
        caller: AuthenticatedCaller,
    ) -> Result<Success<CeremonyView>, ErrorResponse<Removing>> {
        let passkeys = self.passkeys.require_room(&caller).await?;
        let account = Passkeys::account(&caller)?;
        let name = self.passkeys.display_name(&caller).await?;
        let begun = self.ceremonies.party(&Site::of(request))?.begin_registration(account, name.as_str(), &passkeys);
        Ok(Success(self.ceremonies.begin(CeremonyKind::AnotherPasskey, begun)?))
    }

    /// Add a passkey
    ///
    /// Adds the passkey that the authenticator has created to the caller's account. Needs no permission.
    #[oai(path = "/me/passkeys", method = "post", operation_id = "addPasskey")]
    async fn add(
        &self,
        request: &Request,
        caller: AuthenticatedCaller,
        /// The response of the authenticator.
        body: Deferred<AddPasskey>,
    ) -> Result<Success<PasskeyView>, ErrorResponse<Writing>> {
        let (ceremony, response, name) = body.read().await?.into_parts()?;
        Passkeys::account(&caller)?;
        let new = self.created(&Site::of(request), CeremonyKind::AnotherPasskey, &ceremony, &response)?;
        Ok(Success(PasskeyView::from(&self.passkeys.add(&caller, new, name).await?)))
    }

    /// Rename a passkey
    ///
    /// The name helps to tell one's passkeys apart. Needs no permission.
    #[oai(path = "/me/passkeys/:passkey_id", method = "patch", operation_id = "renamePasskey")]
    async fn rename(
        &self,
        caller: AuthenticatedCaller,
        /// Id of the passkey.
        passkey_id: Path<RawParam<Id>>,
        /// The new name.
        body: Deferred<RenamePasskey>,
    ) -> Result<Success<PasskeyView>, ErrorResponse<Writing>> {
        let name = body.read().await?.into_domain()?;
        Ok(Success(PasskeyView::from(&self.passkeys.rename(&caller, passkey_id.id(), name).await?)))
    }

    /// Remove a passkey
    ///
    /// It can no longer be used to sign in. Sessions stay valid: to end those of a lost device, sign out everywhere. 409 for the
    /// only passkey of the account.
    #[oai(path = "/me/passkeys/:passkey_id", method = "delete", operation_id = "removePasskey")]
    async fn remove(
        &self,
        caller: AuthenticatedCaller,
        /// Id of the passkey.
        passkey_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.passkeys.remove(&caller, passkey_id.id()).await?;
        Ok(Success(Message { message: "Passkey removed successfully".to_owned() }))
    }
}

impl PasskeyRoutes {
    /// Requires that a request without a credential comes from no other site, and that sessions can be created.
    fn require_allowed(&self, public: &PublicRequest, request: &Request) -> Result<(), ApiError> {
        check_request(request)?;
        if public.site.is_cross_site() {
            return Err(ApiError::CrossSite);
        }
        self.cookies.require_configured()
    }

    /// The person who has signed a request to sign in with their passkey.
    async fn authenticate(
        &self,
        public: &PublicRequest,
        ceremony: &str,
        response: &Map<String, Value>,
    ) -> Result<Caller, ApiError> {
        let party = self.ceremonies.party(&public.site)?;
        let pending = self.ceremonies.resume(CeremonyKind::SignIn, ceremony)?;
        let response = SignInResponse::read(response).map_err(rejected)?;
        let passkey = self.passkeys.find(&response.credential()).await?;
        let (state, challenge) = party.finish_sign_in(&pending.state, &response, &passkey).map_err(rejected)?;
        Ok(self.passkeys.sign_in(&passkey, state, pending.used(challenge), public.context()).await?)
    }

    /// The person who has created a passkey for a new account.
    async fn registered(&self, public: &PublicRequest, body: RegisterAccount) -> Result<RegisteredPerson, ApiError> {
        if body.is_sign_up() {
            self.sign_up.count(public)?;
        }
        let (ceremony, response) = body.response();
        let new = self.created(&public.site, CeremonyKind::NewAccount, ceremony, response);
        let (name, purpose) = body.into_domain()?;
        Ok(self.passkeys.register(new?, name, purpose, public.context()).await?)
    }

    /// The credential that an authenticator has created.
    fn created(
        &self,
        site: &Site,
        kind: CeremonyKind,
        ceremony: &str,
        response: &Map<String, Value>,
    ) -> Result<VerifiedCredential, ApiError> {
        let party = self.ceremonies.party(site)?;
        let pending = self.ceremonies.resume(kind, ceremony)?;
        let new = party.finish_registration(&pending.state, response).map_err(rejected)?;
        Ok(VerifiedCredential {
            account: new.account,
            credential: new.credential,
            public_key: new.public_key,
            state: new.state,
            ceremony: pending.used(new.challenge),
        })
    }

    /// Counts a failed attempt: an unknown link, or a response that is not accepted.
    fn counted<T>(&self, source: &RequestSource, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
        if matches!(outcome, Err(ApiError::Domain(Error::InvitationNotFound | Error::PasskeyRejected))) {
            self.authenticator.failures.count(source)?;
        }
        outcome
    }
}

fn rejected(Rejected: Rejected) -> ApiError {
    Error::PasskeyRejected.into()
}
