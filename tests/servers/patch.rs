//! FerretDB that finds documents by their `_id` also where there are further conditions, and several at once.
//!
//! As it is, it uses its `_id` index only where a filter is nothing but one `_id`, and a test would spend its minutes in reading
//! whole collections.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The module that is changed.
const MODULE: &str = "github.com/FerretDB/FerretDB";
/// The parts of it that are compiled.
const PARTS: [&str; 3] = ["build", "ferretdb", "internal"];

/// A text in a file of the module, and what stands there instead.
struct Edit {
    file: &'static str,
    old: &'static str,
    new: &'static str,
}

const EDITS: [Edit; 1] = [
    // The first of two such places: the other one only explains.
    Edit {
        file: "internal/backends/sqlite/collection.go",
        old: "\tif params.Filter.Len() == 1 {\n\t\tv, _ := params.Filter.Get(\"_id\")\n\t\tswitch v.(type) {\n",
        new: "\tif params.Filter.Len() > 0 {\n\t\tv, _ := params.Filter.Get(\"_id\")\n\t\tswitch v := v.(type) {\n\
              \t\tcase *types.Document:\n\
              \t\t\tin, _ := v.Get(\"$in\")\n\
              \t\t\tids, ok := in.(*types.Array)\n\
              \t\t\tif !ok || v.Len() != 1 || ids.Len() == 0 || ids.Len() > 10000 {\n\t\t\t\tbreak\n\t\t\t}\n\
              \t\t\tmarks := make([]string, ids.Len())\n\
              \t\t\tfor i := range marks {\n\
              \t\t\t\tmarks[i] = \"?\"\n\
              \t\t\t\tid := must.NotFail(sjson.MarshalSingleValue(must.NotFail(ids.Get(i))))\n\
              \t\t\t\targs = append(args, string(id))\n\
              \t\t\t}\n\
              \t\t\twhereClause = fmt.Sprintf(` WHERE %s IN (%s)`, metadata.IDColumn, strings.Join(marks, \",\"))\n",
    },
];

/// Puts the changed module into `directory`, and beside it a `go.mod` for the program in `sources` that uses it. Answers that
/// `go.mod`.
///
/// # Panics
/// The module cannot be had, or has other texts than the edits expect.
pub(crate) fn prepare(go: &Path, sources: &Path, directory: &Path) -> PathBuf {
    if directory.exists() {
        std::fs::remove_dir_all(directory).expect("what an earlier build left is removed");
    }
    let module = directory.join("module");
    let original = original(go, sources);
    for part in PARTS {
        copy(&original.join(part), &module.join(part));
    }
    for file in ["go.mod", "go.sum"] {
        std::fs::copy(original.join(file), module.join(file)).expect("a module says what it needs");
        write(&directory.join(file), &read(&sources.join(file)));
    }
    for edit in EDITS {
        let path = module.join(edit.file);
        let text = read(&path);
        assert!(text.contains(edit.old), "{} is not as it was: {}", edit.file, edit.old);
        write(&path, &text.replacen(edit.old, edit.new, 1));
    }
    let own = directory.join("go.mod");
    write(&own, &format!("{}\nreplace {MODULE} => {}\n", read(&own), module.display()));
    own
}

/// Where Go keeps the module; it is fetched where it is not.
fn original(go: &Path, sources: &Path) -> PathBuf {
    let run = |arguments: &[&str]| {
        let output = Command::new(go).current_dir(sources).args(arguments).output().expect("go starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a path").trim().to_owned()
    };
    run(&["mod", "download"]);
    PathBuf::from(run(&["list", "-m", "-f", "{{.Dir}}", MODULE]))
}

/// Copies a directory. What Go keeps is read-only, so the contents are written anew.
fn copy(source: &Path, target: &Path) {
    std::fs::create_dir_all(target).expect("a directory for the module");
    for entry in std::fs::read_dir(source).expect("a part of the module") {
        let entry = entry.expect("an entry of the module");
        let to = target.join(entry.file_name());
        if entry.file_type().expect("a kind of entry").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::write(&to, std::fs::read(entry.path()).expect("a file of the module"))
                .expect("a file of the module is copied");
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
