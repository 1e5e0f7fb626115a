//! A row of `trust_rules`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "trust_rules")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    pub description: Option<String>,
    pub issuer: String,
    /// A line for each condition: the claim, then its values, separated by tabs. See `crate::rows::convert`.
    pub claims: String,
    /// Flat forms, separated by spaces.
    pub permissions: String,
    /// A line for each audience. Empty: any.
    pub audiences: String,
    pub ttl_seconds: i64,
    pub enabled: bool,
    /// The number of changes that have revoked the tokens of the rule.
    pub generation: i64,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
