//! Programs in Go that are built here, because nobody packages them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::installed::{program, skip, tools};
use crate::patch;

/// Builds the program in the directory `name` beside this file, once for each state of its sources. `None`: there is no
/// Go here that could.
///
/// # Panics
/// Go is there and the build fails, in which case a test must not pass as skipped.
pub(crate) fn build(name: &str) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let directory = tools().join("go");
    let built = directory.join(format!("{name}-{}", fingerprint(&sources)));
    if built.is_file() {
        return Some(built);
    }
    let Some(go) = program("go") else {
        return skip(name, &format!("go, which builds {name}, is not installed"));
    };
    std::fs::create_dir_all(&directory).expect("a directory for programs in Go");
    let lock = File::create(directory.join(format!("{name}.lock"))).expect("a file for the lock");
    lock.lock().expect("the lock of the build");
    if !built.is_file() {
        let changed = built.with_extension("sources");
        let module =
            if name == "ferretdb" { patch::prepare(&go, &sources, &changed) } else { sources.join("go.mod") };
        compile(&go, &sources, &module, &built);
        if changed.exists() {
            std::fs::remove_dir_all(changed).expect("sources that are built are removed");
        }
    }
    Some(built)
}

fn compile(go: &Path, sources: &Path, module: &Path, built: &Path) {
    // Under another name until it is whole, so that a build that was cut off is no program.
    let unfinished = built.with_extension("unfinished");
    let output = Command::new(go)
        .current_dir(sources)
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-modfile"])
        .arg(module)
        .arg("-o")
        .arg(&unfinished)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .output()
        .expect("go starts");
    assert!(
        output.status.success(),
        "{} does not build:\n{}",
        sources.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(&unfinished, built).expect("the program takes its name");
}

fn fingerprint(sources: &Path) -> String {
    let entries = sources.read_dir().expect("a program in Go has its sources");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry of a directory").path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let text = std::fs::read(&file).expect("a source can be read");
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.update(include_bytes!("patch.rs"));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
