//! The port `Mailer` on one machine: each letter is a file that its operator reads.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::adapters::mime;
use crate::mail::address::Address;
use crate::mail::mailer::{Mailer, MailerError, Message};

/// The letters have codes: they are their owner's alone.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// How many letters are kept; the oldest go first.
const KEPT: usize = 1_000;
const ENDING: &str = "eml";

/// Letters as files of a directory.
#[derive(Clone, Debug)]
pub struct MailFiles {
    directory: PathBuf,
    from: Address,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("letters cannot be kept in `{}`", path.display())]
pub struct MailFilesError {
    /// The directory.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

impl MailFiles {
    /// Makes the directory where it is missing. Letters come from that address.
    pub fn open(directory: &Path, from: Address) -> Result<Self, MailFilesError> {
        let make = || {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
            std::fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))
        };
        make().map_err(|source| MailFilesError { path: directory.to_owned(), source })?;
        Ok(Self { directory: directory.to_owned(), from })
    }

    fn keep(&self, message: &Message, bytes: &[u8]) -> io::Result<()> {
        // In the order in which they were written.
        let name = format!("{:020}-{}", message.written_at.micros().max(0), message.id);
        let (file, draft) = (self.path(&name, ENDING), self.path(&name, "new"));
        let mut options = OpenOptions::new();
        let mut target = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&draft)?;
        target.write_all(bytes)?;
        target.sync_all()?;
        std::fs::rename(&draft, &file)?;
        File::open(&self.directory)?.sync_all()?;
        self.clear()
    }

    fn clear(&self) -> io::Result<()> {
        let mut letters = Vec::new();
        for entry in self.directory.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                letters.push(path);
            }
        }
        letters.sort();
        let surplus = letters.len().saturating_sub(KEPT);
        letters.iter().take(surplus).try_for_each(std::fs::remove_file)
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{name}.{ending}"))
    }
}

#[async_trait]
impl Mailer for MailFiles {
    async fn send(&self, message: &Message) -> Result<(), MailerError> {
        let formatted = mime::format(message, &self.from)?;
        let (files, message) = (self.clone(), message.clone());
        let kept = tokio::task::spawn_blocking(move || files.keep(&message, &formatted.bytes)).await;
        let away =
            |error: &dyn std::error::Error| MailerError::away(format!("the file is not written: {error}"));
        kept.map_err(|error| away(&error))?.map_err(|error| away(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn files_are_their_owners_alone_and_the_oldest_go() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("mail");
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let files = MailFiles::open(&directory, Address::parse("no-reply@example.org").unwrap()).unwrap();
        assert_eq!(0o700, mode(&directory));
        for number in 0..KEPT {
            std::fs::write(directory.join(format!("{number:020}-old.eml")), "").unwrap();
        }
        let mut message = Message {
            id: String::from("abc"),
            to: Address::parse("ada@example.com").unwrap(),
            subject: "You are invited",
            text: String::from("text"),
            html: String::from("<p>text"),
            written_at: Timestamp::from_micros(1_795_588_200_000_000),
        };
        for _ in 0..2 {
            files.send(&message).await.unwrap();
        }
        message.id = String::from("def");
        files.send(&message).await.unwrap();
        let mut names: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), KEPT);
        assert_eq!(names[0], format!("{:020}-old.eml", 2));
        assert_eq!(names[KEPT - 2..], ["00001795588200000000-abc.eml", "00001795588200000000-def.eml"]);
        assert_eq!(0o600, mode(&directory.join(&names[KEPT - 1])));
    }
}
