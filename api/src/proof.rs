//! `claviger audit verify`: proves the logs, one line for each on standard output.

use std::{
    error::Error,
    io::{Write, stdout},
};

use domain::{audit::Front, audit_log::Proved, id::OrganizationId, ports::PruneSigner};

use crate::{
    compose::{self, Services},
    config::Config,
    jwt::keyring::Keyring,
    time::Moment,
};

/// Proves all logs, or one, and that the ends which were told before lie on them. `false`: at least one does not hold, or is
/// not proven.
///
/// # Errors
/// The database is away; a head that we did not sign; there is no log to prove.
pub async fn prove(
    services: &Services,
    config: &Config,
    only: Option<OrganizationId>,
    heads: &[String],
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let at = compose::signing_keys(config);
    let keyring = Keyring::open_existing(&at, &config.public_origin, &*services.entropy)?;
    let read = |text: &String| keyring.as_ref().and_then(|keyring| keyring.read_head(text));
    let told = heads.iter().map(read).collect::<Option<Vec<_>>>();
    let told = told.ok_or("a --head was not signed by a key in CLAVIGER_SIGNING_KEY_FILE, or was changed")?;
    let (mut written, mut all_hold) = (Ok(()), true);
    let has_keys = keyring.is_some();
    let report = |proved: Proved| {
        let (verdict, holds) = verdict(&proved, has_keys);
        all_hold &= holds;
        let Proved { begin, end, .. } = proved;
        let line = format!("{} {}..{} {} {verdict}", end.organization, begin.seq + 1, end.seq, end.hash);
        if let Err(error) = writeln!(stdout(), "{line}") {
            written = Err(error);
        }
    };
    let signer = keyring.as_ref().map(|keyring| keyring as &dyn PruneSigner);
    let count = services.audit.prove(only, &told, signer, report).await?;
    written?;
    match only {
        Some(organization) if count == 0 => {
            Err(format!("nothing was verified: there is no log of {organization}").into())
        }
        None if count == 0 => Err("nothing was verified: the database has no logs".into()),
        _ => Ok(all_hold),
    }
}

/// What is said of a log, and whether it is proven as far as the keys allow.
fn verdict(proved: &Proved, has_keys: bool) -> (String, bool) {
    if let Some(broken) = proved.broken {
        return (format!("BROKEN: {broken}"), false);
    }
    match (proved.front, proved.unproven) {
        (Front::Whole, _) => ("holds".to_owned(), true),
        (_, Some(seq)) if has_keys => {
            let gone = format!("events 1 to {seq} are gone, and no signed record says that retention pruned them");
            (format!("UNPROVEN: {gone}"), false)
        }
        (Front::Pruned(record), _) => {
            let (seq, at) = (record.start.seq, Moment(record.at).text());
            (format!("holds; events 1 to {seq} were pruned by retention until {at}, signed"), true)
        }
        (Front::Unsigned(seq), _) => {
            let unsigned = "without a signing key it cannot be checked that retention pruned them";
            (format!("holds; events 1 to {seq} are gone, and {unsigned}"), true)
        }
    }
}
