//! A local identity provider: its signing keys, its tokens, and its JWKS.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ::aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair,
    },
};
use api::auth::jwt::issuers;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet},
};
use rcgen::{CertifiedKey, KeyPair};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// A key that signs tokens.
pub struct SigningKey {
    /// Its id (`kid`).
    pub id: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    /// An Ed25519 key.
    #[must_use]
    pub fn ed25519(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key");
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_der(document.as_ref()) }
    }

    /// A P-256 key.
    #[must_use]
    pub fn p256(id: &str) -> Self {
        Self::ec(id, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    /// A P-384 key.
    #[must_use]
    pub fn p384(id: &str) -> Self {
        Self::ec(id, Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ec(id: &str, algorithm: Algorithm, curve: &'static EcdsaSigningAlgorithm) -> Self {
        let document = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).expect("a key");
        Self { id: id.to_owned(), algorithm, private: EncodingKey::from_ec_der(document.as_ref()) }
    }

    /// An RSA key of 2,048 bits, for RS256.
    #[must_use]
    pub fn rsa(id: &str) -> Self {
        Self::rsa_for(id, Algorithm::RS256)
    }

    /// An RSA key of 2,048 bits, for this algorithm.
    #[must_use]
    pub fn rsa_for(id: &str, algorithm: Algorithm) -> Self {
        /// Bytes of the PKCS#8 header before the key in PKCS#1, which is what the library takes.
        const PKCS8_HEADER: usize = 26;
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let document = pair.as_der().expect("a document");
        let private = EncodingKey::from_rsa_der(&document.as_ref()[PKCS8_HEADER..]);
        Self { id: id.to_owned(), algorithm, private }
    }

    /// A token of type `at+jwt` with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as("at+jwt", claims)
    }

    /// A token of this type.
    #[must_use]
    pub fn sign_as(&self, kind: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        (header.typ, header.kid) = (Some(kind.to_owned()), Some(self.id.clone()));
        self.sign_with(&header, claims)
    }

    /// A token with this header.
    #[must_use]
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.private).expect("a token")
    }

    /// The private key in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("PRIVATE KEY", self.private.as_bytes()))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> Jwk {
        let mut public = Jwk::from_encoding_key(&self.private, self.algorithm).expect("a public key");
        public.common.key_id = Some(self.id.clone());
        public
    }
}

/// An identity provider.
pub struct Provider {
    origin: String,
    certificate: Option<String>,
    answers: Arc<Answers>,
    serving: JoinHandle<()>,
}

/// The responses of a provider.
#[derive(Default)]
struct Answers {
    keys: Mutex<Vec<u8>>,
    metadata: Mutex<Vec<u8>>,
    token: Mutex<Vec<u8>>,
    /// The requests for tokens, with their heads.
    token_requests: Mutex<Vec<String>>,
    requests: AtomicUsize,
    is_silent: AtomicBool,
}

impl Provider {
    /// Starts a provider that publishes these keys by http.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        Self::serve(keys, None).await
    }

    /// Starts a provider that publishes these keys by https, with a self-signed certificate.
    pub async fn start_with_tls(keys: &[&SigningKey]) -> Self {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        Self::serve(keys, Some(certificate)).await
    }

    async fn serve(keys: &[&SigningKey], tls: Option<CertifiedKey<KeyPair>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(Answers::default());
        let origin = match tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let certificate = tls.as_ref().map(|tls| tls.cert.pem());
        let acceptor = tls.as_ref().map(acceptor);
        #[expect(clippy::disallowed_methods, reason = "it is ended when this value is dropped")]
        let serving = tokio::spawn({
            let answers = answers.clone();
            async move {
                let mut held = Vec::new();
                while let Ok((stream, _)) = listener.accept().await {
                    answers.requests.fetch_add(1, Ordering::SeqCst);
                    if answers.is_silent.load(Ordering::SeqCst) {
                        held.push(stream);
                        continue;
                    }
                    // One connection at a time is sufficient. Errors of connections are ignored.
                    let _ = match &acceptor {
                        None => send_response(stream, &answers).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => send_response(stream, &answers).await,
                            Err(error) => Err(error),
                        },
                    };
                }
            }
        });
        let provider = Self { origin, certificate, answers, serving };
        provider.publish(keys);
        provider.describe(&json!({"issuer": provider.issuer(), "jwks_uri": provider.jwks()}));
        provider
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().expect("a provider with TLS")
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let set = JwkSet { keys: keys.iter().map(|key| key.public()).collect() };
        self.respond_with("200 OK", "", &serde_json::to_string(&set).expect("JSON"));
    }

    /// Sends this response from now on. `headers` are lines that end with a line break.
    pub fn respond_with(&self, status: &str, headers: &str, body: &str) {
        *self.answers.keys.lock().expect("not poisoned") = response(status, headers, body);
    }

    /// Publishes this metadata from now on (OIDC Discovery).
    pub fn describe(&self, metadata: &Value) {
        *self.answers.metadata.lock().expect("not poisoned") = response("200 OK", "", &metadata.to_string());
    }

    /// Answers requests for tokens with this from now on.
    pub fn answer_token(&self, status: &str, body: &Value) {
        *self.answers.token.lock().expect("not poisoned") = response(status, "", &body.to_string());
    }

    /// The requests for tokens that it has received, with their heads.
    #[must_use]
    pub fn token_requests(&self) -> Vec<String> {
        self.answers.token_requests.lock().expect("not poisoned").clone()
    }

    /// Its metadata for people who sign in with the browser.
    #[must_use]
    pub fn sign_in_metadata(&self) -> Value {
        json!({
            "issuer": self.issuer(), "jwks_uri": self.jwks(),
            "authorization_endpoint": format!("{}/authorize", self.origin),
            "token_endpoint": format!("{}/token", self.origin),
            "end_session_endpoint": format!("{}/logout", self.origin),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// From now on accepts connections without responding to requests, or responds again.
    pub fn be_silent(&self, is_silent: bool) {
        self.answers.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Where its public keys are.
    #[must_use]
    pub fn jwks(&self) -> String {
        format!("{}/keys", self.origin)
    }

    /// The number of requests that it has received.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.answers.requests.load(Ordering::SeqCst)
    }

    /// Its issuer (`iss`).
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}/", self.origin)
    }

    /// Its entry in the issuers file, for these organizations (`"tenants"`, or a list).
    #[must_use]
    pub fn entry(&self, organizations: &Value) -> Value {
        json!({
            "issuer": self.issuer(),
            "audiences": ["claviger"],
            "jwks": self.jwks(),
            "organizations": organizations,
        })
    }

    /// The claims of a token of this subject that is valid at this time, in s UTC.
    #[must_use]
    pub fn claims(&self, subject: &str, now: i64) -> Value {
        json!({"iss": self.issuer(), "aud": "claviger", "sub": subject, "exp": now + 300})
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(tls: &CertifiedKey<KeyPair>) -> TlsAcceptor {
    let private = PrivateKeyDer::Pkcs8(tls.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("default algorithms")
        .with_no_client_auth()
        .with_single_cert(vec![tls.cert.der().clone()], private);
    TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")))
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len());
    text.into_bytes()
}

/// Reads a request and answers it.
async fn send_response(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &Answers) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let answer = if head.starts_with("GET /.well-known/openid-configuration ") {
        &answers.metadata
    } else if head.starts_with("POST /token ") {
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let request = format!("{head}{}", String::from_utf8_lossy(&body));
        answers.token_requests.lock().expect("not poisoned").push(request);
        &answers.token
    } else {
        &answers.keys
    };
    let answer = answer.lock().expect("not poisoned").clone();
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

/// Reads an issuers file with these entries, as the service does at its start.
///
/// # Errors
/// The file is invalid.
pub fn read_issuers(entries: &Value) -> Result<Vec<issuers::Provider>, String> {
    let directory = tempfile::TempDir::with_prefix("claviger-test-").expect("a directory");
    let path = directory.path().join("issuers.json");
    std::fs::write(&path, entries.to_string()).expect("a file");
    issuers::read(&path, "https://keys.example")
}
