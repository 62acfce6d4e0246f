//! Tells of what happened beside the journal, and deletes what was told.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::follower::OutboxError;
use super::retry::Retry;
use super::{Outlet, Shared, counter, pause};
use crate::ledger::notices::{Notice, NoticeKind};
use crate::live::announcement::{Announcement, Kind, Topic};

/// Between two looks for what another process has posted and not told.
const LOOK: Duration = Duration::from_secs(5);
/// Notices that are told at once.
const PAGE: usize = 100;

/// Tells until the server ends. Several processes may tell the same at once: it has one id.
pub(super) async fn run(shared: Arc<Shared>, outlet: Outlet, stop: CancellationToken) {
    let mut retry = Retry::default();
    while !stop.is_cancelled() {
        match tell(&shared, &outlet).await {
            Ok(()) => {
                retry.went_well();
                tokio::select! {
                    () = shared.parts.notices.posted() => {}
                    () = pause(&stop, LOOK) => {}
                }
            }
            Err(failure) => {
                let again = retry.failed();
                if again.speak {
                    warn!(error = %failure, "notices wait: {failure}");
                }
                pause(&stop, again.wait).await;
            }
        }
    }
}

async fn tell(shared: &Shared, outlet: &Outlet) -> Result<(), OutboxError> {
    loop {
        let page = shared.parts.notices.page(None, PAGE).await?;
        let announcements: Vec<_> = page.records.iter().map(announcement).collect();
        if announcements.is_empty() {
            return Ok(());
        }
        outlet.publisher.publish(&announcements).await?;
        counter::sent(&announcements);
        for notice in &page.records {
            shared.parts.notices.delete(&notice.id).await?;
        }
    }
}

fn announcement(notice: &Notice) -> Announcement {
    let kind = match notice.kind {
        NoticeKind::SubscriptionChanged => Kind::SubscriptionChanged,
    };
    Announcement {
        id: notice.id.clone(),
        kind,
        tenant: Arc::from(notice.tenant.as_str()),
        topic: Topic::Alerts,
        at: notice.at,
        stamp: None,
        body: notice.body.clone(),
    }
}
