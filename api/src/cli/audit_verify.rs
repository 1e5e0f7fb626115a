//! `claviger audit verify`: verifies the audit logs, and prints one line for each to standard output.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    path::PathBuf,
};

use domain::{
    audit::{Checkpoint, Front, LateStart},
    audit_log::{Gap, VerificationReport},
    id::OrganizationId,
    ports::CheckpointSigner,
};

use crate::{
    auth::jwt::keyring::Keyring,
    cli::{checkpoint_file, usage_error::UsageError},
    compose::{self, Services},
    config::Config,
    http::rfc3339::Rfc3339,
};

/// The result of a verification, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// Signed checkpoints cover the logs.
    Proven,
    /// The logs are internally consistent, but not protected against an administrator of the database.
    ConsistentOnly,
    /// At least one log was changed, or its oldest events are missing without a signed record that retention pruned them.
    Tampered,
}

impl Assurance {
    /// The exit code of the command for this result.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Proven => 0,
            Self::ConsistentOnly => 3,
            Self::Tampered => 1,
        }
    }
}

/// Verifies all audit logs, or that of `only`. Also verifies that the logs contain the checkpoints in `signed_checkpoints` and in
/// `files`, which were kept outside of the database. Returns the worst result of all logs.
///
/// # Errors
/// The database is unavailable; a checkpoint was not signed by this service; a file has no checkpoint; there is no log.
/// [`UsageError`]: the signing keys or a file with checkpoints cannot be read.
pub async fn verify(
    services: &Services,
    config: &Config,
    only: Option<OrganizationId>,
    signed_checkpoints: &[String],
    files: &[PathBuf],
) -> Result<Assurance, Box<dyn Error + Send + Sync>> {
    let at = compose::signing_keys(config);
    let keyring = Keyring::open_existing(&at, &*services.entropy).map_err(|error| UsageError(error.to_string()))?;
    let read = |text: &str| keyring.as_ref().and_then(|keyring| keyring.read_checkpoint(text));
    let checkpoints: Option<Vec<Checkpoint>> = signed_checkpoints.iter().map(|text| read(text)).collect();
    let mut checkpoints =
        checkpoints.ok_or("a --checkpoint was not signed by a key in CLAVIGER_SIGNING_KEY_FILE, or was changed")?;
    for file in files {
        checkpoints.extend(checkpoint_file::read(file, read)?);
    }
    let (mut written, mut worst) = (Ok(()), Assurance::Proven);
    let report = |verification: VerificationReport| {
        let (assurance, sentence) = assess(&verification);
        worst = worst.max(assurance);
        let VerificationReport { begin, end, .. } = verification;
        let line = format!("{} {}..{} {} {sentence}", end.organization, begin.seq + 1, end.seq, end.hash);
        if let Err(error) = writeln!(stdout(), "{line}") {
            written = Err(error);
        }
    };
    let signer = keyring.as_ref().map(|keyring| keyring as &dyn CheckpointSigner);
    let count = services.audit.verify(only, &checkpoints, signer, report).await?;
    written?;
    match only {
        Some(organization) if count == 0 => {
            return Err(format!("nothing was verified: there is no log of {organization}").into());
        }
        None if count == 0 => return Err("nothing was verified: the database has no logs".into()),
        _ => {}
    }
    if checkpoints.is_empty() && worst == Assurance::Proven {
        writeln!(
            stderr(),
            "no checkpoints from outside the database were given: an administrator of the database could have restored an \
             older state of a log together with its checkpoint; see --checkpoints"
        )?;
    }
    Ok(worst)
}

/// The result of one log, and the sentence that is printed for it.
#[must_use]
pub fn assess(verification: &VerificationReport) -> (Assurance, String) {
    if let Some(broken) = verification.broken {
        return (Assurance::Tampered, format!("BROKEN: {broken}"));
    }
    let front = match (verification.front, verification.unproven) {
        (Front::Whole, _) => String::new(),
        (_, Some(seq)) if verification.gap != Some(Gap::NoKeys) => {
            let gone = format!("events 1 to {seq} are missing, and no signed record says that retention pruned them");
            return (Assurance::Tampered, format!("UNPROVEN: {gone}"));
        }
        (Front::Pruned(record), _) => {
            let (seq, at) = (record.start.seq, Rfc3339(record.at).text());
            format!("; events 1 to {seq} were pruned by retention until {at}, signed")
        }
        (Front::Unsigned(seq), _) => {
            format!(
                "; events 1 to {seq} are missing, and without a signing key it cannot be checked that retention pruned them"
            )
        }
    };
    match (verification.gap, verification.checkpoint) {
        (None, Some(checkpoint)) => {
            let (seq, at) = (checkpoint.head.seq, Rfc3339(checkpoint.at).text());
            let newer = match verification.end.seq - seq {
                0 => String::new(),
                count => format!("; events after it that are not signed yet: {count}"),
            };
            (Assurance::Proven, format!("valid: proven up to event {seq} by the checkpoint of {at}{newer}{front}"))
        }
        (gap, _) => {
            let reason = gap.map_or_else(String::new, describe_gap);
            let consistent = "internally consistent, but not protected against an administrator of the database";
            (Assurance::ConsistentOnly, format!("CONSISTENT ONLY: {consistent}: {reason}{front}"))
        }
    }
}

/// Why a log is not protected.
fn describe_gap(gap: Gap) -> String {
    match gap {
        Gap::NoKeys => "there is no signing key to check signatures with".to_owned(),
        Gap::NoCheckpoint => "it has no signed checkpoint".to_owned(),
        Gap::UnknownKey => "its checkpoint is not signed by a key in CLAVIGER_SIGNING_KEY_FILE".to_owned(),
        Gap::LateStart(LateStart::FirstEvent { created_at, first_at }) => {
            let (created, first) = (Rfc3339(created_at).text(), Rfc3339(first_at).text());
            format!(
                "its first event was written at {first}, more than ten minutes after its organization was created at \
                 {created}, so earlier events may be missing"
            )
        }
        Gap::LateStart(LateStart::FirstCheckpoint { pruned_at, signed_at }) => {
            let (pruned, signed) = (Rfc3339(pruned_at).text(), Rfc3339(signed_at).text());
            format!(
                "its first checkpoint was signed at {signed}, more than ten minutes after retention pruned the log at \
                 {pruned}, so events in between may be missing"
            )
        }
        Gap::Unsequenced(count) => {
            format!("{count} events were written before sequence numbers existed, and no hash covers them")
        }
        Gap::SignedLate(seq, at) => {
            let at = Rfc3339(at).text();
            format!("events up to {seq} were first signed at {at}, more than ten minutes after they were written")
        }
        Gap::Unsigned(seq) => {
            format!("events after {seq} are older than ten minutes, and no signed checkpoint covers them")
        }
    }
}
