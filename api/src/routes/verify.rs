//! Verification of keys: `/api_keys/verify` and `/api_keys/verify_batch`.
pub(crate) mod explain;
pub(crate) mod request;
pub(crate) mod response;

use std::sync::Arc;

use domain::{
    Error,
    auth::caller::Caller,
    permissions::Permission,
    verify::{Requester, VerifyRequest},
};
use poem::Request;
use poem_openapi::{OpenApi, param::Query};

use super::error::Writing;
use crate::routes::{
    keys::list_query::{self, Flag},
    verify::{
        request::{VerifyApiKey, VerifyApiKeys},
        response::{VerdictView, VerdictsView},
    },
};
use crate::{
    auth::{authenticator::Authenticator, credentials::Credential},
    http::{
        api_error::Fields,
        body::Deferred,
        contract::{ErrorResponse, RawJson, Tag},
        openapi_types::RawParam,
        operations::check_request,
    },
    process::off_thread,
    verifier::Verifier,
    verify_fast_path::{FastVerify, ParsedVerify},
};

/// The fast path of the operation that verifies one key.
pub const FAST_VERIFY: FastVerify = FastVerify {
    path: "/api_keys/verify",
    operation: "verifyApiKey",
    read: VerifyApiKey::parse_strict,
    write: response::write,
};

/// The operations on verification.
pub struct VerifyRoutes {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Verifies keys, and counts the results in the metrics of the native API.
    pub verifier: Arc<Verifier>,
}

#[OpenApi(tag = "Tag::Verification")]
impl VerifyRoutes {
    /// Verify a key
    ///
    /// Responds with 200 for every verdict. A key is valid if it belongs to the caller's organization (for a platform
    /// caller: to any), is enabled, has not expired, holds all requested permissions and has uses left. Only a valid
    /// result counts as a use. Needs `api_keys:verify`.
    ///
    /// With `explain=true` the response has all checks and the values that are checked, also those after the first
    /// failure, and no use is counted: for troubleshooting. This also needs `api_keys:read`, and reads the database.
    #[oai(path = "/api_keys/verify", method = "post", operation_id = "verifyApiKey")]
    async fn verify_api_key(
        &self,
        credential: Credential,
        request: &Request,
        /// Whether to explain the verdict and count no use; default `false`.
        explain: Query<Option<RawParam<Flag>>>,
        /// The key to verify.
        body: Deferred<VerifyApiKey>,
    ) -> Result<RawJson<VerdictView>, ErrorResponse<Writing>> {
        let caller = self.verifier.count_failed_authentication(self.authenticator.authenticate(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        check_request(request)?;
        let mut fields = Fields::default();
        let is_explained = list_query::flag(&mut fields, "explain", explain.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        if is_explained {
            caller.require(&Permission::API_KEYS_READ)?;
        }
        let parsed = body.read().await?.into_parsed()?;
        let parsed = require_visible_organization(&caller, parsed)?;
        if !is_explained {
            let verdict = self.verifier.verify(Requester::Caller(&caller), parsed.to_request()).await?;
            return Ok(RawJson::new(response::write(&verdict)));
        }
        let explanation = self.verifier.explain(&caller, parsed.to_request()).await?;
        let text = response::write(&explain::verdict(&explanation));
        Ok(RawJson::new(text.with_member("checks", &explain::checks(&explanation).to_string())))
    }

    /// Verify up to 100 keys
    ///
    /// Each key has its own verdict, in the order of the request, as if it were verified alone. If the database is
    /// unavailable, the whole request fails with 503, and uses that were counted before stay counted. Needs
    /// `api_keys:verify`.
    #[oai(path = "/api_keys/verify_batch", method = "post", operation_id = "verifyApiKeysBatch")]
    async fn verify_api_keys_batch(
        &self,
        credential: Credential,
        request: &Request,
        /// The keys to verify.
        body: Deferred<VerifyApiKeys>,
    ) -> Result<RawJson<VerdictsView>, ErrorResponse<Writing>> {
        let caller = self.verifier.count_failed_authentication(self.authenticator.authenticate(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        check_request(request)?;
        let parsed = body.read().await?;
        let parsed = off_thread::run(parsed.is_long(), move || parsed.into_parsed()).await?;
        let parsed: Vec<ParsedVerify<'_>> =
            parsed.into_iter().map(|one| require_visible_organization(&caller, one)).collect::<Result<_, _>>()?;
        let requests: Vec<VerifyRequest<'_>> = parsed.iter().map(ParsedVerify::to_request).collect();
        let verdicts = self.verifier.verify_all(&caller, &requests).await?;
        Ok(RawJson::new(response::write_all(&verdicts)))
    }
}

/// Rejects a request that names an organization which the caller cannot see, as if it did not exist. The platform sees every
/// organization, and gets the same verdict for one that does not exist.
fn require_visible_organization<'a>(caller: &Caller, parsed: ParsedVerify<'a>) -> Result<ParsedVerify<'a>, Error> {
    if parsed.organization.is_none_or(|organization| caller.can_see(organization)) {
        Ok(parsed)
    } else {
        Err(Error::NotFound)
    }
}
