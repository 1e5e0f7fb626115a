//! What requests and responses consist of: clients, origins, bodies, errors, the types of the OpenAPI document.

pub mod api_error;
pub mod body;
pub mod client_ip;
pub mod contract;
pub mod health;
pub mod if_match;
pub mod json_writer;
pub mod key_policy_errors;
pub mod list_slots;
pub mod openapi_codes;
pub mod openapi_types;
pub mod operations;
pub mod origin;
pub mod request_caller;
pub mod request_id;
pub mod rfc3339;
pub mod static_content;
pub mod strict_json;
