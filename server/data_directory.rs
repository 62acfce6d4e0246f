//! The directory that one server owns: locked against a second one, with the secrets that are its own.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use crate::config::secret_file::{self, SecretFileError};

const LOCK: &str = "lock";
const OPERATOR_KEY: &str = "operator.key";
const PEPPER: &str = "pepper";

/// The mode of the directory: its owner's alone.
const DIRECTORY_MODE: u32 = 0o700;
/// The mode of the files in it that are secret.
const SECRET_MODE: u32 = 0o600;

/// The shortest operator's key.
const KEY_CHARACTERS_MIN: usize = 32;
/// What a configured secret has at least of different characters, or bytes: less was typed to fill the field, not made.
const DIFFERENT_MIN: usize = 8;

/// A data directory that is held by this process until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    // The system gives the lock back when the file is closed, also after a kill.
    _lock: File,
}

/// The operator's key, and where it came from.
#[derive(Clone, Debug)]
pub struct OperatorKey {
    /// The key.
    pub secret: SecretString,
    /// Where it came from.
    pub origin: KeyOrigin,
}

/// Where the operator's key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The settings.
    Configured,
    /// A file of an earlier start.
    Kept,
    /// It was made now, and is kept in this file: to be shown once.
    Made(PathBuf),
}

impl DataDirectory {
    /// Makes the directory where it is missing, and takes it for this process.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        let unusable = |source| DataDirectoryError::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(SECRET_MODE);
        let mut lock = options.open(path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirectoryError::InUse { path: path.to_owned(), holder: holder(&lock) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(unusable)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operator's key: the configured one, or the kept one, or a new one that is kept from now on.
    pub fn operator_key(&self, configured: Option<&SecretString>) -> Result<OperatorKey, DataDirectoryError> {
        let file = self.path.join(OPERATOR_KEY);
        let (secret, origin) = if let Some(secret) = configured {
            (secret.clone(), KeyOrigin::Configured)
        } else if let Some(secret) = read_secret(&file)? {
            (secret, KeyOrigin::Kept)
        } else {
            let secret = SecretString::from(format!("tgo_{}", random_hex()));
            self.keep_secret(&file, &secret)?;
            (secret, KeyOrigin::Made(file.clone()))
        };
        if let Some(problem) = key_problem(secret.expose_secret()) {
            let place = match origin {
                KeyOrigin::Configured => String::from("operator.key in the settings (TOLLGATE_OPERATOR_KEY)"),
                KeyOrigin::Kept | KeyOrigin::Made(_) => file.display().to_string(),
            };
            return Err(DataDirectoryError::WeakKey { place, problem });
        }
        Ok(OperatorKey { secret, origin })
    }

    /// What the hashes of credentials are mixed with: the configured one, or the kept one, made at the first start: without
    /// it no key works.
    pub fn pepper(
        &self,
        configured: Option<&SecretString>,
    ) -> Result<SecretBox<[u8; 32]>, DataDirectoryError> {
        if let Some(text) = configured {
            let bytes = from_hex(text.expose_secret()).ok_or(DataDirectoryError::PepperUnreadable)?;
            if different(&bytes) < DIFFERENT_MIN {
                return Err(DataDirectoryError::WeakPepper);
            }
            return Ok(SecretBox::new(Box::new(bytes)));
        }
        let file = self.path.join(PEPPER);
        let text = if let Some(text) = read_secret(&file)? {
            text
        } else {
            let text = SecretString::from(random_hex());
            self.keep_secret(&file, &text)?;
            text
        };
        let bytes = from_hex(text.expose_secret()).ok_or(DataDirectoryError::Damaged { path: file })?;
        Ok(SecretBox::new(Box::new(bytes)))
    }

    /// The operator's key that was made at the first start, if it was.
    pub fn kept_operator_key(path: &Path) -> Result<Option<SecretString>, DataDirectoryError> {
        read_secret(&path.join(OPERATOR_KEY))
    }

    /// The secret that the hashes of credentials are mixed with, as it was made at the first start, if it was.
    pub fn kept_pepper(path: &Path) -> Result<Option<SecretString>, DataDirectoryError> {
        read_secret(&path.join(PEPPER))
    }

    /// Under another name first, so that a half-written secret is never found.
    fn keep_secret(&self, file: &Path, secret: &SecretString) -> Result<(), DataDirectoryError> {
        let draft = file.with_extension("new");
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(SECRET_MODE);
            let mut target = options.open(&draft)?;
            target.set_permissions(Permissions::from_mode(SECRET_MODE))?;
            writeln!(target, "{}", secret.expose_secret())?;
            target.sync_all()?;
            std::fs::rename(&draft, file)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| DataDirectoryError::Unusable { path: file.to_owned(), source })
    }
}

/// Why a data directory cannot be used. No variant says a secret.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Another process holds it.
    #[error("the data directory `{}` is in use by {holder}; one server at a time can hold it", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it.
        holder: String,
    },
    /// It cannot be made, read or written.
    #[error("`{}` cannot be used", path.display())]
    Unusable {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A secret file cannot be read, or can be read by others.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// A secret file does not hold what it should.
    #[error("`{}` is damaged: put it back from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The configured pepper is none.
    #[error("operator.pepper in the settings (TOLLGATE_OPERATOR_PEPPER) is not 64 hexadecimal digits")]
    PepperUnreadable,
    /// The configured pepper is one that anybody could type.
    #[error(
        "operator.pepper in the settings (TOLLGATE_OPERATOR_PEPPER) has fewer than {DIFFERENT_MIN} different bytes: \
         make one with `openssl rand -hex 32`"
    )]
    WeakPepper,
    /// The operator's key is too easy to guess, or cannot be sent.
    #[error("the operator's key of {place} {problem}")]
    WeakKey {
        /// Where the key comes from.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The process that wrote its id into the lock file.
fn holder(mut lock: &File) -> String {
    let mut id = String::new();
    match lock.read_to_string(&mut id) {
        Ok(_) if !id.trim().is_empty() => format!("process {}", id.trim()),
        _ => String::from("another process"),
    }
}

fn read_secret(path: &Path) -> Result<Option<SecretString>, DataDirectoryError> {
    match secret_file::read(path) {
        Ok(secret) => Ok(Some(secret)),
        Err(SecretFileError::Unusable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is wrong with an operator's key, if anything is.
#[must_use]
pub fn key_problem(key: &str) -> Option<&'static str> {
    if key.chars().count() < KEY_CHARACTERS_MIN {
        return Some("is shorter than 32 characters");
    }
    if different(key.as_bytes()) < DIFFERENT_MIN {
        return Some("has fewer than 8 different characters");
    }
    let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    (!printable).then_some("has a character that is not printable ASCII, or a blank")
}

/// How many different bytes there are.
fn different(bytes: &[u8]) -> usize {
    bytes.iter().collect::<HashSet<_>>().len()
}

fn random_hex() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, DataDirectory) {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(&parent.path().join("a/b")).unwrap();
        (parent, directory)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let (_parent, directory) = fresh();
        let error = DataDirectory::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        let path = directory.path().to_owned();
        drop(directory);
        DataDirectory::open(&path).unwrap();
    }

    #[test]
    fn what_is_made_belongs_to_its_owner_alone() {
        let (_parent, directory) = fresh();
        directory.operator_key(None).unwrap();
        directory.pepper(None).unwrap();
        assert_eq!(0o700, mode(directory.path()));
        for name in [LOCK, OPERATOR_KEY, PEPPER] {
            assert_eq!(0o600, mode(&directory.path().join(name)), "{name}");
        }
    }

    #[test]
    fn secrets_are_made_once() {
        let (_parent, directory) = fresh();
        let made = directory.operator_key(None).unwrap();
        assert_eq!(KeyOrigin::Made(directory.path().join(OPERATOR_KEY)), made.origin);
        let kept = directory.operator_key(None).unwrap();
        assert_eq!(KeyOrigin::Kept, kept.origin);
        assert_eq!(made.secret.expose_secret(), kept.secret.expose_secret());
        let pepper = directory.pepper(None).unwrap();
        assert_eq!(pepper.expose_secret(), directory.pepper(None).unwrap().expose_secret());
        assert!(!format!("{made:?}").contains(made.secret.expose_secret()));
    }

    #[test]
    fn a_configured_key_wins_over_the_kept_one() {
        let (_parent, directory) = fresh();
        directory.operator_key(None).unwrap();
        let configured = SecretString::from("0123456789abcdef".repeat(2));
        let key = directory.operator_key(Some(&configured)).unwrap();
        assert_eq!(KeyOrigin::Configured, key.origin);
        assert_eq!(configured.expose_secret(), key.secret.expose_secret());
    }

    #[test]
    fn a_key_that_is_easy_to_guess_or_cannot_be_sent_is_refused() {
        let (_parent, directory) = fresh();
        let good = "0123456789abcdef".repeat(2);
        for key in [
            "",
            "short",
            good.split_at(31).0,
            &"k".repeat(40),
            &"secret".repeat(10),
            &"changeme".repeat(8),
            &format!("{good} "),
            &format!("{good}é"),
            &format!("{good}\n"),
        ] {
            let error = directory.operator_key(Some(&SecretString::from(key))).unwrap_err().to_string();
            assert!(error.contains("the operator's key of operator.key"), "{error}");
        }
    }

    #[test]
    fn a_pepper_that_anybody_could_type_is_refused() {
        let (_parent, directory) = fresh();
        for typed in
            ["0".repeat(64), "f".repeat(64), "deadbeef".repeat(8), "00112233445566".repeat(4) + "00112233"]
        {
            let refused = directory.pepper(Some(&SecretString::from(typed.as_str())));
            assert!(matches!(refused, Err(DataDirectoryError::WeakPepper)), "{typed}");
            assert!(!refused.unwrap_err().to_string().contains(&typed));
        }
        for none in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            let refused = directory.pepper(Some(&SecretString::from(none)));
            assert!(matches!(refused, Err(DataDirectoryError::PepperUnreadable)), "{none}");
        }
        directory.pepper(Some(&SecretString::from("0123456789abcdef".repeat(4)))).unwrap();
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let (_parent, directory) = fresh();
        directory.operator_key(None).unwrap();
        directory.pepper(None).unwrap();
        for name in [OPERATOR_KEY, PEPPER] {
            let path = directory.path().join(name);
            std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        }
        assert!(matches!(
            directory.operator_key(None),
            Err(DataDirectoryError::Secret(SecretFileError::Exposed { mode: 0o640, .. }))
        ));
        assert!(matches!(
            directory.pepper(None),
            Err(DataDirectoryError::Secret(SecretFileError::Exposed { .. }))
        ));
    }

    #[test]
    fn a_damaged_pepper_is_not_replaced() {
        let (_parent, directory) = fresh();
        directory.pepper(None).unwrap();
        let path = directory.path().join(PEPPER);
        for damage in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            std::fs::write(&path, damage).unwrap();
            assert!(matches!(directory.pepper(None), Err(DataDirectoryError::Damaged { .. })), "{damage}");
        }
    }
}
