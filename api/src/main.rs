//! The one binary: reads the settings, does what the subcommand says, and tells by its exit code how it went.
//!
//! 0: done. 1: it did not work, the reason is on standard error. 2: the settings or flags are wrong.

use std::{
    error::Error,
    io::{Write, stderr, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use api::{
    app,
    better_auth::{self, KeyLength},
    compose::{self, Access, World},
    config::{self, Arguments, Config},
    lifecycle,
    log_writer::LogWriter,
    probe, process, proof, retention, root_key, signals, telemetry,
};
use clap::{CommandFactory, Parser, Subcommand};
use domain::id::OrganizationId;

/// A verify makes a few small allocations; this allocator makes them in half the time and keeps a million keys in less room.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the last lines of the log may take at the end: whoever reads the log may have stalled.
const FLUSH_TIME_LIMIT: Duration = Duration::from_secs(2);

/// API keys that a company can run itself.
#[derive(Parser)]
#[command(version, about)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Serve requests (what happens without a subcommand)
    Serve,
    /// Bring the database to the schema of this version
    Migrate,
    /// Make the platform organization and print its root key, once
    Bootstrap {
        /// Print another root key of the platform organization that exists
        #[arg(long)]
        again: bool,
        /// Write the key into this new file, which only its owner can read, instead of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Ask a running server whether it is ready
    Health,
    /// What was changed by whom
    #[command(subcommand)]
    Audit(Audit),
    /// Take over keys of another system
    #[command(subcommand)]
    Import(Import),
    /// Purge what is kept long enough
    #[command(subcommand)]
    Retention(Retention),
}

#[derive(Clone, Subcommand)]
enum Retention {
    /// Run retention once, as the service does each minute, and show what it holds: exit code 1 if something is held
    Run {
        /// Purge what is held, too: the clock is right, and the settings are meant
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Subcommand)]
enum Import {
    /// The keys of a better-auth database, for an organization that exists
    BetterAuth {
        /// Its database: `sqlite://path` or `postgres://user:password@host/database`. A password in an argument is seen by
        /// everybody on the machine: give the address by the environment variable
        #[arg(env = "CLAVIGER_BETTER_AUTH_URL", hide_env_values = true)]
        url: String,
        /// The organization that the keys will belong to; the ids of their users become their external ids
        #[arg(long, value_name = "ID")]
        organization: OrganizationId,
        /// How many letters a key has after its prefix, as `defaultKeyLength` of the plugin says; with a prefix for the keys
        /// that have it. Any number of them, for a table with keys of several configurations
        #[arg(long, value_name = "[PREFIX=]N", default_value = "64")]
        key_length: Vec<KeyLength>,
        /// Look only, and tell what would be imported
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Clone, Subcommand)]
enum Audit {
    /// Prove that nobody has changed, removed or reordered events: exit code 0 if so, 1 if not
    Verify {
        /// Only the log of this organization
        #[arg(long, value_name = "ID")]
        organization: Option<OrganizationId>,
        /// An end that was told before, as `signed=` in the log of the service; any number of them
        #[arg(long, value_name = "TOKEN")]
        head: Vec<String>,
    },
}

fn main() -> ExitCode {
    process::protect();
    let line = Line::parse();
    let log = match LogWriter::start(stderr()) {
        Ok(log) => log,
        Err(error) => {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(stderr(), "claviger: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = begin(line, &log).unwrap_or_else(|error| {
        log.write_line(&format!("claviger: {error}"));
        ExitCode::FAILURE
    });
    log.flush(FLUSH_TIME_LIMIT);
    code
}

/// Reads the settings and does what the subcommand says.
fn begin(line: Line, log: &LogWriter) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let config = match line.arguments.check() {
        Ok(config) => config,
        Err(mistakes) => {
            log.write_line(&format!("claviger: {mistakes}"));
            return Ok(ExitCode::from(2));
        }
    };
    telemetry::init(&config.log, log.clone());
    for name in config::unknown_settings(&Line::command()) {
        tracing::warn!(target: "claviger", name, "there is no such setting; it is ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(run(line.command.unwrap_or(Command::Serve), &config, log));
    // What still runs on threads of its own (a file that does not answer, a name that is looked up) is not waited for.
    runtime.shutdown_background();
    done.map(|worked| if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does what the subcommand says. `false`: it did not work, and why has been logged.
async fn run(command: Command, config: &Config, log: &LogWriter) -> Result<bool, Box<dyn Error + Send + Sync>> {
    match command {
        Command::Serve => {
            let stop = signals::listen(lifecycle::stop_time_limit(config), log.clone())?;
            Ok(lifecycle::run(config, World::real(), stop).await?)
        }
        Command::Migrate => {
            compose::services(config, World::real()).await?.close().await;
            Ok(true)
        }
        Command::Bootstrap { again, output } => {
            Box::pin(root_key::hand_out(config, again, output.as_deref())).await?;
            Ok(true)
        }
        Command::Openapi => {
            // The document does not depend on what is in the database.
            let config = Config { database_url: "sqlite::memory:".to_owned(), ..config.clone() };
            let services = compose::services(&config, World::real()).await?;
            writeln!(stdout(), "{}", app::document(&services, &config))?;
            Ok(true)
        }
        Command::Audit(Audit::Verify { organization, head }) => {
            let services = compose::open(config, World::real(), Access::ReadOnly).await?;
            let proved = proof::prove(&services, config, organization, &head).await;
            services.close().await;
            proved
        }
        Command::Import(Import::BetterAuth { url, organization, key_length, dry_run }) => {
            let access = if dry_run { Access::ReadOnly } else { Access::Existing };
            let services = compose::open(config, World::real(), access).await?;
            let imported = better_auth::import(&services, &url, organization, &key_length, dry_run).await;
            services.close().await;
            writeln!(stdout(), "{}", imported?)?;
            Ok(true)
        }
        Command::Retention(Retention::Run { force }) => {
            let services = compose::open(config, World::real(), Access::Existing).await?;
            let ran = retention::run(&services, config, force).await;
            services.close().await;
            ran
        }
        Command::Health => {
            probe::ask(config.listen).await?;
            Ok(true)
        }
    }
}
