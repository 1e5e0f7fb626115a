//! The redirects of a sign-in at a provider: `GET /sign_in/{provider_id}` sends the browser to the provider, and
//! `GET /sign_in/{provider_id}/callback` receives it again and opens a session. Both answer with a redirect, also if they fail:
//! then to the sign-in page, with the reason in its address.

use std::{collections::HashMap, sync::Arc};

use domain::{
    auth::{authorize::Authorizer, identity::VerifiedClaims, invitations::Invitations},
    clock::Clock,
    ports::ProvidedProfile,
};
use poem::{
    Endpoint, Request, Response, Result,
    http::{
        HeaderValue, StatusCode,
        header::{LOCATION, REFERRER_POLICY, SET_COOKIE},
    },
};
use poem_openapi::OperationId;
use url::form_urlencoded;

use super::outcome::{Failed, Reason};
use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{PublicRequest, Site},
        jwt::keyring::Keyring,
        sign_in::{
            SignInProvider, SignInProviders,
            attempt::{EndedSignIns, LIFETIME_MS, SignInAttempt, cookie_name},
        },
    },
    http::origin::PublicUrl,
    routes::SessionCookies,
};

/// The maximum length of the page to return to, in bytes.
const MAX_RETURN_TO: usize = 512;

/// The maximum length of the token of an invitation, in bytes.
const MAX_INVITATION: usize = 256;

/// What both redirects need.
pub struct SignInRedirects {
    /// The providers.
    pub providers: Arc<SignInProviders>,
    /// Logs people in, and limits failed attempts.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Redeems invitations and recovery links.
    pub invitations: Arc<Invitations>,
    /// Opens sessions.
    pub cookies: SessionCookies,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// The sign-ins that have ended.
    pub ended: EndedSignIns,
}

/// `GET /sign_in/{provider_id}`: sends the browser to the provider.
pub struct BeginSignIn(pub Arc<SignInRedirects>);

/// `GET /sign_in/{provider_id}/callback`: the browser comes back from the provider.
pub struct FinishSignIn(pub Arc<SignInRedirects>);

/// Where the browser goes next, and the cookies that it gets.
struct Redirect {
    location: String,
    cookies: Vec<String>,
}

/// A request that is a part of a sign-in.
struct SignInRequest<'a> {
    provider_id: String,
    parameters: HashMap<String, String>,
    url: Arc<PublicUrl>,
    keyring: &'a Keyring,
    public: PublicRequest,
}

impl Endpoint for BeginSignIn {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let public = PublicRequest::of(&request);
        let base_path = base_path(&public.site);
        let redirect = match self.0.begin(&request, public).await {
            Ok(redirect) => redirect,
            Err(failed) => failure(&base_path, &failed),
        };
        Ok(respond(&redirect, "beginSignIn"))
    }
}

impl Endpoint for FinishSignIn {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let public = PublicRequest::of(&request);
        let source = public.source;
        let (base_path, url) = (base_path(&public.site), public.site.service.clone());
        let mut redirect = match self.0.finish(&request, public).await {
            Ok(redirect) => redirect,
            Err(mut failed) => {
                if failed.reason.is_failed_attempt()
                    && let Err(refused) = self.0.authenticator.failures.count(&source)
                {
                    failed = refused.into();
                }
                failure(&base_path, &failed)
            }
        };
        // A sign-in ends with its first answer, also with a wrong one.
        redirect.cookies.extend(url.map(|url| attempt_cookie(&url, "", 0)));
        Ok(respond(&redirect, "finishSignIn"))
    }
}

impl SignInRedirects {
    fn read(&self, request: &Request, public: PublicRequest) -> Result<SignInRequest<'_>, Failed> {
        let unknown = || Failed::new(Reason::UnknownProvider, "there is no such provider");
        let keyring = self.cookies.keyring.as_deref();
        let keyring = keyring.ok_or_else(|| Failed::new(Reason::UnknownProvider, "there is no signing key"))?;
        let url = public.site.service.clone();
        let url = url.ok_or_else(|| Failed::new(Reason::Unavailable, "the public URL is not known"))?;
        let query = request.uri().query().unwrap_or_default();
        Ok(SignInRequest {
            provider_id: request.raw_path_param("provider_id").map(str::to_owned).ok_or_else(unknown)?,
            // A repeated parameter counts as empty: it is not clear which value is meant.
            parameters: form_urlencoded::parse(query.as_bytes()).into_owned().fold(
                HashMap::new(),
                |mut parameters, (name, value)| {
                    let is_repeated = parameters.contains_key(&name);
                    parameters.insert(name, if is_repeated { String::new() } else { value });
                    parameters
                },
            ),
            url,
            keyring,
            public,
        })
    }

    fn provider(&self, id: &str) -> Result<Arc<SignInProvider>, Failed> {
        self.providers.find(id).ok_or_else(|| Failed::new(Reason::UnknownProvider, "there is no such provider"))
    }

    async fn begin(&self, request: &Request, public: PublicRequest) -> Result<Redirect, Failed> {
        let request = self.read(request, public)?;
        let provider = self.provider(&request.provider_id)?;
        let invitation = request.parameter("invitation");
        if invitation.is_some_and(|token| token.len() > MAX_INVITATION) {
            return Err(Failed::new(Reason::InvitationNotFound, "the token of the invitation is too long"));
        }
        // A link elsewhere may send people here to sign in, but must not make them accept an invitation.
        if invitation.is_some() && request.public.site.is_same_origin() == Some(false) {
            return Err(Failed::new(Reason::Denied, "a link outside of the dashboard asks to redeem an invitation"));
        }
        let is_fresh = request.parameter("fresh") == Some("true");
        let begun = provider.begin(&request.callback(), is_fresh).await?;
        let location = begun.url.to_string();
        let attempt = SignInAttempt {
            return_to: request.parameter("return_to").filter(|page| is_page(page)).map(str::to_owned),
            invitation: invitation.map(str::to_owned),
            ..SignInAttempt::new(provider.id(), begun, is_fresh, self.clock.now())
        };
        let seconds = i64::try_from(LIFETIME_MS / 1_000).unwrap_or(0);
        let cookie = attempt_cookie(&request.url, &attempt.encrypt(request.keyring, &request.url), seconds);
        Ok(Redirect { location, cookies: vec![cookie] })
    }

    async fn finish(&self, request: &Request, public: PublicRequest) -> Result<Redirect, Failed> {
        self.authenticator.failures.require(&public.source)?;
        let headers = request.headers();
        let request = self.read(request, public)?;
        let attempt = SignInAttempt::of(headers, request.keyring, &request.url);
        let attempt = attempt.ok_or_else(|| Failed::new(Reason::NotBegun, "the browser has begun no sign-in"))?;
        let state = request.parameter("state").unwrap_or_default();
        if !attempt.is_answered_by(&request.provider_id, state, self.clock.now()) {
            return Err(Failed::new(Reason::Expired, "the answer is not for the sign-in that the browser has begun"));
        }
        if !self.ended.end(&attempt) {
            return Err(Failed::new(Reason::Expired, "the sign-in has ended before"));
        }
        let provider = self.provider(&request.provider_id)?;
        provider.check_answer_issuer(request.parameter("iss")).await?;
        if let Some(error) = request.parameter("error") {
            let error: String = error.chars().take(64).collect();
            let reason = match error.as_str() {
                "server_error" | "temporarily_unavailable" => Reason::Unavailable,
                _ => Reason::Denied,
            };
            return Err(Failed { reason, cause: format!("the provider answered {error:?}") });
        }
        let code = request.parameter("code").filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| Failed::new(Reason::InvalidAnswer, "the answer has no code"))?;
        let claims = provider.finish(code.to_owned(), &request.callback(), &attempt).await?;
        self.open_session(&request, attempt, claims).await
    }

    /// Redeems the invitation, if there is one, logs the person in, and opens a session.
    async fn open_session(
        &self,
        request: &SignInRequest<'_>,
        attempt: SignInAttempt,
        claims: VerifiedClaims,
    ) -> Result<Redirect, Failed> {
        let origin = request.public.context();
        let mut page = attempt.return_to;
        if let Some(token) = &attempt.invitation {
            let profile = ProvidedProfile { name: claims.name.clone(), email: claims.email.clone() };
            let person = self.authenticator.identify_claims(&claims, origin.clone()).await?;
            let redeemed = self.invitations.redeem_by_caller(&person, token, profile).await?;
            page = Some(format!("/orgs/{}/keys", redeemed.organization));
        }
        let caller = self.authenticator.log_in(claims, origin).await?;
        self.authorizer.count_caller(&caller)?;
        let (_, cookie) = self.cookies.open(&caller, &request.public.site).await?;
        let location = format!("{}/#{}", request.url.base_path(), page.as_deref().unwrap_or("/"));
        Ok(Redirect { location, cookies: vec![cookie] })
    }
}

impl SignInRequest<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Where the provider sends the browser: the `redirect_uri`, which is registered there.
    fn callback(&self) -> String {
        format!("{}/sign_in/{}/callback", self.url.issuer(), self.provider_id)
    }
}

/// Whether a text is the address of a page of the dashboard: the part behind `#`. It is never used as a URL of its own.
fn is_page(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?&=%,:+".contains(&byte);
    text.len() <= MAX_RETURN_TO && text.starts_with('/') && !text.starts_with("//") && text.bytes().all(is_allowed)
}

fn base_path(site: &Site) -> String {
    site.service.as_deref().map(PublicUrl::base_path).unwrap_or_default().to_owned()
}

/// The value of `Set-Cookie` for the sign-in in progress. `seconds`: its lifetime; 0 removes the cookie. `SameSite=Lax`, because
/// the provider's page sends the browser back.
fn attempt_cookie(url: &PublicUrl, value: &str, seconds: i64) -> String {
    let path = if url.base_path().is_empty() { "/" } else { url.base_path() };
    let cookie = cookie::Cookie::build((cookie_name(url), value)).path(path).http_only(true);
    let cookie = cookie.max_age(cookie::time::Duration::seconds(seconds)).same_site(cookie::SameSite::Lax);
    cookie.secure(url.is_https()).build().to_string()
}

/// The sign-in page, which says what went wrong.
fn failure(base_path: &str, failed: &Failed) -> Redirect {
    let (reason, cause) = (failed.reason.code(), &failed.cause);
    tracing::info!(target: "claviger", reason, cause, "a sign-in at a provider failed");
    Redirect { location: format!("{base_path}/#/sign-in?error={reason}"), cookies: Vec::new() }
}

fn respond(redirect: &Redirect, operation: &'static str) -> Response {
    let mut response = Response::builder().status(StatusCode::SEE_OTHER).finish();
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).expect("URLs and cookies are plain text");
    headers.insert(LOCATION, value(&redirect.location));
    // The address of the page may have the token of an invitation.
    headers.insert(REFERRER_POLICY, const { HeaderValue::from_static("no-referrer") });
    for cookie in &redirect.cookies {
        headers.append(SET_COOKIE, value(cookie));
    }
    response.set_data(OperationId(operation));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_within_the_dashboard_are_returned_to() {
        for page in ["/", "/orgs/0190/keys", "/orgs/0190/keys?status=enabled&name=a%20b", "/organizations"] {
            assert!(is_page(page), "{page}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN_TO));
        for other in ["", "orgs", "//evil.example", "https://evil.example", "/a\nb", "/a b", "/a#b", "/\\evil", &long] {
            assert!(!is_page(other), "{other}");
        }
    }
}
