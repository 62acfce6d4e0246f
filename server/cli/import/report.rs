//! What the one who imports sees: a bar while it runs, the lines that were rejected, and the sums at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::import::file::Line;
use crate::cli::import::sender::Sent;
use crate::cli::import::{ImportArgs, ImportError};

const BAR: &str = "{bar:30} {percent:>3} %  {msg}  {eta} left";

/// The account of one run.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    bar: ProgressBar,
    rejected_file: RejectedFile,
    read: u64,
    imported: u64,
    there_already: u64,
    rejected: u64,
}

impl Report {
    /// Begins a run. The rejected lines of an earlier one are forgotten, since all lines are read again.
    pub(super) fn new(args: &ImportArgs, bytes_total: u64) -> Result<Self, ImportError> {
        // It hides itself where the standard error stream is no terminal.
        let bar = ProgressBar::new(bytes_total);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        let rejected_file = RejectedFile::new(args.rejected.clone().unwrap_or_else(|| beside(&args.file)))?;
        let name = args.file.display().to_string();
        Ok(Self { name, bar, rejected_file, read: 0, imported: 0, there_already: 0, rejected: 0 })
    }

    /// A line was read.
    pub(super) fn line(&mut self, line: &Line, bytes_read: u64) {
        if !line.is_blank() {
            self.read += 1;
        }
        self.bar.set_position(bytes_read);
    }

    /// A line cannot be imported.
    pub(super) fn rejected(&mut self, number: u64, line: &[u8], reason: &str) -> Result<(), ImportError> {
        self.rejected += 1;
        self.rejected_file.add(number, line, reason)
    }

    /// A batch was settled.
    pub(super) fn sent(&mut self, sent: Sent) -> Result<(), ImportError> {
        self.imported += sent.imported;
        self.there_already += sent.there_already;
        for (line, reason) in sent.rejected {
            self.rejected(line.number, &line.bytes, &reason)?;
        }
        self.bar.set_message(format!("{} imported", self.imported));
        Ok(())
    }

    /// Says the sums, and gives how many lines were rejected.
    pub(super) fn finish(mut self, whole: bool) -> Result<u64, ImportError> {
        self.bar.finish_and_clear();
        self.rejected_file.close()?;
        let Self { name, read, imported, there_already, rejected, .. } = self;
        let mut out = io::stdout().lock();
        let mut say = || {
            writeln!(
                out,
                "{name}: {read} read, {imported} imported, {there_already} already there, {rejected} rejected"
            )?;
            if rejected > 0 {
                writeln!(out, "the rejected lines are in {}", self.rejected_file.path.display())?;
            }
            if !whole {
                writeln!(out, "the import was cut off: the same command completes it")?;
            }
            Ok(())
        };
        say().map_err(|source| ImportError::File { path: PathBuf::from("standard output"), source })?;
        Ok(rejected)
    }
}

/// The file of rejected lines; it is made when there is something to write.
#[derive(Debug)]
struct RejectedFile {
    path: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl RejectedFile {
    fn new(path: PathBuf) -> Result<Self, ImportError> {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ImportError::File { path, source })
            }
            _ => Ok(Self { path, writer: None }),
        }
    }

    fn add(&mut self, number: u64, line: &[u8], reason: &str) -> Result<(), ImportError> {
        let row =
            serde_json::json!({ "line": number, "reason": reason, "text": String::from_utf8_lossy(line) });
        self.write(|writer| writeln!(writer, "{row}"))
    }

    fn close(&mut self) -> Result<(), ImportError> {
        if self.writer.is_none() { Ok(()) } else { self.write(io::Write::flush) }
    }

    fn write(
        &mut self,
        action: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), ImportError> {
        let Self { path, writer } = self;
        let attempt = || {
            let writer = match writer {
                Some(writer) => writer,
                None => writer.insert(BufWriter::new(File::create(&*path)?)),
            };
            action(writer)
        };
        attempt().map_err(|source| ImportError::File { path: path.clone(), source })
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".rejected.jsonl");
    PathBuf::from(name)
}
