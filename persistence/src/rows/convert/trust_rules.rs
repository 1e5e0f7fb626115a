//! Trust rules. Their claims and audiences are stored as lines of text: none of them contains control characters.

use domain::{
    clock::Timestamp,
    id::{OrganizationId, TrustRuleId},
    keys::settings::Description,
    organizations::trust_rule::{
        ClaimCondition, ClaimConditions, ClaimName, ClaimValue, TokenAudience, TokenAudiences, TrustRule,
        TrustRuleName, TrustRuleSettings,
    },
    validated_string::ValidationError,
};
use sea_orm::ActiveValue::Set;

use super::{BrokenRow, count, number, permissions, permissions_text};
use crate::rows::entity::trust_rule;

/// What a stored value begins with: its type.
const TEXT: char = 's';
const TRUE: &str = "b1";
const FALSE: &str = "b0";

pub(crate) fn trust_rule(model: &trust_rule::Model) -> Result<TrustRule, BrokenRow> {
    let broken = |column| BrokenRow { table: "trust_rules", column, row: model.id };
    let invalid = |column| move |_: ValidationError| BrokenRow { table: "trust_rules", column, row: model.id };
    let number = |column, value: i64| count(value).ok_or(broken(column));
    Ok(TrustRule {
        id: TrustRuleId::from_uuid(model.id),
        organization: OrganizationId::from_uuid(model.organization_id),
        settings: TrustRuleSettings {
            name: TrustRuleName::parse(&model.name).map_err(invalid("name"))?,
            description: model
                .description
                .as_deref()
                .map(Description::stored)
                .transpose()
                .map_err(invalid("description"))?,
            issuer: model.issuer.clone(),
            conditions: conditions(&model.claims).ok_or(broken("claims"))?,
            permissions: permissions(&model.permissions, "trust_rules", model.id)?,
            audiences: audiences(&model.audiences).map_err(invalid("audiences"))?,
            ttl_seconds: number("ttl_seconds", model.ttl_seconds)?,
            enabled: model.enabled,
        },
        generation: number("generation", model.generation)?,
        version: number("version", model.version)?,
        created_at: Timestamp::from_millis(model.created_at),
        updated_at: Timestamp::from_millis(model.updated_at),
    })
}

pub(crate) fn trust_rule_row(rule: &TrustRule) -> trust_rule::ActiveModel {
    let settings = &rule.settings;
    let audiences: Vec<&str> = settings.audiences.iter().map(TokenAudience::as_str).collect();
    trust_rule::ActiveModel {
        id: Set(rule.id.uuid()),
        organization_id: Set(rule.organization.uuid()),
        name: Set(settings.name.as_str().to_owned()),
        description: Set(settings.description.as_ref().map(|description| description.as_str().to_owned())),
        issuer: Set(settings.issuer.clone()),
        claims: Set(conditions_text(&settings.conditions)),
        permissions: Set(permissions_text(&settings.permissions)),
        audiences: Set(audiences.join("\n")),
        ttl_seconds: Set(number(settings.ttl_seconds)),
        enabled: Set(settings.enabled),
        generation: Set(number(rule.generation)),
        version: Set(number(rule.version)),
        created_at: Set(rule.created_at.millis()),
        updated_at: Set(rule.updated_at.millis()),
    }
}

fn audiences(text: &str) -> Result<TokenAudiences, ValidationError> {
    TokenAudiences::new(text.lines().map(TokenAudience::parse).collect::<Result<_, _>>()?)
}

fn conditions_text(conditions: &ClaimConditions) -> String {
    let value = |value: &ClaimValue| match value {
        ClaimValue::Text(text) => format!("{TEXT}{text}"),
        ClaimValue::Flag(true) => TRUE.to_owned(),
        ClaimValue::Flag(false) => FALSE.to_owned(),
    };
    let line = |condition: &ClaimCondition| {
        let words = std::iter::once(condition.claim.as_str().to_owned()).chain(condition.allowed.iter().map(value));
        words.collect::<Vec<_>>().join("\t")
    };
    conditions.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn conditions(text: &str) -> Option<ClaimConditions> {
    let value = |text: &str| match text {
        TRUE => Some(ClaimValue::Flag(true)),
        FALSE => Some(ClaimValue::Flag(false)),
        text => ClaimValue::text(text.strip_prefix(TEXT)?).ok(),
    };
    let condition = |line: &str| {
        let mut words = line.split('\t');
        let claim = ClaimName::parse(words.next()?).ok()?;
        Some(ClaimCondition { claim, allowed: words.map(value).collect::<Option<_>>()? })
    };
    ClaimConditions::new(text.split('\n').map(condition).collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_they_were_stored() {
        let condition = |claim: &str, allowed: Vec<ClaimValue>| ClaimCondition {
            claim: ClaimName::parse(claim).expect("a claim"),
            allowed,
        };
        let text = |text: &str| ClaimValue::text(text).expect("a value");
        let stored = vec![
            condition("sub", vec![text("repo:a/b:ref:refs/heads/main"), text(" s b1 "), text("b1"), text("\u{2028}")]),
            condition("/kubernetes.io/namespace", vec![ClaimValue::Flag(true), ClaimValue::Flag(false), text("true")]),
        ];
        let stored = ClaimConditions::new(stored).expect("conditions");
        assert_eq!(conditions(&conditions_text(&stored)), Some(stored));
        for broken in ["", "sub", "sub\t", "sub\tx", "\tsx", "sub\tsx\n", "iss\tsx"] {
            assert_eq!(conditions(broken), None, "{broken:?}");
        }
    }
}
