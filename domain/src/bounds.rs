//! Limits on data that requests create temporarily, so that clients cannot exhaust memory or disk. The limits on
//! permanent data of an organization are its [caps](crate::organizations::organization::Caps).

/// The limits. Those of one organization ensure that it cannot use up the limits of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Idempotency keys of all organizations that are stored at the same time. Above this number an organization may
    /// use only `idempotency_keys_when_crowded` new ones in an hour, and above twice this number none.
    pub idempotency_keys: u64,
    /// New idempotency keys of an organization in an hour while `idempotency_keys` is exceeded.
    pub idempotency_keys_when_crowded: u64,
    /// The number of newest idempotency keys whose responses are stored.
    pub stored_responses: u64,
    /// Sessions of an organization. A new one replaces the oldest one.
    pub sessions: u64,
    /// Deleted organizations that are kept for being restored. The oldest are purged first.
    pub deleted_organizations: u64,
    /// Token groups of one secret with unexpired tokens.
    pub token_groups_of_secret: u64,
    /// Token groups of an organization with unexpired tokens.
    pub token_groups_of_organization: u64,
    /// Token groups of all organizations with unexpired tokens. Above this number an organization gets a new one only
    /// if it has fewer than `token_groups_when_crowded`, and above twice this number none is created.
    pub token_groups: u64,
    /// Token groups of an organization while `token_groups` is exceeded.
    pub token_groups_when_crowded: u64,
    /// Revoked token groups of an organization in the list of all organizations. If there are more, the list names the
    /// organization instead, and all its tokens count as revoked there.
    pub listed_token_groups: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            idempotency_keys: 1_000_000,
            idempotency_keys_when_crowded: 100,
            stored_responses: 100_000,
            sessions: 10_000,
            deleted_organizations: 10_000,
            token_groups_of_secret: 100,
            token_groups_of_organization: 10_000,
            token_groups: 20_000,
            token_groups_when_crowded: 100,
            listed_token_groups: 1_000,
        }
    }
}

/// New idempotency keys of an organization in an hour, unless all organizations together exceed their limit
/// ([`Bounds`]).
pub const MAX_IDEMPOTENCY_KEYS_PER_HOUR: u64 = 10_000;

/// The maximum size of a response that is stored for repetitions, in bytes.
pub const MAX_STORED_RESPONSE_BYTES: usize = 64 * 1024;

/// The maximum size of all responses that are stored for an organization in an hour, in bytes.
pub const MAX_STORED_RESPONSE_BYTES_PER_HOUR: u64 = 4 * 1024 * 1024;
