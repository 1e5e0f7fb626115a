//! Settings whose value is in a file: `CLAVIGER_DATABASE_URL_FILE` for `CLAVIGER_DATABASE_URL`. So secrets need not be in the
//! environment, and long lists can have one entry per line.

use std::{fs::File, io::Read, path::Path};

/// The maximum size of a file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The value in a file, without the line breaks at its end.
///
/// # Errors
/// What the setting must name, to end the sentence "NAME must name …". It does not contain the path, because that may be a secret
/// that was meant for another setting.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    file.map_err(|error| format!("a readable file: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("a file of at most 1 MiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "a file with UTF-8 text")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        read(file.path())
    }

    #[test]
    fn the_line_breaks_at_the_end_are_no_part_of_the_value() {
        assert_eq!(read_bytes(b"postgres://a\r\n\n").as_deref(), Ok("postgres://a"));
        assert_eq!(read_bytes(b" 10.0.0.0/8\n::1 ").as_deref(), Ok(" 10.0.0.0/8\n::1 "));
        assert_eq!(read_bytes(b"").as_deref(), Ok(""));
    }

    #[test]
    fn unreadable_and_large_files_are_refused() {
        let limit = usize::try_from(MAX_BYTES).expect("small");
        assert!(read_bytes(&vec![b'x'; limit]).is_ok());
        assert_eq!(read_bytes(&vec![b'x'; limit + 1]), Err("a file of at most 1 MiB".to_owned()));
        assert_eq!(read_bytes(b"\xff"), Err("a file with UTF-8 text".to_owned()));
        let error = read(Path::new("/nonexistent/secret")).expect_err("there is no such file");
        assert!(error.starts_with("a readable file: No such file") && !error.contains("secret"), "{error}");
        assert!(read(Path::new("/")).expect_err("a folder").starts_with("a readable file: "));
    }
}
