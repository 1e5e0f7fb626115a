//! The baseline: a server with one route on the same framework, with the allocator and the number of workers of the
//! service and no middleware. Its response body has five bytes.

use poem::{Route, Server, get, handler, listener::TcpListener};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[handler]
fn hello() -> &'static str {
    "hello"
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Server::new(TcpListener::bind(address)).run(Route::new().at("/hello", get(hello))))
}
