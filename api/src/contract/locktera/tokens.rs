//! Short-lived tokens: `/tokens`, and what others check them with: `/.well-known/…`.

use std::sync::Arc;

use domain::{clock::Clock, id::OrganizationId, permission::PermissionSet, tokens};
use hyper::body::Bytes;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Query,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

use super::{
    error::{Publishing, PublishingSome, Writing},
    parameters,
    written::permissions,
};
use crate::{
    body::{Deferred, Document},
    contract::{Failed, Success, Tag},
    credentials::{Anyone, Credential},
    failure::{Failure, Fields},
    gate::Gate,
    json::Members,
    jwt::{keyring::Keyring, revoked::RevokedList},
    time::Moment,
    wire::{Id, Unread},
};

/// The operations.
pub struct Tokens {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides.
    pub tokens: Arc<tokens::Tokens>,
    /// Those that are revoked.
    pub list: RevokedList,
    /// Signs.
    pub keyring: Option<Arc<Keyring>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

#[OpenApi(tag = "Tag::Credentials")]
impl Tokens {
    /// Turn an API key into a short-lived token
    ///
    /// A signed access token (RFC 9068) with the permissions of the key or a part of them, for services that check it by
    /// themselves with `/.well-known/jwks.json` and `/.well-known/revoked`. It lives for at most 15 minutes and not longer
    /// than the key. Refused with 403 for metered keys and those of the platform, and for anything but the text of a key. This
    /// service itself does not take such tokens.
    #[oai(path = "/tokens", method = "post", operation_id = "createToken")]
    async fn create_token(
        &self,
        credential: Credential,
        /// What the token will be.
        body: Deferred<CreateToken>,
    ) -> Result<Success<TokenView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let keyring = self.keyring.as_ref().ok_or(Failure::NotConfigured)?;
        self.tokens.exchangeable(&caller)?;
        self.gate.count(&caller)?;
        let wanted = body.read().await?.check()?;
        let permissions = wanted.permissions.or_else(|| caller.grants().permissions());
        let permissions = permissions.filter(|permissions| permissions.flat().join(" ").len() <= SCOPE);
        let too_large =
            || Failure::Invalid(Fields::one("permissions", "must be named, at most 4,096 bytes of them in all"));
        let permissions = permissions.ok_or_else(too_large)?;
        let token = self.tokens.issue(&caller, permissions, wanted.seconds).await?;
        Ok(Success(TokenView {
            token: keyring.sign_token(&token, &wanted.audience),
            token_type: "Bearer".to_owned(),
            expires_at: Moment(token.expires_at),
            permissions: token.permissions.flat(),
        }))
    }

    /// The public keys that tokens are checked with
    ///
    /// A JWK Set (RFC 7517). A key that signs is here before its first token and stays until its last one has ended, if the
    /// operator rotates keys as the documentation says.
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "getJwks")]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn jwks(&self, _anyone: Anyone) -> Result<Success<JwkSetView>, Failed<Publishing>> {
        let keyring = self.keyring.as_ref().ok_or(Failure::NotConfigured)?;
        Ok(Success(JwkSetView { keys: keyring.published().filter_map(jwk).collect() }))
    }

    /// The tokens that are good no longer
    ///
    /// A JWT of the type `revoked+jwt`, signed like the tokens, that expires after 10 seconds: who cannot get a newer one must
    /// refuse all tokens. Its claim `revoked` lists the values of the claim `family` of tokens that are not to be taken any
    /// more, although their time is not over. With `org_id` it is about the tokens of that organization only: it has `org_id`
    /// as a claim, and `revoked_keys` lists the values of `client_id` of tokens that are not to be taken either.
    #[oai(path = "/.well-known/revoked", method = "get", operation_id = "getRevoked")]
    async fn revoked(
        &self,
        _anyone: Anyone,
        /// The organization whose tokens it is to be about; all of them without it.
        org_id: Query<Option<Unread<Id>>>,
    ) -> Result<Signed, Failed<PublishingSome>> {
        let keyring = self.keyring.as_ref().ok_or(Failure::NotConfigured)?;
        let mut fields = Fields::default();
        let organization = parameters::id(&mut fields, "org_id", org_id.0.as_ref()).map(OrganizationId::from_uuid);
        fields.into_result()?;
        Ok(Signed(self.list.get(organization, &self.tokens, keyring, &*self.clock).await?))
    }
}

/// A token to be.
#[derive(Object)]
#[oai(rename = "CreateToken", skip_serializing_if_is_none)]
struct CreateToken {
    /// Who is to take it, by the name that they know themselves by: 1 to 255 characters.
    audience: String,
    /// What it may do: what the key may do, or a part of that. All of it where this is absent. At most 4,096 bytes in all.
    permissions: Option<Vec<String>>,
    /// How long it lives: 1 to 900 seconds; 300 where this is absent.
    ttl_seconds: Option<u64>,
}

/// The same, checked.
struct Wanted {
    audience: String,
    permissions: Option<PermissionSet>,
    seconds: u64,
}

/// The most bytes of a token's permissions: it has to fit into a header.
const SCOPE: usize = 4_096;

/// How long a token lives if nobody says, in seconds.
const SECONDS: u64 = 300;

impl Document for CreateToken {
    fn read(mut members: Members) -> Result<Self, Failure> {
        let audience = members.required("audience");
        let (permissions, ttl_seconds) = (members.optional("permissions"), members.optional("ttl_seconds"));
        members.finish_strictly()?;
        Ok(Self { audience: audience.unwrap_or_default(), permissions, ttl_seconds })
    }
}

impl CreateToken {
    fn check(self) -> Result<Wanted, Failure> {
        let mut fields = Fields::default();
        let length = self.audience.chars().count();
        if !(1..=255).contains(&length) || self.audience.chars().any(char::is_control) {
            fields.add("audience", "must be 1 to 255 characters, none a control character");
        }
        let permissions = fields.check_optional("permissions", self.permissions.as_deref().map(permissions));
        let seconds = self.ttl_seconds.unwrap_or(SECONDS);
        if !(1..=tokens::Tokens::MOST_SECONDS).contains(&seconds) {
            fields.add("ttl_seconds", "must be 1 to 900");
        }
        fields.into_result()?;
        Ok(Wanted { audience: self.audience, permissions, seconds })
    }
}

/// A token that was just made.
#[derive(Object)]
#[oai(rename = "Token")]
struct TokenView {
    /// The token. It is shown in this answer only.
    token: String,
    /// How it is shown: `Bearer`.
    token_type: String,
    /// When it ends.
    expires_at: Moment,
    /// What it may do.
    permissions: Vec<String>,
}

/// Public keys (RFC 7517 §5).
#[derive(Object)]
#[oai(rename = "JwkSet")]
struct JwkSetView {
    /// The keys; the first one signs.
    keys: Vec<JwkView>,
}

/// A public key of Ed25519 (RFC 8037 §2).
#[derive(Object)]
#[oai(rename = "Jwk")]
struct JwkView {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// `EdDSA`.
    alg: String,
    /// `sig`.
    #[oai(rename = "use")]
    purpose: String,
    /// Its name in the header of tokens.
    kid: String,
    /// The key itself, in base64url.
    x: String,
}

fn jwk(jwk: &Jwk) -> Option<JwkView> {
    let AlgorithmParameters::OctetKeyPair(pair) = &jwk.algorithm else { return None };
    let text = str::to_owned;
    Some(JwkView {
        kty: text("OKP"),
        crv: text("Ed25519"),
        alg: text("EdDSA"),
        purpose: text("sig"),
        kid: jwk.common.key_id.clone()?,
        x: pair.x.clone(),
    })
}

/// A token as the whole answer (RFC 7519 §10.3.1).
struct Signed(Bytes);

impl IntoResponse for Signed {
    fn into_response(self) -> Response {
        Response::builder().content_type(JWT).body(self.0)
    }
}

const JWT: &str = "application/jwt";

impl ApiResponse for Signed {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let content = vec![MetaMediaType { content_type: JWT, schema }];
        let (description, status) = ("Done.", Some(200));
        let response = MetaResponse { description, status, status_range: None, content, headers: Vec::new() };
        MetaResponses { responses: vec![response] }
    }

    fn register(_: &mut Registry) {}
}
