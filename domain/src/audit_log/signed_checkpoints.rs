//! The newest checkpoint of each log that this process has signed, for a bounded number of logs.

use std::collections::HashMap;

use crate::{audit::ChainHead, id::OrganizationId};

/// The maximum number of logs whose checkpoints are kept in memory.
const MAX_LOGS: usize = 10_000;

/// The newest signed checkpoints. Beyond [`MAX_LOGS`] logs, a new one evicts an arbitrary other one: all logs are
/// signed in turn, so the least recently used would always be the one that is needed next.
#[derive(Debug, Default)]
pub(super) struct SignedCheckpoints(HashMap<OrganizationId, ChainHead>);

impl SignedCheckpoints {
    pub(super) fn get(&self, organization: OrganizationId) -> Option<ChainHead> {
        self.0.get(&organization).copied()
    }

    pub(super) fn insert(&mut self, head: ChainHead) {
        let is_full = self.0.len() >= MAX_LOGS && !self.0.contains_key(&head.organization);
        if is_full && let Some(evicted) = self.0.keys().next().copied() {
            self.0.remove(&evicted);
        }
        self.0.insert(head.organization, head);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::audit::ChainHash;

    #[test]
    fn a_new_log_evicts_one_stored_checkpoint() {
        let organization = |n: usize| OrganizationId::from_uuid(Uuid::from_u128(n as u128));
        let head = |n, seq| ChainHead { organization: organization(n), seq, hash: ChainHash::BEGINNING };
        let mut checkpoints = SignedCheckpoints::default();
        for n in 0..MAX_LOGS {
            checkpoints.insert(head(n, 1));
        }
        checkpoints.insert(head(0, 2));
        assert_eq!(checkpoints.0.len(), MAX_LOGS);
        assert!((0..MAX_LOGS).all(|n| checkpoints.get(organization(n)).is_some()), "a newer checkpoint evicts none");
        for n in MAX_LOGS..MAX_LOGS + 10 {
            checkpoints.insert(head(n, 1));
            assert_eq!((checkpoints.0.len(), checkpoints.get(organization(n))), (MAX_LOGS, Some(head(n, 1))));
        }
        let kept = (0..MAX_LOGS).filter(|n| checkpoints.get(organization(*n)).is_some()).count();
        assert!(kept >= MAX_LOGS - 10, "other checkpoints are kept: {kept}");
    }
}
