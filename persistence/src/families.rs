//! Families of short-lived tokens.

use async_trait::async_trait;
use domain::{
    Error, Outage,
    clock::Timestamp,
    id::{FamilyId, OrganizationId},
    ports::Families,
    token::Family,
    tokens::Tokens,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use crate::{
    Store, convert,
    entity::token_family,
    outage::{Failure, there},
};

/// Families with live tokens that one secret may have.
const MOST_OF_SECRET: u64 = 100;
/// Those that an organization may have: verifiers read all that are revoked every few seconds.
const MOST_OF_ORGANIZATION: u64 = 10_000;

#[async_trait]
impl Families for Store {
    async fn join(
        &self,
        family: Family,
        organization: OrganizationId,
        until: Timestamp,
        over: Timestamp,
    ) -> Result<FamilyId, Error> {
        let mut flat = family.permissions.flat();
        flat.sort_unstable();
        let (id, secret, text) = (family.id.uuid(), family.secret.bytes().to_vec(), flat.join(" "));
        let hash = blake3::hash(text.as_bytes()).as_bytes().to_vec();
        // A family that went too early would be missing from the list of revoked tokens.
        let over = self.clocks.no_later_than_database(over.plus_millis(Tokens::LEEWAY), Tokens::LEEWAY);
        let join = self.transaction(move |transaction, _| {
            let (secret, text, hash, over) = (secret.clone(), text.clone(), hash.clone(), over.clone());
            Box::pin(async move {
                let ended = token_family::Column::ExpiresAt.into_expr().lte(over);
                token_family::Entity::delete_many().filter(ended).exec(transaction).await?;
                let others =
                    token_family::Entity::find().filter(token_family::Column::PermissionsHash.ne(hash.clone()));
                let of_secret = others.clone().filter(token_family::Column::SecretHash.eq(secret.clone()));
                let of_organization = others.filter(token_family::Column::OrganizationId.eq(organization.uuid()));
                if of_secret.count(transaction).await? >= MOST_OF_SECRET
                    || of_organization.count(transaction).await? >= MOST_OF_ORGANIZATION
                {
                    return Err(Failure::Refused(Error::TooManyTokens));
                }
                let row = token_family::ActiveModel {
                    id: Set(id),
                    secret_hash: Set(secret.clone()),
                    permissions_hash: Set(hash.clone()),
                    organization_id: Set(organization.uuid()),
                    permissions: Set(text),
                    expires_at: Set(until.millis()),
                };
                let longest = "CASE WHEN excluded.expires_at > token_families.expires_at \
                               THEN excluded.expires_at ELSE token_families.expires_at END";
                let conflict =
                    OnConflict::columns([token_family::Column::SecretHash, token_family::Column::PermissionsHash])
                        .value(token_family::Column::ExpiresAt, Expr::cust(longest))
                        .to_owned();
                token_family::Entity::insert(row).on_conflict(conflict).exec_without_returning(transaction).await?;
                let joined = token_family::Entity::find()
                    .filter(token_family::Column::SecretHash.eq(secret))
                    .filter(token_family::Column::PermissionsHash.eq(hash));
                Ok(FamilyId::from_uuid(there(joined.one(transaction).await?)?.id))
            })
        });
        Ok(join.await?)
    }

    async fn live(&self, over: Timestamp) -> Result<Vec<Family>, Outage> {
        let alive = token_family::Column::ExpiresAt.gt(over.millis());
        let rows = token_family::Entity::find().filter(alive).all(&self.pools.read).await.map_err(Failure::from)?;
        Ok(rows.into_iter().map(convert::family).collect::<Result<_, _>>().map_err(Failure::from)?)
    }
}
