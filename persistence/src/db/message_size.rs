//! How much is sent to PostgreSQL at once.
//!
//! TLS divides a message into records of 16 KiB, and the driver writes each of them by itself, on a socket whose small segments wait
//! for an acknowledgement (Nagle's algorithm; the driver has no setting for it). The last record of a longer message would wait for
//! the delayed acknowledgement of the server: 40 ms for each statement. So statements with many rows are divided by the bytes of
//! their parameters. A single value that is larger, such as the metadata of a key, is sent as it is.

/// The most bytes of the parameters of one statement: a TLS record without what the protocol adds to the parameters.
pub(crate) const MAX_PARAMETER_BYTES: usize = 16 * 1024 - 512;

/// The most hashes in the list of a statement, with 38 bytes each.
pub(crate) const MAX_HASHES_PER_STATEMENT: usize = 400;

/// Divides `items` into consecutive parts of at most `max` bytes. An item that is larger is a part of its own.
pub(crate) fn divide<T>(items: Vec<T>, max: usize, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut parts, mut part, mut total) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let size = bytes(&item);
        if total + size > max && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            total = 0;
        }
        total += size;
        part.push(item);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_divided_by_their_bytes_and_stay_in_order() {
        let divided = |items: &[usize]| divide(items.to_vec(), 10, |item| *item);
        assert_eq!(divided(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(divided(&[4, 6, 1, 20, 10, 3]), [vec![4, 6], vec![1], vec![20], vec![10], vec![3]]);
    }
}
