//! The log of changes of authority: written in the transaction of the change itself.

use domain::act::{Act, Actor};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, prelude::Uuid};

use crate::entity::audit_event;

/// Events in one statement.
const ROWS: usize = 1_000;

/// Notes that `act` was done to these.
pub(crate) async fn note<C: ConnectionTrait>(db: &C, act: &Act, targets: &[Uuid]) -> Result<(), DbErr> {
    let (key, user) = match act.actor {
        Actor::Key(key, user) => (Some(key.uuid()), user.map(domain::id::UserId::uuid)),
        Actor::User(user) => (None, Some(user.uuid())),
        Actor::Operator => (None, None),
    };
    for targets in targets.chunks(ROWS) {
        let events = targets.iter().map(|target| audit_event::ActiveModel {
            organization_id: Set(act.organization.uuid()),
            at: Set(act.at.millis()),
            action: Set(act.action.code().to_owned()),
            target_id: Set(*target),
            actor_key_id: Set(key),
            actor_user_id: Set(user),
            permission: Set(act.permission.as_ref().map(ToString::to_string)),
            client: Set(act.origin.client.map(|client| client.to_string())),
            request_id: Set(act.origin.request_id.as_deref().map(ToOwned::to_owned)),
            session_id: Set(act.origin.session.map(domain::id::SessionId::uuid)),
            ..audit_event::ActiveModel::default()
        });
        audit_event::Entity::insert_many(events).exec_without_returning(db).await?;
    }
    Ok(())
}
