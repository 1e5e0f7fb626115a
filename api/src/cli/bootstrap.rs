//! `claviger bootstrap`: creates the root key and writes its secret, once. So the output is opened and checked before the key is
//! created.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write, stdout},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use domain::Error;

use crate::{
    compose::{self, Access, Environment},
    config::Config,
};

/// The device number of `/dev/null` on Linux. Rust opens it in place of a closed standard output.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Creates a root key, of a new platform organization or, with `again`, of the existing one. Writes only its secret: to a new file at
/// `path` that only its owner can read (mode 0600), or without `path` to standard output.
///
/// # Errors
/// A message for the operator that says what is wrong and what to do.
pub async fn create_root_key(config: &Config, again: bool, path: Option<&Path>) -> Result<(), String> {
    let out = Output::open(path)?;
    let access = if again { Access::Existing } else { Access::Prepare };
    let services = match compose::open(config, Environment::real(), access).await {
        Ok(services) => services,
        Err(error) => {
            out.discard();
            return Err(format!("cannot use the database: {error}"));
        }
    };
    let bootstrap = &services.bootstrap;
    let created = match if again { bootstrap.create_root_key().await } else { bootstrap.create_platform().await } {
        Ok(secret) => out.write(secret.expose()),
        Err(error) => {
            out.discard();
            Err(match error {
                Error::NotFound => {
                    "there is no platform organization yet; `claviger bootstrap` creates it and its root key".to_owned()
                }
                error => error.to_string(),
            })
        }
    };
    services.close().await;
    created
}

/// The output of the secret.
enum Output {
    Standard(File),
    NewFile(PathBuf, File),
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            // Not `std::io::Stdout`, which reports success if standard output is closed.
            let out = stdout().as_fd().try_clone_to_owned().map(File::from);
            let out = out.map_err(|error| format!("standard output cannot be used: {error}"))?;
            return if is_null_device(&out).unwrap_or(true) {
                Err("standard output is closed or /dev/null, and the key would be lost; use `--output FILE` to write it to a \
                     file"
                    .to_owned())
            } else {
                Ok(Self::Standard(out))
            };
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match file {
            Ok(file) => Ok(Self::NewFile(path.to_owned(), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{} already exists and is not overwritten", path.display()))
            }
            Err(error) => Err(format!("{} cannot be created: {error}", path.display())),
        }
    }

    fn write(self, secret: &str) -> Result<(), String> {
        let line = format!("{secret}\n");
        let (name, written) = match self {
            Self::Standard(mut out) => ("standard output".to_owned(), out.write_all(line.as_bytes())),
            Self::NewFile(path, mut file) => {
                let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
                if written.is_err() {
                    // A part of a secret is useless, and the file would prevent another attempt.
                    let _ = std::fs::remove_file(&path);
                }
                (path.display().to_string(), written)
            }
        };
        written.map_err(|error| {
            format!(
                "the root key was created, but could not be written to {name}: {error}; `claviger bootstrap --again` \
                 creates another one"
            )
        })
    }

    /// Removes the new file: no key was created.
    fn discard(self) {
        if let Self::NewFile(path, _) = self {
            // If this fails, an empty file is left, which does no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_null_device(out: &File) -> io::Result<bool> {
    let metadata = out.metadata()?;
    let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Ok(metadata.file_type().is_char_device() && device == NULL_DEVICE)
}
