//! Trust rules: which tokens of an identity provider an organization exchanges for short-lived tokens, and what these may do. So
//! a workload needs no secret of this service.

use crate::{
    auth::token::Token,
    clock::Timestamp,
    id::{OrganizationId, TrustRuleId},
    keys::settings::Description,
    permissions::Permissions,
    validated_string::{ValidationError, identifier, name, text},
};

text!(
    /// The name of a trust rule. Names are unique in an organization.
    TrustRuleName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1)
);

text!(
    /// A claim of a token: its name, or a JSON pointer (RFC 6901) if it begins with `/`.
    ClaimName,
    "Parses the name of a claim: at most 255 characters, at least 1 after trimming, neither control characters nor \
     invisible ones. Whether a pointer is valid is not checked: an invalid one finds no claim.",
    |text| identifier(text, 1, 255)
);

text!(
    /// The audience (`aud`) of an issued token.
    TokenAudience,
    "Parses an audience: at most 255 characters, at least 1 after trimming, neither control characters nor invisible ones.",
    |text| identifier(text, 1, 255)
);

/// A value of a claim that a condition can name. Values of other types match no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    /// A string.
    Text(String),
    /// A boolean.
    Flag(bool),
}

impl ClaimValue {
    /// The maximum number of characters of a string.
    pub const MAX_CHARACTERS: usize = 512;

    /// A string: 1 to 512 characters, no control characters. It is not trimmed, because values are compared exactly.
    pub fn text(text: &str) -> Result<Self, ValidationError> {
        if !(1..=Self::MAX_CHARACTERS).contains(&text.chars().count()) {
            return Err(ValidationError::Length { min: 1, max: Self::MAX_CHARACTERS });
        }
        if text.chars().any(char::is_control) {
            return Err(ValidationError::ControlCharacter);
        }
        Ok(Self::Text(text.to_owned()))
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Flag(_) => 1,
        }
    }
}

/// The claims of a token whose signature, audience and lifetime have been verified.
pub trait WorkloadClaims: Send + Sync {
    /// The value of a claim. `None`: the token does not have it, or it is neither a string nor a boolean.
    fn find(&self, claim: &ClaimName) -> Option<ClaimValue>;
}

/// A claim that must have one of these values, of the same type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCondition {
    /// The claim.
    pub claim: ClaimName,
    /// The values.
    pub allowed: Vec<ClaimValue>,
}

/// The conditions of a trust rule: a token must meet all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimConditions(Vec<ClaimCondition>);

impl ClaimConditions {
    /// The maximum number of conditions, and of values of each.
    pub const MAX: usize = 16;

    /// The maximum size of all names and values, in bytes.
    pub const MAX_BYTES: usize = 4_096;

    /// These conditions: 1 to 16 different claims with 1 to 16 different values each, at most 4,096 bytes in total. At least one
    /// claim is neither the issuer nor the audience, because all tokens of an issuer for this service have these in common.
    pub fn new(conditions: Vec<ClaimCondition>) -> Result<Self, ValidationError> {
        let is_double = |values: &[ClaimValue]| (1..values.len()).any(|n| values[..n].contains(&values[n]));
        let is_counted = |count: usize| (1..=Self::MAX).contains(&count);
        let has_values =
            |condition: &ClaimCondition| is_counted(condition.allowed.len()) && !is_double(&condition.allowed);
        if !is_counted(conditions.len()) || !conditions.iter().all(has_values) {
            return Err(ValidationError::ClaimCount);
        }
        let is_repeated = |n: usize| conditions[..n].iter().any(|other| other.claim == conditions[n].claim);
        if (1..conditions.len()).any(is_repeated) {
            return Err(ValidationError::ClaimTwice);
        }
        let size = |condition: &ClaimCondition| {
            condition.claim.as_str().len() + condition.allowed.iter().map(ClaimValue::size).sum::<usize>()
        };
        if conditions.iter().map(size).sum::<usize>() > Self::MAX_BYTES {
            return Err(ValidationError::ClaimsSize);
        }
        if conditions.iter().any(|condition| top_level(&condition.claim) == "iss") {
            return Err(ValidationError::IssuerClaim);
        }
        if conditions.iter().all(|condition| top_level(&condition.claim) == "aud") {
            return Err(ValidationError::CommonClaims);
        }
        Ok(Self(conditions))
    }

    /// The conditions, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &ClaimCondition> {
        self.0.iter()
    }

    /// Whether a token meets all of them.
    #[must_use]
    pub fn are_met_by(&self, claims: &dyn WorkloadClaims) -> bool {
        let is_met = |condition: &ClaimCondition| {
            claims.find(&condition.claim).is_some_and(|value| condition.allowed.contains(&value))
        };
        self.0.iter().all(is_met)
    }
}

/// The claim of the token itself in which a claim is.
fn top_level(claim: &ClaimName) -> &str {
    let name = claim.as_str();
    name.strip_prefix('/').map_or(name, |pointer| pointer.split('/').next().unwrap_or_default())
}

/// The audiences that tokens of a trust rule may have. Empty: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAudiences(Vec<TokenAudience>);

/// Why a token cannot get an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceError {
    /// The request names none, and the trust rule does not have exactly one.
    Missing,
    /// The trust rule has others.
    NotAllowed,
}

impl TokenAudiences {
    /// The maximum number of audiences.
    pub const MAX: usize = 16;

    /// These audiences: at most 16, without duplicates.
    pub fn new(audiences: Vec<TokenAudience>) -> Result<Self, ValidationError> {
        let is_double = |n: usize| audiences[..n].contains(&audiences[n]);
        if audiences.len() > Self::MAX || (0..audiences.len()).any(is_double) {
            return Err(ValidationError::Audiences);
        }
        Ok(Self(audiences))
    }

    /// The audiences, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &TokenAudience> {
        self.0.iter()
    }

    /// The audience of a token for which this one was requested. `None`: none was.
    pub fn choose<'a>(&'a self, requested: Option<&'a str>) -> Result<&'a str, AudienceError> {
        match (requested, self.0.as_slice()) {
            (Some(requested), []) => Ok(requested),
            (Some(requested), allowed) if allowed.iter().any(|audience| audience.as_str() == requested) => {
                Ok(requested)
            }
            (Some(_), _) => Err(AudienceError::NotAllowed),
            (None, [only]) => Ok(only.as_str()),
            (None, _) => Err(AudienceError::Missing),
        }
    }

    /// Whether tokens with these audiences are allowed by `other`, too.
    fn is_within(&self, other: &Self) -> bool {
        other.0.is_empty() || !self.0.is_empty() && self.0.iter().all(|audience| other.0.contains(audience))
    }
}

/// The settings of a trust rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRuleSettings {
    /// The name, unique in the organization.
    pub name: TrustRuleName,
    /// What it is for. `None`: it has no description.
    pub description: Option<Description>,
    /// The `iss` claim of the tokens that it accepts.
    pub issuer: String,
    /// The conditions on their other claims.
    pub conditions: ClaimConditions,
    /// The permissions of the issued tokens.
    pub permissions: Permissions,
    /// The audiences of the issued tokens.
    pub audiences: TokenAudiences,
    /// The lifetime of the issued tokens, in seconds: 1 to 900.
    pub ttl_seconds: u64,
    /// Whether it is enabled.
    pub enabled: bool,
}

impl TrustRuleSettings {
    /// Whether a token of `issuer` with these claims may be exchanged.
    #[must_use]
    pub fn accepts(&self, issuer: &str, claims: &dyn WorkloadClaims) -> bool {
        self.enabled && self.issuer == issuer && self.conditions.are_met_by(claims)
    }

    /// Whether a workload may get more by these settings than by `before`: other tokens are accepted, or the issued tokens have
    /// more permissions or audiences, or a longer lifetime.
    #[must_use]
    pub fn extend(&self, before: &Self) -> bool {
        self.enabled
            && (!before.enabled
                || self.accepts_others(before)
                || !before.permissions.covers(&self.permissions)
                || !self.audiences.is_within(&before.audiences)
                || self.ttl_seconds > before.ttl_seconds)
    }

    /// Whether tokens that were issued with `before` would not be issued with these settings: other tokens are accepted, or none,
    /// or the issued tokens have fewer permissions or audiences.
    #[must_use]
    pub fn restrict(&self, before: &Self) -> bool {
        !self.enabled
            || self.accepts_others(before)
            || !self.permissions.covers(&before.permissions)
            || !before.audiences.is_within(&self.audiences)
    }

    fn accepts_others(&self, before: &Self) -> bool {
        self.issuer != before.issuer || self.conditions != before.conditions
    }
}

/// Parses the lifetime of tokens, in seconds: 1 to 900.
pub fn ttl(seconds: u64) -> Result<u64, ValidationError> {
    let max = Token::MAX_TTL_SECONDS;
    if (1..=max).contains(&seconds) { Ok(seconds) } else { Err(ValidationError::Range { min: 1, max }) }
}

/// Checks permissions of a trust rule: in flat form at most [`Token::MAX_SCOPE_BYTES`], so that a token can have all of them.
pub fn permissions(permissions: Permissions) -> Result<Permissions, ValidationError> {
    if Token::fits(&permissions) { Ok(permissions) } else { Err(ValidationError::PermissionsSize) }
}

/// A trust rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRule {
    /// The id.
    pub id: TrustRuleId,
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// The settings.
    pub settings: TrustRuleSettings,
    /// Counts the changes that restrict the rule: tokens of earlier generations are revoked.
    pub generation: u64,
    /// The version of the settings: each change increments it.
    pub version: u64,
    /// When it was created (UTC).
    pub created_at: Timestamp,
    /// When it was last changed (UTC).
    pub updated_at: Timestamp,
}

/// The maximum number of trust rules of an organization.
pub const MAX_TRUST_RULES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    struct Claims<'a>(&'a [(&'a str, ClaimValue)]);

    impl WorkloadClaims for Claims<'_> {
        fn find(&self, claim: &ClaimName) -> Option<ClaimValue> {
            self.0.iter().find(|(name, _)| *name == claim.as_str()).map(|(_, value)| value.clone())
        }
    }

    fn word(value: &str) -> ClaimValue {
        ClaimValue::text(value).expect("a value")
    }

    fn condition(claim: &str, allowed: &[ClaimValue]) -> ClaimCondition {
        ClaimCondition { claim: ClaimName::parse(claim).expect("a claim"), allowed: allowed.to_vec() }
    }

    fn settings() -> TrustRuleSettings {
        TrustRuleSettings {
            name: TrustRuleName::parse("n").expect("a name"),
            description: None,
            issuer: "i".to_owned(),
            conditions: ClaimConditions::new(vec![condition("sub", &[word("a"), word("b")])]).expect("conditions"),
            permissions: Permissions::from_flat(["files:read"]).expect("permissions"),
            audiences: audiences(&["one", "two"]),
            ttl_seconds: 60,
            enabled: true,
        }
    }

    fn audiences(list: &[&str]) -> TokenAudiences {
        TokenAudiences::new(list.iter().map(|text| TokenAudience::parse(text).expect("an audience")).collect())
            .expect("audiences")
    }

    #[test]
    fn conditions_compare_value_and_type_exactly() {
        let conditions =
            vec![condition("sub", &[word("a"), word("b")]), condition("/k/protected", &[ClaimValue::Flag(true)])];
        let conditions = ClaimConditions::new(conditions).expect("conditions");
        let met = |sub: Option<ClaimValue>, protected: Option<ClaimValue>| {
            let claims: Vec<_> = [("sub", sub), ("/k/protected", protected)]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            conditions.are_met_by(&Claims(&claims))
        };
        let (yes, no) = (Some(ClaimValue::Flag(true)), Some(ClaimValue::Flag(false)));
        assert!(met(Some(word("a")), yes.clone()) && met(Some(word("b")), yes.clone()));
        for sub in [None, Some(word("A")), Some(word("a ")), Some(word("ab")), Some(ClaimValue::Flag(true))] {
            assert!(!met(sub, yes.clone()));
        }
        for protected in [None, no, Some(word("true"))] {
            assert!(!met(Some(word("a")), protected));
        }
    }

    #[test]
    fn conditions_are_bounded_and_distinguish_tokens() {
        let values = |count: usize| (0..count).map(|n| word(&n.to_string())).collect::<Vec<_>>();
        let new = |conditions: &[ClaimCondition]| ClaimConditions::new(conditions.to_vec()).map(drop);
        let many = |count: usize| (0..count).map(|n| condition(&format!("c{n}"), &values(1))).collect::<Vec<_>>();
        assert_eq!(new(&many(16)), Ok(()));
        for wrong in [many(17), many(0), vec![condition("a", &[])], vec![condition("a", &values(17))]] {
            assert_eq!(new(&wrong), Err(ValidationError::ClaimCount));
        }
        assert_eq!(new(&[condition("a", &[word("x"), word("x")])]), Err(ValidationError::ClaimCount));
        assert_eq!(new(&[condition("a", &values(1)), condition("a", &values(2))]), Err(ValidationError::ClaimTwice));
        let long = |n: usize| condition(&format!("c{n}"), &[word(&"x".repeat(510))]);
        assert_eq!(new(&(0..8).map(long).collect::<Vec<_>>()), Ok(()));
        assert_eq!(new(&(0..9).map(long).collect::<Vec<_>>()), Err(ValidationError::ClaimsSize));
        for issuer in ["iss", "/iss"] {
            let wrong = [condition(issuer, &values(1)), condition("sub", &values(1))];
            assert_eq!(new(&wrong), Err(ValidationError::IssuerClaim), "{issuer}");
        }
        for common in ["aud", "/aud", "/aud/0"] {
            assert_eq!(new(&[condition(common, &values(1))]), Err(ValidationError::CommonClaims), "{common}");
            assert_eq!(new(&[condition(common, &values(1)), condition("sub", &values(1))]), Ok(()), "{common}");
        }
        let line = "a\nb";
        assert_eq!(ClaimValue::text(line), Err(ValidationError::ControlCharacter));
        for wrong in [String::new(), "x".repeat(513)] {
            assert!(matches!(ClaimValue::text(&wrong), Err(ValidationError::Length { min: 1, max: 512 })));
        }
    }

    #[test]
    fn an_audience_is_one_of_the_rule() {
        let (any, one, two) = (audiences(&[]), audiences(&["one"]), audiences(&["one", "two"]));
        assert_eq!((any.choose(Some("x")), any.choose(None)), (Ok("x"), Err(AudienceError::Missing)));
        assert_eq!((one.choose(Some("one")), one.choose(None)), (Ok("one"), Ok("one")));
        assert_eq!(
            (one.choose(Some("two")), one.choose(Some("One"))),
            (Err(AudienceError::NotAllowed), Err(AudienceError::NotAllowed))
        );
        assert_eq!((two.choose(Some("two")), two.choose(None)), (Ok("two"), Err(AudienceError::Missing)));
        let text = |text: &str| TokenAudience::parse(text).expect("an audience");
        assert_eq!(TokenAudiences::new(vec![text("a"), text("a")]), Err(ValidationError::Audiences));
        let many = |count: usize| TokenAudiences::new((0..count).map(|n| text(&n.to_string())).collect());
        assert!(many(16).is_ok() && many(17).is_err());
    }

    #[test]
    fn a_change_extends_or_restricts_a_rule() {
        let change = |change: &dyn Fn(&mut TrustRuleSettings)| {
            let mut after = settings();
            change(&mut after);
            (after.extend(&settings()), after.restrict(&settings()))
        };
        let permissions = |list: &[&str]| Permissions::from_flat(list.iter().copied()).expect("permissions");
        let other = ClaimConditions::new(vec![condition("sub", &[word("a")])]).expect("conditions");
        assert_eq!(change(&|_| {}), (false, false));
        assert_eq!(change(&|after| after.name = TrustRuleName::parse("m").expect("a name")), (false, false));
        assert_eq!(change(&|after| after.enabled = false), (false, true));
        assert_eq!(change(&|after| after.issuer = "j".to_owned()), (true, true));
        assert_eq!(change(&|after| after.conditions = other.clone()), (true, true));
        assert_eq!(change(&|after| after.permissions = permissions(&["files:*"])), (true, false));
        assert_eq!(change(&|after| after.permissions = permissions(&[])), (false, true));
        assert_eq!(change(&|after| after.audiences = audiences(&["one"])), (false, true));
        assert_eq!(change(&|after| after.audiences = audiences(&["one", "two", "three"])), (true, false));
        assert_eq!(change(&|after| after.audiences = audiences(&[])), (true, false));
        assert_eq!(change(&|after| after.ttl_seconds = 61), (true, false));
        assert_eq!(change(&|after| after.ttl_seconds = 59), (false, false));
        let disabled = TrustRuleSettings { enabled: false, ..settings() };
        assert!(settings().extend(&disabled) && !settings().restrict(&disabled), "it is enabled again");
    }
}
