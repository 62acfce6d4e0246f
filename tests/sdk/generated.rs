//! The committed code of the Rust client equals what the contract generates.
//!
//! `TOLLGATE_REGENERATE=1 cargo test --test sdk` writes it anew.

use std::path::Path;

const FILES: [&str; 5] = [
    "tollgate/v1/track.proto",
    "tollgate/v1/plans.proto",
    "tollgate/v1/auth.proto",
    "tollgate/v1/admin.proto",
    "tollgate/v1/error_reason.proto",
];

#[test]
fn rust_client_is_generated_from_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().expect("a temporary directory");
    let files = protox::compile(FILES, [root.join("proto")]).expect("the contract compiles");
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .out_dir(fresh.path())
        .compile_fds(files)
        .expect("the contract generates");

    let fresh = std::fs::read_to_string(fresh.path().join("tollgate.v1.rs")).expect("the generated file");
    let committed = root.join("sdk/rust/src/gen/tollgate.v1.rs");
    // This is a tool of the developers; the server reads its environment in `config`.
    #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
    let regenerate = std::env::var("TOLLGATE_REGENERATE").is_ok();
    if regenerate {
        std::fs::write(&committed, &fresh).expect("the committed file can be written");
    }
    let committed = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        fresh == committed,
        "sdk/rust/src/gen is not what proto/ generates: run TOLLGATE_REGENERATE=1 cargo test --test sdk"
    );
}
