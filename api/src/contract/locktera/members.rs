//! Who is a member of an organization: `/orgs/{org_id}/members`.

use std::sync::Arc;

use domain::{keys::Keys, organizations, people::People, permission::Permission};
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    dto::{Message, PageSize},
    error::{Creating, Reading, Removing, Writing},
    page::{Asked, Page},
    people::{AddMember, MemberView, UpdateMember},
};
use crate::{
    body::Deferred,
    contract::{
        Failed, Success, Tag,
        once_only::{OnceOnly, nothing_to_hide},
    },
    credentials::Credential,
    gate::Gate,
    once::{Repeatable, Turn},
    wire::{Id, Unread},
};

/// The operations.
pub struct Members {
    /// Authenticates.
    pub gate: Arc<Gate>,
    /// Authorizes.
    pub keys: Arc<Keys>,
    /// Knows which identity providers are believed.
    pub people: Arc<People>,
    /// Acts.
    pub organizations: Arc<organizations::Organizations>,
}

#[OpenApi(tag = "Tag::Organizations")]
impl Members {
    /// List the members of an organization
    ///
    /// Needs `members:read`.
    #[oai(path = "/orgs/:org_id/members", method = "get", operation_id = "listMembers")]
    async fn list_members(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The most to answer; 100 without it.
        limit: Query<Option<Unread<PageSize>>>,
        /// Where to go on, from the `Link` of the page before.
        cursor: Query<Option<Unread<Id>>>,
    ) -> Result<Page<MemberView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::MEMBERS_READ, org_id.id()).await?;
        let asked = Asked::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let (organizations, organization) = (self.organizations.clone(), authority.organization());
        let (after, look) = (asked.after, asked.look());
        let read = async move { organizations.members(&authority, after, look).await };
        let found = self.gate.lists.read(organization, read).await?;
        let path = format!("/orgs/{organization}/members?");
        Ok(Page::new(&asked, &path, found, |member| member.user.id.to_string()).await)
    }

    /// Add a member to an organization
    ///
    /// A user that there is, or somebody by their address. A membership gives no credential: keys do. Nobody grants more than
    /// they hold. Needs `members:admin`.
    #[oai(path = "/orgs/:org_id/members", method = "post", operation_id = "addMember")]
    async fn add_member(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// A word of the client's for this request: sent again within 12 hours, it is not done again, and gets the same answer
        /// without its secret.
        #[oai(name = "Idempotency-Key")]
        repeatable: Repeatable,
        /// Who, and what they may do.
        body: Deferred<AddMember>,
    ) -> Result<OnceOnly<MemberView>, Failed<Creating>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::MEMBERS_ADMIN, org_id.id()).await?;
        let (body, hash) = body.read_with_hash().await?;
        let once = match self.gate.repeats.turn(&repeatable, authority.caller(), hash).await? {
            Turn::First(once) => once,
            Turn::Again(answer) => return Ok(OnceOnly::Again(answer)),
        };
        let authority = authority.once(once);
        let new = body.into_domain(&self.people)?;
        let view = MemberView::from(&self.organizations.add_member(&authority, new).await?);
        Ok(OnceOnly::done(&self.gate.repeats, once, view, nothing_to_hide).await)
    }

    /// Get a member of an organization
    ///
    /// Needs `members:read`.
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "get", operation_id = "getMember")]
    async fn get_member(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The user.
        user_id: Path<Unread<Id>>,
    ) -> Result<Success<MemberView>, Failed<Reading>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::MEMBERS_READ, org_id.id()).await?;
        Ok(Success(MemberView::from(&self.organizations.member(&authority, user_id.id()).await?)))
    }

    /// Change what a member may do
    ///
    /// At once for all of their keys. What is absent stays. The last member who may do everything (`*`) stays one: 409. Needs
    /// `members:admin`, and all that the member holds before and after.
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "patch", operation_id = "updateMember")]
    async fn update_member(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The user.
        user_id: Path<Unread<Id>>,
        /// What changes.
        body: Deferred<UpdateMember>,
    ) -> Result<Success<MemberView>, Failed<Writing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::MEMBERS_ADMIN, org_id.id()).await?;
        let patch = body.read().await?.into_domain()?;
        Ok(Success(MemberView::from(&self.organizations.update_member(&authority, user_id.id(), patch).await?)))
    }

    /// Remove a member from an organization
    ///
    /// Their keys there are refused from now on. The last member who may do everything (`*`) stays: 409. Needs
    /// `members:admin`.
    #[oai(path = "/orgs/:org_id/members/:user_id", method = "delete", operation_id = "removeMember")]
    async fn remove_member(
        &self,
        credential: Credential,
        /// The organization.
        org_id: Path<Unread<Id>>,
        /// The user.
        user_id: Path<Unread<Id>>,
    ) -> Result<Success<Message>, Failed<Removing>> {
        let caller = self.gate.admit(&credential).await?;
        let authority = self.keys.authorize(caller, &Permission::MEMBERS_ADMIN, org_id.id()).await?;
        self.organizations.remove_member(&authority, user_id.id()).await?;
        Ok(Success(Message { message: "Member removed successfully".to_owned() }))
    }
}
