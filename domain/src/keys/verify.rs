//! Is this key good for that? The question that services ask on every request of their own.

use super::Keys;
use crate::{
    api_key::ApiKey,
    authenticate::{Holder, hold},
    caller::Caller,
    error::{Error, Outage},
    organization::OrganizationKind,
    permission::{Permission, PermissionSet},
    refusal::Refusal,
    secret::{Secret, SecretHash},
    verdict::{Spent, Verdict},
};

/// How often a decision is made anew because the key changed while its use was being counted, before that counts as busy.
const ATTEMPTS: usize = 8;

impl Keys {
    /// Whether the key with this text is good for `asked`, and counts the use if it is.
    ///
    /// A caller sees the keys of their own organization, a platform caller those of all. What is refused costs nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `api_keys:verify`; [`Error::Outage`], which never means that the key is bad.
    pub async fn verify(&self, caller: &Caller, text: &str, asked: &PermissionSet) -> Result<Verdict, Error> {
        caller.require(&Permission::API_KEYS_VERIFY)?;
        let Some(secret) = Secret::parse(text) else { return Ok(Verdict::Refused(Refusal::InvalidApiKey)) };
        let hash = secret.hash();
        for _ in 0..ATTEMPTS {
            let mut key = match self.decide(caller, &hash, asked).await? {
                Ok(key) => key,
                Err(refusal) => return Ok(Verdict::Refused(refusal)),
            };
            let now = self.now();
            if !key.quota.is_metered() {
                self.ports.usage.verified(key.id, now);
                return Ok(Verdict::Valid(Box::new(key)));
            }
            match self.ports.ledger.spend(key.id, key.version).await? {
                Spent::Admitted { quota, request_count, at } => {
                    key.quota = quota;
                    key.request_count = request_count;
                    key.last_request_at = key.last_request_at.max(Some(at));
                    return Ok(Verdict::Valid(Box::new(key)));
                }
                Spent::Refused(refusal) => return Ok(Verdict::Refused(refusal)),
                Spent::Changed => {}
            }
        }
        Err(Outage::Unavailable("the key changed again and again while its use was counted".into()).into())
    }

    /// Everything but the limits.
    async fn decide(
        &self,
        caller: &Caller,
        hash: &SecretHash,
        asked: &PermissionSet,
    ) -> Result<Result<ApiKey, Refusal>, Error> {
        let found = self.ports.api_keys.find_by_hash(hash).await?;
        let in_reach = found.filter(|found| {
            caller.kind == OrganizationKind::Platform || found.key.organization == caller.organization()
        });
        let Some(found) = in_reach else { return Ok(Err(Refusal::InvalidApiKey)) };
        Ok(hold(found, self.now()).and_then(|Holder { key, grants, .. }| {
            if asked.iter().all(|permission| grants.allows(permission)) {
                Ok(key)
            } else {
                Err(Refusal::InsufficientPermissions)
            }
        }))
    }
}
