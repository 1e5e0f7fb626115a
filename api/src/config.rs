//! Settings from flags and environment variables. All are checked at once, so that all errors are reported together.

mod arguments;
mod database_url;
pub mod setting_file;
#[cfg(test)]
mod tests;
pub mod unknown;
mod values;

use std::{fmt, fs, net::SocketAddr, path::Path, time::Duration};

use clap::{ArgMatches, parser::ValueSource};
use url::{Position, Url};

pub use self::arguments::{Arguments, Config};
use self::unknown::UnknownSettings;
use crate::{
    auth::jwt::{
        issuers::{self, Provider},
        keyring::Keyring,
    },
    http::origin::PublicUrl,
    server::connection::tls::Certificate,
};

/// How long a client may take to send the head of a request, to send the next request, and to receive a part of a response.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether users can sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUpMode {
    /// Anyone can sign up.
    Open,
    /// Sign-up is closed.
    Closed,
    /// The default: open if only clients on this machine are expected ([`Config::is_sign_up_open`]), else closed.
    Automatic,
}

/// Where `/metrics` is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// At the address of the service, for clients on the same machine only.
    Service,
    /// At this address only.
    Address(SocketAddr),
    /// Metrics are not served.
    Off,
}

/// All errors in the settings: one line each, with the name of the environment variable.
#[derive(Debug, Default)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl ConfigErrors {
    /// The value of a setting. `None`: it is invalid, and a line with what it must be was added. The line does not contain the value,
    /// because that may be a secret that was meant for another setting.
    fn value<T>(&mut self, name: &str, value: Result<T, impl fmt::Display>) -> Option<T> {
        value.map_err(|expected| self.0.push(format!("{name} must be {expected}"))).ok()
    }

    /// The name of the file with the value of a setting is empty. It is an error, because a manifest may have lost it.
    fn no_file<T>(&mut self, name: &str) -> Option<T> {
        self.0.push(format!("{name}_FILE must name a file; remove it if there is none"));
        None
    }

    /// The value of a setting that is in the file `path`. `is_given`: whether the setting itself has a value, too.
    fn value_in_file<T>(
        &mut self,
        name: &str,
        is_given: bool,
        path: &Path,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if is_given {
            self.0.push(format!("{name} and {name}_FILE are both set: remove one of them"));
            return None;
        }
        match setting_file::read(path) {
            Ok(text) => self.value(&format!("the content of {name}_FILE"), parse(&text)),
            Err(expected) => {
                self.0.push(format!("{name}_FILE must name {expected}"));
                None
            }
        }
    }
}

/// Whether a setting was given on the command line or in the environment.
fn is_given(matches: &ArgMatches, setting: &str) -> bool {
    matches.value_source(setting).is_some_and(|source| source != ValueSource::DefaultValue)
}

impl Arguments {
    /// Checks all settings. `matches` are those that these arguments were read from.
    ///
    /// # Errors
    /// All errors in the settings and in the files that contain settings, and those of `unknown`.
    pub fn check(&self, matches: &ArgMatches, unknown: &UnknownSettings) -> Result<Config, ConfigErrors> {
        let mut errors = ConfigErrors(unknown.errors.clone());
        let config = self.values(matches, &mut errors);
        let has_tls = self.has_tls(&mut errors);
        self.check_key_files(&mut errors);
        let public_url = self.public_url_or_default(has_tls);
        // The file is read even if there are other errors, so that all are reported together.
        let issuer = public_url.as_ref().map(PublicUrl::issuer).unwrap_or_default();
        let providers = self.providers(&issuer, &mut errors);
        match (config, providers) {
            (Some(config), Some(providers)) if errors.0.is_empty() => Ok(Config { public_url, providers, ..config }),
            _ => Err(errors),
        }
    }

    /// Whether the service uses TLS.
    fn has_tls(&self, errors: &mut ConfigErrors) -> bool {
        let is_set = |file: &Result<Option<_>, _>| matches!(file, Ok(Some(_)));
        let (certificate, key) = (is_set(&self.tls_cert_file.0), is_set(&self.tls_key_file.0));
        if certificate != key {
            let (set, missing) = if certificate { ("CERT", "KEY") } else { ("KEY", "CERT") };
            errors.0.push(format!("CLAVIGER_TLS_{missing}_FILE must be set, because CLAVIGER_TLS_{set}_FILE is"));
        }
        certificate
    }

    /// Checks the files with the signing keys and with the certificate, so that errors in them are reported with all others, and are
    /// no reason to start the service again. What is not a file, such as a pipe, can be read only once, and is read at the start.
    fn check_key_files(&self, errors: &mut ConfigErrors) {
        let is_checked = |path: &Path| !fs::metadata(path).is_ok_and(|of| !of.is_file() && !of.is_dir());
        if let Ok(Some(path)) = &self.signing_key_file.0
            && is_checked(path)
            && let Err(error) = Keyring::check(path)
        {
            errors.0.push(format!("CLAVIGER_SIGNING_KEY_FILE must name a file with signing keys: {error}"));
        }
        if let (Ok(Some(certificates)), Ok(Some(key))) = (&self.tls_cert_file.0, &self.tls_key_file.0)
            && is_checked(certificates)
            && is_checked(key)
            && let Err(error) = Certificate::read(certificates, key)
        {
            let what = "CLAVIGER_TLS_CERT_FILE and CLAVIGER_TLS_KEY_FILE must name a certificate and its private key";
            errors.0.push(format!("{what}: {error}"));
        }
    }

    /// The public URL; by default `http://`, or with TLS `https://`, and the listen address, if that is a loopback address.
    /// Others, such as `0.0.0.0`, are not what clients use. `None`: there is no default, or the setting is invalid.
    fn public_url_or_default(&self, has_tls: bool) -> Option<PublicUrl> {
        let scheme = if has_tls { "https" } else { "http" };
        match (&self.public_url.0, &self.listen.0) {
            (Ok(None), Ok(listen)) if listen.ip().to_canonical().is_loopback() => {
                PublicUrl::parse(&format!("{scheme}://{listen}")).ok()
            }
            (Ok(url), _) => url.clone(),
            (Err(_), _) => None,
        }
    }

    /// The identity providers in the issuers file; without a file, none.
    fn providers(&self, own_issuer: &str, errors: &mut ConfigErrors) -> Option<Vec<Provider>> {
        match &self.issuers_file.0 {
            Ok(Some(path)) => errors.value("CLAVIGER_ISSUERS_FILE", issuers::read(path, own_issuer)),
            _ => Some(Vec::new()),
        }
    }
}

impl Config {
    /// What the operator should know about the public URL. `None`: nothing.
    #[must_use]
    pub fn public_url_warning(&self) -> Option<&'static str> {
        match &self.public_url {
            None => Some(
                "CLAVIGER_PUBLIC_ORIGIN is not set: no access tokens are issued, and the origin of each request is taken \
                 from its headers; set it to the URL at which browsers reach the service",
            ),
            Some(url) if !url.is_https() && !url.is_this_machine() => Some(
                "CLAVIGER_PUBLIC_ORIGIN is http: anyone on the network path can read keys and session cookies; use https",
            ),
            Some(_) => None,
        }
    }

    /// The files with the certificate chain and its private key. `None`: the service does not use TLS.
    #[must_use]
    pub fn certificate_files(&self) -> Option<(&Path, &Path)> {
        self.tls_cert_file.as_deref().zip(self.tls_key_file.as_deref())
    }

    /// The separate address of forward-auth. `None`: it has none, or is off.
    #[must_use]
    pub fn forward_auth_address(&self) -> Option<SocketAddr> {
        self.forward_auth_listen.filter(|_| self.forward_auth)
    }

    /// The claim `iss` of tokens. `None`: the public URL is not known.
    #[must_use]
    pub fn issuer(&self) -> Option<String> {
        self.public_url.as_ref().map(PublicUrl::issuer)
    }

    /// Whether users can sign up.
    #[must_use]
    pub fn is_sign_up_open(&self) -> bool {
        match self.sign_up {
            SignUpMode::Open => true,
            SignUpMode::Closed => false,
            SignUpMode::Automatic => self.is_for_this_machine(),
        }
    }

    /// Whether only clients on this machine are expected: the listen address and the public URL are those of this machine, and no
    /// proxy is trusted.
    fn is_for_this_machine(&self) -> bool {
        let is_loopback = self.listen.ip().to_canonical().is_loopback();
        is_loopback
            && self.trusted_proxies.0.is_empty()
            && self.public_url.as_ref().is_none_or(PublicUrl::is_this_machine)
    }

    /// The URL of the database for the log: of PostgreSQL without user, password and parameters, of SQLite unchanged.
    #[must_use]
    pub fn database_url_without_secrets(&self) -> String {
        match Url::parse(&self.database_url) {
            Ok(url) if url.scheme() != "sqlite" => {
                format!("{}://{}{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort], url.path())
            }
            _ => self.database_url.clone(),
        }
    }
}

/// The URL of another system's database, in the form that the driver reads.
///
/// # Errors
/// What the URL must be, to end the sentence "… must be …".
pub fn parse_database_url(text: &str) -> Result<String, String> {
    database_url::database_url(text)
}
