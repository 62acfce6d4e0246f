//! The rooms over a real store, without the door: what they keep, and that a process may end anywhere.

mod accounts;
mod audit;
mod catalogue;
mod changes;
mod credentials;
mod departures;
mod door;
mod jobs;
mod keys;
mod letters;
mod lockout;
mod members;
mod outbox;
mod requests;
mod roles;
mod rooms;
mod secrets;
mod services;
mod signing_keys;
mod store;
mod tenants;
mod tokens;
