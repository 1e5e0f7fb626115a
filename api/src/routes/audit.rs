//! The audit log of an organization: `GET /orgs/{org_id}/audit_events`.

use std::sync::Arc;

use domain::{
    audit::{
        EventOutcome,
        context::{Action, Actor},
        reason::AuditReason,
    },
    audit_log::AuditLogService,
    auth::authorize::Authorizer,
    id::{SessionId, UserId},
    permissions::Permission,
    ports::{EventFilter, Position, StoredEvent},
};
use poem::Request;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use super::{
    dto::PageSize,
    error::Reading,
    page::{Page, PageRequest},
};
use crate::routes::keys::list_query::{self, EventCursor, Instant};
use crate::{
    auth::{authenticator::Authenticator, credentials::Credential},
    http::{
        api_error::Fields,
        contract::{ErrorResponse, Tag},
        list_slots::ListSlots,
        openapi_codes::{Code, OneOf},
        openapi_types::{Id, Nullable, RawParam},
        operations::check_request,
        rfc3339::Rfc3339,
    },
};

/// The operation on the audit log.
pub struct AuditRoutes {
    /// Authenticates.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Authorizes, and reads.
    pub log: Arc<AuditLogService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::AuditLog")]
impl AuditRoutes {
    /// List the audit events of an organization
    ///
    /// Changes of keys, members, permission sets and the organization, denied changes, keys that were rejected as
    /// credentials, sessions, access tokens, lists of all keys, and alarms; newest first. Equal events other than
    /// changes within a minute are one event with a `count`, equal alarms within an hour. The events form a hash chain:
    /// `hash` covers an event and all events before it. An event must match all filters. Needs the permission
    /// `audit:read`.
    #[oai(path = "/orgs/:org_id/audit_events", method = "get", operation_id = "listAuditEvents")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the document")]
    async fn list_audit_events(
        &self,
        credential: Credential,
        /// Id of the organization.
        org_id: Path<RawParam<Id>>,
        /// Maximum number of events to return, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<EventCursor>>>,
        /// Filter: the action, such as `api_key.create`; `api_key.` matches all actions on keys.
        action: Query<Option<String>>,
        /// Filter: the result of the action.
        outcome: Query<Option<RawParam<OneOf<EventOutcome>>>>,
        /// Filter: id of the key or user that acted.
        actor: Query<Option<RawParam<Id>>>,
        /// Filter: id of the key, user, permission set or organization acted on.
        target: Query<Option<RawParam<Id>>>,
        /// Filter: at or after this time.
        since: Query<Option<RawParam<Instant>>>,
        /// Filter: before this time.
        until: Query<Option<RawParam<Instant>>>,
        request: &Request,
    ) -> Result<Page<EventView>, ErrorResponse<Reading>> {
        let caller = self.authenticator.authenticate(&credential).await?;
        let organization = self.log.authorize(caller, org_id.id()).await?;
        self.authorizer.count(organization)?;
        check_request(request)?;
        let mut fields = Fields::default();
        let filter = EventFilter {
            actions: list_query::actions(&mut fields, "action", action.0.as_deref()),
            outcome: list_query::outcome(&mut fields, "outcome", outcome.0.as_ref()),
            actor: list_query::id(&mut fields, "actor", actor.0.as_ref()),
            target: list_query::id(&mut fields, "target", target.0.as_ref()),
            since: list_query::instant(&mut fields, "since", since.0.as_ref()),
            until: list_query::instant(&mut fields, "until", until.0.as_ref()),
        };
        fields.into_result()?;
        let page_request = PageRequest::read_with(limit.0.as_ref(), cursor.0.as_ref(), read_cursor)?;
        let (log, after, fetch_limit) = (self.log.clone(), page_request.after, page_request.fetch_limit());
        let read = async move { log.list(organization, &filter, after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        Ok(Page::with_uri(&page_request, request.uri(), found, |stored| write_cursor(stored.next)).await)
    }
}

/// The prefixes of cursors: of events with a sequence number in the hash chain, and of events without one. A number without a
/// prefix is not accepted: it was a cursor of earlier versions, which counted the events of all organizations.
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

/// An event of the audit log.
#[derive(Object)]
#[oai(rename = "AuditEvent")]
struct EventView {
    /// Sequence number in the organization's chain, from 1; null for events from before the chain existed.
    seq: Nullable<u64>,
    /// Time of the event; of several merged events, the first.
    at: Rfc3339,
    action: Code<Action>,
    outcome: Code<EventOutcome>,
    /// Why the action was denied; null if it was not.
    reason: Nullable<Code<AuditReason>>,
    /// Beginning of the expired or revoked secret that was used; null for all other actions.
    secret_start: Nullable<String>,
    /// Names of the settings that a change of a key changed; `key_policy` for a change of a key policy; empty for all other
    /// actions.
    changed_fields: Vec<String>,
    /// Number of merged events.
    count: u64,
    /// Id of the target.
    target_id: Uuid,
    actor: ActorView,
    /// The permission that allowed the action, or that was missing.
    permission: Nullable<Code<Permission>>,
    /// IP address of the client.
    client: Nullable<String>,
    /// Id of the request, as in the log of the service.
    request_id: Nullable<String>,
    /// BLAKE3 hash of this event and the previous hash, in hexadecimal digits.
    hash: Nullable<String>,
}

/// Who acted.
#[derive(Object)]
#[oai(rename = "Actor")]
struct ActorView {
    r#type: ActorType,
    /// Id of the caller's key.
    key_id: Nullable<Uuid>,
    /// Id of the user, or of the user that the key belongs to.
    user_id: Nullable<Uuid>,
    /// Id of the session.
    session_id: Nullable<Uuid>,
}

/// Kind of actor.
#[derive(Enum)]
#[oai(rename = "ActorType", rename_all = "lowercase")]
enum ActorType {
    /// A caller with this key.
    Key,
    /// A user of an identity provider, without a key.
    User,
    /// The operator of the service.
    Operator,
    /// The actor is not known.
    Unknown,
}

impl From<&StoredEvent> for EventView {
    fn from(StoredEvent { event, hash, .. }: &StoredEvent) -> Self {
        let (r#type, key, user) = match event.actor {
            Actor::Key(key, user) => (ActorType::Key, Some(key.uuid()), user.map(UserId::uuid)),
            Actor::User(user) => (ActorType::User, None, Some(user.uuid())),
            Actor::Operator => (ActorType::Operator, None, None),
            Actor::Unknown => (ActorType::Unknown, None, None),
        };
        let changed_fields: Vec<String> = event.changed_fields().map(ToOwned::to_owned).collect();
        let session_id = Nullable(event.session.map(SessionId::uuid));
        Self {
            seq: Nullable(hash.map(|_| event.seq)),
            at: Rfc3339(event.at),
            action: Code::new(event.action.clone()),
            outcome: Code::new(event.outcome.code()),
            reason: Nullable(event.reason_code().map(|code| Code::new(code.to_owned()))),
            secret_start: Nullable(event.secret_start().map(ToOwned::to_owned)),
            changed_fields,
            count: event.count,
            target_id: event.target,
            actor: ActorView { r#type, key_id: Nullable(key), user_id: Nullable(user), session_id },
            permission: Nullable(event.permission.clone().map(Code::new)),
            client: Nullable(event.client.clone()),
            request_id: Nullable(event.request_id.clone()),
            hash: Nullable(hash.map(|hash| hash.to_string())),
        }
    }
}
