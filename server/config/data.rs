//! `[data]`: where the server keeps what it knows.

use std::path::PathBuf;

use serde::Deserialize;

/// Where the server keeps what it knows.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The data directory; one process holds it.
    pub directory: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { directory: PathBuf::from("data") }
    }
}
