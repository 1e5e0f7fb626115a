//! Signed records that retention pruned the front of a log, as they are stored with it.

use domain::{
    audit::{ChainHash, Head, PruneRecord, Unproven},
    clock::Timestamp,
    ports::PruneSigner,
};
use serde::{Deserialize, Serialize};

use super::keyring::Keyring;

const AUDIT_PRUNE: &str = "audit-prune+jwt";

/// A [`PruneRecord`].
#[derive(Serialize, Deserialize)]
struct PruneClaims {
    org_id: String,
    /// The last event that was pruned.
    seq: u64,
    hash: String,
    /// When, in milliseconds.
    pruned_at: i64,
    /// The last event that is gone without a record, and since when one follows it.
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
        self.sign_statement(AUDIT_PRUNE, &claims)
    }

    fn read_prune_record(&self, text: &str) -> Option<PruneRecord> {
        let claims: PruneClaims = self.read_statement(AUDIT_PRUNE, text)?;
        let unproven = claims.unproven_seq.zip(claims.unproven_since);
        Some(PruneRecord {
            start: Head {
                organization: claims.org_id.parse().ok()?,
                seq: claims.seq,
                hash: ChainHash::parse(&claims.hash)?,
            },
            at: Timestamp::from_millis(claims.pruned_at),
            unproven: unproven.map(|(seq, since)| Unproven { seq, since: Timestamp::from_millis(since) }),
        })
    }
}
