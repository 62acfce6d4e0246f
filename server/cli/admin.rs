//! `tollgate admin`: what an operator asks of a server that runs, as its client.

mod audit;
mod jobs;
mod keys;
mod members;
mod plans;
mod show;
mod tenants;
mod users;

use std::process::ExitCode;

use tollgate_client::{BuildError, Client};

use crate::cli::admin::audit::AuditCommand;
use crate::cli::admin::jobs::JobsCommand;
use crate::cli::admin::keys::KeysCommand;
use crate::cli::admin::members::MembersCommand;
use crate::cli::admin::plans::{CreditsCommand, PlansCommand};
use crate::cli::admin::tenants::TenantsCommand;
use crate::cli::admin::users::UsersCommand;

/// What to ask of which server.
#[derive(Clone, Debug, clap::Args)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,

    /// Where the server is (default: `TOLLGATE_ENDPOINT`, or <http://127.0.0.1:7180>).
    #[arg(long, global = true)]
    endpoint: Option<String>,

    /// The operator's credential [default: `TOLLGATE_API_KEY`].
    #[arg(long, global = true)]
    api_key: Option<String>,

    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum AdminCommand {
    /// Work that no request waits for.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// The tenants.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// The keys of tenants and of service accounts.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The people who can log in.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Who belongs to a tenant, and as what.
    #[command(subcommand)]
    Members(MembersCommand),
    /// Who changed what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The catalogue, and who is on which plan.
    #[command(subcommand)]
    Plans(PlansCommand),
    /// The credits of tenants.
    #[command(subcommand)]
    Credits(CreditsCommand),
}

/// Why the server was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no way to the server.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// It refuses, or cannot.
    #[error("{}", .0.message())]
    Refused(#[from] tonic::Status),
    /// The answer cannot be shown.
    #[error("the answer cannot be written")]
    Write(#[from] std::io::Error),
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

/// Asks the server. Success: it did what it was asked.
pub async fn run(args: AdminArgs) -> Result<ExitCode, AdminError> {
    let mut builder = Client::builder();
    if let Some(endpoint) = &args.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(api_key) = &args.api_key {
        builder = builder.api_key(api_key);
    }
    let client = builder.build()?;
    let format = if args.json { Format::Json } else { Format::Table };
    match args.command {
        AdminCommand::Jobs(command) => return jobs::run(&client, command, format).await,
        AdminCommand::Tenants(command) => tenants::run(&client, command, format).await?,
        AdminCommand::Keys(command) => keys::run(&client, command, format).await?,
        AdminCommand::Users(command) => users::run(&client, command, format).await?,
        AdminCommand::Members(command) => members::run(&client, command, format).await?,
        AdminCommand::Audit(command) => return audit::run(&client, command, format).await,
        AdminCommand::Plans(command) => plans::run(&client, command, format).await?,
        AdminCommand::Credits(command) => plans::credits(&client, command, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}
