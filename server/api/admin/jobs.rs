//! Jobs and their runs as messages.

use tollgate_client::v1;

use crate::api::convert::time::to_message;
use crate::jobs::record::{Outcome, Run, Trigger};
use crate::jobs::runner::Listed;

pub(super) fn job(job: Listed) -> v1::Job {
    v1::Job {
        name: job.name.to_owned(),
        description: job.description.to_owned(),
        schedule: job.schedule.to_string(),
        next_run_time: Some(to_message(job.due_at)),
        runs: job.runs.into_iter().map(run).collect(),
    }
}

pub(super) fn run(run: Run) -> v1::JobRun {
    let outcome = match run.outcome {
        Outcome::Running => v1::JobOutcome::Running,
        Outcome::Succeeded => v1::JobOutcome::Succeeded,
        Outcome::Failed => v1::JobOutcome::Failed,
        Outcome::Abandoned => v1::JobOutcome::Abandoned,
    };
    let trigger = match run.trigger {
        Trigger::Schedule => v1::JobTrigger::Schedule,
        Trigger::Operator => v1::JobTrigger::Operator,
    };
    v1::JobRun {
        id: run.id,
        start_time: Some(to_message(run.started_at)),
        end_time: run.ended_at.map(to_message),
        outcome: outcome.into(),
        message: run.message,
        trigger: trigger.into(),
        server: run.server,
    }
}
