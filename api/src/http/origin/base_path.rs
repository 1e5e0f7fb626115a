//! The base path: the service answers below it and at the root, so that a proxy may or may not remove it from the path.

use poem::http::{HeaderMap, HeaderValue, Uri, header::LINK};

use crate::http::operations::Operations;

/// The path of the metadata of the authorization server. RFC 8414 §3.1 puts the base path behind it.
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The base path, such as `/keys`.
pub struct BasePath {
    path: String,
    /// Whether operations have paths below it: then such a path is not changed.
    has_operations: bool,
}

impl BasePath {
    /// `path` begins with a slash and does not end with one. `None`: it is empty, because the service is at the root.
    #[must_use]
    pub fn new(path: &str, operations: &Operations) -> Option<Self> {
        let below = format!("{path}/");
        let has_operations = operations.paths().any(|template| template.starts_with(&below));
        (!path.is_empty()).then(|| Self { path: path.to_owned(), has_operations })
    }

    /// Removes it from the path of a request, at its beginning, or at the end of that of the metadata. A path that is not below it, or is that of an operation, is not changed.
    pub fn remove_from(&self, uri: &mut Uri, operations: &Operations) {
        let is_metadata = uri.path().strip_suffix(self.path.as_str()) == Some(METADATA_PATH);
        let path = if is_metadata {
            METADATA_PATH
        } else {
            let Some(rest) = uri.path().strip_prefix(&self.path) else { return };
            let is_below = rest.is_empty() || rest.starts_with('/');
            if !is_below || self.has_operations && operations.has_path(uri.path()) {
                return;
            }
            if rest.is_empty() { "/" } else { rest }
        };
        let path_and_query = match uri.query() {
            Some(query) => format!("{path}?{query}").parse(),
            None => path.parse(),
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = path_and_query.ok();
        if let Ok(changed) = Uri::from_parts(parts) {
            *uri = changed;
        }
    }

    /// Adds it to the path in the header `Link` of a response.
    pub fn add_to_link(&self, headers: &mut HeaderMap) {
        let path = headers.get(LINK).and_then(|link| link.to_str().ok()?.strip_prefix("</"));
        let link = path.and_then(|path| HeaderValue::from_str(&format!("<{}/{path}", self.path)).ok());
        if let Some(link) = link {
            headers.insert(LINK, link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::athena::Athena;

    fn removed(base: &str, uri: &str) -> String {
        let operations = Operations::of::<Athena>();
        let base = BasePath::new(base, &operations).expect("a base path");
        let mut uri: Uri = uri.parse().expect("a URI");
        base.remove_from(&mut uri, &operations);
        uri.to_string()
    }

    #[test]
    fn the_base_path_is_removed_once_and_only_whole_segments() {
        for (uri, expected) in [
            ("/keys", "/"),
            ("/keys/", "/"),
            ("/keys?a=b", "/?a=b"),
            ("/keys/me", "/me"),
            ("/keys/orgs/1/api_keys?limit=1&cursor=%2F", "/orgs/1/api_keys?limit=1&cursor=%2F"),
            ("/keys/keys/me", "/keys/me"),
            ("/.well-known/oauth-authorization-server/keys", METADATA_PATH),
            ("/.well-known/oauth-authorization-server/key", "/.well-known/oauth-authorization-server/key"),
            ("/keysmith", "/keysmith"),
            ("/Keys/me", "/Keys/me"),
            ("/me/keys", "/me/keys"),
            ("/", "/"),
            ("http://host/keys/me", "http://host/me"),
        ] {
            assert_eq!(removed("/keys", uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_path_of_an_operation_is_not_changed() {
        for (uri, expected) in [
            ("/api/auth/api-key/verify", "/api/auth/api-key/verify"),
            ("/api/api/auth/api-key/verify", "/api/auth/api-key/verify"),
            ("/api/auth/create-key", "/auth/create-key"),
            ("/api/me", "/me"),
            ("/api", "/"),
        ] {
            assert_eq!(removed("/api", uri), expected, "{uri}");
        }
    }

    #[test]
    fn links_get_the_base_path() {
        let base = BasePath::new("/keys", &Operations::default()).expect("a base path");
        let mut headers = HeaderMap::new();
        base.add_to_link(&mut headers);
        assert!(headers.is_empty());
        headers.insert(LINK, HeaderValue::from_static("</orgs?limit=1&cursor=a>; rel=\"next\""));
        base.add_to_link(&mut headers);
        assert_eq!(headers[LINK], "</keys/orgs?limit=1&cursor=a>; rel=\"next\"");
    }
}
