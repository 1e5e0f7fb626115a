//! How the databases read lists of many keys: by an index in the order of the list, without sorting.

use domain::{
    clock::Timestamp,
    id::{ExternalId, KeyId, OrganizationId, UserId},
    keys::{
        key_scope::KeyScope,
        list::{Filter, ListPosition, Listing, Order, OwnerFilter, Search, SortField, SortKey, Start},
    },
};
use harness::{KeySpec, TestApp};

/// Enough that reading all of them costs more than any plan with an index.
const KEYS: u32 = 20_000;

const BY_CREATION: &str = "api_keys_by_organization";
const BY_NAME: &str = "api_keys_by_name";
const BY_EXPIRY: &str = "api_keys_in_order_of_expiry";
const BY_EXTERNAL_ID: &str = "api_keys_by_external_id";
const BY_OWNER: &str = "api_keys_by_owner";

fn filtered(filter: Filter, by: SortField) -> Listing {
    Listing { filter, order: Order { by, is_descending: false } }
}

/// A position in a list in this order.
fn position(by: SortField) -> Start {
    let sort_key = match by {
        SortField::Name => SortKey::Text("key 8".to_owned()),
        _ => SortKey::Number(1_700_000_000_000),
    };
    Start::After(ListPosition { sort_key, id: KeyId::from_uuid(uuid::Uuid::from_u128(1 << 127)) })
}

#[tokio::test]
async fn lists_of_many_keys_are_read_in_the_order_of_an_index() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let (id, _) = app.key(&tenant.org_id, KeySpec::with(&[])).await;
    app.copy_key(&id, KEYS).await;
    app.vary_keys(&tenant.user_id).await;
    let organization: OrganizationId = tenant.org_id.parse().expect("an id");
    let user: UserId = tenant.user_id.parse().expect("an id");
    let (whole, own) = (KeyScope::whole(organization), KeyScope { organization, user: Some(user) });
    let soon = || Filter { expires_before: Some(Timestamp::from_millis(1_800_000_000_000)), ..Filter::default() };
    let external_id = || Filter { external_id: ExternalId::parse("x").ok(), ..Filter::default() };
    let owner = || Filter { owner: Some(OwnerFilter::User(user)), ..Filter::default() };
    let name = || Filter { name: Some("key 9".to_owned()), ..Filter::default() };
    let search = || Filter { search: Search::parse("cvg_9"), ..Filter::default() };
    let mut cases = vec![
        (whole, filtered(soon(), SortField::ExpiresAt), BY_EXPIRY),
        (whole, filtered(external_id(), SortField::CreatedAt), BY_EXTERNAL_ID),
        (whole, filtered(owner(), SortField::CreatedAt), BY_OWNER),
        (own, filtered(Filter::default(), SortField::CreatedAt), BY_OWNER),
        (whole, filtered(name(), SortField::CreatedAt), BY_CREATION),
        (whole, filtered(search(), SortField::CreatedAt), BY_CREATION),
        (whole, filtered(name(), SortField::Name), BY_NAME),
    ];
    for (by, index) in
        [(SortField::CreatedAt, BY_CREATION), (SortField::Name, BY_NAME), (SortField::ExpiresAt, BY_EXPIRY)]
    {
        for is_descending in [false, true] {
            let listing = Listing { filter: Filter::default(), order: Order { by, is_descending } };
            cases.push((whole, listing, index));
        }
    }
    let store = app.database.store().await;
    for (scope, listing, index) in cases {
        for start in [Start::Skip(0), position(listing.order.by)] {
            let plan =
                store.database.explain_list(scope, &listing, start.clone(), 51).await.expect("a plan").join("\n");
            assert!(plan.contains(index), "{listing:?} does not use {index}:\n{plan}");
            // SQLite shows so that it begins at the position, and not at the first key.
            let is_after = matches!(start, Start::After(_)) && [BY_NAME, BY_EXPIRY].contains(&index);
            let is_range = app.database.is_postgres() || !is_after || plan.contains("<expr>");
            assert!(is_range, "{listing:?} begins at the first key:\n{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{listing:?} sorts:\n{plan}");
        }
    }
    store.close().await;
}
