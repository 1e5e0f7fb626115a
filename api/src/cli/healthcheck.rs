//! `claviger health`: requests the readiness of a running server, for health checks of containers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Time limit of connecting and receiving the response.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Requests `/health/ready` of the server that listens on `listen`, with `has_tls` by https. For a wildcard address the loopback
/// address is used.
///
/// # Errors
/// The server is not ready, cannot be reached, or exceeds the time limit. The message has the URL.
pub async fn check_readiness(listen: SocketAddr, has_tls: bool) -> Result<(), String> {
    // A wildcard address can be listened on, but not connected to.
    let host: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(host, listen.port());
    let answer = match tokio::time::timeout(TIME_LIMIT, status(address, has_tls)).await {
        Ok(Ok(StatusCode::OK)) => return Ok(()),
        Ok(Ok(status)) => format!("status {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no response within {} seconds", TIME_LIMIT.as_secs()),
    };
    let scheme = if has_tls { "https" } else { "http" };
    Err(format!("not ready: {scheme}://{address}/health/ready: {answer}"))
}

async fn status(address: SocketAddr, has_tls: bool) -> Result<StatusCode, Error> {
    let stream = TcpStream::connect(address).await?;
    if !has_tls {
        return request(stream).await;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    request(connector.connect(address.ip().into(), stream).await?).await
}

async fn request(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<StatusCode, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request =
        Request::get("/health/ready").header("host", "localhost").body(http_body_util::Empty::<Bytes>::new())?;
    tokio::select! {
        response = sender.send_request(request) => Ok(response?.status()),
        ended = connection => { ended?; Err("the connection was closed without a response".into()) }
    }
}

/// Accepts every certificate, as the probes of Kubernetes do: it is that of the public name, not of this address, and the request
/// contains no secret.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
