//! Parsers of fields that several request bodies have: permissions, IP allowlists, permission sets.

use domain::{
    id::SetId, keys::ip_allowlist::IpAllowlist, organizations::permission_set, permissions::Permissions,
    validated_string::ValidationError,
};

use crate::http::api_error::Fields;

/// Parses permissions in flat form. The list may have at most [`Permissions::MAX`] entries, duplicates included.
pub(super) fn permissions(list: &[String]) -> Result<Permissions, ValidationError> {
    if list.len() > Permissions::MAX {
        return Err(ValidationError::TooManyPermissions);
    }
    Permissions::from_flat(list.iter().map(String::as_str))
}

/// Parses an IP allowlist of addresses and networks in CIDR notation.
pub(super) fn addresses(list: &[String]) -> Result<IpAllowlist, ValidationError> {
    IpAllowlist::parse(list.iter().map(String::as_str))
}

/// Parses the ids of permission sets. An invalid list is recorded in `fields`, and an empty list is returned.
pub(super) fn sets(fields: &mut Fields, strings: Option<Vec<String>>) -> Vec<SetId> {
    let parsed = strings.unwrap_or_default().into_iter().map(|text| text.parse::<SetId>());
    if let Ok(sets) = parsed.collect::<Result<Vec<_>, _>>() {
        fields.check("permission_sets", permission_set::attached(sets)).unwrap_or_default()
    } else {
        fields.add("permission_sets", "must contain ids of permission sets");
        Vec::new()
    }
}
