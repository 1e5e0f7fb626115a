//! `claviger retention run`: runs retention once, and can confirm purges that are held.

use std::{
    error::Error,
    io::{Write, stdout},
    sync::Arc,
};

use crate::{
    auth::jwt::keyring::Keyring,
    cli::usage_error::UsageError,
    compose::{self, Hold, Kind, Services},
    config::Config,
    http::rfc3339::Rfc3339,
};

/// Runs retention once and prints a line for each kind of row. With `force`, held purges are done. `false`: a purge is held.
///
/// # Errors
/// The database is unavailable. [`UsageError`]: the signing keys cannot be read.
pub async fn run(services: &Services, config: &Config, force: bool) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let at = compose::signing_keys(config);
    let keyring =
        Keyring::open_existing(&at, &*services.entropy).map_err(|error| UsageError(error.to_string()))?.map(Arc::new);
    let run = services.run_retention(keyring, force).await?;
    let mut out = stdout().lock();
    writeln!(out, "clock: {}", Rfc3339(run.now).text())?;
    for purge in &run.purges {
        let kind = match purge.kind {
            Kind::DeletedKeys => "deleted keys",
            Kind::AuditEvents => "audit events",
            Kind::Usage => "usage counts",
            Kind::DeletedOrganizations => "deleted organizations",
        };
        let before = Rfc3339(purge.before).text();
        match purge.held {
            None => writeln!(out, "{kind} before {before}: {} purged", purge.purged)?,
            Some(Hold::UnusualShare) => writeln!(
                out,
                "{kind} before {before}: HELD: {} of {} would be purged at once; if the clock above is right, confirm it \
                 with --force",
                purge.due, purge.all
            )?,
            Some(Hold::ClocksDiffer) => writeln!(
                out,
                "{kind} before {before}: HELD: the clock of this machine differs from the database's by more than a \
                 minute; synchronize it, or purge by the clock above with --force"
            )?,
        }
    }
    Ok(run.purges.iter().all(|purge| purge.held.is_none()))
}
