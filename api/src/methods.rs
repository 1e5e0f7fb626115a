//! Which operations a path has: for the `Allow` header that a 405 owes (RFC 9110 §15.5.6), and for the name of an operation
//! that did not come to say its own.

use poem::http::{HeaderValue, Method};
use poem_openapi::OpenApi;

/// Paths with their methods and what the operations are called.
#[derive(Clone, Debug, Default)]
pub struct Methods(Vec<Path>);

#[derive(Clone, Debug)]
struct Path {
    template: String,
    operations: Vec<(Method, Option<&'static str>)>,
}

impl Methods {
    /// The methods of all operations of an API, by path (`/orgs/{org_id}/api_keys`).
    #[must_use]
    pub fn of<A: OpenApi>() -> Self {
        let paths = A::meta().into_iter().flat_map(|api| api.paths);
        let methods = paths.map(|path| {
            let operations = path.operations.iter();
            let operations = operations.map(|operation| (operation.method.clone(), operation.operation_id));
            Path { template: path.path, operations: operations.collect() }
        });
        Self(methods.collect())
    }

    /// The value of `Allow` for `path`. Where there is no operation, only pages to look at.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<HeaderValue> {
        let mut methods: Vec<&str> = self.operations(path).map(|(method, _)| method.as_str()).collect();
        if methods.is_empty() {
            methods.push("GET");
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        HeaderValue::from_str(&methods.join(", ")).ok()
    }

    /// What the operation is called, if there is one.
    #[must_use]
    pub fn operation(&self, method: &Method, path: &str) -> Option<&'static str> {
        self.operations(path).find(|(own, _)| own == method).and_then(|(_, name)| *name)
    }

    fn operations<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a (Method, Option<&'static str>)> {
        self.0.iter().filter(|here| matches(&here.template, path)).flat_map(|here| &here.operations)
    }
}

fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    template.split('/').all(|part| {
        segments.next().is_some_and(|segment| segment == part || part.starts_with('{') && !segment.is_empty())
    }) && segments.next().is_none()
}
