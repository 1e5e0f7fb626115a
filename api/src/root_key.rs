//! `claviger bootstrap`: hands out the root key, which is shown once. So the way out of the process is looked at before the key
//! is made.

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
    compose::{self, Access, World},
    config::Config,
};

/// The device number of `/dev/null` on Linux. Rust opens it for a standard output that is closed.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Makes a root key, of a new platform organization or (`again`) of the one that is there, and writes it, alone, into a new
/// file for its owner alone, or to standard output.
///
/// # Errors
/// A sentence about what is wrong, and what to do.
pub async fn hand_out(config: &Config, again: bool, path: Option<&Path>) -> Result<(), String> {
    let out = Out::open(path)?;
    let access = if again { Access::Existing } else { Access::Prepare };
    let services = match compose::open(config, World::real(), access).await {
        Ok(services) => services,
        Err(error) => {
            out.discard();
            return Err(format!("cannot use the database {error}"));
        }
    };
    let bootstrap = &services.bootstrap;
    let handed_out = match if again { bootstrap.again().await } else { bootstrap.first().await } {
        Ok(secret) => out.write(secret.expose()),
        Err(error) => {
            out.discard();
            Err(match error {
                Error::NotFound => {
                    "there is no platform organization yet; `claviger bootstrap` makes it, and its root key".to_owned()
                }
                error => error.to_string(),
            })
        }
    };
    services.close().await;
    handed_out
}

/// Where the key goes.
enum Out {
    Standard(File),
    New(PathBuf, File),
}

impl Out {
    fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            // Not the standard library's standard output, which calls it a success when nothing can be written to it.
            let out = stdout().as_fd().try_clone_to_owned().map(File::from);
            let out = out.map_err(|error| format!("standard output cannot be used: {error}"))?;
            return if leads_nowhere(&out).unwrap_or(true) {
                Err("standard output is closed or /dev/null, and the key would be lost; `--output FILE` writes it into a \
                     file"
                    .to_owned())
            } else {
                Ok(Self::Standard(out))
            };
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match file {
            Ok(file) => Ok(Self::New(path.to_owned(), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{} is there already, and is not overwritten", path.display()))
            }
            Err(error) => Err(format!("{} cannot be made: {error}", path.display())),
        }
    }

    fn write(self, secret: &str) -> Result<(), String> {
        let line = format!("{secret}\n");
        let (name, written) = match self {
            Self::Standard(mut out) => ("standard output".to_owned(), out.write_all(line.as_bytes())),
            Self::New(path, mut file) => {
                let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
                if written.is_err() {
                    // A part of a key is of no use, and would be in the way of the next one.
                    let _ = std::fs::remove_file(&path);
                }
                (path.display().to_string(), written)
            }
        };
        written.map_err(|error| {
            format!(
                "the root key was made, but could not be written to {name}: {error}; `claviger bootstrap --again` makes \
                 another one"
            )
        })
    }

    /// There is no key: a file that was made for it goes.
    fn discard(self) {
        if let Self::New(path, _) = self {
            // It is empty and does no harm where it stays.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn leads_nowhere(out: &File) -> io::Result<bool> {
    let metadata = out.metadata()?;
    let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Ok(metadata.file_type().is_char_device() && device == NULL_DEVICE)
}
