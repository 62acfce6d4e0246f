//! Who is asking: tenants, their keys, what each caller may do, and which requests were made before.

pub mod api_key;
pub mod audit;
pub mod caller;
pub mod credential;
pub mod directory;
pub mod hasher;
pub mod hearing;
pub mod holdings;
pub mod installation;
pub mod keyring;
pub mod keys;
pub mod last_use;
pub mod member;
pub mod members;
pub mod network;
pub mod own_roles;
pub mod password;
pub mod permission;
pub mod requests;
pub mod restrictions;
pub mod roles;
pub mod seal;
pub mod tenant;
pub mod tenants;
mod turns;
pub mod user;
pub mod vault;
