//! The path of a request of a gateway: `/forward-auth/{org_id}`, or with a trailing path, which Envoy adds.

use domain::id::OrganizationId;
use poem::http::HeaderMap;

use crate::forward_auth::{
    gateway::GATEWAY,
    mistakes::{self, Misconfigured},
};

/// The path of forward-auth.
const PATH: &str = "/forward-auth";

/// The name in the place of the organization that accepts the keys of all.
const ANY: &str = "any";

/// Whether a gateway has sent a request: to the path of forward-auth or below it, or with the header `Claviger-Gateway` to another
/// one, which would otherwise answer for forward-auth.
#[must_use]
pub fn is_of_gateway(path: &str, headers: &HeaderMap) -> bool {
    is_path(path) || headers.contains_key(&GATEWAY)
}

fn is_path(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The organization whose keys are accepted. `None`: those of all.
    pub(super) organization: Option<OrganizationId>,
    /// Whether nothing follows the organization, so that the query was written by the gateway.
    pub(super) is_exact: bool,
}

impl Target {
    /// Parses a path for which [`is_of_gateway`] is true.
    pub(super) fn parse(path: &str) -> Result<Self, Misconfigured> {
        if !is_path(path) {
            return Err(mistakes::OTHER_PATH);
        }
        let rest = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let (organization, is_exact) = rest.split_once('/').map_or((rest, true), |(first, _)| (first, false));
        let organization = parse_organization(organization).ok_or(mistakes::NO_ORGANIZATION)?;
        Ok(Self { organization, is_exact })
    }
}

/// Parses what says whose keys are accepted: the id of an organization, or `any` for the keys of all (`Some(None)`). `None`: it is
/// neither.
#[expect(clippy::option_option, reason = "the outer one is about the text, the inner one about the organization")]
pub(super) fn parse_organization(text: &str) -> Option<Option<OrganizationId>> {
    if text == ANY { Some(None) } else { text.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ac5f0-0000-7000-8000-000000000001";

    #[test]
    fn the_first_part_is_the_organization() {
        let parsed = |rest: &str| Target::parse(&format!("/forward-auth{rest}"));
        let organization = ID.parse().ok();
        assert_eq!(parsed(&format!("/{ID}")), Ok(Target { organization, is_exact: true }));
        for rest in ["/", "/files", "//", "/any", "/../x"] {
            assert_eq!(parsed(&format!("/{ID}{rest}")), Ok(Target { organization, is_exact: false }), "{rest}");
        }
        assert_eq!(parsed("/any"), Ok(Target { organization: None, is_exact: true }));
        for rest in ["", "/", "//", "/ANY", "/any%2F", "/x", "/019ac5f0", &format!("/{ID}*"), &format!("//{ID}")] {
            assert_eq!(parsed(rest), Err(mistakes::NO_ORGANIZATION), "{rest}");
        }
    }

    #[test]
    fn other_paths_are_of_others() {
        assert_eq!(Target::parse("/me"), Err(mistakes::OTHER_PATH));
        assert!(["/forward-auth", "/forward-auth/", "/forward-auth/x/y"].into_iter().all(is_path));
        assert!(
            !["", "*", "/", "/forward-authx", "/forward", "/orgs/forward-auth", "/Forward-auth"]
                .into_iter()
                .any(is_path)
        );
    }
}
