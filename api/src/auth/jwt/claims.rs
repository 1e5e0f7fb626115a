//! Which claims of a provider's tokens are used, and how they are parsed. A claim never gives more than the issuers file allows:
//! values that cannot be parsed are ignored, or the token is rejected.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use domain::permissions::{Permission, Permissions};
use serde_json::{Map, Value};

/// The place of a claim in a token: the name of a member of the token itself, dots included (`kubernetes.io`), or a JSON pointer,
/// which begins with `/` (`/realm_access/roles`, RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// Reads a name or a pointer. `None`: the text is empty, or a pointer with a `~` that is not `~0` or `~1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_escape = |after: &str| after.starts_with(['0', '1']);
        let is_valid = !text.starts_with('/') || text.split('~').skip(1).all(is_escape);
        (!text.is_empty() && is_valid).then(|| Self(text.to_owned()))
    }

    /// The value of the claim. `null` counts as absent.
    pub(super) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        let value = if self.0.starts_with('/') { claims.pointer(&self.0) } else { claims.get(&self.0) };
        value.filter(|value| !value.is_null())
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A claim that may be in one of several places. The first place that a token has is used, even if its value cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(pub(super) Vec<ClaimPath>);

impl Claim {
    /// The claim of this name.
    pub(super) fn named(name: &str) -> Self {
        Self(vec![ClaimPath(name.to_owned())])
    }

    /// The value of the claim.
    pub(super) fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        self.0.iter().find_map(|path| path.find(claims))
    }

    /// The value of the claim, if it is a string.
    pub(super) fn text<'a>(&self, claims: &'a Value) -> Option<&'a str> {
        self.find(claims).and_then(Value::as_str)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, path) in self.0.iter().enumerate() {
            write!(f, "{}{path}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The claims of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user, at the provider.
    pub user: Claim,
    /// The user's address.
    pub email: Claim,
    /// The user's name.
    pub name: Claim,
    /// The audiences of a token.
    pub audience: Claim,
    /// The only organization that the user acts in.
    pub organization: Claim,
    /// Whether the issuers file names the claim for the organization.
    pub names_organization: bool,
    /// The permissions of the user.
    pub permissions: Claim,
    /// Whether the issuers file names the claim for permissions.
    pub names_permissions: bool,
}

/// A claim that must have one of these values. The types must be equal, too: `"true"` is not `true`, and a list matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The claim.
    pub claim: ClaimPath,
    /// The allowed values: strings and booleans.
    pub allowed: Vec<Value>,
}

impl Condition {
    pub(super) fn is_met(&self, claims: &Value) -> bool {
        self.claim.find(claims).is_some_and(|value| self.allowed.contains(value))
    }
}

/// How a provider names an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationBy {
    /// By its id in this service.
    Id,
    /// By its `external_id`.
    ExternalId,
}

/// The organization that a claim names: a string, a list of one string, or an object with one member, whose value is an object
/// (Keycloak). `None`: it names none, or several.
pub(super) fn organization(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(list) => match list.as_slice() {
            [Value::String(only)] => Some(only),
            _ => None,
        },
        Value::Object(members) => {
            let mut members = members.iter();
            match (members.next(), members.next()) {
                (Some((name, Value::Object(_))), None) => Some(name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Words in permission claims, each with the permissions that it gives. Words are compared exactly; there are no wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderPermissionMap(pub(super) HashMap<String, Permissions>);

/// The result of parsing a permissions claim.
pub(super) struct Granted<'a> {
    pub(super) permissions: Permissions,
    /// Words that give no permission. `None`: a value that is not a word.
    pub(super) left_out: Vec<Option<&'a str>>,
}

/// The permissions that a claim gives: those of the words in `map`, or without a map those that are permissions themselves, the
/// first [`Permissions::MAX`] of them. `None`: the value is neither a string, nor a list, nor an object.
///
/// In an object, the names are the words, and the values are objects by organization (Zitadel). A word counts if there is an
/// organization; where the token names an organization by its external id (`within`), only if it is that one.
pub(super) fn permissions<'a>(
    value: &'a Value,
    map: Option<&ProviderPermissionMap>,
    within: Option<&str>,
) -> Option<Granted<'a>> {
    let words: Vec<Option<&str>> = match value {
        Value::String(text) => text.split_ascii_whitespace().map(Some).collect(),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        Value::Object(roles) => words_of_object(roles, within),
        _ => return None,
    };
    let (mut found, mut seen, mut left_out) = (Vec::new(), HashSet::new(), Vec::new());
    for word in words {
        let gives = match (word, map) {
            (None, _) => None,
            (Some(word), Some(ProviderPermissionMap(map))) => {
                map.get(word).map(|gives| gives.iter().cloned().collect())
            }
            (Some(word), None) => Permission::parse(word).ok().map(|permission| vec![permission]),
        };
        let is_room = |new: &Vec<Permission>| {
            let added = new.iter().filter(|permission| !seen.contains(*permission)).count();
            seen.len() + added <= Permissions::MAX
        };
        match gives.filter(is_room) {
            Some(new) => found.extend(new.into_iter().filter(|permission| seen.insert(permission.clone()))),
            None => left_out.push(word),
        }
    }
    Some(Granted { permissions: Permissions::new(found).ok()?, left_out })
}

fn words_of_object<'a>(roles: &'a Map<String, Value>, within: Option<&str>) -> Vec<Option<&'a str>> {
    let word = |(role, value): (&'a String, &Value)| match value {
        Value::Object(organizations) => {
            let is_granted = within.map_or(!organizations.is_empty(), |only| organizations.contains_key(only));
            is_granted.then_some(Some(role.as_str()))
        }
        _ => Some(None),
    };
    roles.iter().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str, claims: &Value) -> Option<Value> {
        ClaimPath::parse(path).expect("a path").find(claims).cloned()
    }

    #[test]
    fn a_claim_path_is_a_name_or_a_json_pointer() {
        let claims = json!({
            "a.b": 1, "a": {"b": 2, "c/d": 3, "e~f": 4, "n": null}, "/x": 5, "list": ["y"], "https://example.com/roles": 6,
        });
        for (path, expected) in [
            ("a.b", Some(json!(1))),
            ("/a/b", Some(json!(2))),
            ("/a/c~1d", Some(json!(3))),
            ("/a/e~0f", Some(json!(4))),
            ("/a/n", None),
            ("/~1x", Some(json!(5))),
            ("/x", None),
            ("/list/0", Some(json!("y"))),
            ("/list/b", None),
            ("/a.b/c", None),
            ("https://example.com/roles", Some(json!(6))),
            ("a/b", None),
        ] {
            assert_eq!(found(path, &claims), expected, "{path}");
        }
        for wrong in ["", "/a~", "/a~2b"] {
            assert_eq!(ClaimPath::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_claim_that_a_token_has_counts_also_if_it_is_not_understood() {
        let claim = Claim(["uid", "sub"].map(|name| ClaimPath(name.to_owned())).to_vec());
        assert_eq!(claim.text(&json!({"uid": "u", "sub": "s"})), Some("u"));
        assert_eq!(claim.text(&json!({"uid": null, "sub": "s"})), Some("s"));
        assert_eq!(claim.text(&json!({"uid": 7, "sub": "s"})), None);
        assert_eq!(claim.text(&json!({"uid": ["u"], "sub": "s"})), None);
    }

    #[test]
    fn an_organization_claim_names_exactly_one() {
        for (value, expected) in [
            (json!("acme"), Some("acme")),
            (json!(["acme"]), Some("acme")),
            (json!({"acme": {"id": "1"}}), Some("acme")),
            (json!({"acme": {}}), Some("acme")),
            (json!([]), None),
            (json!({}), None),
            (json!(["acme", "other"]), None),
            (json!([["acme"]]), None),
            (json!([7]), None),
            (json!({"acme": {}, "other": {}}), None),
            (json!({"id": "acme"}), None),
            (json!(7), None),
            (json!(true), None),
        ] {
            assert_eq!(organization(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_condition_needs_the_same_value_of_the_same_type() {
        let condition =
            |allowed: &[Value]| Condition { claim: ClaimPath::parse("c").expect("a path"), allowed: allowed.to_vec() };
        let text = condition(&[json!("true"), json!("1")]);
        let flag = condition(&[json!(true)]);
        for (value, is_text, is_flag) in [
            (json!("true"), true, false),
            (json!(true), false, true),
            (json!("True"), false, false),
            (json!("true "), false, false),
            (json!(1), false, false),
            (json!(["true"]), false, false),
            (json!([true]), false, false),
            (json!({"true": true}), false, false),
            (Value::Null, false, false),
        ] {
            let claims = json!({"c": value});
            assert_eq!((text.is_met(&claims), flag.is_met(&claims)), (is_text, is_flag), "{value}");
        }
        assert!(!text.is_met(&json!({})));
    }

    #[test]
    fn a_permissions_claim_gives_what_the_map_says_and_nothing_else() {
        let set = |words: &[&str]| Permissions::from_flat(words.iter().copied()).expect("permissions");
        let map = ProviderPermissionMap(HashMap::from([
            ("admin".to_owned(), set(&["*"])),
            ("Key Reader".to_owned(), set(&["api_keys:read"])),
            ("read:keys".to_owned(), set(&["api_keys:read", "api_keys:verify"])),
        ]));
        let given = |value: &Value, map: Option<&ProviderPermissionMap>| {
            permissions(value, map, None).map(|given| (given.permissions.flat(), given.left_out.len()))
        };
        let many: Vec<String> = (0..1_000).map(|n| format!("r{n}")).collect();
        for (value, mapped, unmapped) in [
            (json!("admin"), (vec!["*"], 0), (vec!["admin"], 0)),
            (json!("*"), (vec![], 1), (vec!["*"], 0)),
            (json!("Admin ADMIN admin:*"), (vec![], 3), (vec!["Admin", "ADMIN", "admin:*"], 0)),
            (json!(["Key Reader"]), (vec!["api_keys:read"], 0), (vec![], 1)),
            (json!("Key Reader"), (vec![], 2), (vec!["Key", "Reader"], 0)),
            (
                json!("read:keys openid"),
                (vec!["api_keys:read", "api_keys:verify"], 1),
                (vec!["read:keys", "openid"], 0),
            ),
            (json!(["https://graph/x", "files:read", "a b", "", "a:b:c"]), (vec![], 5), (vec!["files:read"], 4)),
            (json!([["admin"], {"admin": {}}, 7, null, true]), (vec![], 5), (vec![], 5)),
            (json!({"admin": {"1": "x"}}), (vec!["*"], 0), (vec!["admin"], 0)),
            (json!({"admin": {}}), (vec![], 0), (vec![], 0)),
            (json!({"admin": false, "x": true, "y": 1, "z": "1", "n": null, "l": ["1"]}), (vec![], 6), (vec![], 6)),
            (json!(["x".repeat(65)]), (vec![], 1), (vec![], 1)),
            (json!([]), (vec![], 0), (vec![], 0)),
        ] {
            let strings =
                |(words, left_out): (Vec<&str>, usize)| (words.into_iter().map(str::to_owned).collect(), left_out);
            assert_eq!(given(&value, Some(&map)), Some(strings(mapped)), "with a map: {value}");
            assert_eq!(given(&value, None), Some(strings(unmapped)), "without: {value}");
        }
        assert_eq!(given(&json!(many), None).map(|(words, left_out)| (words.len(), left_out)), Some((256, 744)));
        for value in [json!(7), json!(true), json!(1.5)] {
            assert_eq!(given(&value, Some(&map)), None, "{value}");
        }
    }

    #[test]
    fn roles_that_another_organization_grants_are_left_out() {
        let roles = json!({"admin": {"1": "vendor"}, "reader": {"1": "vendor", "2": "acme"}});
        let given = |within| {
            let given = permissions(&roles, None, within).expect("an object");
            (given.permissions.flat(), given.left_out.len())
        };
        assert_eq!(given(Some("2")), (vec!["reader".to_owned()], 0));
        assert_eq!(given(Some("3")), (vec![], 0));
        assert_eq!(given(None), (vec!["admin".to_owned(), "reader".to_owned()], 0));
    }
}
