//! The ledger over its real stores, without a door: what admission promised is what the fold makes of it.

mod admission;
mod away;
mod desk;
mod flaky;
mod fold;
mod places;
mod queue;
mod reservations;
mod time;
