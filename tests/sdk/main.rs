//! The SDKs: their generated code is what the contract says now.

mod generated;
