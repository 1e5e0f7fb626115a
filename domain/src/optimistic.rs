//! Optimistic concurrency control: a change is made to the version that the client names, and is repeated if what it read was
//! changed before it was stored.

use crate::error::Error;

/// The maximum number of attempts. Changes of the same object through this process wait for each other, so only those
/// through other nodes cause conflicts.
const MAX_ATTEMPTS: usize = 64;

/// Repeats a change until it is stored. An attempt reads, checks and stores; it returns `None` if what it read was
/// changed before it could store.
///
/// # Errors
/// Those of an attempt; [`Error::ConcurrentChanges`] after 64 attempts.
pub(crate) async fn until_stored<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Option<T>, Error>>,
{
    for _ in 0..MAX_ATTEMPTS {
        if let Some(stored) = attempt().await? {
            return Ok(stored);
        }
    }
    Err(Error::ConcurrentChanges)
}

/// Requires that an object, whose version is `current`, has one of the versions in `only`. `None`: it may have any.
///
/// # Errors
/// [`Error::VersionMismatch`].
pub(crate) fn require_version(current: u64, only: Option<&[u64]>) -> Result<(), Error> {
    if only.is_none_or(|only| only.contains(&current)) { Ok(()) } else { Err(Error::VersionMismatch) }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    /// The result of a change whose attempts return `answer`, and the number of attempts.
    fn change(answer: impl Fn(usize) -> Result<Option<usize>, Error>) -> (Result<usize, Error>, usize) {
        let attempts = Cell::new(0);
        let change = until_stored(|| {
            attempts.set(attempts.get() + 1);
            std::future::ready(answer(attempts.get()))
        });
        let Poll::Ready(outcome) = pin!(change).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("every attempt is ready")
        };
        (outcome, attempts.get())
    }

    #[test]
    fn a_change_is_tried_until_it_is_stored_or_refused_but_not_for_ever() {
        assert!(matches!(change(|attempt| Ok((attempt == 3).then_some(attempt))), (Ok(3), 3)));
        assert!(matches!(change(|_| Err(Error::NotFound)), (Err(Error::NotFound), 1)));
        assert!(matches!(change(|_| Ok(None)), (Err(Error::ConcurrentChanges), MAX_ATTEMPTS)));
    }
}
