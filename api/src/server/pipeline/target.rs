//! What a management request is about, for its log line: the ids in its path.

use tracing::Span;
use uuid::Uuid;

/// Records the organization and the object of `/orgs/{org_id}/{kind}/{id}…` as `target_org_id` and `target_id`. Nothing else of the
/// path is recorded, because it may have a secret pasted into it.
pub(super) fn record(span: &Span, path: &str) {
    let [organization, object] = ids(path);
    if let Some(organization) = organization {
        span.record("target_org_id", tracing::field::display(organization));
    }
    if let Some(object) = object {
        span.record("target_id", tracing::field::display(object));
    }
}

/// The ids in a path. Only UUIDs of version 7, as this service creates them: secrets of other systems may be UUIDs, mostly of version
/// 4.
fn ids(path: &str) -> [Option<Uuid>; 2] {
    let Some(below) = path.strip_prefix("/orgs/") else { return [None; 2] };
    let mut parts = below.split('/');
    let id = |part: Option<&str>| part?.parse::<Uuid>().ok().filter(|id| id.get_version_num() == 7);
    let organization = id(parts.next());
    [organization, id(parts.nth(1)).filter(|_| organization.is_some())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_this_service_are_taken_from_a_path() {
        let (org, key) = ("01a1fd1e-8cfa-74df-85f1-9534e4d89595", "01a1fd1e-8cfb-7000-8000-000000000001");
        let secret = "8c5e29a1-7d9f-4c7b-9a52-2f1f6b0f3a11";
        let [one, two] = [org, key].map(|id| id.parse::<Uuid>().ok());
        for (path, expected) in [
            (format!("/orgs/{org}"), [one, None]),
            (format!("/orgs/{org}/api_keys"), [one, None]),
            (format!("/orgs/{org}/api_keys/{key}"), [one, two]),
            (format!("/orgs/{org}/api_keys/{key}/rotate"), [one, two]),
            (format!("/orgs/{org}/api_keys/{secret}"), [one, None]),
            (format!("/orgs/{secret}/api_keys/{key}"), [None, None]),
            (format!("/{org}/api_keys/{key}"), [None, None]),
            ("/orgs/".to_owned(), [None, None]),
        ] {
            assert_eq!(ids(&path), expected, "{path}");
        }
    }
}
