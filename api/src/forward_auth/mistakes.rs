//! Mistakes in the configuration of a gateway. They contain nothing that was sent, because they are logged.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounter;

/// How often a mistake is logged. All of them are counted.
const REPORT_PERIOD: Duration = Duration::from_mins(1);

/// A mistake, as a sentence for the operator: what is wrong, and what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misconfigured(pub(super) &'static str);

/// Declares the mistakes.
macro_rules! mistakes {
    ($($name:ident = $sentence:literal;)+) => {$(
        pub(super) const $name: Misconfigured = Misconfigured($sentence);
    )+
        /// All of them.
        #[cfg(test)]
        const ALL: &[Misconfigured] = &[$($name),+];
    };
}

mistakes! {
    NO_ORGANIZATION = "The path must be /forward-auth/ and the id of an organization; write the id as GET /orgs returns it";
    ANY_WITHOUT_SECRET = "The path /forward-auth/any, and any as org_id, accept the keys of every organization, so they need the \
        gateway secret: set CLAVIGER_FORWARD_AUTH_SECRET, and let the gateway send it in the header Claviger-Gateway";
    OTHER_PATH = "The request has the header Claviger-Gateway, but its path is not below /forward-auth/: let the gateway ask at \
        /forward-auth/ and the id of an organization, or send the header nowhere else";
    PATH_WITHOUT_HEADER = "A path after the organization needs the header Claviger-Gateway, because the query is then the \
        visitor's: set CLAVIGER_FORWARD_AUTH_SECRET, and let the gateway send the header, or ask at the path that ends with the id";
    NO_ADDRESS = "The gateway does not report the address of visitors, so their failed attempts are not limited, and keys with an \
        IP allowlist are refused: let the gateway set X-Forwarded-For";
    UNTRUSTED_PROXY = "The request has X-Forwarded-For or Forwarded, but comes from a proxy that is not trusted: add the address \
        of the gateway to CLAVIGER_TRUSTED_PROXIES, or let it send the gateway secret";
    NO_SECRET_SET = "The request has the header Claviger-Gateway, but CLAVIGER_FORWARD_AUTH_SECRET is not set: set it, or \
        remove the header in the gateway";
    NO_HEADER = "The request does not have the header Claviger-Gateway, which CLAVIGER_FORWARD_AUTH_SECRET requires: let the \
        gateway set it to secret= and the value of that setting";
    REPEATED_HEADER = "The header Claviger-Gateway was sent more than once: let the gateway replace it, not add to it";
    UNREADABLE_HEADER = "The header Claviger-Gateway must be name=value pairs in visible ASCII, joined by &, such as \
        secret=x&permission=files:read";
    WRONG_SECRET = "The secret in the header Claviger-Gateway is missing, repeated, or not that of \
        CLAVIGER_FORWARD_AUTH_SECRET";
    REQUIREMENTS_TWICE = "The query and the header Claviger-Gateway both have requirements: write all of them in one of the two";
    SECRET_IN_QUERY = "The gateway secret is in the query, which gateways log: send it in the header Claviger-Gateway, and replace \
        it";
    UNTRUSTED_GATEWAY = "The request comes from a gateway that is not trusted: add its address to CLAVIGER_TRUSTED_PROXIES, or \
        let it send the gateway secret in the header Claviger-Gateway, with initial_metadata of grpc_service";
    NO_HTTP_REQUEST = "The check is not about an HTTP request: use the filter envoy.filters.http.ext_authz";
    NO_ORG_ID = "context_extensions must have org_id with the id of an organization, as GET /orgs returns it: set it in \
        check_settings of the route or virtual host";
    REQUIREMENTS_IN_METADATA = "The header Claviger-Gateway has more than the secret: over gRPC, write the requirements in \
        context_extensions";
    SECRET_IN_EXTENSIONS = "The gateway secret is in context_extensions: send it in the header Claviger-Gateway, with \
        initial_metadata of grpc_service";
    METHOD_HEADER_IN_EXTENSIONS = "context_extensions has method_header, but over gRPC Envoy reports the method of the visitor: \
        remove it";
    UNKNOWN_EXTENSION = "A name in context_extensions is unknown; the names are org_id, permission, any, cost, on_limit, \
        allow_anonymous_options, credential_header, credential_cookie, basic, metadata and resource_metadata";
    UNKNOWN_PARAMETER = "A parameter is unknown; the parameters are permission, any, cost, on_limit, \
        allow_anonymous_options, method_header, credential_header, credential_cookie, basic, metadata and resource_metadata";
    REPEATED_PARAMETER = "A parameter is given more than once; only permission and any may be repeated";
    PERMISSION = "A permission or any must be resource:action or an action alone, such as files:read";
    TOO_MANY_PERMISSIONS = "There are more than 64 parameters permission and any together";
    COST = "cost must be a whole number from 0 to 9007199254740991";
    ON_LIMIT = "on_limit must be 429 or 403";
    SWITCH = "allow_anonymous_options and metadata must be true or false";
    METHOD_HEADER = "method_header must be the name of a header that only the gateway sets, such as X-Forwarded-Method";
    CREDENTIAL_HEADER = "credential_header must be the name of a header, such as X-Token, and not of one that gateways set or that \
        has another purpose, such as Cookie or X-Request-Id";
    CREDENTIAL_COOKIE = "credential_cookie must be the name of a cookie, and not of one that Claviger's dashboard uses";
    TWO_PLACES = "credential_header and credential_cookie are both given: choose one";
    BASIC = "basic must be user, password or either";
    RESOURCE_METADATA = "resource_metadata must be an http or https URL of at most 1024 bytes";
}

/// Reports mistakes: all of them in a metric, and one a minute in the log.
pub(super) struct MistakeReports {
    counter: IntCounter,
    last: Mutex<Option<Instant>>,
}

impl MistakeReports {
    pub(super) fn new(counter: IntCounter) -> Self {
        Self { counter, last: Mutex::default() }
    }

    pub(super) fn report(&self, Misconfigured(mistake): Misconfigured) {
        self.counter.inc();
        if self.is_due(Instant::now()) {
            tracing::warn!(target: "claviger", mistake, "a gateway that uses forward-auth is not configured correctly");
        }
    }

    /// Whether a mistake is to be logged now.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= REPORT_PERIOD);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_sentences_that_can_be_in_a_header() {
        for Misconfigured(sentence) in ALL {
            let is_plain = sentence.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            assert!(is_plain && !sentence.contains("  ") && sentence.len() < 300, "{sentence}");
        }
    }

    #[test]
    fn one_mistake_a_minute_is_logged() {
        let (reports, start) = (MistakeReports::new(IntCounter::new("x", "x").expect("a counter")), Instant::now());
        let logged: Vec<u64> =
            (0..200).filter(|seconds| reports.is_due(start + Duration::from_secs(*seconds))).collect();
        assert_eq!(logged, [0, 60, 120, 180]);
    }
}
