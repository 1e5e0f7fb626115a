//! The first use of a secret since its rotation, see [`crate::api_keys::newest_secret`].

use domain::keys::secret::SecretHash;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use crate::{
    db::{connect::Pools, error::DbFailure, retry},
    rows::entity::api_key_secret,
};

/// Records durably that a secret was used. Does nothing if it was recorded before, or if the secret was revoked meanwhile: the caller
/// must read the key again.
pub(crate) async fn record_first_use(pools: &Pools, secret: &SecretHash) -> Result<(), DbFailure> {
    let record = async || {
        let transaction = pools.begin_counting().await?;
        api_key_secret::Entity::update_many()
            .col_expr(api_key_secret::Column::IsUnused, Expr::value(false))
            .filter(api_key_secret::Column::Hash.eq(secret.bytes().to_vec()))
            .filter(api_key_secret::Column::IsUnused.eq(true))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        pools.confirm_commit()
    };
    retry::retry_in_time(pools.timeout, record).await
}
