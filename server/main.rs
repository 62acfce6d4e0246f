//! The program `tollgate`.

use std::process::ExitCode;

use clap::Parser as _;
use tollgate::cli::{self, Cli};

/// Records are made on one thread and freed on another, which costs less with this one: `Check` ×1.52 of the floor, not ×1.70.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // Only the first one counts, and this is the first thing that the program does.
    drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
    match cli::run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => cli::complain(&*error),
    }
}
