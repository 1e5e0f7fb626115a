//! Files with signed checkpoints that were kept outside of the database.

use std::{
    error::Error,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use domain::audit::Checkpoint;
use serde_json::Value;

use crate::cli::usage_error::UsageError;

/// The checkpoints in a file. A line is a signed checkpoint (a JWT), or a JSON line of the service log with the field `signed`, which
/// may have a prefix. All other lines are ignored, as are lines that are not UTF-8. `read` verifies a checkpoint.
///
/// # Errors
/// [`UsageError`]: the file cannot be read. Another error: it has no checkpoint, or `read` rejects one.
pub fn read(
    path: &Path,
    read: impl Fn(&str) -> Option<Checkpoint>,
) -> Result<Vec<Checkpoint>, Box<dyn Error + Send + Sync>> {
    let name = path.display();
    let unusable = |error: io::Error| UsageError(format!("{name}: {error}"));
    let file = File::open(path).map_err(unusable)?;
    let mut checkpoints = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let line = line.map_err(unusable)?;
        let Some(text) = find_signed(String::from_utf8_lossy(&line).trim()) else { continue };
        let checkpoint = read(&text).ok_or_else(|| {
            format!(
                "{name}: the checkpoint in line {number} was not signed by a key in CLAVIGER_SIGNING_KEY_FILE, or was changed"
            )
        })?;
        // Several nodes log the same checkpoint.
        if checkpoints.last() != Some(&checkpoint) {
            checkpoints.push(checkpoint);
        }
    }
    if checkpoints.is_empty() {
        return Err(format!("{name}: no line is a signed checkpoint or contains one in the field `signed`").into());
    }
    Ok(checkpoints)
}

/// The signed checkpoint in a line.
fn find_signed(line: &str) -> Option<String> {
    match line.find('{') {
        Some(start) => {
            let line: Value = serde_json::from_str(&line[start..]).ok()?;
            line["signed"].as_str().map(ToOwned::to_owned)
        }
        None => is_token(line).then(|| line.to_owned()),
    }
}

/// Whether a line has the form of a JWT: three parts in base64url, the first of which is a JSON object.
fn is_token(line: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    line.starts_with("eyJ") && line.split('.').count() == 3 && line.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::find_signed;

    #[test]
    fn checkpoints_are_found_in_bare_lines_and_in_log_lines() {
        let found = |line| find_signed(line).unwrap_or_default();
        assert_eq!(found("eyJh.eyJi.c-_"), "eyJh.eyJi.c-_");
        assert_eq!(found(r#"{"level":"INFO","signed":"eyJh.eyJi.c","seq":4}"#), "eyJh.eyJi.c");
        assert_eq!(found(r#"2026-11-29 node-1 {"signed":"eyJh.eyJi.c"}"#), "eyJh.eyJi.c");
        for none in ["", "claviger: stopped", r#"{"message":"listening"}"#, r#"{"signed":null}"#, r#"{"signed":"#] {
            assert_eq!(find_signed(none), None, "{none}");
        }
    }
}
