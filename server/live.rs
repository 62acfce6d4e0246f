//! Usage as it happens: what was folded reaches those who watch.

pub mod feed;
