//! Signs and reads checkpoints of the audit logs, which are stored with the logs and published in the log of the service.

use domain::{
    audit::{ChainHash, ChainHead, Checkpoint, FirstCheckpoint},
    clock::Timestamp,
    ports::CheckpointSigner,
};
use serde::{Deserialize, Serialize};

use super::keyring::Keyring;

const CHECKPOINT_TYPE: &str = "audit-head+jwt";

/// The claims of a [`Checkpoint`].
#[derive(Serialize, Deserialize)]
struct CheckpointClaims {
    org_id: String,
    /// The sequence number of the last event; `hash` is its chain hash, in hexadecimal.
    seq: u64,
    hash: String,
    /// When it was signed, in seconds since 1970.
    iat: i64,
    /// The sequence number at the first checkpoint of the series, and when that was signed, in milliseconds since 1970. Absent in
    /// checkpoints of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_at: Option<i64>,
    /// The number of events that had no sequence number yet when it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsequenced: Option<u64>,
}

impl CheckpointSigner for Keyring {
    fn sign_checkpoint(&self, checkpoint: &Checkpoint) -> String {
        let Checkpoint { head, at, first, unsequenced } = checkpoint;
        let claims = CheckpointClaims {
            org_id: head.organization.to_string(),
            seq: head.seq,
            hash: head.hash.to_string(),
            iat: at.millis().div_euclid(1_000),
            first_seq: first.map(|first| first.seq),
            first_at: first.map(|first| first.at.millis()),
            unsequenced: *unsequenced,
        };
        self.sign_statement(CHECKPOINT_TYPE, &claims)
    }

    fn read_checkpoint(&self, text: &str) -> Option<Checkpoint> {
        let claims: CheckpointClaims = self.read_statement(CHECKPOINT_TYPE, text)?;
        let (organization, hash) = (claims.org_id.parse().ok()?, ChainHash::parse(&claims.hash)?);
        let first = claims.first_seq.zip(claims.first_at);
        Some(Checkpoint {
            head: ChainHead { organization, seq: claims.seq, hash },
            at: Timestamp::from_millis(claims.iat.saturating_mul(1_000)),
            first: first.map(|(seq, at)| FirstCheckpoint { seq, at: Timestamp::from_millis(at) }),
            unsequenced: claims.unsequenced,
        })
    }
}
