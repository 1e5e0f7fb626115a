//! The members of an organization: `/orgs/{org_id}/members`.
pub(crate) mod dto;

use std::sync::Arc;

use domain::{
    Error,
    auth::{federation::FederatedLogin, sessions::Sessions},
    organizations::{self, MemberIdentifier},
};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    me::EndedSessions,
    page::{Page, PageRequest},
    sessions::active::{ActiveSession, ActiveSessionView},
};
use crate::routes::members::dto::{AddMember, MemberView, UpdateMember};
use crate::{
    auth::authorized::{self, MembersAdmin, MembersRead},
    http::{
        api_error::{ApiError, Fields},
        body::Deferred,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
    },
    idempotency::{
        IdempotencyHeader,
        response::{Idempotent, Secrets, StoredResponse},
    },
};

/// The operations on members.
pub struct MemberRoutes {
    /// The trusted identity providers.
    pub federation: Arc<FederatedLogin>,
    /// Reads, adds, changes and removes members.
    pub organizations: Arc<organizations::OrganizationService>,
    /// Lists and ends sessions.
    pub sessions: Arc<Sessions>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

#[OpenApi(tag = "Tag::Members")]
impl MemberRoutes {
    /// List the members of an organization
    #[oai(path = "/orgs/:org_id/members", method = "get", operation_id = "listMembers")]
    async fn list_members(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersRead>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<MemberView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (organizations, organization) = (self.organizations.clone(), authority.organization());
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { organizations.members(&authority, after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/members?");
        Ok(Page::new(&page_request, &path, found, |user| user.id.to_string()).await)
    }

    /// Add a member to an organization
    ///
    /// Creates a user of this organization, by e-mail address or by external identity. The response contains no
    /// personal data other than what was sent. A membership is not a credential: members authenticate with keys, or
    /// with their identity provider. A member who is added by `issuer` and `subject` can act here only in requests that
    /// name the organization, until they accept the membership (`POST /me/memberships/{org_id}`); this is not necessary
    /// if the operator has listed the organization for the provider. The caller must hold all permissions that the
    /// member gets.
    #[oai(path = "/orgs/:org_id/members", method = "post", operation_id = "addMember")]
    async fn add_member(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The member to add.
        body: Deferred<AddMember>,
    ) -> Result<Idempotent<MemberView>, ErrorResponse<Creating>> {
        let response = idempotency.run(authority, body, |authority, body| async move {
            let new = body.into_domain(&self.federation)?;
            if let MemberIdentifier::Identity(identity, _) = &new.identifier
                && !self.federation.may_log_in_to(&identity.issuer, authority.organization()).await?
            {
                let wrong = "must be an identity provider that the operator has configured for this organization";
                return Err(ApiError::Invalid(Fields::one("issuer", wrong)));
            }
            Ok(MemberView::from(&self.organizations.add_member(&authority, new).await?))
        });
        Ok(response.await?)
    }

    /// List the sessions of a member
    ///
    /// Those that `DELETE` ends: the sessions that were created with the member's keys in the organization, and those
    /// that the member created there as a user of an identity provider. If the member has accepted the membership, also
    /// those that were created in no organization.
    #[oai(path = "/orgs/:org_id/members/:user_id/sessions", method = "get", operation_id = "listMemberSessions")]
    async fn list_member_sessions(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersRead>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<ActiveSessionView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (organizations, sessions) = (self.organizations.clone(), self.sessions.clone());
        let (organization, current) = (authority.organization(), authority.caller().origin.session);
        let (after, fetch_limit, user) = (page_request.after, page_request.fetch_limit(), user_id.id());
        let read = async move {
            let member = organizations.member(&authority, user).await?.id;
            Ok::<_, Error>((member, sessions.member_sessions(&authority, member, after, fetch_limit).await?))
        };
        let (member, found) = self.lists.read(organization, read).await?;
        let found = ActiveSession::all(found, current);
        let path = format!("/orgs/{organization}/members/{member}/sessions?");
        Ok(Page::new(&page_request, &path, found, |active| active.session.id.to_string()).await)
    }

    /// End a session of a member
    ///
    /// On every node. Keys and access tokens stay valid and can create new sessions.
    #[oai(
        path = "/orgs/:org_id/members/:user_id/sessions/:session_id",
        method = "delete",
        operation_id = "endMemberSession"
    )]
    async fn end_member_session(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
        /// Id of the session.
        session_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Reading>> {
        let member = self.organizations.member(&authority, user_id.id()).await?.id;
        self.sessions.end_member_session(&authority, member, session_id.id()).await?;
        Ok(Success(Message { message: "Session ended".to_owned() }))
    }

    /// End all sessions of a member
    ///
    /// Ends the sessions that were created with the member's keys in the organization, and those that the member
    /// created there as a user of an identity provider, on every node. If the member has accepted the membership, also
    /// those that were created in no organization. Sessions that were created in another organization stay: remove the
    /// member to end their access here. Keys and access tokens stay valid and can create new sessions: if they have
    /// leaked, also disable or delete the keys.
    #[oai(path = "/orgs/:org_id/members/:user_id/sessions", method = "delete", operation_id = "endMemberSessions")]
    async fn end_member_sessions(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
    ) -> Result<Success<EndedSessions>, ErrorResponse<Reading>> {
        let member = self.organizations.member(&authority, user_id.id()).await?;
        let ended = self.sessions.end_member_sessions(&authority, member.id).await?;
        Ok(Success(EndedSessions { ended }))
    }

    /// Get a member of an organization
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "get", operation_id = "getMember")]
    async fn get_member(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersRead>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
    ) -> Result<Success<MemberView>, ErrorResponse<Reading>> {
        Ok(Success(MemberView::from(&self.organizations.member(&authority, user_id.id()).await?)))
    }

    /// Update a member of an organization
    ///
    /// Takes effect at once for all of their keys. Absent fields are unchanged; `null` clears. 409 if no member with all permissions
    /// (`*`) would remain. The caller must hold all permissions that the member has before and after the
    /// change.
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "patch", operation_id = "updateMember")]
    async fn update_member(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
        /// The changes.
        body: Deferred<UpdateMember>,
    ) -> Result<Success<MemberView>, ErrorResponse<Writing>> {
        let patch = body.read().await?.into_domain()?;
        Ok(Success(MemberView::from(&self.organizations.update_member(&authority, user_id.id(), patch).await?)))
    }

    /// Remove a member from an organization
    ///
    /// Erases the personal data of the user: name, e-mail address, external identities and sessions. The keys of the
    /// user stop working at once, and stay in the list until they are deleted; the audit log keeps only ids. 409 if no
    /// member with all permissions (`*`) would remain.
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "delete", operation_id = "removeMember")]
    async fn remove_member(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.organizations.remove_member(&authority, user_id.id()).await?;
        Ok(Success(Message { message: "Member removed successfully".to_owned() }))
    }
}

impl StoredResponse for MemberView {
    const SECRETS: Secrets = Secrets::None;
}
