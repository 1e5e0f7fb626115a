//! Environment variables that begin with `CLAVIGER_` but are no settings.

use std::ffi::OsString;

use strsim::damerau_levenshtein;

/// The beginning of the names of all settings.
const PREFIX: &str = "CLAVIGER_";

/// An unknown variable with this beginning is never ignored: without its database the service would start with an empty one.
const DATABASE: &str = "CLAVIGER_DATABASE";

/// Settings of earlier versions, and their names now. Each is an error: ignored, its limit would no longer apply.
const RENAMED: [(&str, &str); 1] = [("CLAVIGER_MAX_KEYS", "CLAVIGER_MAX_API_KEYS")];

/// The variables that are no settings. Those that Kubernetes sets for a service named `claviger` are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UnknownSettings {
    /// Errors, as sentences: variables that are most likely misspelled.
    pub errors: Vec<String>,
    /// The names of other variables.
    pub ignored: Vec<String>,
}

impl UnknownSettings {
    /// Of the variables of this process, those that are no settings of `command` and its subcommands.
    #[must_use]
    pub fn of_this_process(command: &clap::Command) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self::among(command, std::env::vars_os().filter_map(text))
    }

    /// Of these variables, those that are no settings of `command` and its subcommands.
    fn among(command: &clap::Command, variables: impl Iterator<Item = (String, String)>) -> Self {
        let known: Vec<&str> = settings(command);
        let mut unknown = Self::default();
        for (name, value) in variables {
            let is_ours = name.starts_with(PREFIX) && !known.contains(&name.as_str());
            if !is_ours || is_of_kubernetes(&name, &value) {
                continue;
            }
            match (renamed(&name).or_else(|| similar(&name, &known)), name.starts_with(DATABASE)) {
                (Some(meant), _) => unknown.errors.push(format!("{name} is no setting: did you mean {meant}?")),
                (None, true) => unknown.errors.push(format!(
                    "{name} is no setting: see `claviger --help` for those of the database, or remove it"
                )),
                (None, false) => unknown.ignored.push(name),
            }
        }
        unknown
    }
}

/// The environment variables of a command and of its subcommands.
fn settings(command: &clap::Command) -> Vec<&str> {
    let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    own.chain(command.get_subcommands().flat_map(settings)).collect()
}

/// The name that a setting of an earlier version has now.
fn renamed(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
}

/// The setting whose name differs from `name` in few letters: in one, or in one for each five letters.
fn similar<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let own = name.strip_prefix(PREFIX)?;
    let with_distance = |known: &&'a str| Some((damerau_levenshtein(own, known.strip_prefix(PREFIX)?), *known));
    let (distance, nearest) = known.iter().filter_map(with_distance).min()?;
    let letters = nearest.len() - PREFIX.len();
    (distance <= 1.max(letters / 5)).then_some(nearest)
}

/// Whether Kubernetes sets this variable for a service whose name begins with `claviger`, as
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables> describes.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    const PROTOCOLS: [(&str, &str); 3] = [("TCP", "tcp://"), ("UDP", "udp://"), ("SCTP", "sctp://")];
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") && PROTOCOLS.iter().any(|(_, scheme)| value.starts_with(scheme)) {
        return true;
    }
    // CLAVIGER_PORT_8080_TCP, and the same with _PROTO, _PORT or _ADDR.
    let Some((_, rest)) = name.split_once("_PORT_") else { return false };
    let mut parts = rest.split('_');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(is_number)
        && parts.next().is_some_and(|part| PROTOCOLS.iter().any(|(name, _)| *name == part))
        && parts.next().is_none_or(|part| ["PROTO", "PORT", "ADDR"].contains(&part))
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn among(variables: &[(&str, &str)]) -> UnknownSettings {
        let setting = |name: &'static str| Arg::new(name).long(name).env(name);
        let names = ["CLAVIGER_DATABASE_URL", "CLAVIGER_SIGNUP", "CLAVIGER_LOG", "CLAVIGER_TRUSTED_PROXIES"];
        let command = Command::new("claviger").args(names.map(setting));
        let command = command.subcommand(Command::new("import").arg(setting("CLAVIGER_BETTER_AUTH_URL")));
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        UnknownSettings::among(&command, owned)
    }

    #[test]
    fn settings_and_variables_of_kubernetes_are_known() {
        let known = [
            ("CLAVIGER_DATABASE_URL", "postgres://a/b"),
            ("CLAVIGER_BETTER_AUTH_URL", "postgres://a/b"),
            ("PATH", "/bin"),
            ("CLAVIGER_PORT", "tcp://10.0.0.1:80"),
            ("CLAVIGER_SERVICE_HOST", "10.0.0.1"),
            ("CLAVIGER_SERVICE_PORT", "80"),
            ("CLAVIGER_SERVICE_PORT_HTTP", "80"),
            ("CLAVIGER_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("CLAVIGER_PORT_80_TCP_PROTO", "tcp"),
            ("CLAVIGER_PORT_80_TCP_PORT", "80"),
            ("CLAVIGER_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("CLAVIGER_DATABASE_SERVICE_HOST", "10.0.0.2"),
            ("CLAVIGER_DATABASE_PORT", "tcp://10.0.0.2:5432"),
            ("CLAVIGER_DATABASE_PORT_5432_TCP_ADDR", "10.0.0.2"),
        ];
        assert_eq!(among(&known), UnknownSettings::default());
    }

    #[test]
    fn misspelled_settings_and_unknown_ones_of_the_database_are_errors() {
        for (name, meant) in [
            ("CLAVIGER_DATABASE_ULR", "CLAVIGER_DATABASE_URL"),
            ("CLAVIGER_DATABASEURL", "CLAVIGER_DATABASE_URL"),
            ("CLAVIGER_SINGUP", "CLAVIGER_SIGNUP"),
            ("CLAVIGER_MAX_KEYS", "CLAVIGER_MAX_API_KEYS"),
            ("CLAVIGER_LOGS", "CLAVIGER_LOG"),
            ("CLAVIGER_TRUSTED_PROXY", "CLAVIGER_TRUSTED_PROXIES"),
            ("CLAVIGER_BETTERAUTH_URL", "CLAVIGER_BETTER_AUTH_URL"),
        ] {
            assert_eq!(among(&[(name, "x")]).errors, [format!("{name} is no setting: did you mean {meant}?")]);
        }
        for name in ["CLAVIGER_DATABASE", "CLAVIGER_DATABASE_HOST", "CLAVIGER_DATABASE_PORT"] {
            let unknown = among(&[(name, "5432")]);
            assert!(unknown.errors.len() == 1 && unknown.errors[0].starts_with(name), "{unknown:?}");
        }
    }

    #[test]
    fn other_unknown_variables_are_ignored() {
        for (name, value) in [
            ("CLAVIGER_TEST_POSTGRES_URL", "x"),
            ("CLAVIGER_PORT", "8080"),
            ("CLAVIGER_PORT_8080_TLS", "x"),
            ("CLAVIGER_HOME", "/"),
            ("CLAVIGER_", ""),
        ] {
            let unknown = among(&[(name, value)]);
            assert_eq!((unknown.ignored, unknown.errors), (vec![name.to_owned()], Vec::new()));
        }
    }
}
