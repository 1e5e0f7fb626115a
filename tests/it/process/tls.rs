//! TLS of the listener: protocols, certificates and their reload, and handshakes that do not end.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use api::process::system::SystemClock;
use chrono::{DateTime, Datelike as _, TimeDelta};
use domain::clock::Clock as _;
use harness::{MAX_WAIT, Process, TestApp, TestDatabase, wait_until, within, write_secret};
use reqwest::{Certificate, Client};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// A certificate for `localhost` and its private key, in files.
struct Files {
    directory: TempDir,
    /// The certificate in PEM.
    certificate: String,
}

/// A self-signed certificate and its private key, in PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A client that accepts only this certificate, and has no TLS session to resume.
fn client_of(certificate: &str) -> Client {
    let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    let client = Client::builder().timeout(MAX_WAIT).pool_max_idle_per_host(0);
    client.tls_certs_only([certificate]).build().expect("a client")
}

impl Files {
    fn new() -> Self {
        let mut files = Self { directory: TempDir::new().expect("a directory"), certificate: String::new() };
        files.renew();
        files
    }

    /// Replaces both.
    fn renew(&mut self) {
        let (certificate, key) = certificate();
        std::fs::write(self.certificate_file(), &certificate).expect("written");
        write_secret(&self.key_file(), &key);
        self.certificate = certificate;
    }

    fn certificate_file(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    fn settings(&self, database: &TestDatabase) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.display().to_string();
        vec![
            ("CLAVIGER_DATABASE_URL".to_owned(), database.url().to_owned()),
            ("CLAVIGER_TLS_CERT_FILE".to_owned(), text(self.certificate_file())),
            ("CLAVIGER_TLS_KEY_FILE".to_owned(), text(self.key_file())),
        ]
    }

    fn serve(&self, database: &TestDatabase) -> Process {
        let settings = self.settings(database);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Process::serve(&settings)
    }

    /// A service in this process.
    async fn start(&self, change: impl FnOnce(&mut api::config::Config)) -> TestApp {
        TestApp::start_with(|config| {
            config.tls_cert_file = Some(self.certificate_file());
            config.tls_key_file = Some(self.key_file());
            change(config);
        })
        .await
    }

    /// A client that accepts only the current certificate.
    fn client(&self) -> Client {
        client_of(&self.certificate)
    }

    /// A connection that offers these protocols.
    async fn connect(&self, port: u16, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")).expect("a certificate");
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
        let config = config.with_safe_default_protocol_versions().expect("default versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
    }
}

#[tokio::test]
async fn https_is_served_with_http_1_and_http_2() {
    let (files, database) = (Files::new(), TestDatabase::fresh().await);
    let process = files.serve(&database);
    let port = process.address.port();
    let url = format!("https://localhost:{port}");
    let client = files.client();
    let body = json!({"user_name": "Ada", "user_email": "ada@example.com"}).to_string();
    let request = |path: &str| client.post(format!("{url}{path}")).header("content-type", "application/json");
    let made = request("/auth/create-key").body(body).send().await.expect("an answer").text().await.expect("text");
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let key = made["data"]["api_key"].as_str().expect("a key");
    let answer = client.get(format!("{url}/me")).bearer_auth(key).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);

    let stream = files.connect(port, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let request = hyper::Request::get(format!("{url}/health/live")).body(()).expect("a request");
    let (response, _) = sender.send_request(request, true).expect("sent");
    tokio::select! {
        response = response => assert_eq!(response.expect("an answer").status(), 200),
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
    assert_eq!(files.connect(port, &["http/1.1"]).await.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let address = process.address.to_string();
    let mut settings = files.settings(&database);
    settings.push(("CLAVIGER_LISTEN".to_owned(), address.clone()));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let health = Process::run(&["health"], &settings);
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
    assert_eq!(Process::run(&["health"], &[("CLAVIGER_LISTEN", &address)]).status.code(), Some(1), "http");
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(&format!(" https://{address} — ")), "{log}");
}

#[tokio::test]
async fn certificates_are_reloaded() {
    let (mut files, database) = (Files::new(), TestDatabase::sqlite());
    let process = files.serve(&database);
    let url = format!("https://localhost:{}/metrics", process.address.port());
    let old = files.certificate.clone();
    let kept = files.connect(process.address.port(), &[]).await;
    let first = files.client().get(&url).send().await.expect("an answer").text().await.expect("text");
    assert!(first.contains("claviger_last_reload_successful 1"), "{first}");

    files.renew();
    process.signal("HUP");
    let new = files.client();
    let answer = wait_until("the new certificate", async || new.get(&url).send().await).await;
    assert_eq!(answer.status(), 200);
    assert!(client_of(&old).get(&url).send().await.is_err(), "the old one is not used any more");
    // Connections with the old one stay open.
    let (mut read, mut write) = tokio::io::split(kept);
    write.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    within("an answer", read.read_to_string(&mut text)).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");

    write_secret(&files.key_file(), &certificate().1);
    process.signal("HUP");
    wait_until("the reload to fail", async || {
        let text = new.get(&url).send().await.expect("the same certificate").text().await.expect("text");
        if text.contains("claviger_last_reload_successful 0") { Ok(()) } else { Err(text) }
    })
    .await;
    process.signal("TERM");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let failed = log.lines().find(|line| line.contains("nothing was changed")).expect("a line");
    assert!(failed.contains("does not belong to the certificate") && failed.contains("\"ERROR\""), "{failed}");
}

#[test]
fn a_start_with_a_wrong_certificate_fails() {
    let (files, database) = (Files::new(), TestDatabase::sqlite());
    let refused = |expected: &str| {
        let settings = files.settings(&database);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let output = Process::run(&["serve"], &settings);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("CLAVIGER_TLS_KEY_FILE must name") && text.contains(expected), "{text}");
    };
    std::fs::set_permissions(files.key_file(), Permissions::from_mode(0o644)).expect("changed");
    refused("tls.key: other users can read or change the file");
    std::fs::remove_file(files.key_file()).expect("removed");
    write_secret(&files.key_file(), &certificate().1);
    refused("tls.key: it does not belong to the certificate");
    write_secret(&files.key_file(), "hunter2");
    refused("tls.key: it must contain a private key");
    std::fs::write(files.certificate_file(), "hunter2").expect("written");
    refused("tls.crt: it must contain certificates");
    std::fs::remove_file(files.certificate_file()).expect("removed");
    refused("tls.crt: No such file");
    assert!(!database.file().exists(), "nothing was created");
}

#[test]
fn a_certificate_that_has_expired_or_soon_will_is_reported() {
    for (days, expected) in [(-1, Some("has expired")), (13, Some("expires within 14 days")), (16, None)] {
        let (files, database) = (Files::new(), TestDatabase::sqlite());
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        let now = DateTime::from_timestamp_millis(SystemClock.now().millis()).expect("a time");
        let end = now + TimeDelta::days(days);
        let (month, day) = (u8::try_from(end.month()).expect("a month"), u8::try_from(end.day()).expect("a day"));
        params.not_after = rcgen::date_time_ymd(end.year(), month, day);
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(files.certificate_file(), certificate.pem()).expect("written");
        write_secret(&files.key_file(), &key.serialize_pem());
        let process = files.serve(&database);
        process.signal("TERM");
        let (_, log) = process.wait();
        let mut lines = log.lines().filter(|line| line.contains("the TLS certificate"));
        let Some(expected) = expected else {
            assert_eq!(lines.next(), None);
            continue;
        };
        let line = lines.next().unwrap_or_else(|| panic!("no line about it: {log}"));
        assert!(line.contains("\"level\":\"WARN\"") && line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let files = Files::new();
    let app = files.start(|config| config.client_timeout = std::time::Duration::from_secs(1)).await;
    for begin in [&b""[..], &[22, 3, 1]] {
        let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
        stream.write_all(begin).await.expect("sent");
        let mut end = Vec::new();
        let closed = within("the connection to be closed", stream.read_to_end(&mut end)).await;
        assert!(closed.is_err() || end.is_empty(), "{end:?}");
    }
    // A client that does not use TLS.
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut end = Vec::new();
    let _ = within("the connection to be closed", stream.read_to_end(&mut end)).await;
    assert!(!end.starts_with(b"HTTP"), "{end:?}");
}

#[tokio::test]
async fn a_handshake_counts_as_a_connection() {
    let files = Files::new();
    // With this time limit the handshake is not ended, and does not count as idle, before the test ends.
    let app = files
        .start(|config| {
            config.max_connections = 1;
            config.client_timeout = 60 * MAX_WAIT;
        })
        .await;
    let port = app.address().port();
    let (url, client) = (format!("https://localhost:{port}"), files.client());
    let status = async |path: &str| client.get(format!("{url}{path}")).send().await.expect("an answer").status();
    // Until the service has its first tick, and while a connection of an earlier attempt is open, this is not so.
    let begun = wait_until("the handshake to take the only place", async || {
        let mut begun = TcpStream::connect(app.address()).await.expect("a connection");
        begun.write_all(&[22, 3, 1]).await.expect("sent");
        for _ in 0..20 {
            let status = status("/me").await;
            if status != 503 {
                return Err(status);
            }
        }
        Ok(begun)
    })
    .await;
    assert_eq!(status("/health/live").await, 200, "a reserved place");
    drop(begun);
    wait_until("the place", async || {
        let status = status("/me").await;
        if status == 401 { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test]
async fn the_service_stops_while_a_handshake_is_unfinished() {
    let files = Files::new();
    let app = files.start(|_| {}).await;
    let mut begun = TcpStream::connect(app.address()).await.expect("a connection");
    begun.write_all(&[22, 3, 1]).await.expect("sent");
    harness::wait_until_read(&begun, app.address()).await;
    assert!(within("the end", app.stop()).await.0);
}

#[tokio::test]
async fn without_a_public_origin_the_session_cookie_is_that_of_https() {
    let files = Files::new();
    let app = files.start(|config| config.public_url = None).await;
    let (url, client) = (format!("https://localhost:{}", app.address().port()), files.client());
    let body = serde_json::json!({"user_name": "Ada", "user_email": "ada@example.com"}).to_string();
    let request = client.post(format!("{url}/auth/create-key")).header("content-type", "application/json").body(body);
    let text = request.send().await.expect("an answer").text().await.expect("text");
    let made: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let key = made["data"]["api_key"].as_str().expect("a key");
    let answer = client.post(format!("{url}/session")).header("x-api-key", key).send().await.expect("an answer");
    let cookie = answer.headers()["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("__Host-apiKeyCookie=") && cookie.contains("; Secure"), "{cookie}");
}
