//! JSON for who one is.

use domain::{
    grants::Grants, identity::Person, organization::Organization, ports::Profile, session::Session, snapshot::Snapshot,
    user::User,
};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use super::organization::Kind;
use crate::{time::Moment, wire::Nullable};

/// How long a session lasts.
#[derive(Object)]
#[oai(rename = "Session")]
pub(super) struct SessionView {
    /// When it ends.
    expires_at: Moment,
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        Self { expires_at: Moment(session.expires_at) }
    }
}

/// Who shows a credential, and may do what.
#[derive(Object)]
pub(super) struct Me {
    credential: Shown,
    /// The user; null for an organization's own key.
    user: Nullable<MyUser>,
    /// The key, also where a session speaks for it; null for a user of an identity provider.
    api_key: Nullable<MyKey>,
    /// Where one acts; null for a user who may act in several organizations, or in none, until one is named by `/orgs/…`.
    organization: Nullable<MyPlace>,
    /// Where one may act.
    organizations: Vec<MyPlace>,
}

/// What was shown.
#[derive(Enum)]
#[oai(rename = "CredentialKind", rename_all = "snake_case")]
enum Shown {
    /// The text of a key.
    ApiKey,
    /// An access token of an identity provider.
    Token,
    /// A session.
    Session,
}

/// A user.
#[derive(Object)]
#[oai(rename = "MyUser")]
struct MyUser {
    /// Their identifier.
    id: Uuid,
    /// Their name.
    name: String,
    /// Their address, if there is one.
    email: Nullable<String>,
}

/// A key.
#[derive(Object)]
#[oai(rename = "MyApiKey")]
struct MyKey {
    /// Its identifier.
    id: Uuid,
    /// Its name; empty where it has none.
    name: String,
    /// Its prefix and first characters.
    start: String,
    /// When it ends; null: never.
    expires_at: Nullable<Moment>,
}

/// An organization with what one may do there.
#[derive(Object)]
#[oai(rename = "MyOrganization")]
struct MyPlace {
    /// Its identifier.
    id: Uuid,
    /// Its name.
    name: Nullable<String>,
    kind: Kind,
    /// What one may do there, all in all: what both the key and its user hold. Null where that is more than 256 permissions.
    permissions: Nullable<Vec<String>>,
}

impl Me {
    pub(super) fn of_key(key: &Snapshot, profile: &Profile, in_session: bool) -> Self {
        Self {
            credential: if in_session { Shown::Session } else { Shown::ApiKey },
            user: Nullable(profile.user.as_ref().map(MyUser::from)),
            api_key: Nullable(Some(MyKey {
                id: key.id().uuid(),
                name: key.name().unwrap_or_default().to_owned(),
                start: key.start().to_owned(),
                expires_at: Nullable(key.expires_at().map(Moment)),
            })),
            organization: Nullable(Some(MyPlace::new(&profile.organization, &key.grants()))),
            organizations: vec![MyPlace::new(&profile.organization, &key.grants())],
        }
    }

    pub(super) fn of_person(person: &Person, user: &User, in_session: bool) -> Self {
        Self {
            credential: if in_session { Shown::Session } else { Shown::Token },
            user: Nullable(Some(MyUser::from(user))),
            api_key: Nullable(None),
            organization: Nullable(person.home().map(|home| MyPlace::new(&home.organization, &home.grants))),
            organizations: person.places().iter().map(|at| MyPlace::new(&at.organization, &at.grants)).collect(),
        }
    }
}

impl From<&User> for MyUser {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.uuid(),
            name: user.name.as_str().to_owned(),
            email: Nullable(user.email().map(ToOwned::to_owned)),
        }
    }
}

impl MyPlace {
    fn new(organization: &Organization, grants: &Grants) -> Self {
        Self {
            id: organization.id.uuid(),
            name: Nullable(organization.name.as_ref().map(|name| name.as_str().to_owned())),
            kind: Kind::from(organization.kind),
            permissions: Nullable(grants.permissions().map(|permissions| permissions.flat())),
        }
    }
}
