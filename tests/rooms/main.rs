//! The rooms over a real store, without the door: what they keep, and that a process may end anywhere.

mod catalogue;
mod credentials;
mod door;
mod keys;
mod requests;
mod rooms;
mod services;
mod store;
mod tenants;
