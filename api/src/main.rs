//! The binary: reads the settings and executes a subcommand.
//!
//! Exit codes: 0: success. 1: failure, with the reason on standard error. 2: the settings or flags are invalid, or a file that
//! they name cannot be used. 3: `audit verify` found logs that are consistent, but not
//! covered by signed checkpoints.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use api::{
    app,
    cli::{
        audit_verify, bootstrap, check_gateway, healthcheck,
        import_better_auth::{self, KeyLength},
        retention,
        usage_error::UsageError,
    },
    compose::{self, Access, Environment},
    config::{Arguments, Config, setting_file, unknown::UnknownSettings},
    lifecycle,
    process::{self, log_writer::LogWriter, signals, telemetry},
};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use domain::id::OrganizationId;

/// A verify makes a few small allocations. In measurements mimalloc took half the time of the system's allocator for them, and
/// less memory for a cache of a million keys.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time limit for writing the last log lines at exit: the reader of the log may have stalled.
const FLUSH_TIME_LIMIT: Duration = Duration::from_secs(2);

/// A self-hosted API key service.
#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Serve requests (the default)
    Serve,
    /// Migrate the database to the schema of this version
    Migrate,
    /// Create the platform organization and print its root key, once
    Bootstrap {
        /// Print another root key of the existing platform organization
        #[arg(long)]
        again: bool,
        /// Write the key to this new file, readable by its owner only, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Check whether a running server is ready
    Health,
    /// Check a gateway that uses forward-auth, by requests to the API behind it: exit code 1 if something is wrong
    CheckGateway {
        /// URL at which visitors reach the API: `https://api.example.com`
        url: String,
        /// Path of an operation that needs a key [default: that of the URL]
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// Secret of a valid key, which is used once; `-`: read it from standard input, because arguments are visible to
        /// all users of the machine
        #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
        key: Option<String>,
    },
    /// Print the version
    Version,
    /// Verify the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Import keys from another system
    #[command(subcommand)]
    Import(Import),
    /// Purge data whose retention period has passed
    #[command(subcommand)]
    Retention(RetentionCommand),
}

#[derive(Clone, Subcommand)]
enum RetentionCommand {
    /// Purge once, as the service does each minute, and show what is held: exit code 1 if something is held
    Run {
        /// Also purge what is held: confirms that the clock and the retention settings are right
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Subcommand)]
enum Import {
    /// Import the keys of a better-auth database into an existing organization
    BetterAuth {
        /// URL of the better-auth database: `sqlite://path` or `postgres://user:password@host/database`. Arguments are
        /// visible to all users of the machine: pass a URL with a password in the environment variable
        #[arg(env = "CLAVIGER_BETTER_AUTH_URL", hide_env_values = true, required_unless_present = "url_file")]
        url: Option<String>,
        /// File that contains the URL of the better-auth database
        #[arg(
            long,
            env = "CLAVIGER_BETTER_AUTH_URL_FILE",
            hide_env_values = true,
            value_name = "PATH",
            conflicts_with = "url"
        )]
        url_file: Option<PathBuf>,
        /// The organization that the keys will belong to; the ids of their users become the external ids of the keys
        #[arg(long, value_name = "ID")]
        organization: OrganizationId,
        /// Number of characters of a key after its prefix, as in `defaultKeyLength` of the plugin; with a prefix, for
        /// the keys with this prefix only. May be repeated, for keys of several configurations
        #[arg(long, value_name = "[PREFIX=]N", default_value = "64")]
        key_length: Vec<KeyLength>,
        /// Whether the keys can manage Claviger; `false` is recommended for keys of your own API [default: as
        /// configured for new keys of the organization]
        #[arg(long, value_name = "true|false")]
        can_manage: Option<bool>,
        /// Import nothing, and show what would be imported
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Clone, Subcommand)]
enum Audit {
    /// Prove that events were not changed, added, removed or reordered
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// Verify only the log of this organization
        #[arg(long, value_name = "ID")]
        organization: Option<OrganizationId>,
        /// A checkpoint that was stored elsewhere, as in the field `signed` in the log of the service. May be repeated
        #[arg(long = "checkpoint", value_name = "TOKEN")]
        signed_checkpoints: Vec<String>,
        /// A file with checkpoints that were stored elsewhere: one per line, or lines of the log of the service. May be
        /// repeated. Shows whether an administrator of the database has restored an older state of a log
        #[arg(long, value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
}

/// The exit codes of `audit verify`, for its help text.
const EXIT_CODES: &str = "Exit codes:
  0  all logs are proven: signed checkpoints cover them, except for events of the last ten minutes
  1  a log was changed, or its beginning is missing without a signed record; or nothing could be verified
  2  the settings or flags are wrong, or a file that they name cannot be read
  3  all logs are consistent, but not all are protected against an administrator of the database";

fn main() -> ExitCode {
    process::protect();
    let command = with_settings_shown_once(CommandLine::command());
    let matches = command.get_matches();
    let command_line = CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let log = match LogWriter::start(stderr()) {
        Ok(log) => log,
        Err(error) => {
            // If standard error is closed, there is no other place to report it.
            let _ = writeln!(stderr(), "claviger: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = execute(command_line, &matches, &log).unwrap_or_else(|error| {
        log.write_line(&format!("claviger: {error}"));
        if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
    });
    log.flush(FLUSH_TIME_LIMIT);
    code
}

/// Hides the settings in the help texts of the subcommands: `claviger --help` shows them.
fn with_settings_shown_once(command: clap::Command) -> clap::Command {
    const MORE: &str = "All settings can be given, too: see `claviger --help`.";
    // clap gives a subcommand the arguments of its command that it does not have yet.
    let settings = command.get_arguments().filter(|argument| argument.is_global_set());
    let hidden: Vec<clap::Arg> = settings.map(|argument| argument.clone().hide(true)).collect();
    command.mut_subcommands(|subcommand| {
        let own = subcommand.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
        subcommand.args(hidden.clone()).after_help(format!("{own}{MORE}"))
    })
}

/// Reads the settings and executes the subcommand on a runtime. Invalid settings are logged and are exit code 2.
fn execute(
    command_line: CommandLine,
    matches: &ArgMatches,
    log: &LogWriter,
) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let command = command_line.command.unwrap_or(Command::Serve);
    if matches!(command, Command::Version) {
        writeln!(stdout(), "{}", CommandLine::command().render_version().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let unknown = UnknownSettings::of_this_process(&CommandLine::command());
    let config = match command_line.arguments.check(matches, &unknown) {
        Ok(config) => config,
        Err(mistakes) => {
            log.write_line(&format!("claviger: {mistakes}"));
            return Ok(ExitCode::from(2));
        }
    };
    telemetry::init(compose::LOG_DIRECTIVES, &config.log, log.clone());
    for name in unknown.ignored {
        tracing::warn!(target: "claviger", name, "unknown setting; it is ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(command, &config, log));
    // Blocking threads (a file system that does not respond, a DNS lookup) are not waited for.
    runtime.shutdown_background();
    done
}

/// The URL of the database to import from, of which exactly one form was given.
fn import_url(url: Option<String>, file: Option<&Path>) -> Result<String, UsageError> {
    match (url, file) {
        (Some(url), _) => Ok(url),
        (None, Some(file)) => setting_file::read(file)
            .map_err(|expected| UsageError(format!("CLAVIGER_BETTER_AUTH_URL_FILE must name {expected}"))),
        (None, None) => Err(UsageError("the URL of the database is missing".to_owned())),
    }
}

/// Executes the subcommand. An exit code other than 0 means that the reason was logged already; an error is still to be logged.
async fn run(command: Command, config: &Config, log: &LogWriter) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let outcome: Result<bool, Box<dyn Error + Send + Sync>> = match command {
        Command::Serve => {
            let signals = signals::listen(config.shutdown_delay, lifecycle::stop_time_limit(config), log.clone())?;
            Ok(lifecycle::run(config, Environment::real(), signals).await?)
        }
        Command::Migrate => {
            compose::services(config, Environment::real()).await?.close().await;
            Ok(true)
        }
        Command::Bootstrap { again, output } => {
            Box::pin(bootstrap::create_root_key(config, again, output.as_deref())).await?;
            Ok(true)
        }
        Command::Openapi => {
            // The document does not depend on the contents of the database.
            let config = Config { database_url: "sqlite::memory:".to_owned(), ..config.clone() };
            let services = compose::services(&config, Environment::real()).await?;
            writeln!(stdout(), "{}", app::document(&services, &config))?;
            Ok(true)
        }
        Command::Audit(Audit::Verify { organization, signed_checkpoints, checkpoints }) => {
            let services = compose::open(config, Environment::real(), Access::ReadOnly).await?;
            let verification =
                audit_verify::verify(&services, config, organization, &signed_checkpoints, &checkpoints).await;
            services.close().await;
            return Ok(ExitCode::from(verification?.exit_code()));
        }
        Command::Import(Import::BetterAuth { url, url_file, organization, key_length, can_manage, dry_run }) => {
            let url = import_url(url, url_file.as_deref())?;
            let access = if dry_run { Access::ReadOnly } else { Access::Existing };
            let services = compose::open(config, Environment::real(), access).await?;
            let imported =
                import_better_auth::import(&services, &url, organization, &key_length, can_manage, dry_run).await;
            services.close().await;
            writeln!(stdout(), "{}", imported?)?;
            Ok(true)
        }
        Command::Retention(RetentionCommand::Run { force }) => {
            let services = compose::open(config, Environment::real(), Access::Existing).await?;
            let ran = retention::run(&services, config, force).await;
            services.close().await;
            ran
        }
        Command::Health => {
            healthcheck::check_readiness(config.listen, config.certificate_files().is_some()).await?;
            Ok(true)
        }
        Command::CheckGateway { url, path, key } => {
            let report = check_gateway::check(&url, path.as_deref(), key).await?;
            write!(stdout(), "{report}")?;
            Ok(report.is_right)
        }
        Command::Version => Ok(true),
    };
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
