//! The caller of a request, for the layers around the authentication.

use std::sync::{Arc, OnceLock};

use domain::{auth::caller::Caller, id::OrganizationId};

/// The caller of a request: set when the caller is authenticated, read when the request has failed. Clones share one value.
#[derive(Clone, Debug, Default)]
pub struct RequestCaller(Arc<OnceLock<Caller>>);

impl RequestCaller {
    /// Sets the caller. A second call changes nothing.
    pub fn set(&self, caller: &Caller) {
        // A request has one caller.
        let _ = self.0.set(caller.clone());
    }

    /// The current organization of the caller. `None`: the caller is not authenticated yet, or acts in no organization.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        self.0.get().and_then(|caller| caller.organization().ok())
    }

    /// The caller. `None`: it is not authenticated yet.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        self.0.get()
    }
}
