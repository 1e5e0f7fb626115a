//! Reloads files while the service runs: the identity providers, the signing keys and the certificate. Everything is read before
//! anything is replaced, so a reload does all of it or nothing.

use std::sync::Arc;

use crate::{
    auth::jwt::{
        issuers::{self, Provider},
        keyring::{Keyring, SigningKeyLocation},
    },
    compose::{self, Services},
    config::Config,
    process::off_thread,
    server::connection::tls::{Certificate, Tls},
};

/// What a reload replaces.
pub(super) struct Reloadable {
    /// `None`: there are no signing keys.
    pub(super) keyring: Option<Arc<Keyring>>,
    /// `None`: the service does not use TLS.
    pub(super) tls: Option<Arc<Tls>>,
}

/// The contents of the files. `None`: the settings name no such file.
struct Files {
    providers: Option<Vec<Provider>>,
    keyring: Option<Keyring>,
    certificate: Option<Certificate>,
}

impl Reloadable {
    /// Reads the files that the settings name, and uses their contents from now on. If one of them is wrong, the reasons are
    /// logged, and nothing changes.
    pub(super) async fn reload(&self, config: &Config, services: &Services) {
        let (config, entropy) = (config.clone(), services.entropy.clone());
        let read = off_thread::run(true, move || {
            let issuer = config.issuer();
            let own = issuer.as_deref().unwrap_or_default();
            let providers = config.issuers_file.as_ref().map(|path| issuers::read(path, own));
            let keyring = match compose::signing_keys(&config) {
                SigningKeyLocation::File(path) | SigningKeyLocation::Generated(path) => {
                    Some(Keyring::open(&SigningKeyLocation::File(path), issuer.as_deref(), &*entropy))
                }
                SigningKeyLocation::Memory | SigningKeyLocation::Disabled => None,
            };
            let certificate = config.certificate_files();
            let certificate = certificate.map(|(certificates, key)| Certificate::read(certificates, key));
            let mut errors = Vec::new();
            let files = Files {
                providers: accept(providers, "CLAVIGER_ISSUERS_FILE must be ", &mut errors),
                keyring: accept(keyring, "cannot use the signing keys: ", &mut errors)
                    .and_then(|opened| opened.keyring),
                certificate: accept(certificate, "cannot use the certificate: ", &mut errors),
            };
            if errors.is_empty() { Ok(files) } else { Err(errors) }
        });
        let read = read.await;
        services.metrics.record_reload(read.is_ok());
        match read {
            Ok(files) => self.replace(files, services),
            Err(errors) => {
                for error in errors {
                    tracing::error!(target: "claviger", error, "reloading failed, and nothing was changed");
                }
            }
        }
    }

    fn replace(&self, files: Files, services: &Services) {
        if let Some(providers) = files.providers {
            services.federation.replace_issuers(providers.iter().map(|provider| provider.issuer.clone()).collect());
            services.sign_in.replace(&providers);
            services.provider_tokens.replace(providers);
        }
        if let (Some(current), Some(new)) = (&self.keyring, files.keyring) {
            current.replace(&new);
        }
        if let (Some(tls), Some(certificate)) = (&self.tls, files.certificate) {
            tls.replace(certificate, services.clock.now());
        }
        tracing::info!(target: "claviger", "reloaded identity providers, signing keys and certificate");
    }
}

/// The value of a file. An error is added to `errors`, after `what`.
fn accept<T>(value: Option<Result<T, impl std::fmt::Display>>, what: &str, errors: &mut Vec<String>) -> Option<T> {
    value?.map_err(|error| errors.push(format!("{what}{error}"))).ok()
}
