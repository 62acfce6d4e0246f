//! The HTTP edge, as system integrations call it.

mod credentials;
mod faults;
mod track;
