//! Who may enter, and what each may do there.

mod keys;
mod matrix;
mod tenants;
