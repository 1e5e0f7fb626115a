//! How much there may be of what comes and goes with requests, so that nobody can fill memory or disk. What an organization may
//! have for good are its [caps](crate::organization::Caps).

/// The bounds. Those of one organization keep it from taking the room of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `Idempotency-Key`s of all organizations that are known at a time.
    pub idempotency_keys: u64,
    /// The newest of these, whose answers are kept.
    pub answers: u64,
    /// Sessions of an organization; the oldest makes room for a new one.
    pub sessions: u64,
    /// Token families of one secret that are live.
    pub families_of_secret: u64,
    /// Token families of an organization that are live.
    pub families_of_organization: u64,
    /// Token families of all organizations that are live. Beyond it an organization gets new ones only as long as it has less
    /// than `families_in_a_crowd`, and beyond twice as many nobody does.
    pub families: u64,
    /// See `families`.
    pub families_in_a_crowd: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            idempotency_keys: 1_000_000,
            answers: 100_000,
            sessions: 10_000,
            families_of_secret: 100,
            families_of_organization: 10_000,
            families: 20_000,
            families_in_a_crowd: 100,
        }
    }
}

/// `Idempotency-Key`s of an organization in an hour.
pub const MAX_IDEMPOTENCY_KEYS_PER_HOUR: u64 = 10_000;

/// The longest answer that is kept for a repetition, in bytes.
pub const MAX_KEPT_ANSWER: usize = 64 * 1024;

/// The bytes of answers that are kept for an organization in an hour.
pub const MAX_KEPT_ANSWERS_PER_HOUR: u64 = 4 * 1024 * 1024;
