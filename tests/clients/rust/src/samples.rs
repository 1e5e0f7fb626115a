//! The Rust samples of the OpenAPI document, each in a function. A test (`tests/it/compat/clients.rs`) writes this file.

#![expect(clippy::print_stdout, reason = "the samples print the responses")]

/// The sample of `listApiKeys`.
pub async fn list_api_keys() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .get(format!("{claviger_url}/orgs/{org_id}/api_keys"))
    .bearer_auth(claviger_key)
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `createApiKey`.
pub async fn create_api_key() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .post(format!("{claviger_url}/orgs/{org_id}/api_keys"))
    .bearer_auth(claviger_key)
    .json(&serde_json::json!({
      "name": "Reader of Acme",
      "permissions": [
        "files:read"
      ],
      "can_manage": false,
      "remaining": 1000,
      "refill_amount": 1000,
      "refill_interval": 2592000000_i64,
      "rate_limit_max": 100,
      "rate_limit_window": 60000,
      "metadata": {
        "plan": "pro"
      }
    }))
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `updateApiKey`.
pub async fn update_api_key() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let key_id = std::env::var("KEY_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .patch(format!("{claviger_url}/orgs/{org_id}/api_keys/{key_id}"))
    .bearer_auth(claviger_key)
    .json(&serde_json::json!({
      "name": "Reader and writer",
      "permissions": [
        "files:read",
        "files:write"
      ],
      "rate_limit_max": 200,
      "rate_limit_window": 60000
    }))
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `deleteApiKey`.
pub async fn delete_api_key() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let key_id = std::env::var("KEY_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .delete(format!("{claviger_url}/orgs/{org_id}/api_keys/{key_id}"))
    .bearer_auth(claviger_key)
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `rotateApiKey`.
pub async fn rotate_api_key() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let key_id = std::env::var("KEY_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .post(format!("{claviger_url}/orgs/{org_id}/api_keys/{key_id}/rotate"))
    .bearer_auth(claviger_key)
    .json(&serde_json::json!({
      "grace_seconds": 86400
    }))
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `getPreviousSecret`.
pub async fn get_previous_secret() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let key_id = std::env::var("KEY_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .get(format!("{claviger_url}/orgs/{org_id}/api_keys/{key_id}/previous_secret"))
    .bearer_auth(claviger_key)
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `getApiKeyUsage`.
pub async fn get_api_key_usage() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let key_id = std::env::var("KEY_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .get(format!("{claviger_url}/orgs/{org_id}/api_keys/{key_id}/usage"))
    .bearer_auth(claviger_key)
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `listAuditEvents`.
pub async fn list_audit_events() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let org_id = std::env::var("ORG_ID")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .get(format!("{claviger_url}/orgs/{org_id}/audit_events"))
    .bearer_auth(claviger_key)
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `verifyApiKey`.
pub async fn verify_api_key() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let claviger_key = std::env::var("CLAVIGER_KEY")?;
let response = reqwest::Client::new()
    .post(format!("{claviger_url}/api_keys/verify"))
    .bearer_auth(claviger_key)
    .json(&serde_json::json!({
      "key": "cvg_01EXAMPLE01EXAMPLE01EXAMPLE01EXAMPLE01EXAMPLE01EX",
      "permissions": [
        "files:read"
      ],
      "context": {
        "ip": "192.0.2.1"
      }
    }))
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}

/// The sample of `signUp`.
pub async fn sign_up() -> Result<(), Box<dyn std::error::Error>> {
let claviger_url = std::env::var("CLAVIGER_URL")?;
let response = reqwest::Client::new()
    .post(format!("{claviger_url}/auth/create-key"))
    .json(&serde_json::json!({
      "user_name": "John Doe",
      "user_email": "john@example.com",
      "org_name": "Acme Corp"
    }))
    .send()
    .await?
    .error_for_status()?;
println!("{}", response.text().await?);
Ok(())
}
