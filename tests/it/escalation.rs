//! Whatever a caller does, in whatever order: nobody comes to hold what the caller did not hold, or had already.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use domain::permission::{Permission, PermissionSet};
use harness::{Caller, KeySpec, Tenant, TestApp};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, subsequence},
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// What can be held, and what the caller holds of it.
const UNIVERSE: [&str; 6] = ["files:read", "files:write", "users:read", "*", "files:*", "api_keys:write"];
const HELD: [&str; 6] =
    ["files:*", "api_keys:write", "api_keys:read", "members:admin", "members:read", "permission_sets:admin"];

/// Something that the caller tries: which operation, on which thing, with which permissions and sets.
#[derive(Clone, Debug)]
struct Try {
    operation: u8,
    target: Index,
    permissions: Vec<&'static str>,
    sets: Vec<Index>,
}

fn any_try() -> impl Strategy<Value = Try> {
    let permissions = subsequence(UNIVERSE.to_vec(), 0..=3);
    (0..9_u8, any::<Index>(), permissions, vec(any::<Index>(), 0..=2))
        .prop_map(|(operation, target, permissions, sets)| Try { operation, target, permissions, sets })
}

/// The organization as its administrator sees it.
struct Seen {
    keys: Vec<Value>,
    members: Vec<Value>,
    sets: Vec<Value>,
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("an array").iter().map(|text| text.as_str().expect("a text")).collect()
}

impl Seen {
    async fn of(tenant: &Tenant) -> Self {
        let list = async |what: &str| {
            let answer = tenant.admin.get(&format!("/orgs/{}/{what}", tenant.org_id)).await;
            answer.json().as_array().expect("a list").clone()
        };
        Self { keys: list("api_keys").await, members: list("members").await, sets: list("permission_sets").await }
    }

    /// What a key or a member holds by itself and by its sets.
    fn whole(&self, of: &Value) -> PermissionSet {
        let own = PermissionSet::from_flat(texts(&of["permissions"])).expect("permissions");
        let ids = texts(&of["permission_sets"]);
        let sets = self.sets.iter().filter(|set| ids.contains(&set["id"].as_str().expect("an id")));
        let sets: Vec<PermissionSet> =
            sets.map(|set| PermissionSet::from_flat(texts(&set["permissions"])).expect("permissions")).collect();
        PermissionSet::union(std::iter::once(&own).chain(&sets))
    }

    /// Everybody's concrete permissions: of keys, what holds at this moment.
    fn held(&self) -> BTreeMap<String, BTreeSet<&'static str>> {
        const CONCRETE: [&str; 5] = ["files:read", "files:write", "users:read", "other:thing", "api_keys:write"];
        let members: BTreeMap<&str, PermissionSet> =
            self.members.iter().map(|one| (one["user_id"].as_str().expect("an id"), self.whole(one))).collect();
        let concrete = |allows: &dyn Fn(&Permission) -> bool| {
            let holds = |text: &&&str| allows(&Permission::parse(text).expect("a permission"));
            CONCRETE.iter().filter(holds).copied().collect()
        };
        let of_members = members.iter().map(|(id, set)| (format!("member {id}"), concrete(&|it| set.allows(it))));
        let of_keys = self.keys.iter().map(|key| {
            let (own, user) = (self.whole(key), key["user_id"].as_str());
            let bound =
                |it: &Permission| user.is_none_or(|user| members.get(user).is_some_and(|member| member.allows(it)));
            (format!("key {}", key["id"]), concrete(&|it| own.allows(it) && bound(it)))
        });
        of_members.chain(of_keys).collect()
    }
}

impl Try {
    /// Tries it. Answers the status.
    async fn run(&self, caller: &Caller, tenant: &Tenant, seen: &Seen, number: usize) -> u16 {
        let org = format!("/orgs/{}", tenant.org_id);
        let sets: BTreeSet<&str> = match seen.sets.len() {
            0 => BTreeSet::new(),
            _ => self.sets.iter().map(|index| index.get(&seen.sets)["id"].as_str().expect("an id")).collect(),
        };
        let id = |list: &[Value], name: &str| -> String {
            let one = (!list.is_empty()).then(|| self.target.get(list)[name].as_str().expect("an id").to_owned());
            one.unwrap_or_else(|| tenant.key_id.clone())
        };
        let (key, member, set) = (id(&seen.keys, "id"), id(&seen.members, "user_id"), id(&seen.sets, "id"));
        let (name, permissions) = (format!("n{number}"), &self.permissions);
        let (method, path, body) = match self.operation {
            0 => {
                let body = json!({"name": name, "permissions": permissions, "permission_sets": sets});
                ("POST", format!("{org}/api_keys"), body)
            }
            1 => ("PUT", format!("{org}/api_keys/{key}/permission_sets"), json!({"permission_sets": sets})),
            2 => {
                let map = permissions.iter().map(|text| text.split_once(':').unwrap_or(("*", text)));
                let mut by_resource: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                map.for_each(|(resource, action)| by_resource.entry(resource).or_default().push(action));
                ("POST", "/api/auth/api-key/update".to_owned(), json!({"keyId": key, "permissions": by_resource}))
            }
            3 => {
                let email = format!("m{number}@example.com");
                let body = json!({
                    "user_email": email, "user_name": name, "permissions": permissions, "permission_sets": sets
                });
                ("POST", format!("{org}/members"), body)
            }
            4 => {
                let body = json!({"permissions": permissions, "permission_sets": sets});
                ("PATCH", format!("{org}/members/{member}"), body)
            }
            5 => ("DELETE", format!("{org}/members/{member}"), Value::Null),
            6 => ("POST", format!("{org}/permission_sets"), json!({"name": name, "permissions": permissions})),
            7 => ("PATCH", format!("{org}/permission_sets/{set}"), json!({"permissions": permissions})),
            _ => ("DELETE", format!("{org}/permission_sets/{set}?detach=true"), Value::Null),
        };
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        caller.with("content-type", "application/json").send(method, &path, body).await.status
    }
}

/// Tries all of it. Answers how often there was a success.
async fn no_try_gives_more(tries: &[Try]) -> usize {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    // Things that hold more than the caller, to be taken hold of.
    for (name, permissions) in [("all", json!(["*"])), ("readers", json!(["users:read", "files:read"]))] {
        let body = json!({"name": name, "permissions": permissions});
        assert_eq!(tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &body).await.status, 200);
    }
    app.key(&tenant.org_id, KeySpec::with(&["users:read"])).await;
    let (_, key) = app.key(&tenant.org_id, KeySpec::with(&[&HELD[..], &["org:admin"][..]].concat())).await;
    let caller = app.caller(&key);
    let mut successes = 0;
    for (number, one) in tries.iter().enumerate() {
        let before = Seen::of(&tenant).await;
        let caller_held = before.held();
        let status = one.run(&caller, &tenant, &before, number).await;
        assert!([200, 400, 401, 403, 404, 409].contains(&status), "{status}: {one:?}");
        successes += usize::from(status == 200);
        let allowed: BTreeSet<&str> = ["files:read", "files:write", "api_keys:write"].into();
        for (who, now) in Seen::of(&tenant).await.held() {
            let had = caller_held.get(&who).cloned().unwrap_or_default();
            let more: Vec<_> = now.difference(&had).filter(|permission| !allowed.contains(**permission)).collect();
            assert!(more.is_empty(), "{who} got {more:?} by {one:?} ({status})");
        }
    }
    successes
}

#[test]
fn no_sequence_of_calls_gives_anybody_more_than_the_caller_holds() {
    let successes = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&vec(any_try(), 40), |tries| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        successes.fetch_add(runtime.block_on(no_try_gives_more(&tries)), Ordering::Relaxed);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let successes = successes.into_inner();
    assert!(successes > 20, "not everything is refused: {successes}");
}
