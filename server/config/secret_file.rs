//! A file with one secret in it, which nobody but its owner may read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// What a secret file may not have: any right for group or others.
const OTHERS: u32 = 0o077;
/// The largest secret file that is read.
const BYTES_MAX: u64 = 4_096;

/// A secret cannot be read. No variant says it.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It can be read by others.
    #[error("the secret in `{}` can be read by others (mode {mode:04o}): make a new one, or run chmod 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The secret in a file, without the end of its last line.
pub fn read(path: &Path) -> Result<SecretString, SecretFileError> {
    let unusable = |source| SecretFileError::Unusable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unusable)?;
    let mode = file.metadata().map_err(unusable)?.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(unusable)?;
    Ok(SecretString::from(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert!(matches!(read(&path), Err(SecretFileError::Unusable { .. })));
        std::fs::write(&path, "s3cret\n").unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match read(&path) {
                Ok(secret) => assert!(is_read && secret.expose_secret() == "s3cret", "{mode:o}"),
                Err(error) => {
                    assert!(!is_read && !format!("{error} {error:?}").contains("s3cret"), "{mode:o}");
                }
            }
        }
    }
}
