//! Many keys at once: `/orgs/{org_id}/api_keys/bulk_create` and `…/bulk_delete`.

use std::{collections::HashSet, sync::Arc};

use domain::{
    api_key::ApiKey,
    caller::Caller,
    clock::Timestamp,
    id::KeyId,
    keys::{Keys, NewKey},
    permission::Permission,
    secret::Secret,
};
use poem_openapi::{Object, OpenApi, param::Path};
use uuid::Uuid;

use super::{create::CreateKey, dto::CreatedKeyView, error::Creating};
use crate::{
    body::{BULK_LIMIT, Deferred, Document},
    contract::{
        Failed, Tag,
        once_only::{OnceOnly, hide_keys, nothing_to_hide},
    },
    credentials::Credential,
    failure::{Failure, Fields},
    gate::Gate,
    json::{Members, each},
    off_thread,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct Bulk {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

/// Keys in one call.
const MOST: usize = 1_000;

#[OpenApi(tag = "Tag::Organizations")]
impl Bulk {
    /// Create up to 1,000 keys for an organization
    ///
    /// All of them or none, each as if it were made alone; the answer has them in the same order. Needs the permission
    /// `api_keys:write`.
    #[oai(path = "/orgs/:org_id/api_keys/bulk_create", method = "post", operation_id = "createApiKeys")]
    async fn create_api_keys(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// What the keys will be.
        body: Deferred<CreateKeys>,
    ) -> Result<OnceOnly<CreatedKeys>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let (caller, now) = (authority.caller().clone(), self.keys.now());
        let new = off_thread::run(true, move || body.into_domain(&caller, now)).await?;
        let made = self.keys.create_many(&authority, new).await?;
        let view = |(key, secret): &(ApiKey, Secret)| CreatedKeyView::new(key, secret);
        let answer = move || CreatedKeys { keys: made.iter().map(view).collect() };
        Ok(OnceOnly::long(&self.gate.repeats, once, answer, hide_keys).await)
    }

    /// Delete up to 1,000 keys of an organization
    ///
    /// Those that there are are refused from now on, all at once; the others are named in the answer. Needs the permission
    /// `api_keys:write`.
    #[oai(path = "/orgs/:org_id/api_keys/bulk_delete", method = "post", operation_id = "deleteApiKeys")]
    async fn delete_api_keys(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// Which keys.
        body: Deferred<DeleteKeys>,
    ) -> Result<OnceOnly<DeletedKeys>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::API_KEYS_WRITE, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let ids = body.into_domain()?;
        let deleted: HashSet<KeyId> = self.keys.delete_many(&authority, ids.clone()).await?.into_iter().collect();
        let not_found = ids.iter().filter(|id| !deleted.contains(id)).map(|id| id.uuid()).collect();
        // Nothing was done where there was none of them, so there is nothing to repeat. Another request with the same
        // `Idempotency-Key` may just have deleted them: its answer is the one that is kept.
        let once = once.filter(|_| !deleted.is_empty());
        let answer = DeletedKeys { deleted: deleted.len() as u64, not_found };
        Ok(OnceOnly::done(&self.gate.repeats, once, answer, nothing_to_hide).await)
    }
}

/// Keys to be made together.
#[derive(Object)]
#[oai(rename = "CreateApiKeys")]
struct CreateKeys {
    /// 1 to 1,000 keys.
    #[oai(validator(min_items = 1, max_items = 1000))]
    keys: Vec<CreateKey>,
}

/// Keys that were just made, with their texts.
#[derive(Object)]
#[oai(rename = "CreatedApiKeys")]
struct CreatedKeys {
    /// In the order in which they were asked for.
    keys: Vec<CreatedKeyView>,
}

impl Document for CreateKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(members: Members) -> Result<Self, Failure> {
        Ok(Self { keys: members.only_list("keys", MOST, "keys", CreateKey::read)? })
    }
}

impl CreateKeys {
    fn into_domain(self, caller: &Caller, now: Timestamp) -> Result<Vec<NewKey>, Failure> {
        each("keys", self.keys, |key| key.into_domain(caller, now))
    }
}

/// Keys to be deleted together.
#[derive(Object)]
#[oai(rename = "DeleteApiKeys")]
struct DeleteKeys {
    /// 1 to 1,000 identifiers.
    #[oai(validator(min_items = 1, max_items = 1000))]
    ids: Vec<String>,
}

impl Document for DeleteKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(mut members: Members) -> Result<Self, Failure> {
        let ids: Option<Vec<String>> = members.required("ids");
        members.finish_strictly()?;
        let ids = ids.unwrap_or_default();
        if (1..=MOST).contains(&ids.len()) {
            Ok(Self { ids })
        } else {
            Err(Failure::Invalid(Fields::one("ids", "must hold 1 to 1000 identifiers")))
        }
    }
}

impl DeleteKeys {
    fn into_domain(self) -> Result<Vec<KeyId>, Failure> {
        let mut fields = Fields::default();
        let ids = self.ids.iter().enumerate().filter_map(|(place, text)| {
            let id = text.parse().ok();
            if id.is_none() {
                fields.add(&format!("ids[{place}]"), "must be the identifier of a key, a UUID with hyphens");
            }
            id
        });
        let ids = ids.collect();
        fields.into_result()?;
        Ok(ids)
    }
}

/// Keys that were just deleted.
#[derive(Object)]
#[oai(rename = "DeletedApiKeys")]
struct DeletedKeys {
    /// How many.
    deleted: u64,
    /// What names no key of the organization.
    not_found: Vec<Uuid>,
}
