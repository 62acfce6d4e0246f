//! Real traffic into the real program: what `tollgate import` brings in is what was in the file, to the last byte, however
//! often it is run and whatever is killed meanwhile.
//!
//! The numbers were counted from the files by other programs; `tests/data/README.md` says where the files are from.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod importer;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod llm_requests;
#[cfg(test)]
mod rejected;
#[cfg(test)]
mod server;
#[cfg(test)]
mod web_access;
