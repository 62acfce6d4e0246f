//! Threads for work that takes milliseconds of a processor. They have the lowest priority there is: a core that anybody else
//! wants is never theirs.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// How far they stand back: as far as there is. A thread of priority 0 gets 68 times as much of a core that both want.
#[cfg(target_os = "linux")]
const NICE: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the last of their owners is gone and all is done.
#[derive(Clone, Debug)]
pub(super) struct Workers(Sender<Job>);

impl Workers {
    /// So many threads under that name.
    pub(super) fn start(name: &str, count: usize) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..count {
            let waiting = Arc::clone(&waiting);
            let _runs_alone = thread::Builder::new().name(name.to_owned()).spawn(move || work(&waiting))?;
        }
        Ok(Self(jobs))
    }

    /// Does some work after all that came before it. If nobody waits for it any more when its turn comes, it is left out, and
    /// so is the answer where the work panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // Who went away meanwhile does not matter.
                let _gone = answer.send(work()).is_err();
            }
        };
        self.0.send(Box::new(job)).ok()?;
        answered.await.ok()
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    stand_back();
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A job that panics is one answer less; the thread goes on.
        let _panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err();
    }
}

/// On Linux each thread has a priority of its own. Elsewhere there is only that of the whole process, which stays.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!("a thread cannot stand back behind others: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn they_stand_back_behind_all_others() {
        let workers = Workers::start("test", 1).unwrap();
        let own = || rustix::process::getpriority_process(None).unwrap();
        assert_eq!(workers.run(own).await, Some(NICE));
        assert_eq!(own(), 0, "and nobody else does");
    }

    #[tokio::test]
    async fn a_panic_is_no_answer_and_the_next_gets_one() {
        let workers = Workers::start("test", 1).unwrap();
        assert_eq!(workers.run(|| -> u8 { panic!("in the middle of it") }).await, None);
        assert_eq!(workers.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_left_out() {
        let workers = Workers::start("test", 1).unwrap();
        let (go, started) = mpsc::channel::<()>();
        let first = workers.run(move || started.recv());
        let mut first = std::pin::pin!(first);
        assert!(futures_util::poll!(&mut first).is_pending());
        let (tell, told) = mpsc::channel();
        let mut left = Box::pin(workers.run(move || tell.send(())));
        assert!(futures_util::poll!(&mut left).is_pending());
        drop(left);
        go.send(()).unwrap();
        assert!(first.await.is_some());
        assert_eq!(workers.run(|| 7).await, Some(7));
        assert!(told.try_recv().is_err(), "it was done for nobody");
    }
}
