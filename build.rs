//! Turns `proto/` into the server traits, the descriptor set for reflection, and the table of permissions.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "tollgate/v1/track.proto",
    "tollgate/v1/plans.proto",
    "tollgate/v1/auth.proto",
    "tollgate/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    // The reasons are imported by no other file, and belong to the reflected contract all the same.
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    compiler.open_file("tollgate/v1/error_reason.proto")?;

    std::fs::write(out_dir.join("permissions.rs"), permission_table(&compiler.descriptor_pool())?)?;
    std::fs::write(out_dir.join("descriptor.binpb"), compiler.encode_file_descriptor_set())?;
    generate_servers(&out_dir, &compiler.encode_file_descriptor_set())
}

/// The messages are those of the Rust client, so that there is one type for each message in the program.
fn generate_servers(out_dir: &Path, descriptor_set: &[u8]) -> Result<(), Box<dyn Error>> {
    let files = prost_types::FileDescriptorSet::decode(descriptor_set)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .codec_path("crate::api::codec::Codec")
        .extern_path(".tollgate.v1", "::tollgate_client::v1")
        .out_dir(out_dir)
        .compile_fds(files)?;
    Ok(())
}

/// A function from the path of a method to what its caller needs, read from the option `permission`.
fn permission_table(pool: &prost_reflect::DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option =
        pool.get_extension_by_name("tollgate.v1.permission").ok_or("options.proto has no `permission`")?;
    let mut table = String::from(
        "/// What the caller of a method needs. `None`: there is no such method.\n\
         #[must_use]\n\
         pub fn required(path: &str) -> Option<Required> {\n    Some(match path {\n",
    );
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let options = method.options();
        let value = options.get_extension(&option);
        let permission = value.as_str().unwrap_or_default();
        let required = match permission {
            "" => return Err(format!("`{path}` names no permission").into()),
            "authenticated" => String::from("Required::Authenticated"),
            "anyone" => String::from("Required::Nothing"),
            name => format!("Required::Permission(Permission::{})", camel_case(name)),
        };
        writeln!(table, "        {path:?} => {required},")?;
    }
    table.push_str("        _ => return None,\n    })\n}\n");
    Ok(table)
}

/// `usage.track.any` becomes `UsageTrackAny`, `signing_keys.write` becomes `SigningKeysWrite`.
fn camel_case(name: &str) -> String {
    let mut word = String::new();
    for part in name.split(['.', '_']) {
        let mut letters = part.chars();
        word.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        word.push_str(letters.as_str());
    }
    word
}
