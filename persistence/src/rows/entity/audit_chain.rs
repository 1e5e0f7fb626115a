//! A row of `audit_chains`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_chains")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    /// The last event that was pruned; 0 and zeros without one.
    pub begin_seq: i64,
    pub begin_hash: Vec<u8>,
    /// No stored event is older.
    pub begin_at: i64,
    pub end_seq: i64,
    pub end_hash: Vec<u8>,
    pub end_at: i64,
    /// A signed record that retention pruned the events up to `begin_seq`.
    pub prune_record: Option<String>,
    /// The newest signed checkpoint, and the sequence number of its event; 0 without one.
    pub checkpoint: Option<String>,
    pub checkpoint_seq: i64,
    /// The hour, since the Unix epoch, that the next three are about.
    pub counted_hour: i64,
    /// Logged changes.
    pub changes: i64,
    /// Idempotency records.
    pub idempotency_keys: i64,
    /// Bytes of their stored responses.
    pub answer_bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
