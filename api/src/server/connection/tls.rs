//! TLS of the listener: the handshake, and a certificate that can be replaced while connections exist.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::DateTime;
use domain::clock::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};
use tokio_util::{either::Either, sync::CancellationToken};
use x509_parser::parse_x509_certificate;

use crate::{
    process::secret_file::{self, with_path},
    server::connection::activity::Activity,
};

/// The stream of a connection, without or with TLS.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The TLS settings of a listener: TLS 1.2 and 1.3 (RFC 8446), HTTP/2 and HTTP/1.1 by ALPN (RFC 7301).
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<CurrentCertificate>,
}

/// The certificate for new connections.
#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// How long before its end a certificate is reported: 14 days, in seconds.
const REPORTED_BEFORE_END: i64 = 14 * 24 * 60 * 60;

/// A certificate with its chain, and its private key.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    /// When the first certificate of the chain expires, in seconds since the Unix epoch (UTC).
    expires_at: i64,
}

impl Certificate {
    /// Reads a certificate chain, and the private key of its first certificate, from files in PEM.
    ///
    /// # Errors
    /// A file cannot be read or has other contents, other users can read the key, or the key is that of another certificate. The
    /// message says which file.
    pub fn read(certificates: &Path, key: &Path) -> io::Result<Self> {
        let chain = fs::read(certificates).map_err(|error| with_path(certificates, &error))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
            with_path(certificates, &io::Error::other("it must contain certificates in PEM, that of the service first"))
        })?;
        let text = secret_file::read(key).map_err(|error| with_path(key, &error))?;
        let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            with_path(key, &io::Error::other("it must contain a private key in PEM, without a password"))
        })?;
        let first = chain.first().and_then(|first| parse_x509_certificate(first).ok());
        let expires_at = first.map(|(_, first)| first.validity().not_after.timestamp());
        let expires_at = expires_at
            .ok_or_else(|| with_path(certificates, &io::Error::other("its first certificate cannot be read")))?;
        let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| {
            if matches!(error, tokio_rustls::rustls::Error::InconsistentKeys(_)) {
                let what = format!("it does not belong to the certificate in {}", certificates.display());
                with_path(key, &io::Error::other(what))
            } else {
                with_path(certificates, &io::Error::other(error))
            }
        })?;
        Ok(Self { certified: Arc::new(certified), expires_at })
    }

    /// Logs a warning if it has expired, or soon will. It is still used, so that the
    /// service starts.
    fn warn_of_end(&self, now: Timestamp) {
        let now = now.millis().div_euclid(1_000);
        if self.expires_at - now > REPORTED_BEFORE_END {
            return;
        }
        let expires_at = DateTime::from_timestamp(self.expires_at, 0).map(|end| end.to_rfc3339()).unwrap_or_default();
        let message = if self.expires_at <= now {
            "the TLS certificate has expired, so clients refuse it: replace its files and send SIGHUP"
        } else {
            "the TLS certificate expires within 14 days: replace its files and send SIGHUP"
        };
        tracing::warn!(target: "claviger", expires_at, "{message}");
    }
}

impl Tls {
    /// The settings of a listener with this certificate. If it has expired at `now`, or soon will, that is logged.
    ///
    /// # Errors
    /// The cryptographic library supports no version of TLS, which is a defect.
    pub fn new(certificate: Certificate, now: Timestamp) -> io::Result<Self> {
        certificate.warn_of_end(now);
        let certificate = Arc::new(CurrentCertificate(RwLock::new(certificate.certified)));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(io::Error::other)?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: Arc::new(config).into(), certificate })
    }

    /// Uses another certificate for new connections. If it has expired at `now`, or soon will, that is logged.
    pub fn replace(&self, certificate: Certificate, now: Timestamp) {
        certificate.warn_of_end(now);
        *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.certified;
    }

    /// Accepts connections with these settings.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

/// Prepares a connection for HTTP, with a handshake if there is an acceptor. `None`: the handshake failed, or the connection was to
/// be closed before it ended. `activity` has no request meanwhile, so the time limit of a connection without a request applies.
pub async fn open(
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    activity: &Activity,
    stop: &CancellationToken,
) -> Option<Stream> {
    // Responses are small and written at once, so Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return Some(Either::Left(stream)) };
    tokio::select! {
        biased;
        accepted = acceptor.accept(stream) => accepted.ok().map(|stream| Either::Right(Box::new(stream))),
        () = activity.ended() => None,
        () = stop.cancelled() => None,
    }
}
