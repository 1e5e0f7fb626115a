//! `claviger retention run`: what retention would do now, and confirming what it holds.

use std::{
    error::Error,
    io::{Write, stdout},
    sync::Arc,
};

use crate::{
    compose::{self, Hold, Kind, Services},
    config::Config,
    jwt::keyring::Keyring,
    time::Moment,
};

/// Runs retention once and prints a line for each kind of row. `false`: something is held.
///
/// # Errors
/// The database is away; the signing keys cannot be read.
pub async fn run(services: &Services, config: &Config, force: bool) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let at = compose::signing_keys(config);
    let keyring = Keyring::open_existing(&at, &config.public_origin, &*services.entropy)?.map(Arc::new);
    let run = services.run_retention(keyring, force).await?;
    let mut out = stdout().lock();
    writeln!(out, "by the time {}", Moment(run.now).text())?;
    for purge in &run.purges {
        let kind = match purge.kind {
            Kind::DeletedKeys => "deleted keys",
            Kind::AuditEvents => "audit events",
            Kind::Usage => "counts of verifies",
        };
        let before = Moment(purge.before).text();
        match purge.held {
            None => writeln!(out, "{kind} of before {before}: {} purged", purge.purged)?,
            Some(Hold::UnusualShare) => writeln!(
                out,
                "{kind} of before {before}: HELD: {} of {} would be purged at once; if the time above is right, confirm it \
                 with --force",
                purge.due, purge.all
            )?,
            Some(Hold::ClocksDiffer) => writeln!(
                out,
                "{kind} of before {before}: HELD: the clock of this machine differs from the database's by more than a \
                 minute; synchronize it, or purge by the time above with --force"
            )?,
        }
    }
    Ok(run.purges.iter().all(|purge| purge.held.is_none()))
}
