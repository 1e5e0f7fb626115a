//! The format of the rows of `counter_journal`, the journal of the ledger on SQLite.
//!
//! A row is one byte with the version of the format, 2, then a time, then an entry for each key, then the first 16 bytes of the
//! BLAKE3 hash of everything before. An entry is the id of the key (16 bytes), a byte of flags, and seven numbers: `version`,
//! `remaining`, `last_refill_at`, `window_start`, `window_count`, `request_count` and `last_request_at`. The flags say which of the
//! four optional ones are set: `remaining` 1, `last_refill_at` 2, `window_start` 4, `last_request_at` 8. One that is not set is 0.
//! Numbers and the time are zigzag varints of up to 10 bytes, as in Protocol Buffers. Times of entries are the milliseconds since
//! the time at the beginning of the row, so that an entry has about 30 bytes.
//!
//! Rows of format 1, which earlier versions wrote, can be read, too. They have no time at the beginning, and each number has 8
//! bytes, the most significant byte first.
//!
//! Anything else is refused: a row that was damaged must not set a counter.

use integer_encoding::VarInt;
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

const CHECKSUM: usize = 16;

/// The most bytes of a number.
const MAX_NUMBER: usize = 10;

/// The most bytes of an entry.
const MAX_ENTRY: usize = 17 + 7 * MAX_NUMBER;

/// The most bytes of a row.
const MAX_BYTES: usize = 1 + MAX_NUMBER + MAX_ENTRIES * MAX_ENTRY + CHECKSUM;

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
            "row {} of the table counter_journal, which has the latest uses of keys with limits, was written by a newer \
             version or is damaged; run the newer version again or, if there was none, restore a backup",
            self.seq
        )
    }
}

impl std::error::Error for BrokenJournal {}

/// The row for these keys.
pub(crate) fn encode(entries: &[(Uuid, KeyCounters)]) -> Vec<u8> {
    let begin = entries.iter().find_map(|(_, counters)| counters.last_request_at).unwrap_or(0);
    let mut row = Writer(Vec::with_capacity(1 + MAX_NUMBER + entries.len() * MAX_ENTRY / 2 + CHECKSUM));
    row.0.push(2);
    row.number(begin);
    for (key, counters) in entries {
        let optional = optional(counters);
        let flags = optional.iter().enumerate().fold(0, |flags, (n, value)| flags | (u8::from(value.is_some()) << n));
        row.0.extend_from_slice(key.as_bytes());
        row.0.push(flags);
        let time = |time: Option<i64>| time.map_or(0, |time| time.wrapping_sub(begin));
        row.number(counters.version);
        row.number(counters.remaining.unwrap_or(0));
        row.number(time(counters.last_refill_at));
        row.number(time(counters.window_start));
        row.number(counters.window_count);
        row.number(counters.request_count);
        row.number(time(counters.last_request_at));
    }
    let checksum = checksum(&row.0);
    row.0.extend_from_slice(&checksum);
    row.0
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, value: i64) {
        let mut bytes = [0; MAX_NUMBER];
        let length = value.encode_var(&mut bytes);
        self.0.extend_from_slice(&bytes[..length]);
    }
}

/// The keys of a row. `None`: it does not have the format.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(Uuid, KeyCounters)>> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let (format, rest) = content.split_first()?;
    if bytes.len() > MAX_BYTES || *sum != checksum(content) {
        return None;
    }
    let mut reader = Reader { rest, has_varints: *format == 2 };
    let begin = match format {
        1 => 0,
        2 => reader.number()?,
        _ => return None,
    };
    let mut entries = Vec::new();
    while !reader.rest.is_empty() {
        if entries.len() == MAX_ENTRIES {
            return None;
        }
        entries.push(reader.entry(begin)?);
    }
    Some(entries)
}

struct Reader<'a> {
    rest: &'a [u8],
    has_varints: bool,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn number(&mut self) -> Option<i64> {
        if !self.has_varints {
            return self.bytes().map(i64::from_be_bytes);
        }
        let (value, length) = i64::decode_var(self.rest)?;
        self.rest = &self.rest[length..];
        Some(value)
    }

    /// An entry whose times are relative to `begin`.
    fn entry(&mut self, begin: i64) -> Option<(Uuid, KeyCounters)> {
        let key = Uuid::from_bytes(self.bytes()?);
        let [flags] = self.bytes()?;
        let (version, remaining, last_refill_at, window_start) =
            (self.number()?, self.number()?, self.number()?, self.number()?);
        let (window_count, request_count, last_request_at) = (self.number()?, self.number()?, self.number()?);
        let optional = |bit: u8, value: i64| match (flags & bit != 0, value) {
            (true, value) => Some(Some(value)),
            (false, 0) => Some(None),
            (false, _) => None,
        };
        let time = |bit: u8, value| optional(bit, value).map(|time| time.map(|time| begin.wrapping_add(time)));
        let counters = KeyCounters {
            version,
            remaining: optional(1, remaining)?,
            last_refill_at: time(2, last_refill_at)?,
            window_start: time(4, window_start)?,
            window_count,
            request_count,
            last_request_at: time(8, last_request_at)?,
        };
        let counts = [version, counters.remaining.unwrap_or(0), window_count, request_count];
        (flags < 16 && counts.iter().all(|count| *count >= 0)).then_some((key, counters))
    }
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
        if format == 2 {
            bytes.push(0);
        }
        bytes.extend([7; 16]);
        bytes.push(flags);
        bytes.extend(numbers.iter().flat_map(|number| match format {
            1 => number.to_be_bytes().to_vec(),
            _ => number.encode_var_vec(),
        }));
        let sum = checksum(&bytes);
        bytes.extend(sum);
        bytes
    }

    #[test]
    fn a_row_of_another_format_is_refused() {
        let numbers = [1, 2, 0, 0, 5, 6, 7];
        assert_eq!(decode(&row(3, 9, numbers)), None, "a newer format");
        for format in [1, 2] {
            let counters = KeyCounters {
                version: 1,
                remaining: Some(2),
                last_refill_at: None,
                window_start: None,
                window_count: 5,
                request_count: 6,
                last_request_at: Some(7),
            };
            assert_eq!(decode(&row(format, 9, numbers)), Some(vec![(Uuid::from_bytes([7; 16]), counters)]));
            assert_eq!(decode(&row(format, 16 | 9, numbers)), None, "an unknown flag");
            assert_eq!(decode(&row(format, 8, numbers)), None, "a value that is not set");
            for negative in [0, 1, 4, 5] {
                let mut numbers = numbers;
                numbers[negative] = -1;
                assert_eq!(decode(&row(format, 9, numbers)), None, "number {negative} is negative");
            }
        }
    }

    #[test]
    fn an_entry_of_a_usual_key_has_about_30_bytes() {
        let now = 1_800_000_000_000;
        let counters = KeyCounters {
            version: 3,
            remaining: Some(100_000),
            last_refill_at: Some(now - 3_600_000),
            window_start: Some(now - 60_000),
            window_count: 500,
            request_count: 1_000_000,
            last_request_at: Some(now),
        };
        let size = |keys| encode(&vec![(Uuid::nil(), counters); keys]).len();
        assert_eq!(size(2) - size(1), 34);
    }

    #[test]
    fn the_largest_batch_can_be_read() {
        let counters = KeyCounters {
            version: i64::MAX,
            remaining: Some(i64::MAX),
            last_refill_at: Some(i64::MIN),
            window_start: Some(i64::MAX),
            window_count: i64::MAX,
            request_count: i64::MAX,
            last_request_at: Some(0),
        };
        let mut entries: Vec<_> = (0..MAX_ENTRIES).map(|n| (Uuid::from_u128(n as u128), counters)).collect();
        assert_eq!(decode(&encode(&entries)).map(|entries| entries.len()), Some(MAX_ENTRIES));
        entries.push((Uuid::max(), counters));
        assert_eq!(decode(&encode(&entries)), None, "one entry more");
    }
}
