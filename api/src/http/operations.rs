//! The operations of each path, as poem-openapi knows them: for the header `Allow` (RFC 9110 §15.5.6), for the operation id of a
//! request that failed before its operation was known, and for the parameters of the query.

use std::sync::Arc;

use domain::Error;
use percent_encoding::percent_decode;
use poem::{
    Request,
    http::{HeaderValue, Method, header::IF_MATCH},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaOperation, MetaParamIn},
};

use crate::http::{
    api_error::{ApiError, Fields},
    if_match::IfMatch,
};

/// All paths with their operations. Every request to an operation has it as data.
#[derive(Clone, Debug, Default)]
pub struct Operations(Vec<Path>);

#[derive(Clone, Debug)]
struct Path {
    template: String,
    operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
struct Operation {
    method: Method,
    id: Option<&'static str>,
    /// The names of its query parameters.
    query: Vec<String>,
    /// Whether it changes objects of a path with parameters that have no versions: it does not read `If-Match`.
    changes_without_version: bool,
}

impl Operation {
    fn new(template: &str, operation: &MetaOperation) -> Self {
        let named = |place: MetaParamIn| {
            operation.params.iter().filter(move |param| param.in_type == place).map(|param| &param.name)
        };
        let reads_if_match = named(MetaParamIn::Header).any(|name| name.eq_ignore_ascii_case(IF_MATCH.as_str()));
        let is_change = operation.method != Method::GET && template.contains('{');
        Self {
            method: operation.method.clone(),
            id: operation.operation_id,
            query: named(MetaParamIn::Query).cloned().collect(),
            changes_without_version: is_change && !reads_if_match,
        }
    }
}

impl Operations {
    /// All operations of an API, by path (`/orgs/{org_id}/api_keys`).
    #[must_use]
    pub fn of<A: OpenApi>() -> Self {
        let paths = A::meta().into_iter().flat_map(|api| api.paths);
        let paths = paths.map(|path| {
            let operations = path.operations.iter().map(|operation| Operation::new(&path.path, operation)).collect();
            Path { template: path.path, operations }
        });
        Self(paths.collect())
    }

    /// The value of `Allow` for a path. A path without operations is a page or a file: `GET, HEAD`. What is not a path (the `*` of
    /// `OPTIONS`) has the methods of all operations.
    #[must_use]
    pub fn allow_header(&self, path: &str) -> Option<HeaderValue> {
        let mut methods: Vec<&str> = Vec::new();
        let is_path = path.starts_with('/');
        let all = self.0.iter().filter(|_| !is_path).flat_map(|path| &path.operations);
        for operation in self.at(path).into_iter().chain(all) {
            if !methods.contains(&operation.method.as_str()) {
                methods.push(operation.method.as_str());
            }
        }
        if methods.is_empty() {
            methods.push("GET");
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        HeaderValue::from_str(&methods.join(", ")).ok()
    }

    /// The paths of all operations, with their parameters in braces.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|path| path.template.as_str())
    }

    /// Whether there is an operation at a path.
    #[must_use]
    pub fn has_path(&self, path: &str) -> bool {
        !self.at(path).is_empty()
    }

    /// The operation id. `None`: there is no such operation, or it has no id.
    #[must_use]
    pub fn id(&self, method: &Method, path: &str) -> Option<&'static str> {
        self.find(method, path).and_then(|operation| operation.id)
    }

    fn find(&self, method: &Method, path: &str) -> Option<&Operation> {
        self.at(path).into_iter().find(|operation| operation.method == *method)
    }

    /// The operations of a path. Of several templates that match, the router takes the one that has the path's own words instead of
    /// parameters: `/orgs/{org_id}/api_keys/import` is not a `{key_id}`.
    fn at(&self, path: &str) -> Vec<&Operation> {
        let matching = || self.0.iter().filter_map(|entry| Some((parameters(&entry.template, path)?, entry)));
        let fewest = matching().map(|(parameters, _)| parameters).min();
        matching()
            .filter(move |(parameters, _)| Some(*parameters) == fewest)
            .flat_map(|(_, entry)| &entry.operations)
            .collect()
    }
}

/// How many parameters a template has, if the path matches it.
fn parameters(template: &str, path: &str) -> Option<usize> {
    let (mut segments, mut parameters) = (path.split('/'), 0);
    for part in template.split('/') {
        let segment = segments.next()?;
        if part.starts_with('{') && !segment.is_empty() {
            parameters += 1;
        } else if segment != part {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

/// Checks what a request of the native API has beside its body: its query has only parameters of the operation, each once, and it
/// has no `If-Match` that the operation would ignore. Operations call this after authorization; the extractors of
/// [`crate::auth::authorized`] do it for them.
///
/// # Errors
/// [`ApiError::Invalid`] with each unknown, repeated or malformed parameter; [`Error::VersionMismatch`] if the request changes an
/// object without versions and `If-Match` names versions.
pub fn check_request(request: &Request) -> Result<(), ApiError> {
    let query = request.uri().query().unwrap_or_default();
    if query.is_empty() && !request.headers().contains_key(IF_MATCH) {
        return Ok(());
    }
    let operations: &Arc<Operations> = request.data().expect("every request has the operations as data");
    // `HEAD` is answered by the operation for `GET`.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let Some(operation) = operations.find(method, request.uri().path()) else { return Ok(()) };
    check_query(query, &operation.query)?;
    // An object without versions has no tag that could match (RFC 9110 §13.1.1).
    if operation.changes_without_version && IfMatch::of(request.headers()).versions().is_some() {
        return Err(Error::VersionMismatch.into());
    }
    Ok(())
}

/// The most parameters that one error reports.
const MAX_REPORTED: usize = 8;

/// The most characters of an unknown name that an error repeats and compares. No parameter has a longer name.
const MAX_NAME_CHARS: usize = 64;

/// The largest edit distance at which a known parameter is suggested for an unknown one.
const MAX_DISTANCE: usize = 2;

/// Checks that a query has only the `known` parameters, each at most once, and only UTF-8.
fn check_query(query: &str, known: &[String]) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    let mut seen: Vec<&String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match decode(name) {
            None => fields.add("query", "is not UTF-8: percent-encode the UTF-8 bytes of the names of parameters"),
            Some(name) => match known.iter().find(|known| **known == name) {
                None => {
                    let name: String = name.chars().take(MAX_NAME_CHARS).collect();
                    fields.add(&name, unknown(&name, known));
                }
                Some(name) if seen.contains(&name) => fields.add(name, "must be given only once"),
                Some(name) => {
                    if decode(value).is_none() {
                        fields.add(name, "is not UTF-8: percent-encode the UTF-8 bytes of the value");
                    }
                    seen.push(name);
                }
            },
        }
        if fields.iter().count() == MAX_REPORTED {
            break;
        }
    }
    fields.into_result()
}

/// Decodes a name or value of a query. `None`: it is not UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_decode(text.replace('+', " ").as_bytes()).decode_utf8().ok().map(Into::into)
}

/// What is wrong with a parameter that is unknown, with the names of known ones.
fn unknown(name: &str, known: &[String]) -> String {
    let lower = name.to_ascii_lowercase();
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(&lower, known), known));
    match distances.filter(|(distance, _)| *distance <= MAX_DISTANCE).min() {
        Some((_, nearest)) => format!("is not a parameter of this operation; did you mean {nearest}?"),
        None if known.is_empty() => "is not a parameter of this operation; it has none".to_owned(),
        None => format!("is not a parameter of this operation; it has {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(query: &str) -> Vec<(String, String)> {
        let known = ["limit", "enabled", "expired"].map(str::to_owned);
        match check_query(query, &known) {
            Ok(()) => Vec::new(),
            Err(ApiError::Invalid(fields)) => {
                fields.iter().map(|(name, wrong)| (name.to_owned(), wrong.to_owned())).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_query_has_known_parameters_once() {
        for right in ["", "limit=1", "limit=1&enabled=true&", "limit", "%6Cimit=1", "limit=%C3%A9", "limit=a+b"] {
            assert!(wrong(right).is_empty(), "{right}");
        }
        let suggestion = "is not a parameter of this operation; did you mean";
        let list = "is not a parameter of this operation; it has limit, enabled, expired";
        for (query, name, message) in [
            ("enbled=false", "enbled", format!("{suggestion} enabled?")),
            ("expird=true", "expird", format!("{suggestion} expired?")),
            ("limit[]=1", "limit[]", format!("{suggestion} limit?")),
            ("LIMIT=1", "LIMIT", format!("{suggestion} limit?")),
            ("limit%5Ba%5D=1", "limit[a]", list.to_owned()),
            ("=1", "", list.to_owned()),
            ("enabled=true&limit=1&enabled=true", "enabled", "must be given only once".to_owned()),
            ("limit=%ff", "limit", "is not UTF-8: percent-encode the UTF-8 bytes of the value".to_owned()),
        ] {
            assert_eq!(wrong(query), [(name.to_owned(), message)], "{query}");
        }
        assert_eq!(wrong("%ff=1")[0].0, "query");
        let two = wrong("a=1&b=2");
        assert_eq!(two.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(unknown("limit", &[]).ends_with("it has none"));
        assert_eq!(wrong(&"a=1&".repeat(10_000)).len(), MAX_REPORTED);
        assert_eq!(wrong(&"a".repeat(60_000))[0].0.len(), MAX_NAME_CHARS);
    }

    #[test]
    fn a_path_that_is_itself_a_template_has_only_its_own_operations() {
        let path = |template: &str, method: Method| Path {
            template: template.to_owned(),
            operations: vec![Operation { method, id: None, query: Vec::new(), changes_without_version: false }],
        };
        let operations = Operations(vec![
            path("/keys/{id}", Method::GET),
            path("/keys/{id}", Method::PATCH),
            path("/keys/import", Method::POST),
        ]);
        let allowed = |path: &str| operations.allow_header(path).expect("methods");
        assert_eq!(allowed("/keys/import"), "POST");
        assert_eq!(allowed("/keys/1"), "GET, PATCH, HEAD");
        assert_eq!(allowed("/page"), "GET, HEAD");
        assert_eq!(allowed("*"), "GET, PATCH, POST, HEAD");
    }
}
