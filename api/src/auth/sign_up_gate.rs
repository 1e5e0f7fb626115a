//! Whether a request may sign up: sign-up is open, and its network has not signed up too often. All ways to sign up share it.

use domain::Error;

use crate::{
    auth::{attempts::AttemptLimit, credentials::PublicRequest},
    http::api_error::ApiError,
    metrics::Metrics,
};

/// Limits sign-ups, and counts those that are refused.
pub struct SignUpGate {
    /// The limit on sign-ups per minute and client network, failed ones included. `None`: sign-up is closed.
    pub limit: Option<AttemptLimit>,
    /// Counts refused sign-ups by reason.
    pub metrics: Metrics,
}

impl SignUpGate {
    /// Whether sign-up is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.limit.is_some()
    }

    /// Counts an attempt to sign up.
    ///
    /// # Errors
    /// [`ApiError::CrossSite`]; [`ApiError::SignUpClosed`]; [`ApiError::TooManyAttempts`].
    pub fn count(&self, request: &PublicRequest) -> Result<(), ApiError> {
        if request.site.is_cross_site() {
            return Err(ApiError::CrossSite);
        }
        self.limit.as_ref().ok_or(ApiError::SignUpClosed)?.count(&request.source)
    }

    /// Counts a refused sign-up in the metrics.
    pub fn count_refused(&self, failure: &ApiError) {
        self.metrics.count_denied_sign_up(reason_label(failure));
    }
}

/// The label of a refused sign-up in metrics.
fn reason_label(failure: &ApiError) -> &'static str {
    match failure {
        ApiError::SignUpClosed => "closed",
        ApiError::TooManyAttempts { .. } => "too_many",
        ApiError::CrossSite => "cross_site",
        ApiError::Domain(Error::EmailTaken) => "email_taken",
        ApiError::Domain(Error::Outage(_)) | ApiError::Busy | ApiError::Timeout | ApiError::Defect(_) => "unavailable",
        _ => "invalid",
    }
}
