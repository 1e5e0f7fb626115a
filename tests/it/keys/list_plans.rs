//! How the databases read lists of many keys and events: by an index, without sorting more than a few rows. Every query parameter and
//! every order of the OpenAPI document is here, so that a new one needs a plan.

use domain::{
    audit::{EventOutcome, context::Action},
    clock::Timestamp,
    id::{ExternalId, KeyId, OrganizationId, SetId, UserId},
    keys::{
        key_scope::KeyScope,
        list::{
            Filter, ListPosition, Listing, MetadataKey, Order, OwnerFilter, Search, SecretStart, SortField, SortKey,
            Start,
        },
    },
    permissions::Permission,
    ports::{EventFilter, Position},
};
use harness::{Caller, KeySpec, Tenant, TestApp};
use serde_json::Value;
use uuid::Uuid;

/// The rows of keys and of events.
const ROWS: u32 = 200_000;

const BY_CREATION: &str = "api_keys_by_organization";
const BY_EXPIRES_AT: &str = "api_keys_by_expires_at";

/// What the plan of a list with one filter has.
#[derive(Clone, Copy)]
enum Plan {
    /// The index in the order of the list.
    Whole,
    /// The same, and the filter is evaluated for each key that is read. PostgreSQL sorts instead if it expects that few match.
    Order,
    /// This index, in the order of creation.
    Index(&'static str),
    /// In any order, this index, in which few keys are found.
    Few(&'static str),
    /// One key, by its id.
    Id,
}

/// A time before which no key expires, and no event happened.
fn early() -> Timestamp {
    Timestamp::from_millis(1)
}

/// A filter by this query parameter, and its plan. `None`: the parameter is not a filter.
///
/// # Panics
/// The parameter is not known here.
fn key_filter(parameter: &str, user: UserId, is_postgres: bool) -> Option<(Filter, Plan)> {
    let filter = Filter::default();
    let now = Timestamp::from_millis(1_800_000_000_000);
    Some(match parameter {
        "limit" | "cursor" | "sort" | "total" => return None,
        "enabled" => (Filter { enabled: Some(false), ..filter }, Plan::Few("api_keys_disabled")),
        "can_manage" => (Filter { can_manage: Some(false), ..filter }, Plan::Few("api_keys_cannot_manage")),
        "expired" => (Filter { expired: Some((true, early())), ..filter }, Plan::Few(BY_EXPIRES_AT)),
        "name" => (Filter { name: Some("none".to_owned()), ..filter }, Plan::Order),
        "search" => (Filter { search: Search::parse("none"), ..filter }, Plan::Order),
        "id" => (Filter { id: Some(KeyId::from_uuid(Uuid::from_u128(1))), ..filter }, Plan::Id),
        "start" => (Filter { secret_start: SecretStart::parse("none"), ..filter }, Plan::Few("api_keys_by_start")),
        "user" => (Filter { owner: Some(OwnerFilter::User(user)), ..filter }, Plan::Index("api_keys_by_owner")),
        "external_id" => {
            (Filter { external_id: ExternalId::parse("none").ok(), ..filter }, Plan::Index("api_keys_by_external_id"))
        }
        "permission" => {
            (Filter { permission: Permission::parse("*").ok(), ..filter }, Plan::Few("api_keys_by_permissions"))
        }
        "permission_set" => {
            let set = Some(SetId::from_uuid(Uuid::from_u128(1)));
            (Filter { permission_set: set, ..filter }, Plan::Few("api_key_permission_sets"))
        }
        "created_before" => (Filter { created_before: Some(early()), ..filter }, Plan::Few(BY_CREATION)),
        "last_used_before" => (Filter { last_used_before: Some(early()), ..filter }, Plan::Order),
        "used" => (Filter { used: Some(true), ..filter }, Plan::Order),
        "expires_before" => (Filter { expires_before: Some(early()), ..filter }, Plan::Few(BY_EXPIRES_AT)),
        // PostgreSQL has no index for it: each use would have to write to it.
        "exhausted" => {
            let plan = if is_postgres { Plan::Order } else { Plan::Few("api_keys_exhausted") };
            (Filter { exhausted: Some(true), ..filter }, plan)
        }
        "rotating" => (Filter { rotating: Some((true, now)), ..filter }, Plan::Few("api_key_secrets_by_expiry")),
        "metadata" => {
            let metadata = vec![(MetadataKey::parse("plan").expect("a name"), "1".to_owned())];
            (Filter { metadata, ..filter }, Plan::Order)
        }
        "deleted" => (Filter { is_deleted: true, ..filter }, Plan::Few("api_keys_by_deletion")),
        other => panic!("{other} is a new parameter of listApiKeys: how does a list with it read few keys?"),
    })
}

/// The order with this name, and the index that has it.
///
/// # Panics
/// The order is not known here.
fn order(name: &str) -> (Order, Option<&'static str>) {
    let (field, is_descending) = name.strip_prefix('-').map_or((name, false), |field| (field, true));
    let (by, index) = match field {
        "created_at" => (SortField::CreatedAt, Some(BY_CREATION)),
        "name" => (SortField::Name, Some("api_keys_by_name")),
        "expires_at" => (SortField::ExpiresAt, Some("api_keys_in_order_of_expiry")),
        "last_used_at" => (SortField::LastUsedAt, None),
        "request_count" => (SortField::RequestCount, None),
        other => panic!("{other} is a new order of listApiKeys: which index has it?"),
    };
    (Order { by, is_descending }, index)
}

/// A position in the middle of a list in this order, of keys that are created from `begin` on.
fn position(by: SortField, begin: i64) -> Start {
    let middle = begin + i64::from(ROWS / 2);
    let sort_key = match by {
        SortField::Name => SortKey::Text("key 4".to_owned()),
        SortField::CreatedAt => SortKey::Number(middle),
        SortField::ExpiresAt => SortKey::Number(middle + 10_000_000_000),
        SortField::LastUsedAt | SortField::RequestCount => SortKey::Number(0),
    };
    Start::After(ListPosition { sort_key, id: KeyId::from_uuid(Uuid::from_u128(1 << 127)) })
}

/// The query parameters of an operation: names and schemas.
async fn parameters(anyone: &Caller, operation_id: &str) -> Vec<(String, Value)> {
    let document = anyone.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths").values();
    let mut operations = paths.flat_map(|path| path.as_object().expect("methods").values());
    let operation = operations.find(|operation| operation["operationId"] == operation_id).expect("the operation");
    let all = operation["parameters"].as_array().expect("parameters").iter();
    let in_query = all.filter(|parameter| parameter["in"] == "query");
    in_query.map(|one| (one["name"].as_str().expect("a name").to_owned(), one["schema"].clone())).collect()
}

/// Whether a plan reads a table from its beginning to its end.
fn scans(plan: &str, table: &str) -> bool {
    plan.contains(&format!("Seq Scan on {table}"))
        || plan.lines().any(|line| line == format!("SCAN {table}") || line.starts_with(&format!("SCAN {table} USING")))
}

fn sorts(plan: &str) -> bool {
    plan.contains("Sort") || plan.contains("TEMP B-TREE FOR ORDER BY")
}

#[tokio::test]
async fn every_filter_and_order_of_a_list_of_many_keys_has_a_plan() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    app.fill_with_keys(&id, &tenant.user_id, ROWS).await;
    let user: UserId = tenant.user_id.parse().expect("an id");
    let organization: OrganizationId = tenant.org_id.parse().expect("an id");
    let (whole, own) = (KeyScope::whole(organization), KeyScope { organization, user: Some(user) });
    let parameters = parameters(&app.anyone(), "listApiKeys").await;
    let sort = parameters.iter().find(|(name, _)| name == "sort").expect("the orders");
    let orders: Vec<_> =
        sort.1["enum"].as_array().expect("orders").iter().map(|name| order(name.as_str().expect("a name"))).collect();
    let filters = parameters.iter().filter_map(|(name, _)| key_filter(name, user, app.database.is_postgres()));
    let mut cases: Vec<_> = filters.map(|(filter, plan)| (whole, filter, plan)).collect();
    assert!(cases.len() > 15, "the filters are in the document");
    cases.push((whole, Filter::default(), Plan::Whole));
    cases.push((own, Filter::default(), Plan::Index("api_keys_by_owner")));
    let store = app.database.store().await;
    for (scope, filter, expected) in cases {
        for (order, index) in &orders {
            let listing = Listing { filter: filter.clone(), order: *order };
            for start in [Start::Skip(0), position(order.by, app.now_millis())] {
                let [page, count] =
                    store.database.explain_list(scope, &listing, start.clone(), 51).await.expect("plans");
                let (page, count) = (page.join("\n"), count.join("\n"));
                let is_in_order = index.is_none_or(|index| page.contains(index) && !sorts(&page));
                let has = match expected {
                    Plan::Whole | Plan::Order => is_in_order,
                    Plan::Index(of_filter) => {
                        page.contains(of_filter)
                            && count.contains(of_filter)
                            && (order.by != SortField::CreatedAt || !sorts(&page))
                    }
                    Plan::Few(of_filter) => {
                        let is_in_its_order = order.by == SortField::ExpiresAt && of_filter == BY_EXPIRES_AT;
                        let has_page = if is_in_its_order { is_in_order } else { page.contains(of_filter) };
                        has_page && count.contains(of_filter)
                    }
                    Plan::Id => !scans(&page, "api_keys") && !page.contains(BY_CREATION),
                };
                // PostgreSQL chooses between indexes by its statistics.
                assert!(has || app.database.is_postgres(), "{listing:?} from {start:?}:\n{page}\ncount:\n{count}");
                // Without an index for the order, or for the filter, the keys of an organization may be most of a table.
                let is_read_whole = match expected {
                    Plan::Whole => index.is_none(),
                    Plan::Order => index.is_none() || app.database.is_postgres(),
                    _ => false,
                };
                let is_scan = !is_read_whole && scans(&page, "api_keys");
                assert!(!is_scan, "{listing:?} reads all keys:\n{page}");
                // SQLite shows so that it begins at the position, and not at the first key.
                let is_after = matches!(start, Start::After(_)) && matches!(expected, Plan::Whole);
                let is_by_expression = is_after && matches!(order.by, SortField::Name | SortField::ExpiresAt);
                let is_range = app.database.is_postgres() || !is_by_expression || page.contains("<expr>");
                assert!(is_range, "{listing:?} begins at the first key:\n{page}");
            }
        }
    }
    store.close().await;
    events_have_plans(&app, organization, &id).await;
    orders_by_use_are_bounded(&tenant).await;
}

/// Lists of more keys than are sorted, and filters that few or many of them match.
async fn orders_by_use_are_bounded(tenant: &Tenant) {
    let list = async |query: &str| tenant.admin.get(&format!("{}?limit=1000&{query}", tenant.keys())).await;
    let count = async |query: &str| list(query).await.json().as_array().map(Vec::len);
    for order in ["last_used_at", "-last_used_at", "request_count", "-request_count"] {
        let refused = list(&format!("sort={order}&used=false")).await;
        let wrong = refused.json()["fields"]["sort"].as_str().map(|wrong| wrong.contains("150000 keys"));
        assert_eq!((refused.status, wrong), (400, Some(true)), "{}", refused.text);
        assert_eq!(count(&format!("sort={order}&user={}", tenant.user_id)).await, Some(201), "with the first key");
        assert_eq!(count(&format!("sort={order}&external_id=external%209")).await, Some(1));
        assert_eq!(count(&format!("sort={order}&id={}", tenant.key_id)).await, Some(1));
    }
    let many = [("start=cvg_", 1_000), ("permission=none:none", 1), ("search=cvg_1", 1_000), ("expired=false", 1_000)];
    let few =
        [("start=old", 200), ("start=cvg_19999", 11), ("enabled=false", 200), ("permission=*", 1), ("search=old", 200)];
    for (query, expected) in many.into_iter().chain(few) {
        assert_eq!(count(query).await, Some(expected), "{query}");
        assert_eq!(count(&format!("sort=-name&{query}")).await, Some(expected), "{query}");
    }
    let offset = async |offset: u32| tenant.admin.get(&format!("/api/auth/api-key/list?limit=2&offset={offset}")).await;
    assert_eq!(offset(100_000).await.json().as_array().map(Vec::len), Some(2));
    assert_eq!(offset(100_001).await.status, 400);
}

/// A filter by this query parameter, and the index that it uses. `None`: the parameter is not a filter.
///
/// # Panics
/// The parameter is not known here.
fn event_filters(parameter: &str, target: Uuid) -> Vec<(EventFilter, &'static str)> {
    let filter = EventFilter::default;
    let late = Timestamp::from_millis(9_000_000_000_000);
    match parameter {
        "limit" | "cursor" => Vec::new(),
        "action" => vec![
            (EventFilter { actions: Some(vec![Action::DeleteKey]), ..filter() }, "audit_events_by_action"),
            (EventFilter { actions: Some(Action::matching("member.")), ..filter() }, "audit_events_by_action"),
        ],
        "outcome" => vec![
            (EventFilter { outcome: Some(EventOutcome::Denied), ..filter() }, "audit_events_not_done"),
            (EventFilter { outcome: Some(EventOutcome::Done), ..filter() }, "audit_events_by_seq"),
        ],
        "actor" => vec![
            (EventFilter { actor: Some(Uuid::from_u128(1)), ..filter() }, "audit_events_by_actor_user"),
            (EventFilter { actor: Some(Uuid::from_u128(1)), ..filter() }, "audit_events_by_actor_key"),
        ],
        "target" => vec![
            (EventFilter { target: Some(target), ..filter() }, "audit_events_by_target"),
            (
                EventFilter { target: Some(target), actions: Some(vec![Action::UpdateKey]), ..filter() },
                "audit_events_by_target",
            ),
        ],
        "since" => vec![
            (EventFilter { since: Some(late), ..filter() }, "audit_events_by_at"),
            (EventFilter { since: Some(early()), ..filter() }, "audit_events_by_seq"),
        ],
        "until" => vec![(EventFilter { until: Some(early()), ..filter() }, "audit_events_by_at")],
        other => panic!("{other} is a new parameter of listAuditEvents: which index has it?"),
    }
}

async fn events_have_plans(app: &TestApp, organization: OrganizationId, key_id: &str) {
    let target = Uuid::try_parse(key_id).expect("an id");
    let store = app.database.store().await;
    let mut filters = vec![(EventFilter::default(), "audit_events_by_seq")];
    for (name, _) in parameters(&app.anyone(), "listAuditEvents").await {
        filters.extend(event_filters(&name, target));
    }
    assert!(filters.len() > 8, "the filters are in the document");
    for (filter, index) in filters {
        for position in [None, Some(Position::Before(100_000))] {
            let plan =
                store.audit.explain_events(organization, &filter, position, 101).await.expect("a plan").join("\n");
            let has = plan.contains(index) || app.database.is_postgres();
            assert!(has, "{filter:?} does not use {index}:\n{plan}");
            assert!(!scans(&plan, "audit_events"), "{filter:?} reads all events:\n{plan}");
        }
    }
    store.close().await;
}
