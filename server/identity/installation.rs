//! The installation's secret, recognised again: a store whose keys were made with one secret is of no use with another.

use std::sync::Arc;

use secrecy::SecretBox;
use serde::{Deserialize, Serialize};

use crate::secrets::seal::{Seal, equal, to_hex};
use crate::store::records::{Record, Records};
use crate::store::{Documents, Inserted, StoreError};

/// The one record of it.
const ID: &str = "secret";

/// What the store knows of the secret: a digest that tells nothing of it.
#[derive(Debug, Serialize, Deserialize)]
struct Fingerprint {
    digest: String,
}

/// The store cannot be used with this secret.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The store was made with another one.
    #[error(
        "the pepper is not the one that this store's API keys were made with: put the file `pepper` of the data \
         directory back, or give the same operator.pepper to all servers of the store"
    )]
    OtherSecret,
    /// The store failed.
    #[error("the store cannot be asked for its installation")]
    Store(#[from] StoreError),
}

impl Record for Fingerprint {
    const KIND: &'static str = "installation";

    fn id(&self) -> &str {
        ID
    }
}

/// Makes sure that the store and the secret belong together; the first secret that comes is the store's.
pub async fn recognise(
    documents: &Arc<dyn Documents>,
    secret: &SecretBox<[u8; 32]>,
) -> Result<(), InstallationError> {
    let records = Records::<Fingerprint>::new(Arc::clone(documents));
    let digest = to_hex(&Seal::new(secret, "installation").digest(&[]));
    if let Some(known) = records.get(ID).await? {
        return same(&known.record, &digest);
    }
    match records.insert(&Fingerprint { digest: digest.clone() }).await? {
        Inserted::Yes => Ok(()),
        // Another server was first.
        Inserted::Taken { .. } => match records.get(ID).await? {
            Some(known) => same(&known.record, &digest),
            None => Err(StoreError::unavailable("the installation's record comes and goes").into()),
        },
    }
}

fn same(known: &Fingerprint, digest: &str) -> Result<(), InstallationError> {
    if equal(known.digest.as_bytes(), digest.as_bytes()) {
        Ok(())
    } else {
        Err(InstallationError::OtherSecret)
    }
}
