//! `tollgate admin jobs`: what runs when, how it went, and running it now.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tollgate_client::{Client, v1};

use crate::cli::admin::show::moment;
use crate::cli::admin::{AdminError, Format};

/// How often it is asked whether a run has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// What to do with jobs.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum JobsCommand {
    /// List all jobs, when each is due, and how its last run went.
    List,
    /// Run a job now and wait for its end. It goes on where the command is ended.
    Run {
        /// The job's name.
        name: String,
    },
}

/// Does it. Success: the run succeeded.
pub(super) async fn run(
    client: &Client,
    command: JobsCommand,
    format: Format,
) -> Result<ExitCode, AdminError> {
    match command {
        JobsCommand::List => {
            let jobs = list(client).await?;
            match format {
                Format::Json => show(&json!(jobs.iter().map(job_json).collect::<Vec<_>>()))?,
                Format::Table => writeln!(io::stdout(), "{}", table(&jobs))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        JobsCommand::Run { name } => {
            let run = run_to_its_end(client, name).await?;
            match format {
                Format::Json => show(&run_json(&run))?,
                Format::Table => writeln!(io::stdout(), "{}: {}", outcome(&run), run.message)?,
            }
            let succeeded = run.outcome() == v1::JobOutcome::Succeeded;
            Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn list(client: &Client) -> Result<Vec<v1::Job>, tonic::Status> {
    Ok(client.admin().list_jobs(v1::ListJobsRequest::default()).await?.into_inner().jobs)
}

async fn run_to_its_end(client: &Client, name: String) -> Result<v1::JobRun, tonic::Status> {
    let request = v1::RunJobRequest { name: name.clone(), request_id: uuid::Uuid::now_v7().to_string() };
    let mut run = client.admin().run_job(request).await?.into_inner().run.unwrap_or_default();
    while run.outcome() == v1::JobOutcome::Running {
        tokio::time::sleep(PAUSE).await;
        let jobs = list(client).await?;
        let runs = jobs.into_iter().filter(|job| job.name == name).flat_map(|job| job.runs);
        // One that is no longer told of has ended: that many have run since.
        let Some(now) = runs.into_iter().find(|other| other.id == run.id) else { break };
        run = now;
    }
    Ok(run)
}

fn table(jobs: &[v1::Job]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["job", "schedule", "next", "last", "outcome", "message"]);
    for job in jobs {
        let last = job.runs.first();
        table.add_row([
            job.name.clone(),
            job.schedule.clone(),
            moment(job.next_run_time),
            last.map_or_else(|| String::from("never"), |run| moment(run.start_time)),
            last.map_or("", outcome).to_owned(),
            last.map_or("", |run| run.message.as_str()).to_owned(),
        ]);
    }
    table
}

fn job_json(job: &v1::Job) -> Value {
    json!({
        "name": job.name,
        "description": job.description,
        "schedule": job.schedule,
        "next_run_time": moment(job.next_run_time),
        "runs": job.runs.iter().map(run_json).collect::<Vec<_>>(),
    })
}

fn run_json(run: &v1::JobRun) -> Value {
    json!({
        "id": run.id,
        "start_time": moment(run.start_time),
        "end_time": run.end_time.map(|at| moment(Some(at))),
        "outcome": outcome(run),
        "message": run.message,
        "trigger": match run.trigger() {
            v1::JobTrigger::Unspecified => "",
            v1::JobTrigger::Schedule => "schedule",
            v1::JobTrigger::Operator => "operator",
        },
        "server": run.server,
    })
}

fn outcome(run: &v1::JobRun) -> &'static str {
    match run.outcome() {
        v1::JobOutcome::Unspecified => "",
        v1::JobOutcome::Running => "running",
        v1::JobOutcome::Succeeded => "succeeded",
        v1::JobOutcome::Failed => "failed",
        v1::JobOutcome::Abandoned => "abandoned",
    }
}

fn show(value: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value:#}")
}
