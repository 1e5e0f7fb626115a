//! What nodes tell each other: what has changed, in words that fit into a notice of PostgreSQL. What a node does not
//! understand, because a newer one said it, may have changed anything.

use std::str::FromStr;

use domain::{
    id::{OrganizationId, SetId, UserId},
    secret::SecretHash,
};

use crate::convert;

/// A payload has less than 8,000 bytes; a hash takes 65, a member 74.
const WORDS: usize = 100;

/// More changed keys than this in one transaction are announced as "everything".
const MANY: usize = 100_000;

/// What a transaction changes or removes, of what others may remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Secrets whose keys change.
    pub(crate) keys: Vec<SecretHash>,
    /// Organizations that change, for all of their keys.
    pub(crate) organizations: Vec<OrganizationId>,
    /// Members that change, for all keys of theirs.
    pub(crate) members: Vec<(OrganizationId, UserId)>,
    /// Permission sets that change, for all who have them.
    pub(crate) sets: Vec<SetId>,
    /// Whether there may be a new shape of imported secrets.
    pub(crate) shapes: bool,
}

impl Changed {
    /// Whether it is about more than single keys.
    pub(crate) fn is_wide(&self) -> bool {
        !(self.organizations.is_empty() && self.members.is_empty() && self.sets.is_empty())
    }

    /// The payloads that tell it.
    pub(crate) fn payloads(&self) -> Vec<String> {
        if self.keys.len() > MANY {
            return vec![EVERYTHING.to_owned()];
        }
        let mut payloads = Vec::new();
        let mut tell = |kind: &str, words: Vec<String>| {
            payloads.extend(words.chunks(WORDS).map(|words| format!("{kind} {}", words.join(" "))));
        };
        tell(KEYS, self.keys.iter().map(convert::hash_text).collect());
        tell(ORGANIZATIONS, self.organizations.iter().map(ToString::to_string).collect());
        tell(MEMBERS, self.members.iter().map(|(home, user)| format!("{home}/{user}")).collect());
        tell(SETS, self.sets.iter().map(ToString::to_string).collect());
        if self.shapes {
            payloads.push(SHAPES.to_owned());
        }
        payloads
    }
}

/// What is heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Everything,
    Changed(Changed),
    /// Who sent it, and when.
    Beat(String, u64),
}

const EVERYTHING: &str = "all";
const KEYS: &str = "keys";
const ORGANIZATIONS: &str = "organizations";
const MEMBERS: &str = "members";
const SETS: &str = "sets";
const SHAPES: &str = "shapes";
const BEAT: &str = "beat";

/// A beat of this node, sent then.
pub(crate) fn beat(node: &str, sent: u64) -> String {
    format!("{BEAT} {node} {sent}")
}

impl Notice {
    pub(crate) fn read(payload: &str) -> Self {
        Self::understood(payload).unwrap_or(Self::Everything)
    }

    fn understood(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let kind = words.next()?;
        let changed = match kind {
            KEYS => Changed { keys: words.map(unhex).collect::<Option<_>>()?, ..Changed::default() },
            ORGANIZATIONS => Changed { organizations: words.map(id).collect::<Option<_>>()?, ..Changed::default() },
            MEMBERS => {
                let member = |word: &str| word.split_once('/').and_then(|(home, user)| Some((id(home)?, id(user)?)));
                Changed { members: words.map(member).collect::<Option<_>>()?, ..Changed::default() }
            }
            SETS => Changed { sets: words.map(id).collect::<Option<_>>()?, ..Changed::default() },
            SHAPES => Changed { shapes: true, ..Changed::default() },
            BEAT => return Some(Self::Beat(words.next()?.to_owned(), words.next()?.parse().ok()?)),
            _ => return None,
        };
        Some(Self::Changed(changed))
    }
}

fn id<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn unhex(text: &str) -> Option<SecretHash> {
    let digits: Option<Vec<u8>> = (0..text.len()).step_by(2).map(|at| byte(text.get(at..at + 2)?)).collect();
    Some(SecretHash::from_bytes(digits?.try_into().ok()?))
}

fn byte(digits: &str) -> Option<u8> {
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::Uuid;

    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let uuid = Uuid::from_u128;
        let organization = OrganizationId::from_uuid(uuid(1));
        let changed = Changed {
            keys: vec![SecretHash::from_bytes(std::array::from_fn(|n| u8::try_from(n * 7).expect("small"))); 2],
            organizations: vec![organization],
            members: vec![(organization, UserId::from_uuid(uuid(2)))],
            sets: (3..200).map(|n| SetId::from_uuid(uuid(n))).collect(),
            shapes: true,
        };
        let mut heard = Changed::default();
        for payload in changed.payloads() {
            assert!(payload.len() < 8_000, "{}", payload.len());
            let Notice::Changed(part) = Notice::read(&payload) else { panic!("{payload}") };
            heard.keys.extend(part.keys);
            heard.organizations.extend(part.organizations);
            heard.members.extend(part.members);
            heard.sets.extend(part.sets);
            heard.shapes |= part.shapes;
        }
        assert_eq!(heard, changed);
        assert_eq!(Notice::read(&beat("a-b", 17)), Notice::Beat("a-b".to_owned(), 17));
        for other in ["all", "", "keys 00", "keys zz", "sets x", "members 1", "beat", "beat x", "from a newer version"]
        {
            assert_eq!(Notice::read(other), Notice::Everything, "{other}");
        }
        let many = Changed { keys: vec![changed.keys[0]; MANY + 1], ..Changed::default() };
        assert_eq!(many.payloads(), ["all"]);
    }
}
