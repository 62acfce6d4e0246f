//! `tollgate import`: history from a file into the ledger, once, however often it is run.
//!
//! An event's id is made of the file's digest and the line's number, so a run that was cut off is completed by running it
//! again, and a file that is there already changes nothing (rule R of the ledger).

mod batch;
mod combined;
mod csv_lines;
mod file;
mod json_lines;
mod mapping;
mod moment;
mod report;
mod sender;

use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tollgate_client::v1::{TrackMode, TrackRequest, UsageEvent};
use tollgate_client::{BuildError, Client};

use crate::cli::import::batch::{Batch, Item};
use crate::cli::import::csv_lines::CsvLines;
use crate::cli::import::file::{Digest, Lines};
use crate::cli::import::mapping::{Assignment, Mapping};
use crate::cli::import::report::Report;
use crate::cli::import::sender::SendError;

/// Requests on their way at once: enough to keep the server's commits full, and little memory.
const REQUESTS_IN_FLIGHT: usize = 4;

/// What to import, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// The file to import.
    pub file: PathBuf,

    /// How a line of the file looks.
    #[arg(long, value_enum)]
    pub format: Format,

    /// Whose usage it is [default: the tenant of the key, or `TOLLGATE_TENANT`].
    #[arg(long)]
    pub tenant: Option<String>,

    /// Which column is which field, for example `time=TIMESTAMP,input_tokens=ContextTokens`. A column that is named
    /// like a field needs none.
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    pub map: Vec<Assignment>,

    /// A field that is the same in every line, for example `service=llm`.
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<Assignment>,

    /// What stands between the columns of a CSV file.
    #[arg(long, default_value_t = ',')]
    pub delimiter: char,

    /// Where rejected lines are written [default: FILE.rejected.jsonl].
    #[arg(long, value_name = "PATH")]
    pub rejected: Option<PathBuf>,

    /// Where the server is (default: `TOLLGATE_ENDPOINT`, or <http://127.0.0.1:7180>).
    #[arg(long)]
    pub endpoint: Option<String>,

    /// The credential; it needs the permission `usage.import` [default: `TOLLGATE_API_KEY`].
    #[arg(long)]
    pub api_key: Option<String>,
}

/// How a line of the file looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The access log of a web server, in Apache's combined or common format.
    Combined,
    /// Columns named by the first line.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// Why an import ended early. What was imported until then stays, and a rerun completes it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file, or the one for rejected lines, fails.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The columns do not fit.
    #[error("{0}")]
    Mapping(String),
    /// There is no way to the server.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// The server does not take it.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Imports the file. Success: every line of it is in the ledger; failure: a line was rejected.
pub async fn run(args: ImportArgs) -> Result<ExitCode, ImportError> {
    let client = client(&args)?;
    let digest =
        file::digest(&args.file).map_err(|source| ImportError::File { path: args.file.clone(), source })?;
    let mut lines =
        Lines::open(&args.file).map_err(|source| ImportError::File { path: args.file.clone(), source })?;
    let parser = Parser::new(&args, &mut lines)?;
    let mut report = Report::new(&args, lines.bytes_total())?;
    let outcome = pump(&client, &mut lines, &parser, &digest, &mut report).await;
    let rejected = report.finish(outcome.is_ok())?;
    outcome.map(|()| if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn client(args: &ImportArgs) -> Result<Client, BuildError> {
    let mut builder = Client::builder();
    if let Some(endpoint) = &args.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(api_key) = &args.api_key {
        builder = builder.api_key(api_key);
    }
    if let Some(tenant) = &args.tenant {
        builder = builder.tenant(tenant);
    }
    builder.build()
}

/// Reads, packs and sends, with a bounded number of requests under way.
async fn pump(
    client: &Client,
    lines: &mut Lines,
    parser: &Parser,
    digest: &Digest,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut under_way = FuturesUnordered::new();
    let mut batch = Batch::default();
    while let Some(line) = lines.next()? {
        report.line(&line, lines.bytes_read());
        if line.is_blank() {
            continue;
        }
        let item = match line.text().and_then(|text| parser.event(&text)) {
            Ok(mut event) => {
                event.id = digest.event_id(line.number);
                let mode = TrackMode::Import.into();
                Item::new(line, TrackRequest { mode, ..client.request(event) })
            }
            Err(reason) => {
                report.rejected(line.number, &line.bytes, &reason)?;
                continue;
            }
        };
        if let Some(full) = batch.push(item) {
            under_way.push(sender::send(client, full));
        }
        if under_way.len() >= REQUESTS_IN_FLIGHT
            && let Some(sent) = under_way.next().await
        {
            report.sent(sent?)?;
        }
    }
    if let Some(rest) = batch.take() {
        under_way.push(sender::send(client, rest));
    }
    while let Some(sent) = under_way.next().await {
        report.sent(sent?)?;
    }
    Ok(())
}

/// Makes events of lines.
#[derive(Debug)]
enum Parser {
    Combined(Mapping),
    Csv(CsvLines),
    Json(Mapping),
}

impl Parser {
    fn new(args: &ImportArgs, lines: &mut Lines) -> Result<Self, ImportError> {
        let mapping = Mapping::new(&args.map, &args.set).map_err(ImportError::Mapping)?;
        match args.format {
            Format::Combined if !args.map.is_empty() => {
                Err(ImportError::Mapping(String::from("an access log has no columns to map: use --set")))
            }
            Format::Combined => Ok(Self::Combined(mapping)),
            Format::Csv => {
                let header =
                    lines.next()?.ok_or_else(|| ImportError::Mapping(String::from("the file is empty")))?;
                let header = header.text().map_err(ImportError::Mapping)?;
                CsvLines::new(&header, args.delimiter, mapping).map(Self::Csv).map_err(ImportError::Mapping)
            }
            Format::Jsonl => Ok(Self::Json(mapping)),
        }
    }

    /// The event of a line, or what is wrong with it.
    fn event(&self, text: &str) -> Result<UsageEvent, String> {
        let event = match self {
            Self::Combined(mapping) => combined::event(text, mapping),
            Self::Csv(csv) => csv.event(text),
            Self::Json(mapping) => json_lines::event(text, mapping),
        }?;
        // The server would take the present moment, which is never true of history.
        if event.occurred_at.is_none() {
            return Err(String::from("there is no time"));
        }
        Ok(event)
    }
}
