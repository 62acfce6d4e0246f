//! Who may enter, and what each may do there, over the port of a real server.

mod command;
mod exports;
mod flood;
mod keys;
mod logins;
mod matrix;
mod pages;
mod people;
mod resets;
mod sessions;
mod streams;
mod tenants;
mod tokens;
mod users;
