//! What those who are gone have folded and not sent.
//!
//! Each process looks for it. One whose cursor stood still between two looks is taken up; should two processes do so at
//! once, both send the same ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cursor::Cursor;
use super::follower::{Follower, OutboxError, Until};
use super::{Outlet, Shared, pause};
use crate::ledger::stamp::{Position, Positions};

/// Between two looks; up to as much again, so that not all processes look at once.
const LOOK: Duration = Duration::from_secs(3);

/// Looks for slots that nobody sends any more, until the server ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    outlet: Outlet,
    own: u32,
    steps: watch::Receiver<Positions>,
    stop: CancellationToken,
) {
    let mut stood = HashMap::new();
    while !stop.is_cancelled() {
        match left(&shared, own, &steps).await {
            Ok(left) => {
                let now: HashMap<u32, Position> =
                    left.iter().map(|(cursor, seal)| (seal.slot, *cursor)).collect();
                for (cursor, seal) in left {
                    if stood.get(&seal.slot) == Some(&cursor) {
                        info!(slot = seal.slot, "announcements of slot {} are taken up", seal.slot);
                        let follower = Follower::open(&shared, &outlet, seal.slot);
                        follower.run(steps.clone(), Until::Sent(seal), stop.clone()).await;
                    }
                }
                stood = now;
            }
            Err(failure) => warn!(error = %failure, "could not look for unsent announcements: {failure}"),
        }
        pause(&stop, LOOK.mul_f32(1.0 + rand::random::<f32>())).await;
    }
}

/// Sealed slots that are wholly folded and not wholly sent: how far they are sent, and their seals.
async fn left(
    shared: &Shared,
    own: u32,
    steps: &watch::Receiver<Positions>,
) -> Result<Vec<(Position, Position)>, OutboxError> {
    let folded = steps.borrow().clone();
    let mut left = Vec::new();
    for slot in shared.parts.journal.slots().await? {
        let seal = slot.head;
        if !slot.sealed || seal.slot == own || folded.of(seal.slot) < seal {
            continue;
        }
        let cursor = Cursor::read(&*shared.parts.documents, shared.parts.name, seal.slot).await?.position;
        if cursor < seal {
            left.push((cursor, seal));
        }
    }
    Ok(left)
}
