//! Why a key is good for something or why not, check by check. Nothing is counted.

use std::{net::IpAddr, sync::Arc};

use super::{Keys, Question, verify::ImportedIn};
use crate::{
    addresses::AddressList,
    authenticate::Lookup,
    caller::Caller,
    clock::Timestamp,
    error::Error,
    permission::{Permission, PermissionSet},
    quota::Quota,
    reach::Reach,
    refusal::Refusal,
    snapshot::Snapshot,
};

/// What verify would say at a moment, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The key, where it is in the caller's reach.
    pub key: Option<Arc<Snapshot>>,
    /// Its limits, and how far they are used.
    pub quota: Quota,
    /// The checks in the order in which they are made; those after the first that fails would not have been.
    pub checks: Vec<Check>,
    /// When.
    pub now: Timestamp,
}

/// A check with what it looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub subject: Subject,
    /// Why the key would be refused; `None`: it passes.
    pub refusal: Option<Refusal>,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whether the text is that of a key in the caller's reach.
    Key,
    /// Whether its organization is in use.
    Organization,
    /// Whether it is switched on, and its user a member.
    Enabled {
        /// Switched on.
        enabled: bool,
    },
    /// Whether its time has come.
    Beginning {
        /// When it comes; `None`: it always had.
        not_before: Option<Timestamp>,
    },
    /// Whether it is expired.
    Expiry {
        /// When it expires; `None`: never.
        expires_at: Option<Timestamp>,
    },
    /// Whether it may be used from where it is.
    Address {
        /// From where it may be; `None`: from anywhere.
        allowed: Option<AddressList>,
        /// From where it is; `None`: not known.
        from: Option<IpAddr>,
    },
    /// Whether it holds all that is asked for.
    Permissions {
        /// What is asked for.
        needed: PermissionSet,
        /// What of it is not held.
        missing: Vec<Permission>,
    },
    /// Whether enough uses are left.
    Remaining {
        /// What this one costs.
        cost: u64,
        /// So many, with a refill that is due; `None`: any number.
        left: Option<u64>,
    },
    /// Whether the window has room.
    RateLimit {
        /// The most uses in a window; `None`: any number.
        max: Option<u64>,
        /// Uses in the running window.
        used: u64,
    },
}

impl Explanation {
    /// Why verify would refuse the key, if it would.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.checks.iter().find_map(|check| check.refusal)
    }
}

impl Keys {
    /// What verify would say now, read from the database. The caller holds `api_keys:verify` and `api_keys:read`.
    ///
    /// # Errors
    /// [`Error::Outage`].
    pub async fn explain(&self, caller: &Caller, question: Question<'_>) -> Result<Explanation, Error> {
        let hash = match self.lookup(question.text) {
            None => None,
            Some(Lookup::Own(hash)) => Some(hash),
            Some(Lookup::Imported(text)) => match question.imported_in(caller) {
                None => None,
                Some(ImportedIn(organization)) => {
                    self.find_imported(&text, organization, false).await?.map(|key| *key.hash())
                }
            },
        };
        let found = match hash {
            Some(hash) => self.ports.snapshots.read(&hash).await?,
            None => None,
        };
        let now = self.now();
        let in_reach = found.filter(|key| question.is_about(caller, key) && !key.has_ended(now));
        let current = match &in_reach {
            Some(key) => self.ports.api_keys.find(Reach::whole(key.organization()), key.id()).await?,
            None => None,
        };
        let (Some(key), Some(current)) = (in_reach, current) else {
            let unknown = Check { subject: Subject::Key, refusal: Some(Refusal::InvalidApiKey) };
            return Ok(Explanation { key: None, quota: Quota::default(), checks: vec![unknown], now });
        };
        let checks = checks(&key, &current.quota, &question, now);
        Ok(Explanation { key: Some(key), quota: current.quota.at(now), checks, now })
    }
}

fn checks(key: &Snapshot, quota: &Quota, question: &Question<'_>, now: Timestamp) -> Vec<Check> {
    let needed = question.permissions;
    let check = |subject, refusal: Option<Refusal>| Check { subject, refusal };
    let when = |fails: bool, refusal| fails.then_some(refusal);
    let missing: Vec<Permission> = needed.iter().filter(|permission| !key.allows(permission)).cloned().collect();
    let standing = quota.standing(now);
    let is_short = !missing.is_empty();
    vec![
        check(Subject::Key, None),
        check(Subject::Organization, when(key.is_suspended(), Refusal::OrganizationSuspended)),
        check(
            Subject::Enabled { enabled: key.is_enabled() },
            when(key.is_orphan() || !key.is_enabled(), Refusal::KeyDisabled),
        ),
        check(
            Subject::Beginning { not_before: key.not_before() },
            when(key.not_before().is_some_and(|at| now < at), Refusal::KeyNotYetValid),
        ),
        check(
            Subject::Expiry { expires_at: key.expires_at() },
            when(key.expires_at().is_some_and(|at| now >= at), Refusal::KeyExpired),
        ),
        check(
            Subject::Address { allowed: key.addresses().cloned(), from: question.from },
            when(!key.is_allowed_from(question.from), Refusal::AddressNotAllowed),
        ),
        check(
            Subject::Permissions { needed: needed.clone(), missing },
            when(is_short, Refusal::InsufficientPermissions),
        ),
        check(
            Subject::Remaining { cost: question.cost, left: standing.remaining },
            standing.check_remaining(question.cost).err(),
        ),
        check(
            Subject::RateLimit {
                max: quota.rate_limit.map(|limit| limit.max),
                used: standing.window.map_or(0, |window| window.used),
            },
            standing.check_window().err(),
        ),
    ]
}
