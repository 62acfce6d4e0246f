//! Runs jobs when they are due, or by hand, on one server at a time.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::fault::{Fault, Reason};
use crate::id;
use crate::jobs::record::{JobRecord, Outcome, Run, Trigger};
use crate::jobs::schedule::Schedule;
use crate::store::records::{Change, Records};
use crate::store::{Documents, StoreError};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

/// How often it is looked for jobs that are due.
const LOOK: Duration = Duration::from_secs(10);
/// How often a run gives a sign of life: several times in a lease.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// How often it is tried to keep how a run went, in a store that fails.
const ATTEMPTS_MAX: usize = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(2);

/// Work that no request waits for.
///
/// # Contract
///
/// It may run twice, also at once, and may end anywhere; the next run completes it.
#[async_trait]
pub trait Job: Send + Sync + Debug {
    /// Its name, of small letters and `_`; it never changes.
    fn name(&self) -> &'static str;

    /// What it does, in a sentence for people.
    fn description(&self) -> &'static str;

    /// When it runs.
    fn schedule(&self) -> Schedule;

    /// Does the work, and answers in a few words what was done. It ends soon after `stop`.
    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError>;
}

/// Runs jobs.
#[derive(Debug)]
pub struct Runner {
    jobs: Vec<Arc<dyn Job>>,
    records: Records<JobRecord>,
    server: String,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

/// A job as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// When it runs.
    pub schedule: Schedule,
    /// When it is due next.
    pub due_at: Timestamp,
    /// Its last runs, newest first.
    pub runs: Vec<Run>,
}

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// There is none of that name.
    #[error("there is no job `{0}`")]
    NotFound(String),
    /// A run of it goes on.
    #[error("job `{0}` is running")]
    Running(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for JobsError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::JobNotFound,
            Self::Running(_) => Reason::JobRunning,
            Self::Store(error) => error.reason(),
        }
    }
}

impl Runner {
    /// A runner of those jobs; servers that share a store have the same ones. The runs end with `tasks`.
    #[must_use]
    pub fn new(
        documents: &Arc<dyn Documents>,
        jobs: Vec<Arc<dyn Job>>,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Self {
        let records = Records::new(Arc::clone(documents));
        Self { jobs, records, server: id::fresh("srv"), clock, tasks: tasks.clone() }
    }

    /// Starts what is due again and again until it is stopped.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stopping.cancelled() => return,
            }
            if let Err(error) = self.start_due().await {
                error!(error = %error, "could not look for jobs that are due: {error}");
            }
        }
    }

    /// Starts what is due, and goes on without waiting for it.
    pub async fn start_due(self: &Arc<Self>) -> Result<(), StoreError> {
        for job in &self.jobs {
            if let Some(run) = self.take(job.as_ref(), Trigger::Schedule).await? {
                self.begin(job, run);
            }
        }
        Ok(())
    }

    /// Starts a job by hand, and answers its run as it begins.
    pub async fn start(self: &Arc<Self>, name: &str) -> Result<Run, JobsError> {
        let job = self.jobs.iter().find(|job| job.name() == name);
        let job = job.ok_or_else(|| JobsError::NotFound(name.to_owned()))?;
        let run = self.take(job.as_ref(), Trigger::Operator).await?;
        let run = run.ok_or_else(|| JobsError::Running(name.to_owned()))?;
        self.begin(job, run.clone());
        Ok(run)
    }

    /// All jobs.
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let names: Vec<_> = self.jobs.iter().map(|job| job.name().to_owned()).collect();
        let records = self.records.get_many(&names).await?;
        let now = self.clock.now();
        let listed = self.jobs.iter().zip(records).map(|(job, kept)| {
            let record =
                kept.map_or_else(|| JobRecord::new(job.name(), job.schedule(), now), |kept| kept.record);
            Listed {
                name: job.name(),
                description: job.description(),
                schedule: job.schedule(),
                due_at: record.due_at,
                runs: record.runs,
            }
        });
        Ok(listed.collect())
    }

    /// Makes a run this server's own. `None`: one goes on, or it is not due.
    async fn take(&self, job: &dyn Job, trigger: Trigger) -> Result<Option<Run>, StoreError> {
        let now = self.clock.now();
        let mut taken = None;
        let mut change = |record: &mut JobRecord| {
            taken = record.take(job.schedule(), trigger, &self.server, now);
            Ok::<_, StoreError>(if taken.is_some() { Change::Keep } else { Change::None })
        };
        if self.records.update(job.name(), &mut change).await?.is_none() {
            self.records.insert(&JobRecord::new(job.name(), job.schedule(), now)).await?;
            self.records.update(job.name(), &mut change).await?;
        }
        Ok(taken)
    }

    fn begin(self: &Arc<Self>, job: &Arc<dyn Job>, run: Run) {
        let (runner, job) = (Arc::clone(self), Arc::clone(job));
        self.tasks.spawn(async move { runner.work(job.as_ref(), &run).await });
    }

    async fn work(&self, job: &dyn Job, run: &Run) {
        let name = job.name();
        info!(job = name, run = run.id, "job `{name}` begins");
        let stop = self.tasks.stopping().child_token();
        let ended = tokio::select! {
            ended = job.run(&stop) => ended,
            never = self.give_signs_of_life(name, &run.id, &stop) => match never {},
        };
        let (outcome, message) = match ended {
            Ok(message) if stop.is_cancelled() => {
                (Outcome::Failed, format!("{message}; then it was stopped"))
            }
            Ok(message) => (Outcome::Succeeded, message),
            Err(failure) => {
                error!(job = name, run = run.id, error = %failure, cause = ?failure.source(), "job `{name}` failed: {failure}");
                (Outcome::Failed, failure.to_string())
            }
        };
        info!(job = name, run = run.id, "job `{name}` has ended: {message}");
        self.keep_end(name, run, outcome, &message).await;
    }

    /// Keeps the run this server's own. Where another has taken it for ended, the work is stopped.
    async fn give_signs_of_life(&self, name: &str, run: &str, stop: &CancellationToken) -> Infallible {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            let mut is_own = true;
            let renewed = self.records.update(name, |record: &mut JobRecord| {
                is_own = record.renew(run, self.clock.now());
                Ok::<_, StoreError>(if is_own { Change::Keep } else { Change::None })
            });
            match renewed.await {
                Ok(_) if is_own => {}
                Ok(_) => {
                    stop.cancel();
                    return pending().await;
                }
                // The lease holds for some more of these; whoever takes it then does the work again.
                Err(error) => error!(error = %error, "could not keep the lease of job `{name}`: {error}"),
            }
        }
    }

    async fn keep_end(&self, name: &str, run: &Run, outcome: Outcome, message: &str) {
        let ended_at = self.clock.now();
        for attempt in 1..=ATTEMPTS_MAX {
            let kept = self.records.update(name, |record: &mut JobRecord| {
                record.end(&run.id, outcome, message, ended_at);
                Ok::<_, StoreError>(Change::Keep)
            });
            let Err(error) = kept.await else { return };
            if attempt == ATTEMPTS_MAX || self.tasks.stopping().is_cancelled() {
                error!(error = %error, "could not keep how job `{name}` went; its lease ends by time: {error}");
                return;
            }
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
    }
}
