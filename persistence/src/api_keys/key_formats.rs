//! Storing the formats of imported and supplied secrets. [`crate::key_cache::key_formats`] has them in memory.

use domain::{
    Error,
    audit::context::{Actor, AuditContext},
    id::OrganizationId,
    keys::secret::KeyFormat,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, sea_query::OnConflict,
};

use crate::{db::error::DbFailure, rows::entity::imported_shape};

/// Formats that an organization may import.
const MAX_FORMATS: u64 = 5;

/// Those of these formats that the organization does not have.
pub(crate) async fn missing_formats<'a, C: ConnectionTrait>(
    db: &C,
    organization: OrganizationId,
    formats: &'a [KeyFormat],
) -> Result<Vec<&'a KeyFormat>, DbFailure> {
    if formats.is_empty() {
        return Ok(Vec::new());
    }
    let own = imported_shape::Column::OrganizationId.eq(organization.uuid());
    let known = imported_shape::Entity::find().filter(own).all(db).await?;
    let is_known = |format: &&KeyFormat| {
        known.iter().any(|row| {
            (row.prefix.as_str(), row.alphabet.as_str()) == (format.prefix(), format.alphabet().code())
                && u16::try_from(row.length) == Ok(format.length())
        })
    };
    Ok(formats.iter().filter(|format| !is_known(format)).collect())
}

/// Stores the formats that the organization does not have yet. Returns whether there are any.
pub(crate) async fn add_formats<C: ConnectionTrait>(
    db: &C,
    context: &AuditContext,
    formats: &[KeyFormat],
) -> Result<bool, DbFailure> {
    let own = imported_shape::Column::OrganizationId.eq(context.organization.uuid());
    let new = missing_formats(db, context.organization, formats).await?;
    if new.is_empty() {
        return Ok(false);
    }
    let rows = new.into_iter().map(|format| imported_shape::ActiveModel {
        organization_id: Set(context.organization.uuid()),
        prefix: Set(format.prefix().to_owned()),
        length: Set(i16::try_from(format.length()).unwrap_or(i16::MAX)),
        alphabet: Set(format.alphabet().code().to_owned()),
    });
    let key = [
        imported_shape::Column::OrganizationId,
        imported_shape::Column::Prefix,
        imported_shape::Column::Length,
        imported_shape::Column::Alphabet,
    ];
    let unless_exists = OnConflict::columns(key).do_nothing().to_owned();
    let added = imported_shape::Entity::insert_many(rows).on_conflict(unless_exists).exec_without_returning(db).await?;
    // The operator may exceed the limit.
    let is_bounded = context.actor != Actor::Operator;
    if is_bounded && imported_shape::Entity::find().filter(own).count(db).await? > MAX_FORMATS {
        return Err(DbFailure::Refused(Error::TooManyKeyFormats));
    }
    Ok(added > 0)
}
