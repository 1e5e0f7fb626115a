//! Finds a key by one of its secrets, in any state. This does not count as a use of the secret, so the key cache is not involved.

use domain::{
    clock::Timestamp,
    id::KeyId,
    keys::{
        api_key::{ApiKey, SecretStatus},
        key_scope::KeyScope,
        secret::{LegacyHash, SecretHash},
    },
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use crate::{
    api_keys::one,
    database::Database,
    db::error::DbFailure,
    rows::{
        entity::{api_key_secret, imported_secret},
        scope::{deleted_in_scope, in_scope},
    },
};

impl Database {
    /// The key in scope that has or had a secret with one of these hashes, deleted or not, and what became of the secret.
    pub(crate) async fn find_key_by_secret(
        &self,
        scope: KeyScope,
        hashes: &[SecretHash],
        supplied: Option<LegacyHash>,
        now: Timestamp,
    ) -> Result<Option<(ApiKey, SecretStatus)>, DbFailure> {
        let db = &self.pools.read;
        let hashes = hashes.iter().map(|hash| hash.bytes().to_vec());
        let used = api_key_secret::Entity::find().filter(api_key_secret::Column::Hash.is_in(hashes)).all(db).await?;
        let mut found: Vec<_> = used.into_iter().map(|row| (row.api_key_id, row.expires_at)).collect();
        if let Some(supplied) = supplied {
            // A secret that was not used yet. One that was used has a row above.
            let unused = imported_secret::Entity::find_by_id((scope.organization.uuid(), supplied.bytes().to_vec()))
                .filter(imported_secret::Column::AdoptedAt.is_null());
            found.extend(unused.one(db).await?.map(|row| (row.api_key_id, row.expires_at)));
        }
        // A hash that does not depend on the organization may belong to a key of another organization, which is not in scope.
        for (key, expires_at) in found {
            let in_any_state = Condition::any().add(in_scope(scope)).add(deleted_in_scope(scope));
            if let Some(key) = one(db, in_any_state, KeyId::from_uuid(key)).await? {
                let key = self.counter_states.complete(key);
                return Ok(Some((key, SecretStatus::at(expires_at.map(Timestamp::from_millis), now))));
            }
        }
        Ok(None)
    }
}
