//! Usage as it happens: what was folded reaches those who watch, here and at a broker.

pub mod announcement;
pub mod feed;
pub mod inbox;
pub mod outbox;
pub mod publisher;
