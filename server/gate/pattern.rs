//! Patterns of endpoints: `*` stands for a run of characters without `/`, `**` for any run.

use std::sync::Arc;

/// A pattern that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<str>);
