//! An identity provider on this machine: its keys, its tokens, and the address where its public keys are.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ::aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use api::jwt::issuers;
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
    /// Its name.
    pub id: String,
    /// What it signs by.
    pub algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    /// A key of Ed25519.
    #[must_use]
    pub fn ed25519(id: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a key");
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_der(document.as_ref()) }
    }

    /// A key on P-256.
    #[must_use]
    pub fn p256(id: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, private: EncodingKey::from_ec_der(document.as_ref()) }
    }

    /// A key of RSA with 2,048 bits.
    #[must_use]
    pub fn rsa(id: &str) -> Self {
        /// What PKCS#8 puts in front of the key itself (PKCS#1), which the library takes.
        const PKCS8_HEADER: usize = 26;
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let document = pair.as_der().expect("a document");
        let private = EncodingKey::from_rsa_der(&document.as_ref()[PKCS8_HEADER..]);
        Self { id: id.to_owned(), algorithm: Algorithm::RS256, private }
    }

    /// A token of the usual type with these claims.
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

    /// The private half in a file of an operator.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("PRIVATE KEY", self.private.as_bytes()))
    }

    /// The public half.
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
    answer: Arc<Mutex<Vec<u8>>>,
    questions: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Provider {
    /// One that publishes these keys by http.
    pub async fn start(keys: &[&SigningKey]) -> Self {
        Self::serve(keys, None).await
    }

    /// One that publishes these keys by https, with a certificate that it has signed itself.
    pub async fn start_with_tls(keys: &[&SigningKey]) -> Self {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        Self::serve(keys, Some(certificate)).await
    }

    async fn serve(keys: &[&SigningKey], tls: Option<CertifiedKey<KeyPair>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (answer, questions) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let origin = match tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let certificate = tls.as_ref().map(|tls| tls.cert.pem());
        let acceptor = tls.as_ref().map(acceptor);
        #[expect(clippy::disallowed_methods, reason = "it is ended when this value is dropped")]
        let serving = tokio::spawn({
            let (answer, questions) = (answer.clone(), questions.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    questions.fetch_add(1, Ordering::SeqCst);
                    let text = answer.lock().expect("not poisoned").clone();
                    // One at a time is enough; who breaks off is no matter.
                    let _ = match &acceptor {
                        None => say(stream, &text).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => say(stream, &text).await,
                            Err(error) => Err(error),
                        },
                    };
                }
            }
        });
        let provider = Self { origin, certificate, answer, questions, serving };
        provider.publish(keys);
        provider
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().expect("it has one")
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let set = JwkSet { keys: keys.iter().map(|key| key.public()).collect() };
        self.answer("200 OK", "", &serde_json::to_string(&set).expect("JSON"));
    }

    /// Answers so from now on; `headers` are lines that end with a line break.
    pub fn answer(&self, status: &str, headers: &str, body: &str) {
        let text =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len());
        *self.answer.lock().expect("not poisoned") = text.into_bytes();
    }

    /// How often it was asked.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// Its name.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}/", self.origin)
    }

    /// What an operator writes who believes it, for these organizations (`"tenants"`, or a list).
    #[must_use]
    pub fn entry(&self, organizations: &Value) -> Value {
        json!({
            "issuer": self.issuer(),
            "audiences": ["claviger"],
            "jwks": format!("{}/keys", self.origin),
            "organizations": organizations,
        })
    }

    /// The claims of a good token for a user of this name, at this second.
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
        .expect("there are some")
        .with_no_client_auth()
        .with_single_cert(vec![tls.cert.der().clone()], private);
    TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")))
}

/// Hears a request and answers it.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(answer).await?;
    stream.shutdown().await
}

/// Reads what an operator wrote, as the service does at its start.
///
/// # Errors
/// What is wrong with it.
pub fn written(entries: &Value) -> Result<Vec<issuers::Provider>, String> {
    let directory = tempfile::TempDir::with_prefix("claviger-test-").expect("a directory");
    let path = directory.path().join("issuers.json");
    std::fs::write(&path, entries.to_string()).expect("a file");
    issuers::read(&path, "https://keys.example")
}
