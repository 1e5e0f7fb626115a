//! An API with axum that only answers requests with a key.
//!
//! `CLAVIGER_URL` is the address of Claviger, `CLAVIGER_KEY` the key of this service, with the permission `api_keys:verify`.

mod claviger;

use std::{env, error::Error, net::SocketAddr};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use serde_json::{Value, json};

use claviger::{ApiKey, Claviger, protect};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let claviger = Claviger::new(&env::var("CLAVIGER_URL")?, env::var("CLAVIGER_KEY")?)?;
    let requires = |permission: &'static str| from_fn_with_state((claviger.clone(), permission), protect);
    let app = Router::new()
        .route("/files", get(list_files).route_layer(requires("files:read")))
        .route("/files", post(store_file).route_layer(requires("files:write")));

    let host = env::var("HOST").unwrap_or("127.0.0.1".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind((host, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

async fn list_files(Extension(key): Extension<ApiKey>) -> Json<Value> {
    Json(json!({"customer": key.external_id, "key_id": key.key_id, "name": key.name}))
}

async fn store_file(body: Bytes) -> Bytes {
    body
}
