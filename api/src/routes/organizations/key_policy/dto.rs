//! JSON ↔ domain for key policies.

use std::sync::Arc;

use domain::{
    change::Change,
    id::{OrganizationId, SetId},
    keys::{
        PolicyReport, ReportedKey,
        list::{ListPosition, Order},
        policy::{
            BrokenRule, Catalogue, CatalogueEntry, Days, KeyPolicy, KeyPolicyRules, KeyPolicyState, KeyRule,
            PermissionDescription, PolicySource, RotationRule,
        },
        secret::KeyPrefix,
    },
    permissions::Permission,
    validated_string::ValidationError,
};
use poem_openapi::Object;
use uuid::Uuid;

use crate::{
    http::{
        api_error::{ApiError, Fields},
        key_policy_errors::describe_violation,
        openapi_codes::Code,
        openapi_types::{Nullable, Patch},
        rfc3339::Rfc3339,
        strict_json::{Field, JsonFields, document},
    },
    routes::{fields::permissions, keys::cursor::Cursor},
};

/// A key policy: rules that keys must keep when they are created or changed. Each rule is independent of the others.
#[derive(Object)]
#[oai(rename = "KeyPolicy")]
pub(crate) struct KeyPolicyView {
    /// Maximum number of days from the creation of a key to its expiry. A key that never expires breaks it. Null: no maximum.
    max_lifetime_days: Nullable<u64>,
    /// Whether a key must expire.
    expiry_required: bool,
    /// A key that has one of these permissions, or a part of one, needs an IP allowlist.
    addresses_required_for: Vec<String>,
    /// Prefix that the secrets must have. New secrets have it if a request names none. Null: any.
    prefix: Nullable<String>,
    /// The permissions that keys may have, in the order in which they are shown. Null: any.
    allowed_permissions: Nullable<Vec<AllowedPermissionView>>,
    /// Whether keys may manage this service. `false` is also the default of `can_manage` for new keys.
    can_manage: bool,
    /// How often secrets are to be rotated; null: never.
    rotation: Nullable<RotationRuleView>,
    /// After this number of days without a use or a change, a key is disabled; null: never.
    disable_unused_after_days: Nullable<u64>,
}

/// A permission that keys may have.
#[derive(Object)]
#[oai(rename = "AllowedPermission")]
struct AllowedPermissionView {
    /// The permission.
    permission: String,
    /// What it is for; null: no description.
    description: Nullable<String>,
}

/// How often secrets are to be rotated.
#[derive(Object)]
#[oai(rename = "RotationRule")]
struct RotationRuleView {
    /// Maximum age of the newest secret, in days.
    days: u64,
    /// Whether keys with an older secret are disabled. If `false`, they are only reported.
    enforce: bool,
}

impl From<&KeyPolicy> for KeyPolicyView {
    fn from(policy: &KeyPolicy) -> Self {
        let rules = policy.rules();
        let days = |days: Option<Days>| Nullable(days.map(|days| days.get().into()));
        let allowed = rules.allowed_permissions.map(|catalogue| {
            let entries = catalogue.entries().iter().map(|entry| AllowedPermissionView {
                permission: entry.permission.flat(),
                description: Nullable(entry.description.as_ref().map(|text| text.as_str().to_owned())),
            });
            entries.collect()
        });
        let rotation =
            rules.rotation.map(|RotationRule { days, enforce }| RotationRuleView { days: days.get().into(), enforce });
        Self {
            max_lifetime_days: days(rules.max_lifetime),
            expiry_required: rules.expiry_required,
            addresses_required_for: rules.addresses_required_for.flat(),
            prefix: Nullable(rules.prefix.map(|prefix| prefix.as_str().to_owned())),
            allowed_permissions: Nullable(allowed),
            can_manage: rules.can_manage,
            rotation: Nullable(rotation),
            disable_unused_after_days: days(rules.disable_unused_after),
        }
    }
}

document! {
    /// A key policy. A rule that is absent or null is not set.
    #[oai(rename = "KeyPolicyInput", skip_serializing_if_is_none)]
    pub(crate) struct KeyPolicyBody {
        /// Maximum number of days from the creation of a key to its expiry: 1 to 3,650. A key that never expires breaks it.
        #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
        max_lifetime_days: Option<u64>,
        /// Whether a key must expire; default `false`.
        expiry_required: Option<bool>,
        /// A key that has one of these permissions, or a part of one, needs an IP allowlist: at most 50 permissions.
        addresses_required_for: Option<Vec<String>>,
        /// Prefix that the secrets must have: 1 to 32 of `A-Z a-z 0-9 _ -`.
        #[oai(validator(pattern = "^[A-Za-z0-9_-]{1,32}$"))]
        prefix: Option<String>,
        /// The permissions that keys may have: 1 to 200, each once. At most 16,384 bytes of permissions and descriptions in total,
        /// with those of `addresses_required_for`.
        #[oai(validator(min_items = 1, max_items = 200))]
        allowed_permissions: Option<Vec<AllowedPermissionBody>>,
        /// Whether keys may manage this service; default `true`.
        can_manage: Option<bool>,
        /// How often secrets are to be rotated.
        rotation: Option<RotationRuleBody>,
        /// After this number of days without a use or a change, a key is disabled: 1 to 3,650.
        #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
        disable_unused_after_days: Option<u64>,
    }
}

document! {
    /// A permission that keys may have.
    #[oai(rename = "AllowedPermissionInput", skip_serializing_if_is_none)]
    pub(crate) struct AllowedPermissionBody {
        /// The permission.
        permission: String,
        /// What it is for: at most 200 characters, at least 1 after trimming.
        description: Option<String>,
    }
}

document! {
    /// How often secrets are to be rotated.
    #[oai(rename = "RotationRuleInput", skip_serializing_if_is_none)]
    pub(crate) struct RotationRuleBody {
        /// Maximum age of the newest secret: 1 to 3,650 days.
        #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
        days: u64,
        /// Whether keys with an older secret are disabled; default `false`: they are only reported.
        enforce: Option<bool>,
    }
}

impl KeyPolicyBody {
    /// The policy. The names of invalid fields are relative to it.
    fn into_domain(self) -> Result<Arc<KeyPolicy>, ApiError> {
        let mut fields = Fields::default();
        let max_lifetime = fields.check_optional("max_lifetime_days", self.max_lifetime_days.map(Days::new));
        let guarded = self.addresses_required_for.unwrap_or_default();
        let guarded = fields.check("addresses_required_for", permissions(&guarded)).unwrap_or_default();
        let prefix = fields.check_optional("prefix", self.prefix.as_deref().map(KeyPrefix::parse));
        let allowed = self.allowed_permissions.map(|list| catalogue(&mut fields, list));
        let rotation = self.rotation.map(|rotation| (Days::new(rotation.days), rotation.enforce.unwrap_or(false)));
        let rotation = rotation
            .and_then(|(days, enforce)| Some(RotationRule { days: fields.check("rotation.days", days)?, enforce }));
        let unused = self.disable_unused_after_days.map(Days::new);
        let disable_unused_after = fields.check_optional("disable_unused_after_days", unused);
        fields.into_result()?;
        let rules = KeyPolicyRules {
            max_lifetime,
            expiry_required: self.expiry_required.unwrap_or(false),
            addresses_required_for: guarded,
            prefix,
            allowed_permissions: allowed.flatten(),
            can_manage: self.can_manage.unwrap_or(true),
            rotation,
            disable_unused_after,
        };
        let policy = KeyPolicy::new(rules).map_err(|(name, wrong)| ApiError::Invalid(Fields::one(name, wrong)))?;
        Ok(Arc::new(policy))
    }
}

/// The catalogue. `None`: it is invalid, which is recorded in `fields`.
fn catalogue(fields: &mut Fields, list: Vec<AllowedPermissionBody>) -> Option<Catalogue> {
    let name = "allowed_permissions";
    if list.len() > Catalogue::MAX {
        fields.add(name, ValidationError::Catalogue);
        return None;
    }
    let mut entries = Vec::with_capacity(list.len());
    for (n, entry) in list.into_iter().enumerate() {
        let permission = fields.check(&format!("{name}[{n}].permission"), Permission::parse(&entry.permission));
        let description = entry.description.as_deref().map(PermissionDescription::parse);
        let description = fields.check_optional(&format!("{name}[{n}].description"), description);
        entries.extend(permission.map(|permission| CatalogueEntry { permission, description }));
    }
    if fields.is_empty() { fields.check(name, Catalogue::new(entries)) } else { None }
}

/// The field `key_policy` of a body that creates an object. `None`: it is absent, or invalid, which is recorded in `fields`.
pub(crate) fn check_new(fields: &mut Fields, policy: Option<KeyPolicyBody>) -> Option<Arc<KeyPolicy>> {
    match policy?.into_domain().map_err(|invalid| invalid.within("key_policy")) {
        Ok(policy) => return Some(policy),
        Err(ApiError::Invalid(wrong)) => wrong.iter().for_each(|(name, wrong)| fields.add(name, wrong)),
        Err(_) => fields.add("key_policy", "is invalid"),
    }
    None
}

/// The field `key_policy` of a body that changes an object. An invalid one is recorded in `fields`.
pub(crate) fn check_change(fields: &mut Fields, change: Patch<KeyPolicyBody>) -> Change<Arc<KeyPolicy>> {
    match change.0 {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(policy) => Change::set_or_keep(check_new(fields, Some(policy))),
    }
}

impl Field for Patch<KeyPolicyBody> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(Self(fields.change_object(name, <KeyPolicyBody as crate::http::body::Document>::read)))
    }
}

impl Field for Option<KeyPolicyBody> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional_object(name, <KeyPolicyBody as crate::http::body::Document>::read))
    }
}

impl Field for KeyPolicyBody {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        fields.required_object(name, <Self as crate::http::body::Document>::read)
    }
}

impl Field for Option<RotationRuleBody> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional_object(name, <RotationRuleBody as crate::http::body::Document>::read))
    }
}

impl Field for Option<Vec<AllowedPermissionBody>> {
    fn take(fields: &mut JsonFields, name: &str) -> Option<Self> {
        Some(fields.optional_objects(name, <AllowedPermissionBody as crate::http::body::Document>::read))
    }
}

document! {
    /// A policy to check the keys against.
    #[oai(rename = "CheckKeyPolicyRequest", skip_serializing_if_is_none)]
    pub(crate) struct CheckPolicy {
        /// The policy.
        key_policy: KeyPolicyBody,
        /// Id of a permission set: only keys that have it are checked, as if it had the policy. Default: all keys.
        permission_set_id: Option<String>,
        /// Maximum number of keys in the response: 1 to 1,000; default 100.
        #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
        limit: Option<u64>,
        /// `next_cursor` of the previous response.
        cursor: Option<String>,
    }
}

/// A dry run.
pub(crate) struct Check {
    pub(crate) policy: Arc<KeyPolicy>,
    /// `None`: all keys. `Some(None)`: the request has no valid id.
    #[expect(clippy::option_option, reason = "an absent id and an invalid one are different")]
    pub(crate) set: Option<Option<SetId>>,
    pub(crate) start: Option<ListPosition>,
    pub(crate) limit: usize,
}

/// The most keys in one response.
const MAX_LIMIT: u64 = 1_000;

impl CheckPolicy {
    pub(crate) fn into_domain(self, organization: OrganizationId) -> Result<Check, ApiError> {
        let mut fields = Fields::default();
        let policy = check_new(&mut fields, Some(self.key_policy));
        let limit = self.limit.unwrap_or(100);
        if !(1..=MAX_LIMIT).contains(&limit) {
            fields.add("limit", ValidationError::Range { min: 1, max: MAX_LIMIT });
        }
        let start = self.cursor.as_deref().map(|text| Cursor::parse(text, Order::default(), organization));
        if start == Some(None) {
            fields.add("cursor", "is not a cursor of this organization; start again without a cursor");
        }
        fields.into_result()?;
        Ok(Check {
            policy: policy.expect("an invalid policy was recorded"),
            set: self.permission_set_id.map(|id| id.parse().ok()),
            start: start.flatten(),
            limit: usize::try_from(limit).expect("at most a thousand"),
        })
    }
}

/// What a policy would find.
#[derive(Object)]
#[oai(rename = "KeyPolicyReport")]
pub(crate) struct PolicyReportView {
    /// Number of keys that were checked, at most 10,000.
    keys_checked: u64,
    /// Whether all keys after the cursor were checked, so that the numbers are complete.
    is_complete: bool,
    /// Number of checked keys that break at least one rule.
    keys_breaking: u64,
    /// The rules that checked keys break.
    rules: Vec<BrokenRuleCount>,
    /// The first keys that break a rule, oldest first.
    keys: Vec<BreakingKey>,
    /// The `cursor` of the next request; null: there are no more keys.
    next_cursor: Nullable<String>,
}

/// The number of keys that break a rule.
#[derive(Object)]
#[oai(rename = "BrokenRuleCount")]
struct BrokenRuleCount {
    rule: Code<KeyRule>,
    /// Number of checked keys that break it.
    keys: u64,
}

/// A key that breaks a policy.
#[derive(Object)]
#[oai(rename = "BreakingApiKey")]
struct BreakingKey {
    /// Id of the key.
    id: Uuid,
    /// Name of the key; empty if it has none.
    name: String,
    /// First characters of its secret, to recognize the key by.
    start: String,
    /// The rules that it breaks: at least one.
    rules: Vec<Code<KeyRule>>,
}

impl PolicyReportView {
    pub(crate) fn new(report: &PolicyReport, organization: OrganizationId) -> Self {
        let cursor = report.next.as_ref().map(|next| Cursor::write(next, Order::default(), organization));
        Self {
            keys_checked: report.checked,
            is_complete: report.is_complete,
            keys_breaking: report.breaking,
            rules: report
                .counts
                .iter()
                .map(|(rule, keys)| BrokenRuleCount { rule: Code::new(rule.code()), keys: *keys })
                .collect(),
            keys: report.keys.iter().map(BreakingKey::from).collect(),
            next_cursor: Nullable(cursor),
        }
    }
}

impl From<&ReportedKey> for BreakingKey {
    fn from(reported: &ReportedKey) -> Self {
        let key = &reported.key;
        Self {
            id: key.id.uuid(),
            name: key.settings.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
            start: key.start.clone(),
            rules: reported.broken.iter().map(|broken| Code::new(broken.rule().code())).collect(),
        }
    }
}

/// What the policies say about a key.
#[derive(Object)]
#[oai(rename = "ApiKeyPolicyState")]
pub(crate) struct PolicyStateView {
    /// The rules that the key breaks.
    broken_rules: Vec<BrokenRuleView>,
    /// Creation time of its newest secret; of an imported one, the time of the import.
    secret_created_at: Rfc3339,
    /// The secret is to be rotated before this time; null: no policy says so.
    rotation_due_at: Nullable<Rfc3339>,
    /// From this time on the key is disabled, unless its secret is rotated before; null: it is not.
    disabled_unless_rotated_at: Nullable<Rfc3339>,
    /// From this time on the key is disabled, unless it is used or changed before; null: it is not.
    disabled_unless_used_at: Nullable<Rfc3339>,
}

/// A rule that a key breaks.
#[derive(Object)]
#[oai(rename = "BrokenRule")]
struct BrokenRuleView {
    rule: Code<KeyRule>,
    /// The permission set whose rule it is; null: the organization's.
    permission_set_id: Nullable<Uuid>,
    /// What is wrong and what to do, for humans.
    message: String,
}

impl From<&BrokenRule> for BrokenRuleView {
    fn from(broken: &BrokenRule) -> Self {
        let set = match &broken.source {
            PolicySource::Organization => None,
            PolicySource::Set(set) => Some(set.uuid()),
        };
        Self {
            rule: Code::new(broken.violation.rule().code()),
            permission_set_id: Nullable(set),
            message: describe_violation(&broken.violation),
        }
    }
}

impl From<&KeyPolicyState> for PolicyStateView {
    fn from(state: &KeyPolicyState) -> Self {
        let time = |at: Option<domain::clock::Timestamp>| Nullable(at.map(Rfc3339));
        Self {
            broken_rules: state.broken.iter().map(BrokenRuleView::from).collect(),
            secret_created_at: Rfc3339(state.secret_created_at),
            rotation_due_at: time(state.rotation_due_at),
            disabled_unless_rotated_at: time(state.disabled_unless_rotated_at),
            disabled_unless_used_at: time(state.disabled_unless_used_at),
        }
    }
}
