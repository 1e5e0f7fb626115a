//! Signing in with the browser: the ways to sign in (`/sign_in`), and the redirects to a provider and back
//! (`/sign_in/{provider_id}`).

mod outcome;
pub(super) mod redirects;

use std::sync::Arc;

use poem::Request;
use poem_openapi::{Object, OpenApi};

use super::{error::Publishing, passkeys::Ceremonies};
use crate::{
    auth::{
        credentials::PublicRequest,
        sign_in::{SignInProvider, SignInProviders},
        sign_up_gate::SignUpGate,
    },
    http::{
        contract::{ErrorResponse, Success, Tag},
        operations::check_request,
    },
};

/// The operations for people who are not signed in yet.
pub struct SignInRoutes {
    /// The providers at which people can sign in.
    pub providers: Arc<SignInProviders>,
    /// Whether sessions can be opened, and there is a page for people.
    pub is_possible: bool,
    /// Whether passkeys work.
    pub ceremonies: Arc<Ceremonies>,
    /// Whether sign-up is open.
    pub sign_up: Arc<SignUpGate>,
}

#[OpenApi(tag = "Tag::SessionsAndTokens")]
impl SignInRoutes {
    /// Get the ways to sign in
    ///
    /// What a person can sign in with, beside an API key or an access token. A browser begins to sign in at a provider at
    /// `/sign_in/{id}`, which is a page and not an operation.
    #[oai(path = "/sign_in", method = "get", operation_id = "getSignInOptions")]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn get_sign_in_options(
        &self,
        public: PublicRequest,
        request: &Request,
    ) -> Result<Success<SignInOptions>, ErrorResponse<Publishing>> {
        check_request(request)?;
        let providers = if self.is_possible { self.providers.all() } else { Vec::new() };
        Ok(Success(SignInOptions {
            providers: providers.iter().map(|provider| SignInProviderView::from(&**provider)).collect(),
            passkeys: self.ceremonies.are_available(&public.site),
            sign_up: self.sign_up.is_open(),
        }))
    }
}

/// The ways to sign in.
#[derive(Object)]
#[oai(rename = "SignInOptions")]
struct SignInOptions {
    /// The identity providers at which a person can sign in.
    providers: Vec<SignInProviderView>,
    /// Whether a person can sign in with a passkey.
    passkeys: bool,
    /// Whether sign-up is open.
    sign_up: bool,
}

/// An identity provider at which a person can sign in.
#[derive(Object)]
#[oai(rename = "SignInProvider")]
struct SignInProviderView {
    /// Identifier, for the path `/sign_in/{id}`.
    id: String,
    /// The provider: `iss` of its tokens.
    issuer: String,
    /// Name.
    name: String,
}

impl From<&SignInProvider> for SignInProviderView {
    fn from(provider: &SignInProvider) -> Self {
        Self { id: provider.id().to_owned(), issuer: provider.issuer().to_owned(), name: provider.name().to_owned() }
    }
}
