//! Who may enter, and what each may do there, over the port of a real server.

mod logins;
mod matrix;
mod people;
mod sessions;
