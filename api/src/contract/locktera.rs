//! Locktera's organization keys: `/orgs/{org_id}/api_keys`. Also the home of what goes beyond the three documents.

mod all_keys;
mod audit;
mod bulk;
mod create;
mod cursor;
mod dto;
mod error;
mod explain;
mod import;
mod key;
mod limits;
mod list;
mod me;
mod members;
mod organization;
mod organizations;
mod page;
mod parameters;
mod people;
mod question;
mod rotation;
mod session;
mod sets;
mod shape;
mod tokens;
mod update;
mod usage;
mod verdict;
mod verify;
mod written;

pub use self::{
    all_keys::AllKeys,
    audit::Audit,
    bulk::Bulk,
    import::{Import, old_hash},
    key::OneKey,
    members::Members,
    organizations::Organizations,
    rotation::Rotations,
    session::{Session, needs_https},
    sets::Sets,
    tokens::Tokens,
    usage::Usage,
    verify::{HOT, Verify},
};
use super::Shape;

/// How this contract says that something failed.
pub const SHAPE: Shape = Shape { prefix: "/orgs", render: error::render };
