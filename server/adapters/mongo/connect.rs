//! The connection to MongoDB: what every read and write asks for, and what is checked before anything is served.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mongodb::action::Find;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, Tls, TlsOptions,
    WriteConcern,
};
use mongodb::{Client, Collection, Database};
use secrecy::ExposeSecret as _;
use tracing::warn;

use crate::adapters::mongo::convert::Fields;
use crate::adapters::mongo::failure::{MongoFailure, failed, is_duplicate, words};
use crate::adapters::mongo::settings::Settings;
use crate::store::StoreError;

/// The version of what is kept, and of its indexes.
const VERSION: i64 = 1;
/// The document that says it.
const SCHEMA: &str = "tollgate";
/// The name by which the server's log knows us.
const APP_NAME: &str = "tollgate";

/// Ids that one search asks for.
const IDS_MAX: usize = 1_000;

/// A database of MongoDB.
#[derive(Clone, Debug)]
pub struct MongoStore {
    database: Database,
    operation_timeout: Duration,
    majority_timeout: Duration,
}

/// MongoDB cannot be used. No variant says anything of the address.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no address.
    #[error("`uri` of `[mongodb]` is not set")]
    NoAddress,
    /// The address cannot be read.
    #[error(
        "`uri` of `[mongodb]` is no address of MongoDB: it is mongodb://user:password@host:port/?options, with the special \
         characters of user and password as %XX"
    )]
    Malformed,
    /// The certificates cannot be read.
    #[error("`ca_file` of `[mongodb]`, `{}`, cannot be used", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers.
    #[error("MongoDB cannot be reached")]
    Unreachable(#[source] MongoFailure),
    /// It does not take the credentials.
    #[error("MongoDB refuses the credentials in `uri` of `[mongodb]`")]
    Credentials,
    /// It is too old.
    #[error("MongoDB is too old for this program")]
    TooOld(#[source] MongoFailure),
    /// It was written by a newer program.
    #[error(
        "the database `{database}` was written by a newer program: it has the layout {found}, and this one knows {VERSION}"
    )]
    Newer {
        /// The database.
        database: String,
        /// The layout that it has.
        found: i64,
    },
    /// It fails.
    #[error("MongoDB cannot be prepared")]
    Store(#[from] StoreError),
}

impl ConnectError {
    /// Whether waiting may help: it is not there yet.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Store(StoreError::Unavailable(_)) => true,
            Self::NoAddress
            | Self::Malformed
            | Self::Certificates { .. }
            | Self::Credentials
            | Self::TooOld(_)
            | Self::Newer { .. }
            | Self::Store(StoreError::Corrupt { .. }) => false,
        }
    }
}

impl MongoStore {
    /// Connects, checks what must hold, and notes the layout of what is kept.
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        // A provider that somebody has installed before is as good.
        drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
        let client = Client::with_options(options(settings).await?).map_err(explain)?;
        let store = Self {
            database: client.database(&settings.database),
            operation_timeout: millis(settings.operation_timeout_ms),
            majority_timeout: millis(settings.majority_timeout_ms),
        };
        store.look().await?;
        store.note_layout().await?;
        Ok(store)
    }

    /// Runs one operation, with a bound to the wait for its answer: a connection into nowhere never fails by itself. What was
    /// given up has an unknown outcome.
    pub(super) async fn run<T>(
        &self,
        operation: impl IntoFuture<Output = Result<T, mongodb::error::Error>>,
    ) -> Result<T, mongodb::error::Error> {
        match tokio::time::timeout(self.operation_timeout, operation.into_future()).await {
            Ok(answer) => answer,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    /// All documents of a search.
    pub(super) async fn collect(&self, find: Find<'_, Document>) -> Result<Vec<Document>, StoreError> {
        let all = async { find.await?.try_collect().await };
        self.run(all).await.map_err(failed)
    }

    /// The first document that a filter finds, or some of its fields.
    pub(super) async fn find_one(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        fields: Option<Document>,
    ) -> Result<Option<Document>, StoreError> {
        let find = collection.find_one(filter);
        let find = match fields {
            Some(fields) => find.projection(fields),
            None => find,
        };
        self.run(find).await.map_err(failed)
    }

    /// The documents that a filter finds, or some of their fields.
    pub(super) async fn find(
        &self,
        collection: &Collection<Document>,
        filter: Document,
        fields: Option<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        let find = collection.find(filter);
        let find = match fields {
            Some(fields) => find.projection(fields),
            None => find,
        };
        self.collect(find).await
    }

    /// The documents with those ids, or some of their fields, in any order.
    pub(super) async fn find_ids(
        &self,
        collection: &Collection<Document>,
        ids: &[String],
        fields: Option<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_MAX) {
            found.append(&mut self.find(collection, doc! { "_id": { "$in": ids } }, fields.clone()).await?);
        }
        Ok(found)
    }

    /// Deletes the documents with those ids. May be made again: what is gone stays gone.
    pub(super) async fn delete_ids(
        &self,
        collection: &Collection<Document>,
        ids: &[String],
    ) -> Result<(), StoreError> {
        for ids in ids.chunks(IDS_MAX) {
            let delete = collection.delete_many(doc! { "_id": { "$in": ids } });
            self.run(delete).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Runs a command that the driver has no call for.
    pub(super) async fn command(&self, command: Document) -> Result<Document, StoreError> {
        self.run(self.database.run_command(command)).await.map_err(failed)
    }

    /// A collection by its name.
    pub(super) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// What commands ask for that the driver has no call for; collections have it by themselves.
    pub(super) fn write_concern(&self) -> Document {
        let millis = i64::try_from(self.majority_timeout.as_millis()).unwrap_or(i64::MAX);
        doc! { "w": "majority", "j": true, "wtimeout": millis }
    }

    /// Whether it answers, whether it takes our credentials, and what it is.
    async fn look(&self) -> Result<(), ConnectError> {
        let hello = self.run(self.database.run_command(doc! { "hello": 1 })).await.map_err(explain)?;
        let build = self.run(self.database.run_command(doc! { "buildInfo": 1 })).await.map_err(explain)?;
        if build.contains_key("ferretdb") {
            warn!(
                "FerretDB takes no notice of write concerns: what is answered is as durable as its own store"
            );
        } else if !hello.contains_key("setName") && hello.get_str("msg").ok() != Some("isdbgrid") {
            warn!("MongoDB is no replica set: what is answered is on one machine only");
        }
        Ok(())
    }

    /// Refuses what a newer program has written. May be made again: the document is there once.
    async fn note_layout(&self) -> Result<(), ConnectError> {
        let schema = self.collection("schema");
        let new = doc! { "_id": SCHEMA, "version": VERSION };
        match self.run(schema.insert_one(new)).await {
            Ok(_) => return Ok(()),
            Err(error) if is_duplicate(&error) => {}
            Err(error) => return Err(explain(error)),
        }
        let kept = self.run(schema.find_one(doc! { "_id": SCHEMA })).await.map_err(explain)?;
        // Nobody has it by a majority yet: then it is the one that we would have written, or a later try will see.
        let Some(kept) = kept else { return Ok(()) };
        let found = Fields(kept).signed("version")?;
        if found > VERSION {
            return Err(ConnectError::Newer { database: self.database.name().to_owned(), found });
        }
        Ok(())
    }
}

async fn options(settings: &Settings) -> Result<ClientOptions, ConnectError> {
    let uri = settings.uri.as_ref().ok_or(ConnectError::NoAddress)?;
    // The parser's error may quote the address.
    let mut options = ClientOptions::parse(uri.expose_secret()).await.map_err(|_| ConnectError::Malformed)?;
    options.app_name = Some(APP_NAME.to_owned());
    options.max_pool_size = Some(settings.connections_max.get());
    options.connect_timeout = Some(millis(settings.selection_timeout_ms));
    options.server_selection_timeout = Some(millis(settings.selection_timeout_ms));
    // What the driver sends again may be done twice after a change of the primary. What is once here, is so by its key.
    options.retry_writes = Some(false);
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(millis(settings.majority_timeout_ms))
            .build(),
    );
    if let Some(path) = &settings.ca_file {
        // The driver would say so at the first connection, and not by name.
        let certificates = std::fs::read(path).map_err(|error| unusable(path, error))?;
        if !certificates.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(unusable(path, "it has no PEM certificate"));
        }
        let tls = TlsOptions::builder().ca_file_path(path.clone()).build();
        options.tls = Some(Tls::Enabled(tls));
    }
    Ok(options)
}

fn unusable(
    path: &std::path::Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ConnectError {
    ConnectError::Certificates { path: path.to_owned(), source: source.into() }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps what the driver gives away")]
fn explain(error: mongodb::error::Error) -> ConnectError {
    match &*error.kind {
        ErrorKind::Authentication { .. } => ConnectError::Credentials,
        ErrorKind::IncompatibleServer { .. } => ConnectError::TooOld(MongoFailure::new(words(&error))),
        // The driver gives no such server to choose from, and says only here why.
        ErrorKind::ServerSelection { message, .. } if message.contains("wire version") => {
            ConnectError::TooOld(MongoFailure::new(words(&error)))
        }
        ErrorKind::InvalidArgument { .. } => ConnectError::Malformed,
        ErrorKind::Command(refused) if refused.code_name == "Unauthorized" => ConnectError::Credentials,
        _ => ConnectError::Unreachable(MongoFailure::new(words(&error))),
    }
}

fn millis(millis: std::num::NonZeroU32) -> Duration {
    Duration::from_millis(u64::from(millis.get()))
}
