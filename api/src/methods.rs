//! Which methods a path has, for the `Allow` header that a 405 owes (RFC 9110 §15.5.6).

use poem::http::{HeaderValue, Method};
use poem_openapi::OpenApi;

/// Paths with their methods.
#[derive(Clone, Debug, Default)]
pub struct Methods(Vec<(String, Vec<Method>)>);

impl Methods {
    /// The methods of all operations of an API, by path (`/orgs/{org_id}/api_keys`).
    #[must_use]
    pub fn of<A: OpenApi>() -> Self {
        let paths = A::meta().into_iter().flat_map(|api| api.paths);
        let methods = paths.map(|path| {
            let methods = path.operations.iter().map(|operation| operation.method.clone()).collect();
            (path.path, methods)
        });
        Self(methods.collect())
    }

    /// The value of `Allow` for `path`. Where there is no operation, only pages to look at.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<HeaderValue> {
        let here = self.0.iter().filter(|(template, _)| matches(template, path));
        let mut methods: Vec<&str> = here.flat_map(|(_, methods)| methods).map(Method::as_str).collect();
        if methods.is_empty() {
            methods.push("GET");
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        HeaderValue::from_str(&methods.join(", ")).ok()
    }
}

fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    template.split('/').all(|part| {
        segments.next().is_some_and(|segment| segment == part || part.starts_with('{') && !segment.is_empty())
    }) && segments.next().is_none()
}
