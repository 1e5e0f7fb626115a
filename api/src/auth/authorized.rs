//! Extractors that authenticate and authorize a request before its body is read. They also document the permission that the
//! operation needs.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use domain::{
    audit::context::IdempotencyKey,
    auth::{
        authorize::Authorizer,
        caller::{Authority, Caller, Principal},
        portal::PortalService,
    },
    id::Identity,
    permissions::Permission,
};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};

use crate::{
    auth::{
        authenticator::Authenticator,
        credentials::{self, Credential},
    },
    http::{
        api_error::ApiError,
        openapi_types::{Id, RawParam},
        operations::check_request,
    },
};

/// What the extractors need to authenticate and authorize. Every request has it as data.
pub struct AccessControl {
    /// Authenticates the caller.
    pub authenticator: Arc<Authenticator>,
    /// Checks permissions and the rate limit of management requests.
    pub authorizer: Arc<Authorizer>,
    /// Authorizes the requests of portal sessions.
    pub portal: Arc<PortalService>,
}

/// Authenticates the caller of a request. Returns also what authorizes it.
async fn authenticate(request: &Request) -> Result<(Caller, &Authorizer), ApiError> {
    let access = request.data::<Arc<AccessControl>>().expect("every request has the access control as data");
    Ok((access.authenticator.authenticate(&Credential::of(request)).await?, &access.authorizer))
}

/// The prefix of a required permission that is documented as a security scheme: [`crate::openapi::complete`] removes the
/// scheme and adds a sentence to the description of the operation. In poem-openapi, a parameter cannot change that description.
pub const PERMISSION_PREFIX: &str = "needs ";

/// The permission that an operation needs, as a type.
pub trait RequiredPermission: Send + Sync + 'static {
    /// The permission that the caller must have.
    const PERMISSION: Permission;

    /// The permission that is enough for the keys of the caller's own user. `None`: there is none.
    const OWN_KEYS: Option<Permission> = None;

    /// [`PERMISSION_PREFIX`] and the permission, for the documentation.
    const DOCUMENTED: &'static str;
}

macro_rules! permissions {
    ($($name:ident = $permission:ident $text:literal;)*) => {
        $(
            #[doc = concat!("Needs the permission `", $text, "`.")]
            pub struct $name;

            impl RequiredPermission for $name {
                const PERMISSION: Permission = Permission::$permission;
                const DOCUMENTED: &'static str = concat!("needs ", $text);
            }
        )*

        /// All required permissions, each with [`RequiredPermission::DOCUMENTED`].
        pub const REQUIRED_PERMISSIONS: &[(Permission, &str)] = &[$(($name::PERMISSION, $name::DOCUMENTED)),*];
    };
}

permissions! {
    ApiKeysRead = API_KEYS_READ "api_keys:read";
    OrgRead = ORG_READ "org:read";
    OrgAdmin = ORG_ADMIN "org:admin";
    MembersRead = MEMBERS_READ "members:read";
    MembersAdmin = MEMBERS_ADMIN "members:admin";
    PermissionSetsRead = SETS_READ "permission_sets:read";
    PermissionSetsAdmin = SETS_ADMIN "permission_sets:admin";
    TrustRulesRead = TRUST_RULES_READ "trust_rules:read";
    TrustRulesAdmin = TRUST_RULES_ADMIN "trust_rules:admin";
    PortalSessionsWrite = PORTAL_SESSIONS_WRITE "portal_sessions:write";
    Everything = EVERYTHING "*";
}

/// Needs the permission `api_keys:read`, or `own_api_keys:read` for the keys of the caller's own user.
pub struct KeysRead;

impl RequiredPermission for KeysRead {
    const PERMISSION: Permission = Permission::API_KEYS_READ;
    const OWN_KEYS: Option<Permission> = Some(Permission::OWN_API_KEYS_READ);
    const DOCUMENTED: &'static str = "needs api_keys:read or own_api_keys:read";
}

/// Needs the permission `api_keys:write`, or `own_api_keys:write` for the keys of the caller's own user.
pub struct KeysWrite;

impl RequiredPermission for KeysWrite {
    const PERMISSION: Permission = Permission::API_KEYS_WRITE;
    const OWN_KEYS: Option<Permission> = Some(Permission::OWN_API_KEYS_WRITE);
    const DOCUMENTED: &'static str = "needs api_keys:write or own_api_keys:write";
}

/// In [`RequiredPermission::DOCUMENTED`]: separates the permission from the one that is enough for the keys of the caller's own
/// user.
pub const OWN_KEYS_SEPARATOR: &str = " or ";

fn security_schemes<P: RequiredPermission>() -> Vec<&'static str> {
    credentials::SCHEMES.into_iter().chain([P::DOCUMENTED]).collect()
}

/// A caller that has the permission `P` in the organization of a path parameter; it is documented as that parameter. With only
/// [`RequiredPermission::OWN_KEYS`], the authority covers the keys of the caller's own user. Steps: the caller is authenticated, its
/// key must be able to manage this service, the permission is checked, the request is counted in the rate limit of the
/// organization, and its query and `If-Match` are checked ([`check_request`]).
pub struct Authorized<P> {
    authority: Authority,
    parameter: Box<str>,
    permission: PhantomData<fn() -> P>,
}

/// [`Authorized`] as operations must write it, `authorized::Path<P>`: poem-openapi recognizes the parameters of a path by the name
/// of their type, and gives an extractor of another name none of their values.
pub type Path<P> = Authorized<P>;

impl<P> Authorized<P> {
    /// The authority, for work that needs ownership.
    #[must_use]
    pub fn into_authority(self) -> Authority {
        self.authority
    }

    /// The path parameter as it was sent: an id of the organization.
    #[must_use]
    pub fn parameter(&self) -> &str {
        &self.parameter
    }
}

impl<P> Deref for Authorized<P> {
    type Target = Authority;

    fn deref(&self) -> &Authority {
        &self.authority
    }
}

impl<'a, P: RequiredPermission> ApiExtractor<'a> for Authorized<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme, ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = RawParam<Id>;
    type ParamRawType = RawParam<Id>;

    fn register(registry: &mut Registry) {
        credentials::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        security_schemes::<P>()
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(RawParam::<Id>::schema_ref())
    }

    fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
        None
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let parameter = request.raw_path_param(options.name).expect("the operation has it as `authorized::Path`");
        let (caller, authorizer) = authenticate(request).await?;
        let organization = parameter.parse().ok();
        let authority = match P::OWN_KEYS {
            None => authorizer.authorize(caller, &P::PERMISSION, organization).await,
            Some(own) => authorizer.authorize_keys(caller, &P::PERMISSION, &own, organization).await,
        };
        let authority = authority.map_err(ApiError::from)?;
        check_request(request)?;
        Ok(Self { authority, parameter: parameter.into(), permission: PhantomData })
    }
}

/// A caller that has the permission `P` in its current organization, for a request that names no organization. The steps are those
/// of [`Authorized`]; the request is counted in the rate limit of the current organization.
pub struct AuthorizedCaller<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> AuthorizedCaller<P> {
    /// The caller, for work that needs ownership.
    #[must_use]
    pub fn into_caller(self) -> Caller {
        self.caller
    }
}

impl<P> Deref for AuthorizedCaller<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<'a, P: RequiredPermission> ApiExtractor<'a> for AuthorizedCaller<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        credentials::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        security_schemes::<P>()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let (caller, authorizer) = authenticate(request).await?;
        authorizer.authorize_caller(&caller, &P::PERMISSION).map_err(ApiError::from)?;
        check_request(request)?;
        Ok(Self { caller, permission: PhantomData })
    }
}

/// An authenticated caller whose key can manage this service, for a request that needs no permission. The request is counted in
/// the rate limit of the caller's current organization.
pub struct AuthenticatedCaller(Caller);

impl AuthenticatedCaller {
    /// The caller, for work that needs ownership.
    #[must_use]
    pub fn into_caller(self) -> Caller {
        self.0
    }
}

impl Deref for AuthenticatedCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<'a> ApiExtractor<'a> for AuthenticatedCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        credentials::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        credentials::SCHEMES.to_vec()
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let (caller, authorizer) = authenticate(request).await?;
        authorizer.count_caller(&caller).map_err(ApiError::from)?;
        check_request(request)?;
        Ok(Self(caller))
    }
}

/// The authorization of a request that [`crate::idempotency::IdempotencyHeader::run`] executes.
pub trait RequestAuthorization {
    /// The type of the authorization that the use cases take.
    type Granted;

    /// The authenticated caller.
    fn caller(&self) -> &Caller;

    /// Who sends the request, for idempotency keys: requests of others with the same key have nothing to do with it.
    fn principal(&self) -> [u8; 16] {
        match &self.caller().principal {
            Principal::Key(key) => *key.id().uuid().as_bytes(),
            Principal::FederatedUser(person) => hash_identity(&person.claims.identity),
        }
    }

    /// The authorization for the use case, with the idempotency key of the request. `None`: the request has none.
    fn grant(self, key: Option<IdempotencyKey>) -> Self::Granted;
}

impl<P> RequestAuthorization for Authorized<P> {
    type Granted = Authority;

    fn caller(&self) -> &Caller {
        self.authority.caller()
    }

    fn grant(self, key: Option<IdempotencyKey>) -> Authority {
        self.authority.with_idempotency_key(key)
    }
}

impl<P> RequestAuthorization for AuthorizedCaller<P> {
    type Granted = Caller;

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn grant(self, key: Option<IdempotencyKey>) -> Caller {
        self.caller.with_idempotency_key(key)
    }
}

/// A hash of fixed length that identifies a user of an identity provider.
fn hash_identity(identity: &Identity) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // Neither can contain a control character, so the separator is unambiguous.
    hasher.update(identity.issuer.as_bytes()).update(b"\0").update(identity.subject.as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_permission_is_the_one_that_is_checked() {
        for (permission, documented) in REQUIRED_PERMISSIONS {
            let permission = permission.to_string();
            // The documentation writes the permission for everything in its short form.
            let permission = if permission == "*:*" { "*" } else { &permission };
            assert_eq!(documented.strip_prefix(PERMISSION_PREFIX), Some(permission));
        }
    }

    #[test]
    fn the_permission_for_own_keys_is_documented() {
        fn documented<P: RequiredPermission>() -> bool {
            let own = P::OWN_KEYS.expect("a permission for own keys");
            P::DOCUMENTED == format!("{PERMISSION_PREFIX}{}{OWN_KEYS_SEPARATOR}{own}", P::PERMISSION)
        }
        assert!(documented::<KeysRead>() && documented::<KeysWrite>());
    }
}
