//! Users across organizations: the platform finds and erases users by e-mail address (`/users`), and users of identity providers
//! accept and leave memberships (`/me/memberships`).

use std::sync::Arc;

use domain::{
    auth::federation::FederatedLogin,
    organizations::{self, user},
};
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
};
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    dto::{Message, PageSize},
    error::{Reading, Removing},
    page::{Page, PageRequest},
};
use crate::routes::members::dto::Origin;
use crate::{
    auth::authorized::{AuthenticatedCaller, AuthorizedCaller, MembersAdmin, MembersRead},
    http::{
        api_error::{ApiError, Fields},
        contract::{ErrorResponse, Success, Tag},
        list_slots::ListSlots,
        openapi_types::{Id, Nullable, RawParam},
        rfc3339::Rfc3339,
    },
};

/// The operations on users.
pub struct UserRoutes {
    /// Accepts and ends memberships of the caller.
    pub federation: Arc<FederatedLogin>,
    /// Finds and erases users.
    pub organizations: Arc<organizations::OrganizationService>,
    /// Bounds concurrent reads of many rows.
    pub lists: Arc<ListSlots>,
}

/// A user of an organization.
#[derive(Object)]
#[oai(rename = "FoundUser")]
struct FoundUser {
    /// Id of the organization.
    org_id: Uuid,
    /// Id of the user.
    user_id: Uuid,
    /// Name.
    user_name: String,
    /// E-mail address, as given.
    user_email: Nullable<String>,
    /// Whether the e-mail address is verified. Always `false`: this service does not verify addresses.
    email_verified: bool,
    /// How the user joined the organization.
    origin: Origin,
    /// Time of joining.
    created_at: Rfc3339,
}

impl From<&user::User> for FoundUser {
    fn from(user: &user::User) -> Self {
        Self {
            org_id: user.organization.uuid(),
            user_id: user.id.uuid(),
            user_name: user.name.as_str().to_owned(),
            user_email: Nullable(user.email().map(ToOwned::to_owned)),
            email_verified: false,
            origin: Origin::from(user.origin),
            created_at: Rfc3339(user.created_at),
        }
    }
}

/// The result of an erasure.
#[derive(Object)]
#[oai(rename = "UserErasureResult")]
struct ErasedUsers {
    /// Number of erased users, at most 100.
    erased: u64,
    /// Whether there are more users with this address: repeat the request.
    has_more: bool,
}

#[OpenApi]
impl UserRoutes {
    /// Find users by an e-mail address
    ///
    /// Lists the users of all organizations with this address, including deleted organizations that are not yet
    /// removed. For platform callers only.
    #[oai(path = "/users", method = "get", operation_id = "findUsers", tag = "Tag::Members")]
    async fn find_users(
        &self,
        caller: AuthorizedCaller<MembersRead>,
        /// The e-mail address. Upper and lower case are equal.
        email: Query<Option<String>>,
        /// Maximum number of results, 1 to 1,000; default 100.
        limit: Query<Option<RawParam<PageSize>>>,
        /// Cursor of the next page, from the header `Link` of the previous page.
        cursor: Query<Option<RawParam<Id>>>,
    ) -> Result<Page<FoundUser>, ErrorResponse<Reading>> {
        let page_request = PageRequest::read(limit.0.as_ref(), cursor.0.as_ref())?;
        let email = parse_email(email.0.as_deref())?;
        let encoded_email: String = form_urlencoded::byte_serialize(email.given().as_bytes()).collect();
        let (organizations, own) = (self.organizations.clone(), caller.organization()?);
        let (after, fetch_limit) = (page_request.after, page_request.fetch_limit());
        let read = async move { organizations.users_with_email(&caller, &email, after, fetch_limit).await };
        let found = self.lists.read(own, read).await?;
        Ok(Page::new(&page_request, &format!("/users?email={encoded_email}&"), found, |user| user.id.to_string()).await)
    }

    /// Erase users by an e-mail address
    ///
    /// Erases users with this address as removing a member does, in all organizations, at most 100 users per request,
    /// including the last member with all permissions (`*`). Each erasure is recorded in the audit log of the
    /// organization, by the id of the user. For platform callers only.
    #[oai(path = "/users", method = "delete", operation_id = "eraseUsers", tag = "Tag::Members")]
    async fn erase_users(
        &self,
        caller: AuthorizedCaller<MembersAdmin>,
        /// The e-mail address. Upper and lower case are equal.
        email: Query<Option<String>>,
    ) -> Result<Success<ErasedUsers>, ErrorResponse<Removing>> {
        let erasure = self.organizations.erase_users_with_email(&caller, &parse_email(email.0.as_deref())?).await?;
        Ok(Success(ErasedUsers { erased: erasure.erased, has_more: erasure.has_more }))
    }

    /// Accept a membership
    ///
    /// For users of an identity provider who have been added to an organization. From then on, the organization also
    /// counts in requests that do not name it. 404 for a key, and if the organization has not added the user.
    #[oai(
        path = "/me/memberships/:org_id",
        method = "post",
        operation_id = "acceptMembership",
        tag = "Tag::SessionsAndTokens"
    )]
    async fn accept_membership(
        &self,
        caller: AuthenticatedCaller,
        /// Id of the organization.
        org_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Reading>> {
        self.federation.accept(&caller, org_id.id()).await?;
        Ok(Success(Message { message: "Membership accepted successfully".to_owned() }))
    }

    /// Leave an organization
    ///
    /// Erases the personal data of the caller's user in the organization, as removing a member does. For users of an
    /// identity provider, and for keys of a user that hold `members:admin`. 409 if no member with all permissions (`*`)
    /// would remain.
    #[oai(
        path = "/me/memberships/:org_id",
        method = "delete",
        operation_id = "leaveOrganization",
        tag = "Tag::SessionsAndTokens"
    )]
    async fn leave_organization(
        &self,
        caller: AuthenticatedCaller,
        /// Id of the organization.
        org_id: Path<RawParam<Id>>,
    ) -> Result<Success<Message>, ErrorResponse<Removing>> {
        self.federation.leave(&caller, org_id.id()).await?;
        Ok(Success(Message { message: "Organization left successfully".to_owned() }))
    }
}

fn parse_email(text: Option<&str>) -> Result<user::Email, ApiError> {
    let email = text.map(user::Email::parse);
    match email {
        Some(Ok(email)) => Ok(email),
        Some(Err(invalid)) => Err(ApiError::Invalid(Fields::one("email", invalid))),
        None => Err(ApiError::Invalid(Fields::one("email", "is required"))),
    }
}
