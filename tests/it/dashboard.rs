//! The dashboard as files: where they are, what they may load, how long they are kept. What people do with it is tested in a
//! browser, by `tests/dashboard`.

use harness::{Answer, Caller, TestApp};

/// The addresses of what the page names.
fn named(page: &Answer) -> Vec<String> {
    let names = page.text.split(['"']).filter(|text| text.starts_with("/assets/"));
    names.map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn the_page_and_what_it_names_come_from_here_and_may_load_nothing_else() {
    let app = TestApp::start().await;
    let page = app.anyone().get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), "no-cache", "another version has another page");
    let assets = named(&page);
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
        let kept = app.anyone().get(path).await;
        types.push(kept.header("content-type").to_owned());
        assert_eq!(kept.header("cache-control"), "public, max-age=31536000, immutable", "{path}");
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
async fn files_are_compressed_and_known_again() {
    let app = TestApp::start().await;
    let gzip = app.anyone().with("accept-encoding", "gzip, br");
    let page = app.anyone().get("/").await;
    for path in ["/".to_owned()].into_iter().chain(named(&page)) {
        let (plain, small) = (app.anyone().get(&path).await, gzip.get(&path).await);
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
async fn it_can_be_switched_off() {
    let app = TestApp::start().await;
    let asset = named(&app.anyone().get("/").await).pop().expect("an asset");
    let off = TestApp::start_with(|config| config.dashboard = false).await;
    for path in ["/", &asset] {
        assert_eq!(Caller::anyone(off.base()).get(path).await.status, 404, "{path}");
    }
    assert_eq!(off.anyone().get("/docs").await.status, 200, "everything else is there");
}
