//! `claviger audit verify`: proves the logs, one line for each on standard output.

use std::{
    error::Error,
    io::{Write, stdout},
};

use domain::{audit_log::Proved, id::OrganizationId};

use crate::{
    compose::{self, Services},
    config::Config,
    jwt::keyring::Keyring,
};

/// Proves all logs, or one, and that the ends which were told before lie on them. `false`: at least one does not hold.
///
/// # Errors
/// The database is away; a head that we did not sign.
pub async fn prove(
    services: &Services,
    config: &Config,
    only: Option<OrganizationId>,
    heads: &[String],
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let keyring = Keyring::open(&compose::signing_keys(config), &config.public_origin, &*services.entropy)?;
    let read = |text: &String| keyring.as_ref().and_then(|keyring| keyring.read_head(text));
    let told = heads.iter().map(read).collect::<Option<Vec<_>>>();
    let told = told.ok_or("a --head was not signed by a key in CLAVIGER_SIGNING_KEY_FILE, or was changed")?;
    let (mut written, mut all_hold) = (Ok(()), true);
    let report = |Proved { begin, end, broken }: Proved| {
        let verdict = broken.map_or_else(|| "holds".to_owned(), |broken| format!("BROKEN: {broken}"));
        all_hold &= broken.is_none();
        let line = format!("{} {}..{} {} {verdict}", end.organization, begin.seq + 1, end.seq, end.hash);
        if let Err(error) = writeln!(stdout(), "{line}") {
            written = Err(error);
        }
    };
    services.audit.prove(only, &told, report).await?;
    written?;
    Ok(all_hold)
}
