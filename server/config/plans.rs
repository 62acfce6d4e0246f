//! `[plans]`: what the server promises at its first start.

use serde::Deserialize;

/// What the server promises at its first start.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlansConfig {
    /// The name of the set of plans that is installed where there are none.
    pub presets: String,
}

impl Default for PlansConfig {
    fn default() -> Self {
        Self { presets: String::from("standard") }
    }
}
