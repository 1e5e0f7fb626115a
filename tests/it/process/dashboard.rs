//! The files of the dashboard: paths, content security policy and caching. Its functions are tested in a browser, by
//! `tests/dashboard`.

use harness::{Answer, Caller, TestApp};

/// The paths of the files that the page refers to.
fn asset_paths(page: &Answer) -> Vec<String> {
    // They are relative to the page, which is at the root.
    let names = page.text.split(['"']).filter_map(|text| text.strip_prefix('.'));
    names.filter(|name| name.starts_with("/assets/")).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn the_dashboard_loads_only_its_own_files() {
    let app = TestApp::start().await;
    let page = app.anyone().get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let assets = asset_paths(&page);
    for path in ["/".to_owned()].iter().chain(&assets) {
        let answer = app.anyone().get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
    let mut types = Vec::new();
    for path in &assets {
        types.push(app.anyone().get(path).await.header("content-type").to_owned());
    }
    for wanted in ["text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"] {
        assert!(types.iter().any(|media_type| media_type == wanted), "{types:?}");
    }
    let head = app.anyone().send("HEAD", "/", None).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let post = app.anyone().send("POST", "/", None).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn files_are_compressed_and_revalidated_by_etag() {
    let app = TestApp::start().await;
    let gzip = app.anyone().with("accept-encoding", "gzip, br");
    let page = app.anyone().get("/").await;
    for path in ["/".to_owned()].into_iter().chain(asset_paths(&page)) {
        let (plain, small) = (app.anyone().get(&path).await, gzip.get(&path).await);
        assert_eq!(plain.header("cache-control"), "no-cache", "{path}");
        assert_eq!(plain.headers.get("content-encoding"), None, "{path}");
        assert_eq!((small.header("content-encoding"), small.header("vary")), ("gzip", "accept-encoding"), "{path}");
        assert_ne!(plain.header("etag"), small.header("etag"), "{path}");
        for (caller, answer) in [(app.anyone(), plain), (gzip.clone(), small)] {
            let again =
                caller.with("if-none-match", &format!("\"other\", W/{}", answer.header("etag"))).get(&path).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
            assert_eq!(again.header("etag"), answer.header("etag"), "{path}");
        }
    }
}

#[tokio::test]
async fn names_of_files_do_not_change_with_their_content() {
    let app = TestApp::start().await;
    let mut paths = asset_paths(&app.anyone().get("/").await);
    paths.sort_unstable();
    let shared = ["rolldown-runtime.js", "shared.css", "shared.js"];
    let of_page = |own: [&str; 2]| {
        let mut names: Vec<String> = own.iter().chain(&shared).map(|name| format!("/assets/{name}")).collect();
        names.push("/assets/icon.svg".to_owned());
        names.sort_unstable();
        names
    };
    assert_eq!(paths, of_page(["index.css", "index.js"]));
    let mut paths = asset_paths(&app.anyone().get("/portal").await);
    paths.sort_unstable();
    assert_eq!(paths, of_page(["portal.css", "portal.js"]));
    // The script loads this one for pages with a chart.
    assert_eq!(app.anyone().get("/assets/usage-chart.js").await.status, 200);
}

#[tokio::test]
async fn the_dashboard_can_be_disabled() {
    let app = TestApp::start().await;
    let asset = asset_paths(&app.anyone().get("/").await).pop().expect("an asset");
    let off = TestApp::start_with(|config| config.dashboard = false).await;
    for path in ["/", &asset] {
        assert_eq!(Caller::anyone(off.base()).get(path).await.status, 404, "{path}");
    }
    assert_eq!(off.anyone().get("/docs").await.status, 200, "other paths are unchanged");
}
