//! A row of `audit_events`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub organization_id: Uuid,
    pub at: i64,
    pub action: String,
    pub target_id: Uuid,
    /// Neither where the operator did it.
    pub actor_key_id: Option<Uuid>,
    pub actor_user_id: Option<Uuid>,
    pub permission: Option<String>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    /// Where it was done in one.
    pub session_id: Option<Uuid>,
    /// Its place in the chain; an event of before there was one has neither this nor a hash.
    pub seq: Option<i64>,
    pub hash: Option<Vec<u8>>,
    /// `key`, `user`, `operator` or `unknown`.
    pub actor: Option<String>,
    /// See `domain::audit::Outcome::code`; without one, it was done.
    pub outcome: Option<String>,
    pub reason: Option<String>,
    pub count: i64,
}

impl ActiveModelBehavior for ActiveModel {}
