//! Indexes for the keys of a customer of an organization that were deleted lately. Only deleted keys are in them.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const INDEXES: [(&str, &str); 2] =
    [("deleted_api_keys_by_external_id", "external_id"), ("deleted_api_keys_by_user", "user_id")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, customer) in INDEXES {
            let index = Index::create()
                .name(name)
                .table("api_keys")
                .col("organization_id")
                .col(customer)
                .col("deleted_at")
                .and_where(Expr::col(customer).is_not_null())
                .and_where(Expr::col("deleted_at").is_not_null())
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            manager.drop_index(Index::drop().name(name).table("api_keys").to_owned()).await?;
        }
        Ok(())
    }
}
