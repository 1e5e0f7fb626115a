//! The log of an organization: `GET /orgs/{org_id}/audit_events`.

use std::sync::Arc;

use domain::{
    act::Actor,
    audit::Outcome,
    audit_log::AuditLog,
    id::{SessionId, UserId},
    ports::{EventFilter, Position, Stored},
};
use poem::http::Uri;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    dto::PageSize,
    error::Reading,
    page::{Asked, Page},
    parameters::{self, Instant, OfOutcome, Serial},
};
use crate::{
    contract::{Failed, Tag},
    credentials::Credential,
    failure::Fields,
    gate::Gate,
    time::Moment,
    wire::{Id, Nullable, Unread},
};

/// The operation.
pub struct Audit {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Reads.
    pub log: Arc<AuditLog>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Audit {
    /// List what was done in an organization
    ///
    /// Every change of keys, members, permission sets and of the organization itself, every such change that was refused, and
    /// alarms; the newest first. Equal refusals of a minute are one event with a `count`, equal alarms of an hour. The events
    /// form a chain: `hash` covers an event and all before it. Of several conditions all must hold. Needs the permission
    /// `audit:read`.
    #[oai(path = "/orgs/:org_id/audit_events", method = "get", operation_id = "listAuditEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the document")]
    async fn list_audit_events(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The most events to answer; 100 without it.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Serial>>>,
        /// What was done, as `api_key.create`; `api_key.` for everything about keys.
        action: Query<Option<String>>,
        /// What came of it.
        outcome: Query<Option<Unread<OfOutcome>>>,
        /// The key or user that did it.
        actor: Query<Option<Unread<Id>>>,
        /// What it was done to: a key, a user, a permission set, the organization.
        target: Query<Option<Unread<Id>>>,
        /// From this moment on.
        since: Query<Option<Unread<Instant>>>,
        /// Before this moment.
        until: Query<Option<Unread<Instant>>>,
        uri: &Uri,
    ) -> Result<Page<EventView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let organization = self.log.authorize(caller, org_id.id()).await?;
        self.gate.rate.count(organization)?;
        let mut fields = Fields::default();
        let filter = EventFilter {
            actions: parameters::actions(&mut fields, "action", action.0.as_deref()),
            outcome: parameters::outcome(&mut fields, "outcome", outcome.0.as_ref()),
            actor: parameters::id(&mut fields, "actor", actor.0.as_ref()),
            target: parameters::id(&mut fields, "target", target.0.as_ref()),
            since: parameters::instant(&mut fields, "since", since.0.as_ref()),
            until: parameters::instant(&mut fields, "until", until.0.as_ref()),
        };
        fields.into_result()?;
        let asked = Asked::read_with(limit.0.as_ref(), cursor.0.as_ref(), read_cursor)?;
        let (log, after, look) = (self.log.clone(), asked.after, asked.look());
        let read = async move { log.list(organization, &filter, after, look).await };
        let found = self.gate.lists.read(organization, read).await?;
        Ok(Page::going_on(&asked, uri, found, |stored| write_cursor(stored.next)).await)
    }
}

/// In front of the cursors of events that have a place in the chain, and of those that have none. A number alone was a cursor of
/// earlier versions, which counted the events of all organizations.
const IN_CHAIN: &str = "seq.";
const UNCHAINED: &str = "unchained.";

fn write_cursor(position: Position) -> String {
    match position {
        Position::Before(seq) => format!("{IN_CHAIN}{seq}"),
        Position::Unchained(seen) => format!("{UNCHAINED}{seen}"),
    }
}

fn read_cursor(text: &str) -> Option<Position> {
    let number = |text: &str| text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    match text.strip_prefix(IN_CHAIN) {
        Some(seq) => number(seq).map(Position::Before),
        None => number(text.strip_prefix(UNCHAINED)?).map(Position::Unchained),
    }
}

/// What somebody did, or was refused.
#[derive(Object)]
#[oai(rename = "AuditEvent")]
struct EventView {
    /// Its place in the organization's chain, from 1 on; null for one of before there was a chain.
    seq: Nullable<u64>,
    /// When; of several that are told as one, the first.
    at: Moment,
    /// What was done, as `api_key.create`.
    action: String,
    outcome: OutcomeView,
    /// Why, where it was not done: `forbidden`, `exceeds_grants`, …; for an alarm, the beginning of the text.
    reason: Nullable<String>,
    /// How often, where several are told as one.
    count: u64,
    /// What it was done to.
    target_id: Uuid,
    actor: ActorView,
    /// The permission that allowed it, or that is missing.
    permission: Nullable<String>,
    /// The client's address.
    client: Nullable<String>,
    /// The request's name in the log of the service.
    request_id: Nullable<String>,
    /// BLAKE3 over this event and the hash before it, in hexadecimal digits.
    hash: Nullable<String>,
}

/// Who did it.
#[derive(Object)]
#[oai(rename = "Actor")]
struct ActorView {
    r#type: ActorType,
    /// The key of the caller.
    key_id: Nullable<Uuid>,
    /// The user, or whom the key belongs to.
    user_id: Nullable<Uuid>,
    /// The session that it was done in.
    session_id: Nullable<Uuid>,
}

/// What kind of actor.
#[derive(Enum)]
#[oai(rename = "ActorType", rename_all = "lowercase")]
enum ActorType {
    /// A caller with this key.
    Key,
    /// A user by themselves.
    User,
    /// The operator of the service.
    Operator,
    /// Nobody knows.
    Unknown,
}

/// What came of it.
#[derive(Enum)]
#[oai(rename = "AuditOutcome", rename_all = "lowercase")]
enum OutcomeView {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It must not happen, and somebody should look.
    Alarm,
}

impl From<&Stored> for EventView {
    fn from(Stored { event, hash, .. }: &Stored) -> Self {
        let (r#type, key, user) = match event.actor {
            Actor::Key(key, user) => (ActorType::Key, Some(key.uuid()), user.map(UserId::uuid)),
            Actor::User(user) => (ActorType::User, None, Some(user.uuid())),
            Actor::Operator => (ActorType::Operator, None, None),
            Actor::Unknown => (ActorType::Unknown, None, None),
        };
        let session_id = Nullable(event.session.map(SessionId::uuid));
        Self {
            seq: Nullable(hash.map(|_| event.seq)),
            at: Moment(event.at),
            action: event.action.clone(),
            outcome: match event.outcome {
                Outcome::Done => OutcomeView::Done,
                Outcome::Refused => OutcomeView::Refused,
                Outcome::Alarm => OutcomeView::Alarm,
            },
            reason: Nullable(event.reason.clone()),
            count: event.count,
            target_id: event.target,
            actor: ActorView { r#type, key_id: Nullable(key), user_id: Nullable(user), session_id },
            permission: Nullable(event.permission.clone()),
            client: Nullable(event.client.clone()),
            request_id: Nullable(event.request_id.clone()),
            hash: Nullable(hash.map(|hash| hash.to_string())),
        }
    }
}
