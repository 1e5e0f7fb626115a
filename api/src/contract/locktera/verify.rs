//! Verify for services: `/api_keys/verify` and `/api_keys/verify_batch`, in this contract's words.

use std::sync::Arc;

use domain::{
    Error,
    caller::Caller,
    keys::{Keys, Question},
    permission::Permission,
};
use poem_openapi::{OpenApi, param::Query};

use super::{
    error::Writing,
    explain,
    parameters::{self, Flag},
    question::{VerifyApiKey, VerifyApiKeys},
    verdict::{self, VerdictView, VerdictsView},
};
use crate::{
    body::Deferred,
    contract::{Failed, Tag, Written},
    credentials::Credential,
    failure::Fields,
    gate::Gate,
    hot::{Asked, HotVerify},
    off_thread,
    verifier::Verifier,
    wire::Unread,
};

/// Verify, as it is asked most of the time.
pub const HOT: HotVerify =
    HotVerify { path: "/api_keys/verify", operation: "verifyApiKey", read: VerifyApiKey::plain, write: verdict::write };

/// The operations.
pub struct Verify {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides.
    pub verifier: Arc<Verifier>,
    /// Says why.
    pub keys: Arc<Keys>,
}

#[OpenApi(tag = "Tag::Verify")]
impl Verify {
    /// Verify a key
    ///
    /// 200 for every verdict. A key in the caller's organization (for a platform caller: in any) that is enabled, not
    /// expired, holds all that is asked for and has uses left is valid, and the use is counted. What is refused costs
    /// nothing. Needs `api_keys:verify`.
    ///
    /// With `explain=true` the answer has every check with what it looks at, also those after the first that fails, and no
    /// use is counted: for people who ask why. It needs `api_keys:read`, too, and reads the database.
    #[oai(path = "/api_keys/verify", method = "post", operation_id = "verifyApiKey")]
    async fn verify_api_key(
        &self,
        credential: Credential,
        /// Whether to say why, and to count nothing.
        explain: Query<Option<Unread<Flag>>>,
        /// The key, and what it should be good for.
        body: Deferred<VerifyApiKey>,
    ) -> Result<Written<VerdictView>, Failed<Writing>> {
        let caller = self.verifier.admitted(self.gate.admit(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let mut fields = Fields::default();
        let is_explained = parameters::flag(&mut fields, "explain", explain.0.as_ref()).unwrap_or(false);
        fields.into_result()?;
        if is_explained {
            caller.require(&Permission::API_KEYS_READ)?;
        }
        let asked = body.read().await?.into_asked()?;
        let asked = within_reach(&caller, asked)?;
        if !is_explained {
            let verdict = self.verifier.verify(&caller, asked.question()).await?;
            return Ok(Written::new(verdict::write(&verdict)));
        }
        let explanation = self.keys.explain(&caller, asked.question()).await?;
        let text = verdict::write(&explain::verdict(&explanation));
        Ok(Written::new(text.with_member("checks", &explain::checks(&explanation).to_string())))
    }

    /// Verify up to 100 keys
    ///
    /// Each has a verdict of its own, in the order of the questions, as if it had been asked alone. Where the database is
    /// away, the whole call is a 503, and uses that were counted before stay counted. Needs `api_keys:verify`.
    #[oai(path = "/api_keys/verify_batch", method = "post", operation_id = "verifyApiKeys")]
    async fn verify_api_keys(
        &self,
        credential: Credential,
        /// The keys, and what each should be good for.
        body: Deferred<VerifyApiKeys>,
    ) -> Result<Written<VerdictsView>, Failed<Writing>> {
        let caller = self.verifier.admitted(self.gate.admit(&credential).await)?;
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let asked = body.read().await?;
        let asked = off_thread::run(asked.is_long(), move || asked.into_asked()).await?;
        let asked: Vec<Asked<'_>> =
            asked.into_iter().map(|one| within_reach(&caller, one)).collect::<Result<_, _>>()?;
        let questions: Vec<Question<'_>> = asked.iter().map(Asked::question).collect();
        let verdicts = self.verifier.verify_all(&caller, &questions).await?;
        Ok(Written::new(verdict::write_all(&verdicts)))
    }
}

/// A foreign organization is an unknown one. The platform sees all of them; which there are, its answers do not tell.
fn within_reach<'a>(caller: &Caller, asked: Asked<'a>) -> Result<Asked<'a>, Error> {
    if asked.organization.is_none_or(|organization| caller.sees(organization)) {
        Ok(asked)
    } else {
        Err(Error::NotFound)
    }
}
