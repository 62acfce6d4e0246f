//! `[data]`: where the server keeps what it knows.

use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::Deserialize;

/// Where the server keeps what it knows.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The data directory; one process holds it.
    pub directory: PathBuf,
    /// Bytes that may wait on this machine's disk while a shared store cannot be reached.
    pub spool_bytes_max: NonZeroU64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("data"),
            spool_bytes_max: const { NonZeroU64::new(1 << 30).expect("a gibibyte is not zero") },
        }
    }
}
