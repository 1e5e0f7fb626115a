//! The settings of the portal: its name, color and logo, and the pages that can embed it.

use harness::{KeySpec, TestApp};
use serde_json::{Value, json};

use super::{assert_failed, open};
use crate::audit_log::events::{events, log_of};

/// The smallest PNG that is recognized as one.
pub(super) const LOGO: &str = "data:image/png;base64,iVBORw0KGgo=";

#[tokio::test]
async fn the_settings_are_changed_one_by_one() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant("Acme").await, app.tenant("Other").await);
    let path = format!("/orgs/{}/portal", tenant.org_id);
    let empty = json!({"name": null, "color": null, "logo": null, "origins": []});
    assert_eq!(tenant.admin.get(&path).await.json(), empty);
    let all = json!({"name": " Acme Keys ", "color": "#3B5BDB", "logo": LOGO,
        "origins": ["https://Shop.example:443", "https://shop.example", "http://localhost:3000"]});
    let updated = tenant.admin.patch(&path, &all).await;
    let expected = json!({"name": "Acme Keys", "color": "#3b5bdb", "logo": LOGO,
        "origins": ["https://shop.example", "http://localhost:3000"]});
    assert_eq!((updated.status, updated.json()), (200, expected.clone()), "{}", updated.text);
    assert_eq!(tenant.admin.get(&path).await.json(), expected);
    let portal = open(&app, &tenant, json!({})).await.get("/portal/session").await.json();
    for name in ["name", "color", "logo"] {
        assert_eq!(portal[name], expected[name]);
    }
    let mut expected = expected;
    expected["logo"] = Value::Null;
    assert_eq!(tenant.admin.patch(&path, &json!({"logo": null})).await.json(), expected, "others are unchanged");
    assert_eq!(tenant.admin.patch(&path, &json!({"name": null, "color": null, "origins": null})).await.json(), empty);
    assert_failed(&tenant.admin.patch(&path, &json!({})).await, 400, "nothing_to_change");
    assert_failed(&other.admin.get(&path).await, 404, "not_found");
    assert_failed(&other.admin.patch(&path, &json!({"name": "x"})).await, 404, "not_found");
    let reader = app.caller(&app.key(&tenant.org_id, KeySpec::with(&["org:read"])).await.1);
    assert_eq!(reader.get(&path).await.status, 200);
    assert_failed(&reader.patch(&path, &json!({"name": "x"})).await, 403, "permission_required");
    let log = events(&tenant.admin, &log_of(&tenant)).await;
    let changes = log.iter().filter(|event| event["action"] == "portal.update" && event["outcome"] == "done");
    assert_eq!(changes.count(), 3);
}

#[tokio::test]
async fn simultaneous_changes_of_different_settings_are_all_stored() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/portal", tenant.org_id);
    for round in 0..20 {
        let origins = json!({"origins": ["https://shop.example"]});
        assert_eq!(tenant.admin.patch(&path, &origins).await.status, 200);
        let name = format!("Round {round}");
        let (clear, rename) = (json!({"origins": null}), json!({"name": name}));
        let (cleared, renamed) = tokio::join!(tenant.admin.patch(&path, &clear), tenant.admin.patch(&path, &rename));
        assert_eq!((cleared.status, renamed.status), (200, 200));
        let settings = tenant.admin.get(&path).await.json();
        assert_eq!((&settings["origins"], &settings["name"]), (&json!([]), &json!(name)), "round {round}");
    }
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let app = TestApp::start().await;
    let tenant = app.tenant("Acme").await;
    let path = format!("/orgs/{}/portal", tenant.org_id);
    let many: Vec<String> = (0..21).map(|n| format!("https://shop-{n}.example")).collect();
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(101))),
        ("color", json!("red")),
        ("color", json!("#fff")),
        ("logo", json!("https://shop.example/logo.png")),
        ("logo", json!("data:image/svg+xml;base64,PHN2Zy8+")),
        ("logo", json!("data:image/png;base64,/9j/4A==")),
        ("origins", json!(["*"])),
        ("origins", json!(["https://*.example.com"])),
        ("origins", json!(["http://shop.example"])),
        ("origins", json!(["https://shop.example/path"])),
        ("origins", json!(["https://shop.example; script-src *"])),
        ("origins", json!(many)),
        ("other", json!(1)),
    ] {
        let answer = tenant.admin.patch(&path, &json!({field: value})).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec![field.to_owned()]), "{}", answer.text);
    }
    let large = format!("data:image/png;base64,iVBORw0KGgo{}", "A".repeat(43_693));
    assert_eq!(tenant.admin.patch(&path, &json!({"logo": large})).await.wrong_fields(), ["logo"]);
}
