//! Permissions and permission sets as people write them in bodies.

use domain::{addresses::AddressList, id::SetId, permission::PermissionSet, permission_sets, text::Invalid};

use crate::failure::Fields;

/// A list of permissions, with doubles at most as long as a set.
pub(super) fn permissions(list: &[String]) -> Result<PermissionSet, Invalid> {
    if list.len() > PermissionSet::MAX {
        return Err(Invalid::TooManyPermissions);
    }
    PermissionSet::from_flat(list.iter().map(String::as_str))
}

/// A list of networks.
pub(super) fn addresses(list: &[String]) -> Result<AddressList, Invalid> {
    AddressList::parse(list.iter().map(String::as_str))
}

/// Identifiers of permission sets; what cannot be one is noted.
pub(super) fn sets(fields: &mut Fields, texts: Option<Vec<String>>) -> Vec<SetId> {
    let parsed = texts.unwrap_or_default().into_iter().map(|text| text.parse::<SetId>());
    if let Ok(sets) = parsed.collect::<Result<Vec<_>, _>>() {
        fields.check("permission_sets", permission_sets::attached(sets)).unwrap_or_default()
    } else {
        fields.add("permission_sets", "must hold identifiers of permission sets");
        Vec::new()
    }
}
