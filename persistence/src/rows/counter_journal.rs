//! The format of the rows of `counter_journal`, the journal of the ledger on SQLite.
//!
//! A row is one byte with the version of the format, 1, then an entry of 73 bytes for each key, then the first 16 bytes of the
//! BLAKE3 hash of everything before. An entry is the id of the key (16 bytes), a byte of flags, and seven integers of 8 bytes, the
//! most significant byte first: `version`, `remaining`, `last_refill_at`, `window_start`, `window_count`, `request_count` and
//! `last_request_at`. The flags say which of the four optional ones are set: `remaining` 1, `last_refill_at` 2, `window_start` 4,
//! `last_request_at` 8. One that is not set is 0.
//!
//! Anything else is refused: a row that was damaged must not set a counter.

use sea_orm::prelude::Uuid;

/// The columns of a key that uses change, and the version of its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyCounters {
    pub(crate) version: i64,
    pub(crate) remaining: Option<i64>,
    pub(crate) last_refill_at: Option<i64>,
    pub(crate) window_start: Option<i64>,
    pub(crate) window_count: i64,
    pub(crate) request_count: i64,
    pub(crate) last_request_at: Option<i64>,
}

/// The most entries of a row.
pub(crate) const MAX_ENTRIES: usize = 4_096;

const FORMAT: u8 = 1;
const ENTRY: usize = 73;
const CHECKSUM: usize = 16;

const MAX_BYTES: usize = size(MAX_ENTRIES);

/// A row of the journal that is damaged, or was written by a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenJournal {
    /// The number of the row.
    pub(crate) seq: i64,
}

impl std::fmt::Display for BrokenJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "row {} of the table counter_journal, which has the latest uses of keys with limits, is damaged or was written by a \
             newer version; restore a backup, or run the newer version",
            self.seq
        )
    }
}

impl std::error::Error for BrokenJournal {}

/// The bytes of a row for this many keys.
pub(crate) const fn size(keys: usize) -> usize {
    1 + keys * ENTRY + CHECKSUM
}

/// The row for these keys.
pub(crate) fn encode(entries: &[(Uuid, KeyCounters)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size(entries.len()));
    bytes.push(FORMAT);
    for (key, counters) in entries {
        let optional = optional(counters);
        let flags = optional.iter().enumerate().fold(0, |flags, (n, value)| flags | (u8::from(value.is_some()) << n));
        let [remaining, last_refill_at, window_start, last_request_at] = optional.map(Option::unwrap_or_default);
        let KeyCounters { version, window_count, request_count, .. } = *counters;
        bytes.extend_from_slice(key.as_bytes());
        bytes.push(flags);
        for value in [version, remaining, last_refill_at, window_start, window_count, request_count, last_request_at] {
            bytes.extend_from_slice(&value.to_be_bytes());
        }
    }
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The keys of a row. `None`: it does not have the format.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(Uuid, KeyCounters)>> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let (format, entries) = content.split_first()?;
    if bytes.len() > MAX_BYTES || *format != FORMAT || *sum != checksum(content) || !entries.len().is_multiple_of(ENTRY)
    {
        return None;
    }
    entries.chunks_exact(ENTRY).map(decode_entry).collect()
}

fn decode_entry(entry: &[u8]) -> Option<(Uuid, KeyCounters)> {
    let (key, rest) = entry.split_first_chunk::<16>()?;
    let (flags, numbers) = rest.split_first()?;
    let mut numbers = numbers.chunks_exact(8).map(|bytes| bytes.try_into().map(i64::from_be_bytes).ok());
    let mut next = || numbers.next().flatten();
    let (version, remaining, last_refill_at, window_start) = (next()?, next()?, next()?, next()?);
    let (window_count, request_count, last_request_at) = (next()?, next()?, next()?);
    let optional = |bit: u8, value: i64| match (flags & bit != 0, value) {
        (true, value) => Some(Some(value)),
        (false, 0) => Some(None),
        (false, _) => None,
    };
    let counters = KeyCounters {
        version,
        remaining: optional(1, remaining)?,
        last_refill_at: optional(2, last_refill_at)?,
        window_start: optional(4, window_start)?,
        window_count,
        request_count,
        last_request_at: optional(8, last_request_at)?,
    };
    let counts = [version, counters.remaining.unwrap_or(0), window_count, request_count];
    (*flags < 16 && counts.iter().all(|count| *count >= 0)).then_some((Uuid::from_bytes(*key), counters))
}

/// The optional values, in the order of their flags.
fn optional(counters: &KeyCounters) -> [Option<i64>; 4] {
    [counters.remaining, counters.last_refill_at, counters.window_start, counters.last_request_at]
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters() -> impl Strategy<Value = KeyCounters> {
        let count = || 0..=i64::MAX;
        let time = || proptest::option::of(any::<i64>());
        (count(), proptest::option::of(count()), time(), time(), count(), count(), time()).prop_map(
            |(version, remaining, last_refill_at, window_start, window_count, request_count, last_request_at)| {
                KeyCounters {
                    version,
                    remaining,
                    last_refill_at,
                    window_start,
                    window_count,
                    request_count,
                    last_request_at,
                }
            },
        )
    }

    fn entries(max: usize) -> impl Strategy<Value = Vec<(Uuid, KeyCounters)>> {
        prop::collection::vec((any::<u128>().prop_map(Uuid::from_u128), counters()), 0..max)
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(entries in entries(40)) {
            prop_assert_eq!(decode(&encode(&entries)), Some(entries));
        }

        #[test]
        fn any_other_bytes_are_refused(
            entries in entries(4),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            cut in 1..80_usize,
        ) {
            let row = encode(&entries);
            let mut changed = row.clone();
            changed[at.index(row.len())] ^= 1 << bit;
            prop_assert_eq!(decode(&changed), None, "one bit differs");
            prop_assert_eq!(decode(&row[..row.len().saturating_sub(cut)]), None, "the end is missing");
            prop_assert_eq!(decode(&[&row[..], &[0]].concat()), None, "one byte more");
        }
    }

    /// A row with a right checksum.
    fn row(format: u8, flags: u8, numbers: [i64; 7]) -> Vec<u8> {
        let mut bytes = vec![format];
        bytes.extend([7; 16]);
        bytes.push(flags);
        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        let sum = checksum(&bytes);
        bytes.extend(sum);
        bytes
    }

    #[test]
    fn a_row_of_another_format_is_refused() {
        let numbers = [1, 2, 0, 0, 5, 6, 7];
        assert_eq!(decode(&row(1, 9, numbers)).map(|entries| entries.len()), Some(1));
        assert_eq!(decode(&row(2, 9, numbers)), None, "a newer format");
        assert_eq!(decode(&row(1, 16 | 9, numbers)), None, "an unknown flag");
        assert_eq!(decode(&row(1, 8, numbers)), None, "a value that is not set");
        for negative in [0, 1, 4, 5] {
            let mut numbers = numbers;
            numbers[negative] = -1;
            assert_eq!(decode(&row(1, 9, numbers)), None, "number {negative} is negative");
        }
    }

    #[test]
    fn the_largest_batch_can_be_read() {
        let counters = KeyCounters { request_count: 1, ..KeyCounters::default() };
        let entries: Vec<_> = (0..MAX_ENTRIES).map(|n| (Uuid::from_u128(n as u128), counters)).collect();
        assert_eq!(decode(&encode(&entries)).map(|entries| entries.len()), Some(MAX_ENTRIES));
    }
}
