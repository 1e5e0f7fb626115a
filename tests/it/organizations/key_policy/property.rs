//! Random policies and random sequences of requests: no key that was created or changed after a policy was set breaks it.

use std::collections::BTreeSet;

use domain::permissions::Permissions;
use harness::{Answer, Tenant, TestApp};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use serde_json::{Value, json};

use super::{create_set, in_days, org, set_policy};
use crate::{
    compat::athena::post as athena,
    keys::import::{import, key as legacy_key, secret as legacy_secret},
};

const PERMISSIONS: [&str; 6] = ["files:read", "files:write", "files:*", "mail:send", "read", "*"];

/// A request that creates or changes a key. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Create(Value),
    BulkCreate(Value),
    Import(Value),
    Athena(Value),
    Update(usize, Value),
    AthenaUpdate(usize, bool),
    Rotate(usize),
    Delete(usize),
    Restore(usize),
    SetSets(usize, Vec<usize>),
    UpdateSet(usize, Vec<&'static str>),
    Enable(usize, bool),
}

fn permissions() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(PERMISSIONS.to_vec(), 0..3)
}

fn policy() -> impl Strategy<Value = Value> {
    let catalogue = proptest::option::of(proptest::sample::subsequence(PERMISSIONS.to_vec(), 1..5));
    let flag = any::<bool>();
    (proptest::option::of(1..60_u32), flag, permissions(), proptest::option::of(Just("acme_")), catalogue, flag)
        .prop_map(|(days, expiry, guarded, prefix, catalogue, can_manage)| {
            let catalogue = catalogue.map(|list: Vec<&str>| {
                list.into_iter().map(|permission| json!({"permission": permission})).collect::<Vec<_>>()
            });
            json!({
                "max_lifetime_days": days, "expiry_required": expiry, "addresses_required_for": guarded,
                "prefix": prefix, "allowed_permissions": catalogue, "can_manage": can_manage,
            })
        })
}

/// Settings of a key, with the number of days until it expires instead of a time, and places of sets instead of ids.
fn settings() -> impl Strategy<Value = Value> {
    let days = proptest::option::of(1..90_i64);
    let addresses = proptest::option::of(Just(["192.0.2.0/24"]));
    let sets = proptest::sample::subsequence(vec![0_usize, 1], 0..3);
    let manage = proptest::option::of(any::<bool>());
    (permissions(), days, addresses, sets, manage).prop_map(|(permissions, days, addresses, sets, can_manage)| {
        let mut settings = json!({"permissions": permissions, "days": days, "sets": sets});
        if let Some(addresses) = addresses {
            settings["allowed_addresses"] = json!(addresses);
        }
        if let Some(can_manage) = can_manage {
            settings["can_manage"] = json!(can_manage);
        }
        settings
    })
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..20_usize;
    let sets = proptest::sample::subsequence(vec![0_usize, 1], 0..3);
    prop_oneof![
        3 => settings().prop_map(Step::Create),
        1 => settings().prop_map(Step::BulkCreate),
        1 => settings().prop_map(Step::Import),
        1 => settings().prop_map(Step::Athena),
        4 => (key.clone(), settings()).prop_map(|(key, settings)| Step::Update(key, settings)),
        1 => (key.clone(), any::<bool>()).prop_map(|(key, flag)| Step::AthenaUpdate(key, flag)),
        1 => key.clone().prop_map(Step::Rotate),
        1 => key.clone().prop_map(Step::Delete),
        2 => key.clone().prop_map(Step::Restore),
        2 => (key.clone(), sets).prop_map(|(key, sets)| Step::SetSets(key, sets)),
        3 => (0..2_usize, permissions()).prop_map(|(set, permissions)| Step::UpdateSet(set, permissions)),
        1 => (key, any::<bool>()).prop_map(|(key, enabled)| Step::Enable(key, enabled)),
    ]
}

struct Run<'a> {
    app: &'a TestApp,
    tenant: &'a Tenant,
    sets: Vec<String>,
    /// The ids of all keys, deleted or not.
    keys: Vec<String>,
    /// Those that were created or changed, other than only restricted, since the policy was set.
    touched: BTreeSet<String>,
    imported: u8,
    succeeded: usize,
    refused: usize,
}

impl Run<'_> {
    /// The body for these settings.
    fn body(&self, settings: &Value) -> Value {
        let mut body = settings.clone();
        let object = body.as_object_mut().expect("an object");
        let days = object.remove("days").expect("days").as_i64();
        let sets = object.remove("sets").expect("sets");
        let index = |n: &Value| usize::try_from(n.as_u64().expect("a number")).expect("an index");
        let sets = sets.as_array().expect("a list").iter().map(|n| &self.sets[index(n)]);
        object.insert("permission_sets".to_owned(), sets.cloned().collect());
        object.insert("name".to_owned(), "n".into());
        object.insert("expires_at".to_owned(), days.map(|days| in_days(self.app, days)).into());
        body
    }

    fn key(&self, n: usize) -> Option<&String> {
        if self.keys.is_empty() { None } else { self.keys.get(n % self.keys.len()) }
    }

    fn note(&mut self, answer: &Answer, ids: Vec<String>) {
        match answer.status {
            200 => {
                self.succeeded += 1;
                for id in ids {
                    if !self.keys.contains(&id) {
                        self.keys.push(id.clone());
                    }
                    self.touched.insert(id);
                }
            }
            400 | 404 => self.refused += 1,
            _ => panic!("{}", answer.text),
        }
    }

    async fn execute(&mut self, step: &Step) {
        let (tenant, keys) = (self.tenant, self.tenant.keys());
        let admin = &tenant.admin;
        let id_in = |value: &Value| value.as_str().map(ToOwned::to_owned);
        match step {
            Step::Create(settings) => {
                let answer = admin.post(&keys, &self.body(settings)).await;
                let id = id_in(&answer.json()["id"]);
                self.note(&answer, id.into_iter().collect());
            }
            Step::BulkCreate(settings) => {
                let body = json!({"keys": [self.body(settings), self.body(settings)]});
                let answer = admin.post(&format!("{keys}/bulk_create"), &body).await;
                let made = answer.json()["keys"].clone();
                let ids = made.as_array().into_iter().flatten().filter_map(|key| id_in(&key["id"])).collect();
                self.note(&answer, ids);
            }
            Step::Import(settings) => {
                self.imported += 1;
                let body = legacy_key(&legacy_secret(self.imported % 26), &self.body(settings));
                let answer = import(admin, &tenant.org_id, &[body]).await;
                let id = id_in(&answer.json()["keys"][0]["id"]);
                self.note(&answer, id.into_iter().collect());
            }
            Step::Athena(settings) => {
                let days = settings["days"].as_i64();
                let body = json!({"name": "n", "expiresIn": days.map(|days| days * 86_400)});
                let answer = athena(admin, "create", body).await;
                let id = id_in(&answer.json()["id"]);
                self.note(&answer, id.into_iter().collect());
            }
            Step::Update(key, settings) => {
                let Some(id) = self.key(*key).cloned() else { return };
                self.change(&id, &self.body(settings)).await;
            }
            Step::AthenaUpdate(key, flag) => {
                let Some(id) = self.key(*key).cloned() else { return };
                let before = self.shown(&id).await;
                let body = json!({"keyId": id, "name": format!("{flag}"), "enabled": flag});
                let answer = athena(admin, "update", body).await;
                let only_restricts = before["name"] == json!(format!("{flag}")) && !flag;
                self.note(&answer, if only_restricts { Vec::new() } else { vec![id] });
            }
            Step::Rotate(key) => {
                let Some(id) = self.key(*key).cloned() else { return };
                let answer = admin.post(&format!("{keys}/{id}/rotate"), &json!({"grace_seconds": 0})).await;
                // It makes the secret newer; other rules are not checked.
                self.note(&answer, Vec::new());
            }
            Step::Delete(key) => {
                let Some(id) = self.key(*key).cloned() else { return };
                let answer = admin.delete(&format!("{keys}/{id}")).await;
                self.note(&answer, Vec::new());
            }
            Step::Restore(key) => {
                let Some(id) = self.key(*key).cloned() else { return };
                let answer = admin.send("POST", &format!("{keys}/{id}/restore"), None).await;
                self.note(&answer, vec![id]);
            }
            Step::SetSets(key, sets) => {
                let Some(id) = self.key(*key).cloned() else { return };
                let before = self.shown(&id).await["permission_sets"].clone();
                let sets: Vec<&String> = sets.iter().map(|n| &self.sets[*n]).collect();
                let only_removes =
                    before.as_array().is_some_and(|before| sets.iter().all(|set| before.contains(&json!(set))));
                let body = json!({"permission_sets": sets});
                let answer = admin.put(&format!("{keys}/{id}/permission_sets"), &body).await;
                self.note(&answer, if only_removes { Vec::new() } else { vec![id] });
            }
            Step::UpdateSet(set, permissions) => {
                let path = format!("{}/permission_sets/{}", org(tenant), self.sets[*set]);
                let answer = admin.patch(&path, &json!({"permissions": permissions})).await;
                self.note(&answer, Vec::new());
            }
            Step::Enable(key, enabled) => {
                let Some(id) = self.key(*key).cloned() else { return };
                self.change(&id, &json!({"enabled": enabled})).await;
            }
        }
    }

    async fn shown(&self, id: &str) -> Value {
        self.tenant.admin.get(&format!("{}/{id}", self.tenant.keys())).await.json()
    }

    /// Changes a key. If it breaks the policy after a successful change, the change must only have restricted it.
    async fn change(&mut self, id: &str, body: &Value) {
        let before = self.shown(id).await;
        let answer = self.tenant.admin.patch(&format!("{}/{id}", self.tenant.keys()), body).await;
        let after = answer.json();
        let list = |key: &Value, name: &str| -> BTreeSet<String> {
            let items = key[name].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let permissions = |key: &Value| {
            Permissions::from_flat(list(key, "permissions").iter().map(String::as_str)).expect("permissions")
        };
        let expires = |key: &Value| key["expires_at"].as_str().map_or("~".to_owned(), ToOwned::to_owned);
        let restricts = permissions(&before).covers(&permissions(&after))
            && list(&after, "permission_sets").is_subset(&list(&before, "permission_sets"))
            && before["name"] == after["name"]
            && expires(&after) <= expires(&before)
            && (after["can_manage"] == before["can_manage"] || after["can_manage"] == false)
            && (after["enabled"] == before["enabled"] || after["enabled"] == false);
        self.note(&answer, if restricts { Vec::new() } else { vec![id.to_owned()] });
    }

    /// Asserts that no key that was touched breaks a policy.
    async fn assert_kept(&self, step: &Step) {
        for id in &self.touched {
            let state = self.tenant.admin.get(&format!("{}/{id}/key_policy", self.tenant.keys())).await;
            if state.status == 404 {
                continue;
            }
            assert_eq!(state.json()["broken_rules"], json!([]), "{id} after {step:?}: {}", self.shown(id).await);
        }
    }
}

#[tokio::test]
async fn no_sequence_of_requests_makes_a_key_that_breaks_a_policy() {
    let app = TestApp::start().await;
    let config = Config { rng_seed: RngSeed::Fixed(37), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let mut generate = |count: usize| {
        let cases = (policy(), policy(), proptest::collection::vec(step(), count));
        cases.new_tree(&mut runner).expect("a case").current()
    };
    let (mut succeeded, mut refused) = (0, 0);
    for n in 0..12 {
        let tenant = app.tenant(&format!("Acme{n}")).await;
        let (first, second, steps) = generate(30);
        let sets = vec![
            create_set(&tenant, &["files:read"], Value::Null).await,
            create_set(&tenant, &["mail:send"], second).await,
        ];
        let (keys, touched) = (Vec::new(), BTreeSet::new());
        let mut run = Run { app: &app, tenant: &tenant, sets, keys, touched, imported: 0, succeeded: 0, refused: 0 };
        for (n, step) in steps.iter().enumerate() {
            if n == 10 {
                // Keys from before are only bound by it when they are changed.
                set_policy(&tenant, first.clone()).await;
                run.touched.clear();
            }
            run.execute(step).await;
            run.assert_kept(step).await;
        }
        succeeded += run.succeeded;
        refused += run.refused;
    }
    assert!(succeeded > 60 && refused > 60, "{succeeded} {refused}");
}
