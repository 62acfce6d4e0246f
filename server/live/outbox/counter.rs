//! The metrics of the outbox.

use metrics::counter;

use crate::live::announcement::Announcement;

/// Announcements that a broker has, by `type`.
const SENT: &str = "tollgate_announcements_total";
/// Gaps: batches that were let go before a broker had them.
const LOST: &str = "tollgate_announcement_gaps_total";

/// Counts what a broker has.
pub(super) fn sent(announcements: &[Announcement]) {
    for announcement in announcements {
        counter!(SENT, "type" => announcement.kind.name()).increment(1);
    }
}

/// Counts a gap.
pub(super) fn lost() {
    counter!(LOST).increment(1);
}
