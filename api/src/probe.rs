//! Asks a running server whether it is ready, for container health checks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long the server may take, from the connection to its answer.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Asks the server that listens on `listen`.
///
/// # Errors
/// It is not ready, does not answer, or takes too long: a sentence with the address that was asked.
pub async fn ask(listen: SocketAddr) -> Result<(), String> {
    // "Every address" is an address to listen on, not one to connect to.
    let host: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(host, listen.port());
    let answer = match tokio::time::timeout(TIME_LIMIT, status(address)).await {
        Ok(Ok(StatusCode::OK)) => return Ok(()),
        Ok(Ok(status)) => format!("answered {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} seconds", TIME_LIMIT.as_secs()),
    };
    Err(format!("not ready: http://{address}/health/ready: {answer}"))
}

async fn status(address: SocketAddr) -> Result<StatusCode, Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request =
        Request::get("/health/ready").header("host", "localhost").body(http_body_util::Empty::<Bytes>::new())?;
    tokio::select! {
        response = sender.send_request(request) => Ok(response?.status()),
        ended = connection => { ended?; Err("the connection was closed without an answer".into()) }
    }
}
