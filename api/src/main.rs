//! The one binary: reads the settings, does what the subcommand says, and tells by its exit code how it went.
//!
//! 0: done. 1: it did not work, the reason is on standard error. 2: the settings or flags are wrong.

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use api::{
    app, better_auth,
    compose::{self, Access, World},
    config::{self, Arguments, Config},
    lifecycle, probe, proof, retention, telemetry,
};
use clap::{CommandFactory, Parser, Subcommand};
use domain::{Error, id::OrganizationId};

/// A verify makes a few small allocations; this allocator makes them in half the time and keeps a million keys in less room.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        /// Its database: `sqlite://path` or `postgres://user:password@host/database`
        url: String,
        /// The organization that the keys will belong to; the ids of their users become their external ids
        #[arg(long, value_name = "ID")]
        organization: OrganizationId,
        /// How many letters a key has after its prefix, as `defaultKeyLength` of the plugin says
        #[arg(long, value_name = "N", default_value = "64")]
        key_length: u16,
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
    let line = Line::parse();
    let config = match line.arguments.check() {
        Ok(config) => config,
        Err(mistakes) => {
            complain(&mistakes);
            return ExitCode::from(2);
        }
    };
    telemetry::init(&config.log);
    for name in config::unknown_settings(&Line::command()) {
        tracing::warn!(target: "claviger", name, "there is no such setting; it is ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the operating system gives us threads");
    match runtime.block_on(run(line.command.unwrap_or(Command::Serve), &config)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Does what the subcommand says. `false`: it did not work, and why has been logged.
async fn run(command: Command, config: &Config) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    match command {
        Command::Serve => Ok(lifecycle::run(config, World::real()).await?),
        Command::Migrate => {
            compose::services(config, World::real()).await?.close().await;
            Ok(true)
        }
        Command::Bootstrap { again } => {
            let access = if again { Access::Existing } else { Access::Prepare };
            let services = compose::open(config, World::real(), access).await?;
            let bootstrap = &services.bootstrap;
            let secret = if again { bootstrap.again().await } else { bootstrap.first().await };
            let secret = secret.map_err(|error| match error {
                Error::NotFound => NO_PLATFORM.into(),
                error => Box::<dyn std::error::Error + Send + Sync>::from(error),
            })?;
            writeln!(stdout(), "{}", secret.expose())?;
            services.close().await;
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
            let imported = better_auth::import(&services, &url, organization, key_length, dry_run).await;
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
        Command::Health => Ok(probe::is_ready(config.listen).await?),
    }
}

const NO_PLATFORM: &str = "there is no platform organization yet; `claviger bootstrap` makes it, and its root key";

fn complain(error: &dyn std::fmt::Display) {
    // Nothing can be done about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "claviger: {error}");
}
