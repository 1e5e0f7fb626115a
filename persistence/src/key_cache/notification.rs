//! The payloads of PostgreSQL notifications: what has changed, and heartbeats.
//!
//! A payload is a kind and items, separated by spaces: `keys <hash>…`, `organizations <id>…`, `members <organization>/<user>…`,
//! `sets <id>…`, `shapes`, `all`, or `beat <node> <milliseconds>`. Nodes of different versions exchange them. A node that does not
//! understand a payload, because a newer version sent it, invalidates everything.

use std::str::FromStr;

use domain::{
    id::{OrganizationId, SetId, UserId},
    keys::secret::SecretHash,
};

use crate::rows::convert;

/// Items in one payload. PostgreSQL takes less than 8,000 bytes; a hash takes 65 and a member 74.
const MAX_ITEMS: usize = 100;

/// If one transaction changes more keys than this, it is announced as `all`.
const MAX_KEYS: usize = 100_000;

/// The cached objects that a transaction changes or removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invalidations {
    /// Secrets whose keys change.
    pub(crate) keys: Vec<SecretHash>,
    /// Organizations that change, for all of their keys.
    pub(crate) organizations: Vec<OrganizationId>,
    /// Members that change, for all of their keys.
    pub(crate) members: Vec<(OrganizationId, UserId)>,
    /// Permission sets that change, for all keys and members that have them.
    pub(crate) sets: Vec<SetId>,
    /// Whether the formats of imported keys change.
    pub(crate) key_formats: bool,
}

impl Invalidations {
    /// Whether it concerns more keys than it names.
    pub(crate) fn is_wide(&self) -> bool {
        !(self.organizations.is_empty() && self.members.is_empty() && self.sets.is_empty())
    }

    /// The payloads that announce it.
    pub(crate) fn payloads(&self) -> Vec<String> {
        if self.keys.len() > MAX_KEYS {
            return vec![ALL.to_owned()];
        }
        let mut payloads = Vec::new();
        let mut add = |kind: &str, items: Vec<String>| {
            payloads.extend(items.chunks(MAX_ITEMS).map(|items| format!("{kind} {}", items.join(" "))));
        };
        add(KEYS, self.keys.iter().map(convert::hash_text).collect());
        add(ORGANIZATIONS, self.organizations.iter().map(ToString::to_string).collect());
        add(MEMBERS, self.members.iter().map(|(organization, user)| format!("{organization}/{user}")).collect());
        add(SETS, self.sets.iter().map(ToString::to_string).collect());
        if self.key_formats {
            payloads.push(KEY_FORMATS.to_owned());
        }
        payloads
    }
}

/// A received payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// Anything may have changed.
    InvalidateAll,
    /// This has changed.
    Invalidate(Invalidations),
    /// A heartbeat.
    Heartbeat {
        /// The connection that sent it.
        node: String,
        /// When it was sent, in milliseconds since the sender's machine started.
        sent_at: u64,
    },
}

const ALL: &str = "all";
const KEYS: &str = "keys";
const ORGANIZATIONS: &str = "organizations";
const MEMBERS: &str = "members";
const SETS: &str = "sets";
const KEY_FORMATS: &str = "shapes";
const HEARTBEAT: &str = "beat";

/// The payload of a heartbeat that `node` sends at `sent_at`, in milliseconds since its machine started.
pub(crate) fn heartbeat(node: &str, sent_at: u64) -> String {
    format!("{HEARTBEAT} {node} {sent_at}")
}

impl Notification {
    /// The meaning of a payload. Never fails: one that is not understood is [`Notification::InvalidateAll`].
    pub(crate) fn parse(payload: &str) -> Self {
        Self::parse_known(payload).unwrap_or(Self::InvalidateAll)
    }

    fn parse_known(payload: &str) -> Option<Self> {
        let mut items = payload.split(' ');
        let kind = items.next()?;
        let changed = match kind {
            KEYS => Invalidations { keys: items.map(hash).collect::<Option<_>>()?, ..Invalidations::default() },
            ORGANIZATIONS => {
                Invalidations { organizations: items.map(id).collect::<Option<_>>()?, ..Invalidations::default() }
            }
            MEMBERS => {
                let member = |item: &str| {
                    item.split_once('/').and_then(|(organization, user)| Some((id(organization)?, id(user)?)))
                };
                Invalidations { members: items.map(member).collect::<Option<_>>()?, ..Invalidations::default() }
            }
            SETS => Invalidations { sets: items.map(id).collect::<Option<_>>()?, ..Invalidations::default() },
            KEY_FORMATS => Invalidations { key_formats: true, ..Invalidations::default() },
            HEARTBEAT => {
                let (node, sent_at) = (items.next()?.to_owned(), items.next()?.parse().ok()?);
                return Some(Self::Heartbeat { node, sent_at });
            }
            _ => return None,
        };
        Some(Self::Invalidate(changed))
    }
}

fn id<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A hash of 64 hexadecimal digits.
fn hash(text: &str) -> Option<SecretHash> {
    blake3::Hash::from_hex(text).ok().map(|hash| SecretHash::from_bytes(*hash.as_bytes()))
}

#[cfg(test)]
mod tests;
