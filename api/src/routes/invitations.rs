//! Invitations and recovery links: those of an organization (`/orgs/{org_id}/invitations`), and what the person who has a
//! link can do with it (`/invitations`).

mod dto;

use std::sync::Arc;

use domain::{
    Error,
    auth::{authorize::Authorizer, invitations::Invitations},
};
use poem::Request;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, OpeningLink, Reading, Removing, Writing},
    page::{Page, PageRequest},
};
use crate::{
    auth::{
        authenticator::Authenticator,
        authorized::{self, MembersAdmin, MembersRead},
        credentials::{Credential, PublicRequest, Site},
    },
    http::{
        api_error::ApiError,
        body::Deferred,
        client_ip::RequestSource,
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, RawParam},
        operations::check_request,
        origin::PublicUrl,
    },
    idempotency::{IdempotencyHeader, response::Idempotent},
    routes::invitations::dto::{
        CreateInvitation, CreatedInvitation, InvitationView, PreviewView, RedeemedView, TokenBody,
    },
};

/// The operations on invitations and recovery links.
pub struct InvitationRoutes {
    /// Authenticates, and limits failed attempts.
    pub authenticator: Arc<Authenticator>,
    /// Counts requests towards the rate limit of an organization.
    pub authorizer: Arc<Authorizer>,
    /// Creates, lists, revokes and redeems the links.
    pub invitations: Arc<Invitations>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
    /// Whether the service has the dashboard, whose page the links are.
    pub has_dashboard: bool,
}

#[OpenApi(tag = "Tag::Members")]
impl InvitationRoutes {
    /// List the open invitations of an organization
    ///
    /// Lists invitations and recovery links that are not redeemed, revoked or expired, sorted by id, without their tokens. The
    /// audit log has all of them.
    #[oai(path = "/orgs/:org_id/invitations", method = "get", operation_id = "listInvitations")]
    async fn list_invitations(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersRead>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<InvitationView>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (invitations, organization) = (self.invitations.clone(), authority.organization());
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { invitations.list(&authority, after, fetch_limit).await };
        let found = self.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/invitations?");
        Ok(Page::new(&page_request, &path, found, |invitation| invitation.id.to_string()).await)
    }

    /// Invite a member to an organization
    ///
    /// Creates a link with which one person can become a member with these permissions, once and within 72 hours
    /// (`POST /invitations/redeem`). The link is in this response only; give it to the person yourself, because this service sends
    /// no mail. The caller must hold all permissions that the member gets. The link is no longer valid when its creator could not
    /// create it any more: if their membership or key is removed, disabled or expired, or has lost one of these permissions. At
    /// most 100 links of an organization are open at the same time.
    #[oai(path = "/orgs/:org_id/invitations", method = "post", operation_id = "createInvitation")]
    async fn create_invitation(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        request: &Request,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
        /// The member to invite.
        body: Deferred<CreateInvitation>,
    ) -> Result<Idempotent<CreatedInvitation>, ErrorResponse<Creating>> {
        let dashboard = self.dashboard(request);
        let response = idempotency.run(authority, body, |authority, body| async move {
            let (invitation, token) = self.invitations.create(&authority, body.into_domain()?).await?;
            Ok(CreatedInvitation::new(&invitation, &token, dashboard.as_deref()))
        });
        Ok(response.await?)
    }

    /// Get an open invitation of an organization
    #[oai(path = "/orgs/:org_id/invitations/:invitation_id", method = "get", operation_id = "getInvitation")]
    async fn get_invitation(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersRead>,
        /// Id of the invitation or recovery link.
        invitation_id: Path<RawParam<Id>>,
    ) -> Result<Success<InvitationView>, ErrorResponse<Reading>> {
        Ok(Success(InvitationView::from(&self.invitations.get(&authority, invitation_id.id()).await?)))
    }

    /// Revoke an invitation
    ///
    /// The link of the invitation or recovery is no longer valid. 404 if it was redeemed, revoked or is expired.
    #[oai(path = "/orgs/:org_id/invitations/:invitation_id", method = "delete", operation_id = "revokeInvitation")]
    async fn revoke_invitation(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the invitation or recovery link.
        invitation_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.invitations.revoke(&authority, invitation_id.id()).await?;
        Ok(Success(Message { message: "Invitation revoked successfully".to_owned() }))
    }

    /// Create a recovery link for a member
    ///
    /// For a member who has lost access, or has none yet: creates a link with which one person can sign in as this member from
    /// then on, once and within 72 hours (`POST /invitations/redeem`). It replaces an earlier link for the member, and ends their
    /// sessions at once; when it is redeemed, their other passkeys are unlinked. Make sure that you give it to the right person.
    /// The caller must hold all permissions of the member; platform callers need not, except in the platform organization. The
    /// link is no longer valid when its creator could not create it any more.
    #[oai(path = "/orgs/:org_id/members/:user_id/recovery_links", method = "post", operation_id = "createRecoveryLink")]
    async fn create_recovery_link(
        &self,
        /// Id of the organization.
        #[oai(name = "org_id")]
        authority: authorized::Path<MembersAdmin>,
        /// Id of the user.
        user_id: Path<RawParam<Id>>,
        request: &Request,
        /// Idempotency key.
        #[oai(name = "Idempotency-Key")]
        idempotency: IdempotencyHeader,
    ) -> Result<Idempotent<CreatedInvitation>, ErrorResponse<Creating>> {
        let dashboard = self.dashboard(request);
        let response = idempotency.run_without_body(authority, |authority| async move {
            let (invitation, token) = self.invitations.create_recovery_link(&authority, user_id.id()).await?;
            Ok(CreatedInvitation::new(&invitation, &token, dashboard.as_deref()))
        });
        Ok(response.await?)
    }

    /// Preview an invitation
    ///
    /// Returns what the link with this token is for, before it is redeemed. 404 if it is unknown, expired, revoked or redeemed,
    /// its creator could not create it any more, or the organization is suspended. Failed attempts are limited by IP address.
    #[oai(path = "/invitations/preview", method = "post", operation_id = "previewInvitation")]
    async fn preview_invitation(
        &self,
        public: PublicRequest,
        request: &Request,
        /// The token of the link.
        body: Deferred<TokenBody>,
    ) -> Result<Success<PreviewView>, ErrorResponse<OpeningLink>> {
        check_request(request)?;
        self.authenticator.failures.require(&public.source)?;
        let body = body.read().await?;
        let opened = self.counted(&public.source, self.invitations.open(body.token()).await)?;
        Ok(Success(PreviewView::from(&opened)))
    }

    /// Redeem an invitation
    ///
    /// The caller becomes the member that the link with this token is for, and has accepted the membership. Needs an access token
    /// of an identity provider, or a session of a person, also of a person whom no organization has as a member; 403 for a key. The
    /// link is valid once. 404 as in `POST /invitations/preview`; 409 if the caller is a member of the organization already.
    #[oai(path = "/invitations/redeem", method = "post", operation_id = "redeemInvitation")]
    async fn redeem_invitation(
        &self,
        credential: Credential,
        request: &Request,
        /// The token of the link.
        body: Deferred<TokenBody>,
    ) -> Result<Success<RedeemedView>, ErrorResponse<Writing>> {
        let (caller, profile) = self.authenticator.identify_person(&credential).await?;
        caller.require_management()?;
        self.authorizer.count_caller(&caller)?;
        check_request(request)?;
        self.authenticator.failures.require(&credential.source)?;
        let body = body.read().await?;
        let redeemed = self.invitations.redeem_by_caller(&caller, body.token(), profile).await;
        Ok(Success(self.counted(&credential.source, redeemed)?.into()))
    }
}

impl InvitationRoutes {
    /// Where the dashboard is. `None`: there is none, or its URL is not known.
    fn dashboard(&self, request: &Request) -> Option<Arc<PublicUrl>> {
        Site::of(request).service.filter(|_| self.has_dashboard)
    }

    /// Counts an attempt with an unknown token.
    fn counted<T>(&self, source: &RequestSource, outcome: Result<T, Error>) -> Result<T, ApiError> {
        if matches!(outcome, Err(Error::InvitationNotFound)) {
            self.authenticator.failures.count(source)?;
        }
        Ok(outcome?)
    }
}
