//! The commands of the program.

pub mod admin;
pub mod bench;
mod child;
mod core_dumps;
pub mod demo;
pub mod import;
pub mod running;
pub mod serve;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::admin::AdminArgs;
use crate::cli::bench::BenchArgs;
use crate::cli::demo::DemoArgs;
use crate::cli::import::ImportArgs;
use crate::cli::serve::ServeArgs;

/// Decides what an API call may do and what it costs, and keeps what happened exactly once.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "tollgate", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Run the server. `tollgate` alone does the same.
    Serve(ServeArgs),
    /// Play the traffic of a language model service to a server of its own, and look on.
    Demo(DemoArgs),
    /// Bring history from a file into the ledger, once.
    Import(Box<ImportArgs>),
    /// Look after a server that runs.
    Admin(AdminArgs),
    /// Measure what a call costs the server, against a floor that does nothing.
    Bench(BenchArgs),
    #[command(name = bench::FLOOR_COMMAND, hide = true)]
    BenchFloor {
        /// Where each check sends a script.
        redis: Option<String>,
    },
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match cli.command {
        None => serve::run(cli.serve).await,
        Some(Command::Serve(args)) => serve::run(args).await,
        Some(Command::Demo(args)) => Ok(demo::run(args).await.map(|()| ExitCode::SUCCESS)?),
        Some(Command::Import(args)) => Ok(import::run(*args).await?),
        Some(Command::Admin(args)) => Ok(admin::run(args).await?),
        Some(Command::Bench(args)) => Ok(bench::run(args).await.map(|()| ExitCode::SUCCESS)?),
        Some(Command::BenchFloor { redis }) => bench::serve_floor(redis).await.map(|()| ExitCode::SUCCESS),
    }
}

/// Says on the standard error stream why the program gives up, with all causes, in one line.
pub fn complain(error: &(dyn Error + 'static)) -> ExitCode {
    let mut line = format!("tollgate: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    // Nobody is left to tell where even that cannot be written.
    writeln!(std::io::stderr(), "{line}").map_or(ExitCode::FAILURE, |()| ExitCode::FAILURE)
}
