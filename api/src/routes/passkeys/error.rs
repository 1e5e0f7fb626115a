//! The documented errors of operations that sign in or register with a passkey.

use crate::{
    http::contract::{Documented, responses},
    routes::error::ErrorBody,
};

/// The documented errors of signing in with a passkey.
#[derive(Debug)]
pub(super) struct SigningIn;

/// The person, or the request, is not accepted.
const NOT_ACCEPTED: (u16, &str) =
    (403, "The passkey or response is not accepted, sign-up is closed, or the request comes from another site.");

impl Documented for SigningIn {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        responses::INVALID,
        NOT_ACCEPTED,
        responses::TOO_LARGE,
        responses::UNSUPPORTED,
        responses::TOO_MANY,
        responses::DEFECT,
        responses::UNAVAILABLE,
    ];
}

/// The documented errors of registering an account with a passkey.
#[derive(Debug)]
pub(super) struct Registering;

impl Documented for Registering {
    type Body = ErrorBody;
    const STATUSES: &'static [(u16, &'static str)] = &[
        responses::INVALID,
        NOT_ACCEPTED,
        (404, "The link is unknown, expired, revoked or redeemed."),
        responses::CONFLICT,
        responses::TOO_LARGE,
        responses::UNSUPPORTED,
        responses::TOO_MANY,
        responses::DEFECT,
        responses::UNAVAILABLE,
    ];
}
