//! Verifying keys without counting a use: for introspection (RFC 7662), which asks whether a key would be accepted.

use crate::{
    auth::caller::Caller,
    error::Outage,
    keys::key_scope::KeyScope,
    verify::{
        decide::{ImportedIn, KeyVerifier, Requester, VerifyRequest},
        lookup::Lookup,
        result::{Valid, Verdict},
    },
};

impl KeyVerifier {
    /// The verdict that a verify request would have now, without counting a use. The limits of a metered key are read from the
    /// database; other keys are decided like verify requests, from the cache if they are there. The caller has been authorized
    /// for `api_keys:verify`.
    ///
    /// # Errors
    /// [`Outage`]: the database is not available.
    pub async fn introspect(&self, caller: &Caller, request: VerifyRequest<'_>) -> Result<Verdict, Outage> {
        let requester = Requester::Caller(caller);
        let found = match self.lookup.parse(request.secret) {
            None => None,
            Some(Lookup::Own(hash)) => self.lookup.find(&hash).await?,
            Some(Lookup::Imported(secret)) => match request.imported_in(requester) {
                None => None,
                Some(ImportedIn(organization)) => self.lookup.find_imported(&secret, organization, true).await?,
            },
        };
        let now = self.clock.now();
        let key = match self.check(requester, request, found, now) {
            Ok(key) => key,
            Err((deny_reason, key)) => return Ok(Verdict::Denied { deny_reason, key }),
        };
        let quota = if key.is_metered() {
            let Some(current) = self.api_keys.find(KeyScope::whole(key.organization()), key.id()).await? else {
                return Ok(Verdict::UNKNOWN);
            };
            current.quota()
        } else {
            key.quota()
        };
        let state = quota.state_at(now);
        if let Err(deny_reason) = state.check_remaining(request.cost).and_then(|()| state.check_window()) {
            return Ok(Verdict::Denied { deny_reason, key: Some(key) });
        }
        let quota = quota.at(now);
        let (request_count, last_request_at) = (key.uses().count(), key.uses().last());
        let window_ends_in = quota.window_ends_in(now);
        Ok(Verdict::Valid(Valid { key, quota, window_ends_in, request_count, last_request_at }))
    }
}
