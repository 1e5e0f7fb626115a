//! The URL of a database: SQLite's as it is, PostgreSQL's in the forms of libpq, brought into the one form that the driver reads.
//!
//! A password with a special character that is not percent-encoded splits the URL at the wrong place, so that a part of the password
//! would be taken, and shown, as host or database. Such URLs are refused. No message contains a part of the URL.

use std::net::Ipv6Addr;

use url::{Url, form_urlencoded};

const FORM: &str = "like sqlite://claviger.db or postgres://user:password@host/database";

const ENCODED: &str = "a URL whose user, password and database name are percent-encoded: \
                       write %40 for @, %23 for #, %2F for /, %3F for ?, %25 for %";

const ADDRESS: &str = "a URL with a host and a port like postgres://user:password@host:5432/database";

const ONE_HOST: &str =
    "a URL with one host; several are not supported, so give a name or address that leads to the primary";

const NAMED: &str = "a URL that names the database: postgres://user:password@host/database";

const PARAMETERS: &str = "a URL without unknown parameters; these are supported: host, hostaddr, port, user, password, \
                          dbname, sslmode, sslrootcert, sslcert, sslkey, application_name, options";

/// Parameters that the driver reads, under all names that it accepts.
const PASSED: [&str; 11] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "application_name",
    "options",
];

/// Parameters of libpq that change nothing here: the service has its own time limits, uses UTF-8, and refuses a read-only server.
const IGNORED: [&str; 9] = [
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// The URL of an SQLite or PostgreSQL database. A PostgreSQL URL must name the database, because the server would otherwise use the
/// one with the name of the user.
pub(super) fn database_url(text: &str) -> Result<String, String> {
    // The parser of URLs would remove line breaks, which a file may have.
    if text.contains(char::is_control) {
        return Err("one line".to_owned());
    }
    if text.starts_with("sqlite:") {
        return Ok(text.to_owned());
    }
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    Ok(PostgresUrl::parse(rest.ok_or(FORM)?)?.to_text())
}

/// The parts of a PostgreSQL URL, percent-encoded.
#[derive(Default)]
struct PostgresUrl {
    user: String,
    password: Option<String>,
    /// A name, an address, or the directory of a Unix socket. Empty: the driver's default.
    host: String,
    port: Option<u16>,
    database: String,
    /// Other parameters, decoded.
    parameters: Vec<(String, String)>,
}

impl PostgresUrl {
    /// The parts of the URL after its scheme.
    fn parse(rest: &str) -> Result<Self, &'static str> {
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        if rest.contains('#') || path.contains(['@', '/']) || !is_percent_encoded(address) {
            return Err(ENCODED);
        }
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if host.contains(',') {
            return Err(ONE_HOST);
        }
        // The standard of URLs allows a user without a host only in libpq's.
        let has_host = !host.is_empty() && !host.starts_with(':');
        let placeholder = if has_host { "" } else { "localhost" };
        let url = format!("postgres://{credentials}@{placeholder}{host}/{path}?{query}");
        // A `?` in a password begins the parameters.
        let url = Url::parse(&url).map_err(|_| if query.contains('@') { ENCODED } else { ADDRESS })?;
        let mut parts = Self {
            user: url.username().to_owned(),
            password: url.password().map(str::to_owned),
            host: url.host_str().filter(|_| has_host).unwrap_or_default().to_owned(),
            port: url.port(),
            database: url.path().trim_start_matches('/').to_owned(),
            parameters: Vec::new(),
        };
        for (name, value) in url.query_pairs() {
            parts.set(&name, &value, query)?;
        }
        if parts.database.is_empty() { Err(NAMED) } else { Ok(parts) }
    }

    /// Sets a part by a parameter.
    fn set(&mut self, name: &str, value: &str, query: &str) -> Result<(), &'static str> {
        match name {
            "host" | "hostaddr" | "port" if value.contains(',') => return Err(ONE_HOST),
            "host" | "hostaddr" if value.parse::<Ipv6Addr>().is_ok() => self.host = format!("[{value}]"),
            "host" | "hostaddr" => self.host = percent_encoded(value),
            "port" => self.port = Some(value.parse().map_err(|_| ADDRESS)?),
            "user" => self.user = percent_encoded(value),
            "password" => self.password = Some(percent_encoded(value)),
            "dbname" => self.database = percent_encoded(value),
            name if PASSED.contains(&name) || name.starts_with("options[") => {
                self.parameters.push((name.to_owned(), value.to_owned()));
            }
            name if IGNORED.contains(&name) => {}
            _ => return Err(if query.contains('@') { ENCODED } else { PARAMETERS }),
        }
        Ok(())
    }

    /// The URL in the form that the driver reads. Without a host, user, password and port can only be parameters.
    fn to_text(&self) -> String {
        let Self { user, password, host, port, database, parameters } = self;
        let mut query: Vec<String> = Vec::new();
        let mut authority = String::new();
        if host.is_empty() {
            // What these characters mean in parameters, they do not mean in a user or password.
            let parameter = |name: &str, value: &str| {
                format!("{name}={}", value.replace('+', "%2B").replace('&', "%26").replace('=', "%3D"))
            };
            query.extend((!user.is_empty()).then(|| parameter("user", user)));
            query.extend(password.iter().map(|password| parameter("password", password)));
            query.extend(port.map(|port| format!("port={port}")));
        } else {
            let password = password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
            let at = if user.is_empty() && password.is_empty() { "" } else { "@" };
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            authority = format!("{user}{password}{at}{host}{port}");
        }
        let pairs = parameters.iter();
        query
            .extend(pairs.map(|(name, value)| {
                form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
            }));
        let mark = if query.is_empty() { "" } else { "?" };
        format!("postgres://{authority}/{database}{mark}{}", query.join("&"))
    }
}

/// Whether each `%` begins an escape of two hexadecimal digits.
fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

/// The text with an escape for each byte that is not a letter, digit, `-`, `_` or `.`.
fn percent_encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'_' | b'.' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_libpq_are_accepted() {
        for (text, canonical) in [
            ("postgres://u:p@host:5433/db", "postgres://u:p@host:5433/db"),
            ("postgresql://host/db", "postgres://host/db"),
            ("postgres://u@[::1]:1/db", "postgres://u@[::1]:1/db"),
            ("postgres:///db?host=::1", "postgres://[::1]/db"),
            ("postgres://u:p@/db?host=/run/postgresql", "postgres://u:p@%2Frun%2Fpostgresql/db"),
            ("postgres://u@%2Frun%2Fpostgresql:5433/db", "postgres://u@%2Frun%2Fpostgresql:5433/db"),
            ("postgres:///db", "postgres:///db"),
            ("postgres://u:p+%26=w@:5433/db", "postgres:///db?user=u&password=p%2B%26%3Dw&port=5433"),
            ("postgres://h?dbname=my%20db&user=a%40b&password=p%23", "postgres://a%40b:p%23@h/my%20db"),
            ("postgres://u:p%40%23%2F%3F%25@h/db", "postgres://u:p%40%23%2F%3F%25@h/db"),
            ("postgres://u:p@ss:w@h/db", "postgres://u:p%40ss%3Aw@h/db"),
            (
                "postgres://u@h/db?sslmode=require&options=-c search_path=keys&connect_timeout=5",
                "postgres://u@h/db?sslmode=require&options=-c+search_path%3Dkeys",
            ),
        ] {
            assert_eq!(database_url(text), Ok(canonical.to_owned()), "{text}");
        }
    }

    #[test]
    fn passwords_that_are_not_percent_encoded_are_refused() {
        for text in [
            "postgres://u:p@ss/w@host/db",
            "postgres://u:p/w@host/db",
            "postgres://u:12/w@host/db",
            "postgres://u:p#w@host/db",
            "postgres://u:12?w@host/db",
            "postgres://u:p?w=1@host/db",
            "postgres://u:100%@host/db",
            "postgres://u:5%zz@host/db",
        ] {
            assert_eq!(database_url(text), Err(ENCODED.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (text, reason) in [
            ("mysql://u:p@host/db", FORM),
            ("host=localhost dbname=db", FORM),
            ("postgres://u:p@a:1,b:2/db", ONE_HOST),
            ("postgres://u:p@/db?host=a,b", ONE_HOST),
            ("postgres://u:p@host:port/db", ADDRESS),
            ("postgres://u:p@host/db?port=x", ADDRESS),
            ("postgres://u:p@host", NAMED),
            ("postgres://host/?dbname=", NAMED),
            ("postgres://u:p@host/db?pgbouncer=true", PARAMETERS),
            ("postgres://u:p@host/db?channel_binding=require", PARAMETERS),
        ] {
            assert_eq!(database_url(text), Err(reason.to_owned()), "{text}");
        }
    }
}
