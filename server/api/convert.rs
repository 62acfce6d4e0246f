//! Between messages and the words of the rooms, where several services need the same.

pub(super) mod plans;
pub(super) mod time;
pub(super) mod wallet;
