//! No sequence of calls grants permissions that the caller does not have: checked with random calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use domain::{
    audit::context::{Action, Actor, AuditContext, RequestContext},
    clock::Clock,
    id::{OrganizationId, SetId, UserId},
    organizations::user::User,
    permissions::{Permission, Permissions},
    ports::{Members, SetChanges, Sets, UserChanges},
};
use harness::{Caller, KeySpec, Tenant, TestApp};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, subsequence},
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// The permissions in requests.
const UNIVERSE: [&str; 6] = ["files:read", "files:write", "users:read", "*", "files:*", "api_keys:write"];
const HELD: [&str; 6] =
    ["files:*", "api_keys:write", "api_keys:read", "members:admin", "members:read", "permission_sets:admin"];

/// A call: the operation, its object, and the permissions and permission sets of its body.
#[derive(Clone, Debug)]
struct Call {
    operation: u8,
    target: Index,
    permissions: Vec<&'static str>,
    sets: Vec<Index>,
}

fn any_call() -> impl Strategy<Value = Call> {
    let permissions = subsequence(UNIVERSE.to_vec(), 0..=3);
    (0..9_u8, any::<Index>(), permissions, vec(any::<Index>(), 0..=2))
        .prop_map(|(operation, target, permissions, sets)| Call { operation, target, permissions, sets })
}

/// The organization as its administrator reads it.
struct State {
    keys: Vec<Value>,
    members: Vec<Value>,
    sets: Vec<Value>,
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().expect("an array").iter().map(|text| text.as_str().expect("a text")).collect()
}

impl State {
    async fn of(tenant: &Tenant) -> Self {
        let list = async |what: &str| {
            let answer = tenant.admin.get(&format!("/orgs/{}/{what}", tenant.org_id)).await;
            answer.json().as_array().expect("a list").clone()
        };
        Self { keys: list("api_keys").await, members: list("members").await, sets: list("permission_sets").await }
    }

    /// The own permissions of a key or a member with those of its sets.
    fn whole(&self, of: &Value) -> Permissions {
        let own = Permissions::from_flat(strings(&of["permissions"])).expect("permissions");
        let ids = strings(&of["permission_sets"]);
        let sets = self.sets.iter().filter(|set| ids.contains(&set["id"].as_str().expect("an id")));
        let sets: Vec<Permissions> =
            sets.map(|set| Permissions::from_flat(strings(&set["permissions"])).expect("permissions")).collect();
        Permissions::union(std::iter::once(&own).chain(&sets))
    }

    /// The effective permissions of all keys and members.
    fn held(&self) -> BTreeMap<String, BTreeSet<&'static str>> {
        const CONCRETE: [&str; 5] = ["files:read", "files:write", "users:read", "other:thing", "api_keys:write"];
        let members: BTreeMap<&str, Permissions> =
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

impl Call {
    /// Makes the call. Returns the status.
    async fn run(&self, caller: &Caller, tenant: &Tenant, seen: &State, number: usize) -> u16 {
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

/// Makes all calls, by a key of the organization, or with `own` by a key of a member that can change only the keys of that member.
/// Returns the number of successes.
async fn assert_no_call_escalates(calls: &[Call], own: bool) -> usize {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    // Objects with more permissions than the caller has.
    for (name, permissions) in [("all", json!(["*"])), ("readers", json!(["users:read", "files:read"]))] {
        let body = json!({"name": name, "permissions": permissions});
        assert_eq!(tenant.admin.post(&format!("/orgs/{}/permission_sets", tenant.org_id), &body).await.status, 200);
    }
    app.key(&tenant.org_id, KeySpec::with(&["users:read"])).await;
    let held: Vec<&str> = HELD.into_iter().filter(|held| !own || *held != "api_keys:write").collect();
    let more = if own { "own_api_keys:write" } else { "org:admin" };
    let spec = KeySpec::with(&[&held[..], &[more][..]].concat());
    let (_, key) = app.key(&tenant.org_id, KeySpec { user_id: own.then(|| tenant.user_id.clone()), ..spec }).await;
    let caller = app.caller(&key);
    let mut successes = 0;
    for (number, one) in calls.iter().enumerate() {
        let before = State::of(&tenant).await;
        let caller_held = before.held();
        let status = one.run(&caller, &tenant, &before, number).await;
        assert!([200, 400, 401, 403, 404, 409].contains(&status), "{status}: {one:?}");
        successes += usize::from(status == 200);
        let mut allowed: BTreeSet<&str> = ["files:read", "files:write"].into();
        allowed.extend(held.iter().filter(|held| **held == "api_keys:write"));
        for (who, now) in State::of(&tenant).await.held() {
            let had = caller_held.get(&who).cloned().unwrap_or_default();
            let more: Vec<_> = now.difference(&had).filter(|permission| !allowed.contains(**permission)).collect();
            assert!(more.is_empty(), "{who} got {more:?} by {one:?} ({status})");
        }
    }
    successes
}

#[test]
fn no_sequence_of_calls_grants_permissions_beyond_the_callers() {
    let successes = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(vec(any_call(), 40), any::<bool>()), |(calls, own)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        successes.fetch_add(runtime.block_on(assert_no_call_escalates(&calls, own)), Ordering::Relaxed);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let successes = successes.into_inner();
    assert!(successes > 20, "enough calls succeed: {successes}");
}

#[tokio::test]
async fn a_concurrent_change_of_a_member_or_set_is_not_overwritten() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let org = format!("/orgs/{}", tenant.org_id);
    let create = async |what: &str, body: Value| {
        let answer = tenant.admin.post(&format!("{org}/{what}"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let person = json!({"user_email": "ben@example.com", "user_name": "Ben", "permissions": []});
    let member = create("members", person).await["user_id"].as_str().expect("an id").to_owned();
    let set = create("permission_sets", json!({"name": "s", "permissions": []})).await["id"].clone();
    let (organization, user): (OrganizationId, UserId) =
        (tenant.org_id.parse().expect("an id"), member.parse().expect("an id"));
    let set_id: SetId = set.as_str().expect("an id").parse().expect("an id");
    let store = app.database.store().await;
    let context = |action| AuditContext {
        organization,
        actor: Actor::Operator,
        action,
        permission: None,
        origin: RequestContext::default(),
        at: app.clock.now(),
    };
    let nothing = || Some(Permissions::default());
    let seen = Members::find(&*store.database, organization, user).await.expect("read").expect("a member");
    let update = async |seen: &User| {
        let changes = UserChanges { permissions: nothing(), sets: None };
        Members::update(&*store.database, seen, changes, &context(Action::UpdateMember))
            .await
            .expect("no refusal")
            .is_some()
    };
    let path = format!("{org}/members/{member}");
    for change in [json!({"permissions": ["*"]}), json!({"permissions": [], "permission_sets": [set]})] {
        assert!(update(&seen).await, "the state is unchanged");
        assert_eq!(tenant.admin.patch(&path, &change).await.status, 200, "{change}");
        assert!(!update(&seen).await, "it has changed: {change}");
        let now = tenant.admin.get(&path).await.json();
        assert_eq!(now["permissions"], change["permissions"], "{now}");
        assert_eq!(tenant.admin.patch(&path, &json!({"permissions": [], "permission_sets": []})).await.status, 200);
    }

    let seen = Sets::find(&*store.database, organization, set_id).await.expect("read").expect("a set");
    let path = format!("{org}/permission_sets/{set_id}");
    assert_eq!(tenant.admin.patch(&path, &json!({"permissions": ["*"]})).await.status, 200);
    for changes in [
        SetChanges { permissions: nothing(), ..SetChanges::default() },
        SetChanges { name: Some(seen.name.clone()), ..SetChanges::default() },
    ] {
        let updated =
            Sets::update(&*store.database, &seen, changes, &context(Action::UpdateSet)).await.expect("no refusal");
        assert!(updated.is_none(), "{updated:?}");
    }
    assert_eq!(tenant.admin.get(&path).await.json()["permissions"], json!(["*"]));
    store.close().await;
}
