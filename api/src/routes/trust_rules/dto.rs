//! JSON ↔ domain for trust rules.

use domain::{
    auth::federation::FederatedLogin,
    change::Change,
    keys::settings::Description,
    organizations::{
        TrustRulePatch,
        trust_rule::{
            self, ClaimCondition, ClaimConditions, ClaimName, ClaimValue, TokenAudience, TokenAudiences, TrustRule,
            TrustRuleName, TrustRuleSettings,
        },
    },
    permissions::Permissions,
    validated_string::ValidationError,
};
use poem_openapi::Object;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    auth::jwt::claims::ClaimPath,
    http::{
        api_error::{ApiError, Fields},
        openapi_types::{JsonObject, Nullable, Patch, Replace},
        rfc3339::Rfc3339,
        strict_json::document,
    },
    routes::fields::permissions,
    token_issuer::DEFAULT_TTL_SECONDS,
};

/// A rule by which tokens of an identity provider are exchanged for short-lived tokens.
#[derive(Object)]
#[oai(rename = "TrustRule")]
pub(super) struct TrustRuleView {
    /// Unique identifier.
    id: Uuid,
    /// Name, unique in the organization.
    name: String,
    /// Description.
    description: Nullable<String>,
    /// The identity provider: `iss` of the tokens that it accepts.
    issuer: String,
    /// The values that claims of these tokens must have: for each claim a string, a boolean, or a list of these.
    claims: JsonObject,
    /// Permissions of the issued tokens.
    permissions: Vec<String>,
    /// Services that issued tokens can be for (`aud`). Empty: any.
    audiences: Vec<String>,
    /// Lifetime of the issued tokens, in seconds.
    ttl_seconds: u64,
    /// Whether it is enabled.
    enabled: bool,
    /// Version of the settings: each change increments it.
    version: u64,
    /// Creation time.
    created_at: Rfc3339,
    /// Time of the last change.
    updated_at: Rfc3339,
}

impl From<&TrustRule> for TrustRuleView {
    fn from(rule: &TrustRule) -> Self {
        let settings = &rule.settings;
        Self {
            id: rule.id.uuid(),
            name: settings.name.as_str().to_owned(),
            description: Nullable(settings.description.as_ref().map(|description| description.as_str().to_owned())),
            issuer: settings.issuer.clone(),
            claims: JsonObject(settings.conditions.iter().map(claim_to_json).collect()),
            permissions: settings.permissions.flat(),
            audiences: settings.audiences.iter().map(|audience| audience.as_str().to_owned()).collect(),
            ttl_seconds: settings.ttl_seconds,
            enabled: settings.enabled,
            version: rule.version,
            created_at: Rfc3339(rule.created_at),
            updated_at: Rfc3339(rule.updated_at),
        }
    }
}

fn claim_to_json(condition: &ClaimCondition) -> (String, Value) {
    let value = |value: &ClaimValue| match value {
        ClaimValue::Text(text) => Value::String(text.clone()),
        ClaimValue::Flag(flag) => Value::Bool(*flag),
    };
    let values = match condition.allowed.as_slice() {
        [only] => value(only),
        several => Value::Array(several.iter().map(value).collect()),
    };
    (condition.claim.as_str().to_owned(), values)
}

document! {
    /// A trust rule to create.
    #[oai(rename = "CreateTrustRuleRequest", skip_serializing_if_is_none)]
    pub(super) struct CreateTrustRule {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: String,
        /// Description: at most 500 characters.
        description: Option<String>,
        /// The identity provider: `iss` of its tokens. It must be configured for this organization.
        issuer: String,
        /// The values that claims must have: 1 to 16 members, each named like a claim, or like a JSON pointer that begins with `/`,
        /// whose value is a string, a boolean, or a list of at most 16 of these. Values are compared exactly, with their type. All
        /// claims must have one of their values. `iss` is not allowed, and `aud` alone is not enough. At most 4,096 bytes in total.
        claims: JsonObject,
        /// Permissions of the issued tokens. At most 4,096 bytes in total.
        permissions: Vec<String>,
        /// Services that issued tokens can be for (`aud`), at most 16; default: any.
        audiences: Option<Vec<String>>,
        /// Lifetime of the issued tokens in seconds, 1 to 900; default 300.
        #[oai(validator(minimum(value = "1"), maximum(value = "900")))]
        ttl_seconds: Option<u64>,
        /// Whether it is enabled; default `true`.
        enabled: Option<bool>,
    }
}

impl CreateTrustRule {
    pub(super) fn into_domain(self, federation: &FederatedLogin) -> Result<TrustRuleSettings, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check("name", TrustRuleName::parse(&self.name));
        let description = fields.check_optional("description", self.description.as_deref().map(Description::parse));
        check_issuer(&mut fields, federation, &self.issuer);
        let conditions = conditions(&mut fields, &self.claims.0);
        let permissions = fields.check("permissions", rule_permissions(&self.permissions));
        let audiences = fields.check("audiences", audiences(&self.audiences.unwrap_or_default()));
        let ttl = fields.check("ttl_seconds", trust_rule::ttl(self.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS)));
        fields.into_result()?;
        let (Some(name), Some(conditions), Some(permissions), Some(audiences), Some(ttl_seconds)) =
            (name, conditions, permissions, audiences, ttl)
        else {
            return Err(ApiError::Defect("an invalid field of a trust rule was not recorded".to_owned()));
        };
        let enabled = self.enabled.unwrap_or(true);
        let issuer = self.issuer;
        Ok(TrustRuleSettings { name, description, issuer, conditions, permissions, audiences, ttl_seconds, enabled })
    }
}

document! {
    /// Changes of a trust rule: at least one. Absent fields are unchanged; `null` clears the description, the permissions and the
    /// audiences, leaves the claims unchanged, and is invalid for the others.
    #[oai(rename = "UpdateTrustRuleRequest")]
    pub(super) struct UpdateTrustRule {
        /// Name: at most 100 characters, at least 1 after trimming.
        name: Replace<String>,
        /// Description: at most 500 characters; null: none.
        description: Patch<String>,
        /// The identity provider: `iss` of its tokens. It must be configured for this organization.
        issuer: Replace<String>,
        /// The values that claims must have, instead of all before; as at the creation. Null: unchanged, because a rule has claims.
        claims: Patch<JsonObject>,
        /// Permissions of the issued tokens; null: none. At most 4,096 bytes in total.
        permissions: Patch<Vec<String>>,
        /// Services that issued tokens can be for (`aud`), at most 16; null: any.
        audiences: Patch<Vec<String>>,
        /// Lifetime of the issued tokens in seconds, 1 to 900.
        #[oai(validator(minimum(value = "1"), maximum(value = "900")))]
        ttl_seconds: Replace<u64>,
        /// Whether it is enabled.
        enabled: Replace<bool>,
    }
}

impl UpdateTrustRule {
    pub(super) fn into_domain(self, federation: &FederatedLogin) -> Result<TrustRulePatch, ApiError> {
        let mut fields = Fields::default();
        let name = fields.check_optional("name", self.name.0.as_deref().map(TrustRuleName::parse));
        let description = fields.check_change("description", self.description.0, |text| Description::parse(&text));
        if let Some(issuer) = &self.issuer.0 {
            check_issuer(&mut fields, federation, issuer);
        }
        let conditions = match &self.claims.0 {
            // Some generated clients send null for a map that was not set.
            Change::Keep | Change::Clear => None,
            Change::Set(claims) => conditions(&mut fields, &claims.0),
        };
        let permissions = new_list(self.permissions).as_deref().map(rule_permissions);
        let permissions = fields.check_optional("permissions", permissions);
        let audiences = fields.check_optional("audiences", new_list(self.audiences).as_deref().map(audiences));
        let ttl_seconds = fields.check_optional("ttl_seconds", self.ttl_seconds.0.map(trust_rule::ttl));
        fields.into_result()?;
        let (issuer, enabled) = (self.issuer.0, self.enabled.0);
        Ok(TrustRulePatch { name, description, issuer, conditions, permissions, audiences, ttl_seconds, enabled })
    }
}

/// The list that a change sets: `null` is the empty list. `None`: the list is unchanged.
fn new_list(change: Patch<Vec<String>>) -> Option<Vec<String>> {
    match change.0 {
        Change::Keep => None,
        Change::Clear => Some(Vec::new()),
        Change::Set(list) => Some(list),
    }
}

fn check_issuer(fields: &mut Fields, federation: &FederatedLogin, issuer: &str) {
    if !federation.trusts(issuer) {
        fields.add("issuer", "must be a configured identity provider");
    }
}

fn rule_permissions(list: &[String]) -> Result<Permissions, ValidationError> {
    permissions(list).and_then(trust_rule::permissions)
}

fn audiences(list: &[String]) -> Result<TokenAudiences, ValidationError> {
    if list.len() > TokenAudiences::MAX {
        return Err(ValidationError::Audiences);
    }
    TokenAudiences::new(list.iter().map(|text| TokenAudience::parse(text)).collect::<Result<_, _>>()?)
}

/// Parses the conditions. `None`: they are invalid, which is recorded in `fields`.
fn conditions(fields: &mut Fields, claims: &Map<String, Value>) -> Option<ClaimConditions> {
    if claims.len() > ClaimConditions::MAX {
        fields.add("claims", ValidationError::ClaimCount);
        return None;
    }
    let mut conditions = Vec::with_capacity(claims.len());
    for (name, allowed) in claims {
        let claim = ClaimName::parse(name).ok().filter(|claim| ClaimPath::parse(claim.as_str()).is_some());
        let Some(claim) = claim else {
            let expected = "a claim, or a JSON pointer such as \"/kubernetes.io/namespace\", of at most 255 characters";
            fields.add("claims", format_args!("must have members whose name is {expected}"));
            return None;
        };
        let allowed = match allowed {
            Value::Array(list) if list.len() <= ClaimConditions::MAX => list.iter().map(value).collect(),
            Value::Array(_) => Err(ValidationError::ClaimCount.to_string()),
            only => value(only).map(|only| vec![only]),
        };
        match allowed {
            Ok(allowed) => conditions.push(ClaimCondition { claim, allowed }),
            Err(wrong) => {
                fields.add("claims", wrong);
                return None;
            }
        }
    }
    fields.check("claims", ClaimConditions::new(conditions))
}

/// Parses a value of a claim, or says what is wrong with it.
fn value(value: &Value) -> Result<ClaimValue, String> {
    match value {
        Value::Bool(flag) => Ok(ClaimValue::Flag(*flag)),
        Value::String(text) => ClaimValue::text(text).map_err(|wrong| format!("has a value that {wrong}")),
        _ => Err("must have values that are a string, true, false, or a list of these".to_owned()),
    }
}
