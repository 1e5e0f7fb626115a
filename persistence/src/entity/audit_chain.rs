//! A row of `audit_chains`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_chains")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    /// The last event that was removed; zeros where none was.
    pub begin_seq: i64,
    pub begin_hash: Vec<u8>,
    /// No event that is there is older.
    pub begin_at: i64,
    pub end_seq: i64,
    pub end_hash: Vec<u8>,
    pub end_at: i64,
    /// A signed record that retention pruned the events up to `begin_seq`.
    pub prune_record: Option<String>,
    /// The hour, since the Unix epoch, that the next three are about.
    pub counted_hour: i64,
    /// What was done, and logged.
    pub changes: i64,
    /// Requests that were noted to be done once.
    pub idempotency_keys: i64,
    /// What is kept of their answers.
    pub answer_bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
