//! What is kept of a job: when it is due, who runs it now, and how it went.

use serde::{Deserialize, Serialize};

use crate::id;
use crate::jobs::schedule::Schedule;
use crate::store::records::Record;
use crate::time::{MINUTE, Timestamp};

/// Runs of which a job is told.
pub const RUNS_MAX: usize = 20;
/// How long a run is its server's alone without a sign of life.
///
/// Servers compare their own clocks with it, which differ by seconds; should one start too early all the same, the job runs
/// twice, which is safe.
pub const LEASE: i64 = 5 * MINUTE;

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its name.
    pub name: String,
    /// When it is due by its schedule.
    pub due_at: Timestamp,
    /// The run that goes on.
    pub lease: Option<Lease>,
    /// Its last runs, newest first.
    pub runs: Vec<Run>,
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: String,
    /// When others may take it for ended.
    pub until: Timestamp,
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// `run_…`.
    pub id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None`: it goes on.
    pub ended_at: Option<Timestamp>,
    /// How it went.
    pub outcome: Outcome,
    /// What it did, or why it failed.
    pub message: String,
    /// What started it.
    pub trigger: Trigger,
    /// The server that ran it, by the id that it has from its start on.
    pub server: String,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on.
    Running,
    /// All was done.
    Succeeded,
    /// It failed; what it had done stays.
    Failed,
    /// Its server gave no sign of life any more.
    Abandoned,
}

/// What started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its schedule.
    Schedule,
    /// An operator.
    Operator,
}

impl Record for JobRecord {
    const KIND: &'static str = "job";

    fn id(&self) -> &str {
        &self.name
    }
}

impl JobRecord {
    /// A job that has never run.
    #[must_use]
    pub fn new(name: &str, schedule: Schedule, now: Timestamp) -> Self {
        Self { name: name.to_owned(), due_at: schedule.next(now), lease: None, runs: Vec::new() }
    }

    /// Begins a run. `None`: one goes on, or it is not due yet.
    pub fn take(
        &mut self,
        schedule: Schedule,
        trigger: Trigger,
        server: &str,
        now: Timestamp,
    ) -> Option<Run> {
        if self.lease.as_ref().is_some_and(|lease| now < lease.until) {
            return None;
        }
        // What was abandoned is not done: it is due at once.
        let is_due = self.abandon(now) || now >= self.due_at;
        if trigger == Trigger::Schedule {
            if !is_due {
                return None;
            }
            self.due_at = schedule.next(now);
        }
        let run = Run {
            id: id::fresh("run"),
            started_at: now,
            ended_at: None,
            outcome: Outcome::Running,
            message: String::new(),
            trigger,
            server: server.to_owned(),
        };
        self.lease = Some(Lease { run: run.id.clone(), until: now.plus(LEASE) });
        self.runs.insert(0, run.clone());
        self.runs.truncate(RUNS_MAX);
        Some(run)
    }

    /// A sign of life of a run; `false`: another server took it for ended.
    pub fn renew(&mut self, run: &str, now: Timestamp) -> bool {
        let Some(lease) = self.lease.as_mut().filter(|lease| lease.run == run) else { return false };
        lease.until = now.plus(LEASE);
        true
    }

    /// Ends a run, also one that others had taken for ended.
    pub fn end(&mut self, run: &str, outcome: Outcome, message: &str, now: Timestamp) {
        self.lease.take_if(|lease| lease.run == run);
        if let Some(run) = self.runs.iter_mut().find(|kept| kept.id == run) {
            run.ended_at = Some(now);
            run.outcome = outcome;
            message.clone_into(&mut run.message);
        }
    }

    /// Ends the run whose server gave no sign of life, if there is one.
    fn abandon(&mut self, now: Timestamp) -> bool {
        let Some(lease) = self.lease.take() else { return false };
        self.end(&lease.run, Outcome::Abandoned, "its server gave no sign of life any more", now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_773_964_800_000_000);
    const DAILY: Schedule = Schedule::Daily { hour: 3, minute: 0 };

    fn due() -> (JobRecord, Timestamp) {
        let job = JobRecord::new("clean_up", DAILY, START);
        let due_at = job.due_at;
        (job, due_at)
    }

    #[test]
    fn one_server_runs_it_once_when_it_is_due() {
        let (mut job, due_at) = due();
        assert_eq!(job.take(DAILY, Trigger::Schedule, "a", due_at.minus(1)), None);
        let run = job.take(DAILY, Trigger::Schedule, "a", due_at).unwrap();
        assert_eq!(job.take(DAILY, Trigger::Schedule, "b", due_at), None);
        assert_eq!(job.take(DAILY, Trigger::Operator, "b", due_at), None);
        job.end(&run.id, Outcome::Succeeded, "done", due_at.plus(1));
        assert_eq!(job.take(DAILY, Trigger::Schedule, "b", due_at.plus(2)), None, "it is done for the day");
        assert!(job.take(DAILY, Trigger::Operator, "b", due_at.plus(2)).is_some(), "by hand at any time");
        assert_eq!(job.due_at, DAILY.next(due_at), "which does not move its schedule");
    }

    #[test]
    fn run_without_a_sign_of_life_is_done_by_another_and_its_own_end_is_kept() {
        let (mut job, due_at) = due();
        let run = job.take(DAILY, Trigger::Schedule, "a", due_at).unwrap();
        let renewed = due_at.plus(MINUTE);
        assert!(job.renew(&run.id, renewed));
        assert_eq!(job.take(DAILY, Trigger::Schedule, "b", renewed.plus(LEASE - 1)), None);
        let second = job.take(DAILY, Trigger::Schedule, "b", renewed.plus(LEASE)).unwrap();
        assert_eq!(job.runs[1].outcome, Outcome::Abandoned);
        assert!(!job.renew(&run.id, renewed.plus(LEASE)), "the first may not go on");
        job.end(&run.id, Outcome::Failed, "stopped", renewed.plus(LEASE + 1));
        assert_eq!((job.runs[1].outcome, job.runs[1].message.as_str()), (Outcome::Failed, "stopped"));
        assert_eq!(job.lease.unwrap().run, second.id, "the second goes on");
    }

    #[test]
    fn runs_are_bounded_newest_first() {
        let (mut job, due_at) = due();
        for second in 0..30 {
            let run = job.take(DAILY, Trigger::Operator, "a", due_at.plus(second)).unwrap();
            job.end(&run.id, Outcome::Succeeded, "done", due_at.plus(second));
        }
        assert_eq!(job.runs.len(), RUNS_MAX);
        assert_eq!(job.runs[0].started_at, due_at.plus(29));
    }
}
