//! Signs and reads records of pruning: retention stores one with an audit log when it deletes the oldest events.

use domain::{
    audit::{ChainHash, ChainHead, PruneRecord, Unproven},
    clock::Timestamp,
    ports::PruneSigner,
};
use serde::{Deserialize, Serialize};

use super::keyring::Keyring;

const PRUNE_RECORD_TYPE: &str = "audit-prune+jwt";

/// The claims of a [`PruneRecord`]. Times are in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
struct PruneClaims {
    org_id: String,
    /// The sequence number of the last event that was pruned; `hash` is its chain hash, in hexadecimal.
    seq: u64,
    hash: String,
    /// When it was pruned.
    pruned_at: i64,
    /// The last event that was deleted without a signed record, and when a signed record first followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproven_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproven_since: Option<i64>,
}

impl PruneSigner for Keyring {
    fn sign_prune_record(&self, record: &PruneRecord) -> String {
        let PruneRecord { start, at, unproven } = record;
        let claims = PruneClaims {
            org_id: start.organization.to_string(),
            seq: start.seq,
            hash: start.hash.to_string(),
            pruned_at: at.millis(),
            unproven_seq: unproven.map(|unproven| unproven.seq),
            unproven_since: unproven.map(|unproven| unproven.since.millis()),
        };
        self.sign_statement(PRUNE_RECORD_TYPE, &claims)
    }

    fn read_prune_record(&self, text: &str) -> Option<PruneRecord> {
        let claims: PruneClaims = self.read_statement(PRUNE_RECORD_TYPE, text)?;
        let unproven = claims.unproven_seq.zip(claims.unproven_since);
        Some(PruneRecord {
            start: ChainHead {
                organization: claims.org_id.parse().ok()?,
                seq: claims.seq,
                hash: ChainHash::parse(&claims.hash)?,
            },
            at: Timestamp::from_millis(claims.pruned_at),
            unproven: unproven.map(|(seq, since)| Unproven { seq, since: Timestamp::from_millis(since) }),
        })
    }
}
