//! Who may enter, and what each may do there.

mod command;
mod keys;
mod matrix;
mod tenants;
