//! Who may enter, and how far.

mod keys;
mod tenants;
