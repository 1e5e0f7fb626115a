//! What is buffered, and when it is written.

use super::*;
use crate::key_cache::tests::key;

fn count_uses(buffer: &UsageBuffer, key: &Arc<CachedKey>, verifies: u64, at: i64) {
    if let Some(written) = key.uses().add(verifies, Timestamp::from_millis(at)) {
        buffer.add_key(key.clone(), written);
    }
}

#[tokio::test]
async fn uses_are_buffered_per_key_and_written_in_one_statement() {
    let buffer = UsageBuffer::new(1 << 30, WaitingUses::default());
    let (one, twin) = (key(1), key(1));
    count_uses(&buffer, &one, 1, 5);
    count_uses(&buffer, &one, 0, 9);
    count_uses(&buffer, &one, 1, 7);
    count_uses(&buffer, &twin, 1, 8);
    let organization = one.organization().uuid();
    let all = UseCount { organization, count: 3, last: Timestamp::from_millis(9) };
    assert_eq!(buffer.take(), [(one.id().uuid(), all)], "read twice, it is still one key");
    assert_eq!(buffer.take(), []);
    count_uses(&buffer, &one, 1, 11);
    assert_eq!(
        buffer.take(),
        [(one.id().uuid(), UseCount { organization, count: 1, last: Timestamp::from_millis(11) })]
    );
    for n in 0..u32::try_from(FLUSH_AT_KEYS).expect("small") {
        count_uses(&buffer, &key(n), 1, 0);
    }
    buffer.is_full.notified().await;
}

#[test]
fn large_keys_are_not_kept_in_memory_for_their_uses() {
    let buffer = UsageBuffer::new(0, WaitingUses::default());
    let key = key(1);
    count_uses(&buffer, &key, 2, 5);
    assert_eq!(Arc::strong_count(&key), 1, "only its uses are left");
    count_uses(&buffer, &key, 1, 7);
    let organization = key.organization().uuid();
    let all = UseCount { organization, count: 3, last: Timestamp::from_millis(7) };
    assert_eq!(buffer.take(), [(key.id().uuid(), all)]);
}

#[test]
fn many_rows_are_written_every_ten_seconds_and_few_each_second() {
    let buffer = UsageBuffer::new(1 << 30, WaitingUses::default());
    let seconds = Duration::from_secs;
    let rows = u32::try_from(MAX_ROWS_EACH_SECOND).expect("small");
    for n in 0..rows / 2 {
        count_uses(&buffer, &key(n), 1, 0);
    }
    for n in 0..rows / 2 {
        buffer.add_verify(&key(n), Outcome::VALID, Timestamp::from_millis(0));
    }
    assert!(!buffer.is_worth_waiting(Duration::ZERO), "few");
    count_uses(&buffer, &key(rows), 1, 0);
    assert!(buffer.is_worth_waiting(FLUSH_INTERVAL) && buffer.is_worth_waiting(seconds(8)), "many");
    assert!(!buffer.is_worth_waiting(seconds(9)), "the next tick would be too late");
}
