//! The rooms over a real store, without the door: what they keep, and that a process may end anywhere.

mod catalogue;
mod changes;
mod credentials;
mod door;
mod jobs;
mod keys;
mod letters;
mod lockout;
mod outbox;
mod requests;
mod roles;
mod rooms;
mod services;
mod store;
mod tenants;
