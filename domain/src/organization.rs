//! Organizations: who owns keys.

use crate::{
    clock::Timestamp,
    id::OrganizationId,
    text::{name, text},
};

text!(
    /// What an organization is called. It need not be unique and may be empty.
    OrganizationName,
    "Trims; at most 100 characters, none a control character.",
    |text| name(text, 0)
);

/// What an organization is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationKind {
    /// A customer: sees only itself.
    Tenant,
    /// The operator of this service: its keys act in every organization, within their grants. There is at most one.
    Platform,
}

/// An owner of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its identifier.
    pub id: OrganizationId,
    /// Its name, if it was given one.
    pub name: Option<OrganizationName>,
    /// Tenant or platform.
    pub kind: OrganizationKind,
    /// When it was made.
    pub created_at: Timestamp,
}
