//! Jobs: each run by one server at a time, when it is due or by hand, and told of afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tollgate::identity::requests::{Begun, Request};
use tollgate::jobs::record::{LEASE, Outcome, Run, Trigger};
use tollgate::jobs::runner::{Job, JobsError, Runner};
use tollgate::jobs::schedule::Schedule;
use tollgate::store::StoreError;
use tollgate::tasks::Tasks;
use tollgate::time::DAY;
use tollgate_client::v1;
use tonic::Code;

use crate::door::{Door, as_operator, reason, with_key};
use crate::rooms::Rooms;
use crate::store::Store;

/// Work that waits until it may end, and fails where it is told to.
#[derive(Debug)]
struct Slow {
    runs: AtomicUsize,
    may_end: Semaphore,
    fails: bool,
}

impl Slow {
    fn new(fails: bool) -> Arc<Self> {
        Arc::new(Self { runs: AtomicUsize::new(0), may_end: Semaphore::new(0), fails })
    }
}

#[async_trait]
impl Job for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn description(&self) -> &'static str {
        "Takes its time."
    }

    fn schedule(&self) -> Schedule {
        Schedule::Daily { hour: 3, minute: 0 }
    }

    async fn run(&self, stop: &CancellationToken) -> Result<String, StoreError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            permit = self.may_end.acquire() => permit.expect("it is open").forget(),
            () = stop.cancelled() => {}
        }
        if self.fails {
            return Err(StoreError::unavailable("it is away"));
        }
        Ok(String::from("did it"))
    }
}

fn runner(store: &Store, job: &Arc<Slow>, tasks: &Tasks) -> Arc<Runner> {
    let job = Arc::clone(job) as Arc<dyn Job>;
    Arc::new(Runner::new(&store.documents, vec![job], store.clock(), tasks))
}

/// The runs of the one job, newest first, once that many have ended.
async fn ended(runner: &Runner, count: usize) -> Vec<Run> {
    loop {
        let runs = runner.list().await.expect("a list").remove(0).runs;
        if runs.iter().filter(|run| run.ended_at.is_some()).count() >= count {
            return runs;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn job_that_is_due_is_run_by_one_of_two_servers() {
    let (store, tasks, job) = (Store::new(), Tasks::default(), Slow::new(false));
    let (here, there) = (runner(&store, &job, &tasks), runner(&store, &job, &tasks));
    here.start_due().await.unwrap();
    assert!(here.list().await.unwrap()[0].runs.is_empty(), "it is not due yet");
    let due_at = here.list().await.unwrap()[0].due_at;
    store.time.set(due_at);
    here.start_due().await.unwrap();
    there.start_due().await.unwrap();
    assert!(matches!(there.start("slow").await, Err(JobsError::Running(_))));
    job.may_end.add_permits(1);
    let runs = ended(&there, 1).await;
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].outcome, runs[0].message.as_str()), (Outcome::Succeeded, "did it"));
    assert_eq!((runs[0].trigger, runs[0].started_at), (Trigger::Schedule, due_at));
    there.start_due().await.unwrap();
    assert_eq!(job.runs.load(Ordering::SeqCst), 1);
    assert_eq!(here.list().await.unwrap()[0].due_at, due_at.plus(DAY));
}

#[tokio::test]
async fn run_that_fails_is_told_of() {
    let (store, tasks, job) = (Store::new(), Tasks::default(), Slow::new(true));
    let runner = runner(&store, &job, &tasks);
    job.may_end.add_permits(1);
    let run = runner.start("slow").await.unwrap();
    assert_eq!((run.outcome, run.trigger, run.ended_at), (Outcome::Running, Trigger::Operator, None));
    let runs = ended(&runner, 1).await;
    assert_eq!((runs[0].id.as_str(), runs[0].outcome), (run.id.as_str(), Outcome::Failed));
    assert_eq!(runs[0].message, "the store is unavailable");
    assert!(matches!(runner.start("other").await, Err(JobsError::NotFound(_))));
}

#[tokio::test]
async fn job_whose_server_is_gone_is_run_by_another_when_its_lease_ends() {
    let (store, job) = (Store::new(), Slow::new(false));
    let (gone, tasks) = (Tasks::default(), Tasks::default());
    let (here, there) = (runner(&store, &job, &gone), runner(&store, &job, &tasks));
    here.start("slow").await.unwrap();
    store.time.advance(LEASE - 1);
    there.start_due().await.unwrap();
    assert_eq!(there.list().await.unwrap()[0].runs.len(), 1);
    store.time.advance(1);
    there.start_due().await.unwrap();
    let runs = there.list().await.unwrap().remove(0).runs;
    assert_eq!((runs[0].outcome, runs[1].outcome), (Outcome::Running, Outcome::Abandoned));
    assert_ne!(runs[0].server, runs[1].server);
    job.may_end.add_permits(2);
    ended(&there, 2).await;
}

#[tokio::test]
async fn server_that_ends_stops_its_runs_and_says_so() {
    let (store, tasks, job) = (Store::new(), Tasks::default(), Slow::new(false));
    let runner = runner(&store, &job, &tasks);
    runner.start("slow").await.unwrap();
    assert!(tasks.stop(std::time::Duration::from_secs(5)).await);
    let runs = runner.list().await.unwrap().remove(0).runs;
    assert_eq!((runs[0].outcome, runs[0].message.as_str()), (Outcome::Failed, "did it; then it was stopped"));
}

#[tokio::test]
async fn requests_are_kept_for_forty_five_days() {
    let rooms = Rooms::new().await;
    let request = Request { scope: "operator", method: "CreateTenant", id: "r1", payload: b"acme" };
    let Begun::Do(work) = rooms.requests.begin(request).await.unwrap() else { panic!("it is new") };
    rooms.requests.finish(&work, b"first").await.unwrap();
    rooms.store.time.advance(45 * DAY);
    assert_eq!(rooms.requests.purge(10).await.unwrap(), 0);
    assert!(matches!(rooms.requests.begin(request).await.unwrap(), Begun::Done(_)));
    rooms.store.time.advance(1);
    assert_eq!(rooms.requests.purge(10).await.unwrap(), 1);
    assert!(matches!(rooms.requests.begin(request).await.unwrap(), Begun::Do(_)));
}

#[tokio::test]
async fn operator_lists_jobs_and_runs_one_by_its_name() {
    let mut door = Door::new().await;
    let request = |name: &str| v1::RunJobRequest { name: name.to_owned(), request_id: String::from("r1") };
    let run = door.admin.run_job(as_operator(request("clean_up"))).await.unwrap().into_inner().run.unwrap();
    assert_eq!((run.outcome(), run.trigger()), (v1::JobOutcome::Running, v1::JobTrigger::Operator));
    let again = door.admin.run_job(as_operator(request("clean_up"))).await.unwrap().into_inner().run.unwrap();
    assert_eq!(again, run, "a retry starts nothing");
    let listed = loop {
        let listed =
            door.admin.list_jobs(as_operator(v1::ListJobsRequest {})).await.unwrap().into_inner().jobs;
        if listed[0].runs[0].end_time.is_some() {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((listed[0].name.as_str(), listed[0].schedule.as_str()), ("clean_up", "daily at 03:00 UTC"));
    assert_eq!(listed[0].runs.len(), 1);
    assert_eq!(
        (listed[0].runs[0].id.as_str(), listed[0].runs[0].outcome()),
        (run.id.as_str(), v1::JobOutcome::Succeeded)
    );

    let other = v1::RunJobRequest { name: String::from("nothing"), ..v1::RunJobRequest::default() };
    let missing = door.admin.run_job(as_operator(other)).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "JOB_NOT_FOUND"));
    let unnamed = door.admin.run_job(as_operator(v1::RunJobRequest::default())).await.unwrap_err();
    assert_eq!(reason(&unnamed), "INVALID_FIELD");
    let key = door.key_of("acme").await;
    let refused = door.admin.list_jobs(with_key(&key, v1::ListJobsRequest {})).await.unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
}
