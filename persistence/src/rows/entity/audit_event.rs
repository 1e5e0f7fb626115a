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
    /// Both null if the operator did it.
    pub actor_key_id: Option<Uuid>,
    pub actor_user_id: Option<Uuid>,
    pub permission: Option<String>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    /// The session in which it was done, if any.
    pub session_id: Option<Uuid>,
    /// Its sequence number in the chain. Null, like the hash, in events from before logs were chained.
    pub seq: Option<i64>,
    pub hash: Option<Vec<u8>>,
    /// `key`, `user`, `operator` or `unknown`.
    pub actor: Option<String>,
    /// See `domain::audit::EventOutcome::code`; null: done.
    pub outcome: Option<String>,
    pub reason: Option<String>,
    pub count: i64,
}

impl ActiveModelBehavior for ActiveModel {}
