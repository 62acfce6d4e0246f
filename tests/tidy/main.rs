//! House rules that the compiler does not know. Each rule is a function from a file to what it found, with a sample that
//! it must find.

#![expect(clippy::unwrap_used, reason = "a file of the project that cannot be read is a failure")]

mod arrows;
mod leftovers;
mod names;
mod sizes;
mod source;
mod words;
