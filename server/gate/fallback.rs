//! What decides while the counters are away: which limits hold, and with how much of what they allow (design §5).

use serde::Deserialize;

/// What a limit does while the counters are away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailPolicy {
    /// It refuses nothing.
    Open,
    /// It refuses everything.
    Closed,
    /// It counts in this process, with this server's share of what it allows.
    #[default]
    Local,
}
