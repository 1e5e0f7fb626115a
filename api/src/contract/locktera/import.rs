//! Taking over keys of another system: `POST /orgs/{org_id}/api_keys/import`.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    api_key::{self, KeyName},
    caller::Caller,
    clock::Timestamp,
    keys::{Keys, NewKey, OldKey, Owner, Taken},
    permission::Permission,
    secret::{OldHash, Shape},
};
use poem_openapi::{Enum, Object, OpenApi, param::Path};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{create::Settings, error::Creating, shape::ShapeOfKeys};
use crate::{
    body::{BULK_LIMIT, Deferred, Document},
    contract::{
        Failed, Tag,
        once_only::{OnceOnly, nothing_to_hide},
    },
    credentials::Credential,
    failure::{Failure, Fields},
    gate::Gate,
    json::{Members, each},
    off_thread,
    once::{Repeatable, Turn},
    time::Moment,
    wire::{Id, Nullable, Unread},
};

/// The operation.
pub struct Import {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Decides and acts.
    pub keys: Arc<Keys>,
}

/// Keys in one call.
const MOST: usize = 1_000;

#[OpenApi(tag = "Tag::Organizations")]
impl Import {
    /// Take over up to 1,000 keys of another system
    ///
    /// By the SHA-256 hashes that were kept there: whoever has a key goes on with it. All of them or none, each as if it were
    /// made alone; those that were taken over before stay as they are. Such a key authenticates nobody until it has been
    /// verified once; from then on it is like any other. With `dry_run` nothing is stored. Needs the permission `org:admin`.
    #[oai(path = "/orgs/:org_id/api_keys/import", method = "post", operation_id = "importApiKeys")]
    async fn import_api_keys(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// The keys.
        body: Deferred<ImportKeys>,
    ) -> Result<OnceOnly<ImportedKeys>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::ORG_ADMIN, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let dry_run = body.dry_run.unwrap_or(false);
        let shape = body.shape.read()?;
        let (caller, of_keys, now) = (authority.caller().clone(), shape.clone(), self.keys.now());
        let read = move || each("keys", body.keys, |key| key.into_domain(&caller, &of_keys, now));
        let old = off_thread::run(true, read).await?;
        let taken = self.keys.import(&authority, &shape, old, dry_run).await?;
        Ok(OnceOnly::done(&self.gate.repeats, once, ImportedKeys::new(&taken, dry_run), nothing_to_hide).await)
    }
}

/// Keys of another system.
#[derive(Object)]
#[oai(rename = "ImportApiKeys")]
struct ImportKeys {
    shape: ShapeOfKeys,
    /// Whether to look only.
    #[oai(skip_serializing_if_is_none)]
    dry_run: Option<bool>,
    /// 1 to 1,000 keys.
    #[oai(validator(min_items = 1, max_items = 1000))]
    keys: Vec<ImportKey>,
}

/// A key of another system.
#[derive(Object)]
#[oai(rename = "ImportApiKey")]
struct ImportKey {
    /// SHA-256 of its whole text: 64 hexadecimal digits, or base64url.
    hash: String,
    /// What its text begins with, to recognize it by: the prefix, or a part of it, and at most 6 characters more.
    #[oai(skip_serializing_if_is_none)]
    start: Option<String>,
    /// Its name: 1 to 100 characters after trimming.
    #[oai(skip_serializing_if_is_none)]
    name: Option<String>,
    /// The member whom it belongs to; without it, the organization.
    #[oai(skip_serializing_if_is_none)]
    user_id: Option<String>,
    /// Whether it is in use; true without it.
    #[oai(skip_serializing_if_is_none)]
    enabled: Option<bool>,
    /// When it was made; now without it.
    #[oai(skip_serializing_if_is_none)]
    created_at: Option<Moment>,
    /// Verifies that found it good.
    #[oai(skip_serializing_if_is_none)]
    request_count: Option<u64>,
    /// The last of them.
    #[oai(skip_serializing_if_is_none)]
    last_used_at: Option<Moment>,
    /// When it was last refilled.
    #[oai(skip_serializing_if_is_none)]
    last_refill_at: Option<Moment>,
    #[oai(flatten)]
    settings: Settings,
}

impl Document for ImportKeys {
    const LIMIT: usize = BULK_LIMIT;

    fn read(mut members: Members) -> Result<Self, Failure> {
        let shape: Option<Map<String, Value>> = members.required("shape");
        let dry_run = members.optional("dry_run");
        let keys: Option<Vec<Map<String, Value>>> = members.required("keys");
        members.finish_strictly()?;
        let (shape, keys) = (shape.unwrap_or_default(), keys.unwrap_or_default());
        let shape = Members::of(Value::Object(shape)).and_then(ShapeOfKeys::take);
        let shape = shape.map_err(|failure| failure.within("shape"))?;
        if !(1..=MOST).contains(&keys.len()) {
            return Err(Failure::Invalid(Fields::one("keys", format_args!("must hold 1 to {MOST} keys"))));
        }
        let keys = each("keys", keys, |key| Members::of(Value::Object(key)).and_then(ImportKey::take))?;
        Ok(Self { shape, dry_run, keys })
    }
}

impl ImportKey {
    fn take(mut members: Members) -> Result<Self, Failure> {
        let key = Self {
            hash: members.required("hash").unwrap_or_default(),
            start: members.optional("start"),
            name: members.optional("name"),
            user_id: members.optional("user_id"),
            enabled: members.optional("enabled"),
            created_at: members.optional("created_at"),
            request_count: members.optional("request_count"),
            last_used_at: members.optional("last_used_at"),
            last_refill_at: members.optional("last_refill_at"),
            settings: Settings::read(&mut members),
        };
        members.finish_strictly()?;
        Ok(key)
    }

    fn into_domain(self, caller: &Caller, shape: &Shape, now: Timestamp) -> Result<OldKey, Failure> {
        self.settings.require_for_new(caller)?;
        let mut fields = Fields::default();
        let hash = old_hash(&self.hash);
        if hash.is_none() {
            fields.add("hash", "must be SHA-256 as 64 hexadecimal digits or in base64url");
        }
        let start = self.start.unwrap_or_else(|| shape.prefix().to_owned());
        if shape.start(&start).is_none() {
            fields.add("start", "must be the prefix, or a part of it, or at most 6 characters more");
        }
        let past = |fields: &mut Fields, name: &str, at: Option<Moment>| {
            let at = at.map(|Moment(at)| at);
            if at.is_some_and(|at| at > now) {
                fields.add(name, "must not be in the future");
            }
            at
        };
        let created_at = past(&mut fields, "created_at", self.created_at);
        let last_request_at = past(&mut fields, "last_used_at", self.last_used_at);
        let last_refill_at = past(&mut fields, "last_refill_at", self.last_refill_at);
        let name = fields.check_optional("name", self.name.as_deref().map(KeyName::parse));
        // One that is expired already comes with the others.
        let new = self.settings.into_domain(&mut fields, |at| api_key::beginning(at, now), now);
        fields.into_result()?;
        let owner = self.user_id.map_or(Owner::Organization, |user| Owner::User(user.parse().ok()));
        Ok(OldKey {
            new: NewKey { name, owner, ..new },
            enabled: self.enabled.unwrap_or(true),
            start,
            hash: hash.unwrap_or(OldHash::from_bytes([0; 32])),
            created_at,
            request_count: self.request_count.unwrap_or(0),
            last_request_at,
            last_refill_at,
        })
    }
}

/// A SHA-256 hash as other systems write it: 64 hexadecimal digits, or base64url with or without padding.
#[must_use]
pub fn old_hash(text: &str) -> Option<OldHash> {
    let bytes = if text.len() == 64 {
        blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
    } else {
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().and_then(|bytes| bytes.try_into().ok())
    };
    bytes.map(OldHash::from_bytes)
}

/// What became of the keys.
#[derive(Object)]
struct ImportedKeys {
    /// Whether nothing was stored.
    dry_run: bool,
    /// So many were taken over, or would be.
    imported: u64,
    /// So many were taken over before.
    existing: u64,
    /// Each, in the order in which they were given.
    keys: Vec<ImportedKey>,
}

/// What became of a key.
#[derive(Object)]
struct ImportedKey {
    status: ImportStatus,
    /// Its identifier here; null where it was taken over before, and with `dry_run`.
    id: Nullable<Uuid>,
}

/// Whether it was taken over.
#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum ImportStatus {
    /// It was, or would be.
    Imported,
    /// It was before.
    Existing,
}

impl ImportedKeys {
    fn new(taken: &[Taken], dry_run: bool) -> Self {
        let keys: Vec<ImportedKey> = taken
            .iter()
            .map(|taken| match taken {
                Taken::Over(key) => {
                    let id = Nullable(Some(key.id.uuid()).filter(|_| !dry_run));
                    ImportedKey { status: ImportStatus::Imported, id }
                }
                Taken::Before => ImportedKey { status: ImportStatus::Existing, id: Nullable(None) },
            })
            .collect();
        let existing = taken.iter().filter(|taken| matches!(taken, Taken::Before)).count() as u64;
        Self { dry_run, imported: taken.len() as u64 - existing, existing, keys }
    }
}
