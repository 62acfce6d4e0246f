//! People who log in, over the port of a real server.

mod logins;
mod people;
mod sessions;
