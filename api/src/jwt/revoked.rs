//! The signed list of tokens that are good no longer, made at most a few times a second, however many ask for it.

use domain::{
    Error,
    clock::{Clock, Timestamp},
    tokens::Tokens,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::keyring::Keyring;

/// For how long a list is handed out again, in milliseconds.
const AGE: u64 = 250;

/// Keys that are looked at together: those that are not remembered are read by one statement.
const TOGETHER: usize = 256;

/// The newest list.
#[derive(Default)]
pub struct RevokedList(Mutex<Option<(Timestamp, String)>>);

impl RevokedList {
    /// The list as it is now, or was a quarter of a second ago.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn get(&self, tokens: &Tokens, keyring: &Keyring, clock: &dyn Clock) -> Result<String, Error> {
        // Who comes while it is made waits for it.
        let mut newest = self.0.lock().await;
        let now = clock.now();
        if let Some((made_at, list)) = &*newest
            && *made_at <= now
            && now.millis_since(*made_at) < AGE
        {
            return Ok(list.clone());
        }
        let families = stream::iter(tokens.live().await?);
        let judged = families.map(|family| async move { Ok::<_, Error>((tokens.are_good(&family).await?, family.id)) });
        let judged = judged.buffer_unordered(TOGETHER);
        let revoked = judged.try_filter_map(|(are_good, id)| async move { Ok((!are_good).then_some(id)) });
        let list = keyring.sign_revoked(&revoked.try_collect::<Vec<_>>().await?, now);
        *newest = Some((now, list.clone()));
        Ok(list)
    }
}
