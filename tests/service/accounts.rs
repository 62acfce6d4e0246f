//! Who may enter, and how far.

mod command;
mod keys;
mod tenants;
