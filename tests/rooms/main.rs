//! The rooms over a real store, without the door: what they keep, and that a process may end anywhere.

mod catalogue;
mod keys;
mod requests;
mod rooms;
mod store;
mod tenants;
