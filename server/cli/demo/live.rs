//! The live view: one stream of `WatchUsage` for each tenant, taken up again where it broke.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_client::Client;
use tollgate_client::v1::{UsageState, WatchUsageRequest, watch_usage_response};
use tonic::Status;

use crate::cli::demo::cast::Member;
use crate::cli::demo::tally::Tally;
use crate::cli::demo::{DemoError, compare, usage};

/// Between a stream that broke and the next.
const PAUSE: Duration = Duration::from_millis(200);
/// The last update comes within half a second of its event; this is for a busy machine.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// The newest state of each tenant.
#[derive(Debug)]
pub(super) struct Live {
    states: Vec<watch::Receiver<UsageState>>,
    /// The streams end with it.
    _streams: JoinSet<()>,
}

impl Live {
    pub(super) fn watch(members: &[Member]) -> Self {
        let mut streams = JoinSet::new();
        let mut states = Vec::new();
        for member in members {
            let (sender, receiver) = watch::channel(UsageState::default());
            states.push(receiver);
            streams.spawn(follow(member.client.clone(), sender));
        }
        Self { states, _streams: streams }
    }

    pub(super) fn states(&self) -> Vec<UsageState> {
        self.states.iter().map(|state| state.borrow().clone()).collect()
    }

    /// Waits until each stream shows what the ledger has.
    pub(super) async fn settle(&mut self, members: &[Member]) -> Result<(), DemoError> {
        for (member, state) in members.iter().zip(&mut self.states) {
            let ledger = usage(member).await?;
            let shown = |state: &UsageState| Tally::of(&state.totals.clone().unwrap_or_default());
            let settled = state.wait_for(|state| ledger.equals(&shown(state)));
            if !matches!(tokio::time::timeout(SETTLE_MAX, settled).await, Ok(Ok(_))) {
                compare(member, &ledger, shown(&state.borrow()), "WatchUsage")?;
            }
        }
        Ok(())
    }
}

/// Follows one tenant for as long as somebody looks.
async fn follow(client: Client, state: watch::Sender<UsageState>) {
    let mut resume_token = String::new();
    while !state.is_closed() {
        // However it ended, what was missed is in the snapshot of the next.
        drop(stream(&client, &state, &mut resume_token).await);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stream(
    client: &Client,
    state: &watch::Sender<UsageState>,
    resume_token: &mut String,
) -> Result<(), Status> {
    let request = WatchUsageRequest { tenant_id: String::new(), resume_token: resume_token.clone() };
    let mut answers = client.track().watch_usage(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        *resume_token = answer.resume_token;
        match answer.payload {
            Some(
                watch_usage_response::Payload::Snapshot(new) | watch_usage_response::Payload::Update(new),
            ) => {
                state.send_replace(new);
            }
            Some(watch_usage_response::Payload::Heartbeat(_)) | None => {}
        }
    }
    Ok(())
}
