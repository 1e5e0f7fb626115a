//! Passkeys.

use domain::{
    auth::passkey::{CredentialId, Passkey, PasskeyName},
    clock::Timestamp,
    id::{PasskeyAccountId, PasskeyId},
    validated_string::ValidationError,
};
use sea_orm::ActiveValue::Set;

use super::BrokenRow;
use crate::rows::entity::passkey;

pub(crate) fn passkey(model: passkey::Model) -> Result<Passkey, BrokenRow> {
    let broken = |column| BrokenRow { table: "passkeys", column, row: model.id };
    Ok(Passkey {
        id: PasskeyId::from_uuid(model.id),
        account: PasskeyAccountId::from_uuid(model.account_id),
        name: PasskeyName::stored(&model.name).map_err(|_: ValidationError| broken("name"))?,
        credential: CredentialId(model.credential_id),
        public_key: model.public_key,
        state: model.state,
        created_at: Timestamp::from_millis(model.created_at),
        last_used_at: model.last_used_at.map(Timestamp::from_millis),
    })
}

pub(crate) fn passkey_row(passkey: &Passkey) -> passkey::ActiveModel {
    passkey::ActiveModel {
        id: Set(passkey.id.uuid()),
        account_id: Set(passkey.account.uuid()),
        credential_id: Set(passkey.credential.0.clone()),
        public_key: Set(passkey.public_key.clone()),
        state: Set(passkey.state.clone()),
        name: Set(passkey.name.as_str().to_owned()),
        created_at: Set(passkey.created_at.millis()),
        last_used_at: Set(passkey.last_used_at.map(Timestamp::millis)),
    }
}
