//! The secrets as they are given now, from wherever they come; what cannot be read is as it was.

use std::error::Error;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::app::settings::{SettingsError, source};
use crate::config::{ConfigError, Given, Origin, Secret};
use crate::data_directory::DataDirectory;
use crate::secrets::current::same;
use crate::secrets::{Found, SecretSource as _};

/// What was read again. Secrets that could not be read, or are not given any more, are those in use.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) given: Given,
    pub(super) unread: Vec<Unread>,
    pub(super) gone: Vec<Secret>,
}

/// Secrets that cannot be read, and why.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) secrets: Vec<Secret>,
    pub(super) problem: String,
}

/// A secret that the server has made for itself, if it has, or why it cannot be read.
type Kept = (Secret, Result<Option<SecretString>, String>);

/// Where secrets come from.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) origin: Origin,
    /// The data directory, with the secrets that the server made for itself.
    pub(super) directory: PathBuf,
}

impl Again {
    /// Reads all places.
    pub(super) async fn read(places: &Places, in_use: &Given) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let on_disk = places.clone();
        // The disk may hang, and no call should wait for it.
        let looked = tokio::task::spawn_blocking(move || (on_disk.given(), on_disk.kept())).await?;
        let ((given, unread), kept) = (looked.0?, looked.1);
        let mut again = Self { given, unread, gone: Vec::new() };
        again.stay_where_unread(in_use);
        again.ask_the_source(in_use, &kept).await;
        for kept in kept {
            again.take_own(kept, in_use);
        }
        again.stay_where_nothing_is(in_use);
        Ok(again)
    }

    pub(super) fn is_unread(&self, secret: Secret) -> bool {
        self.unread.iter().any(|unread| unread.secrets.contains(&secret))
    }

    /// Asks the source of the start, with its secret of now. Where it is away, what it may have given stays.
    async fn ask_the_source(&mut self, in_use: &Given, kept: &[Kept]) {
        let error = match found(&self.given, in_use).await {
            Ok(found) => return self.given.add(&found),
            Err(error) => error,
        };
        let stays = |found: Option<&SecretString>, secret: &Secret| {
            found.zip(in_use.secret(*secret)).is_some_and(|(found, used)| same(found, used))
        };
        let own = |secret: &Secret| {
            let found =
                kept.iter().find(|(kept, _)| kept == secret).and_then(|(_, found)| found.as_ref().ok());
            stays(found.and_then(Option::as_ref), secret)
        };
        let may_be_there = |secret: &Secret| in_use.secret(*secret).is_some() && !own(secret);
        let mut secrets: Vec<_> = self.given.wanted().into_iter().filter(may_be_there).collect();
        let client_secret = Secret::InfisicalClient;
        if !stays(self.given.secret(client_secret), &client_secret) {
            secrets.push(client_secret);
        }
        self.unread.push(Unread { secrets, problem: chain(&error) });
        self.stay_where_unread(in_use);
    }

    /// Takes a secret from the data directory, if nobody else gives it.
    fn take_own(&mut self, (secret, found): Kept, in_use: &Given) {
        if self.given.secret(secret).is_some() {
            return;
        }
        match found {
            Ok(Some(value)) => self.given.set(secret, value),
            Ok(None) => {}
            Err(problem) => {
                self.unread.push(Unread { secrets: vec![secret], problem });
                self.stay_where_unread(in_use);
            }
        }
    }

    fn stay_where_unread(&mut self, in_use: &Given) {
        for secret in self.unread.iter().flat_map(|unread| &unread.secrets) {
            if let Some(value) = in_use.secret(*secret) {
                self.given.set(*secret, value.clone());
            }
        }
    }

    /// A file that is written anew is empty for a moment, and a secret that is gone takes a restart.
    fn stay_where_nothing_is(&mut self, in_use: &Given) {
        for secret in Secret::ALL {
            let Some(old) = in_use.secret(secret) else { continue };
            match self.given.secret(secret) {
                None => self.gone.push(secret),
                Some(new) if new.expose_secret().is_empty() && !old.expose_secret().is_empty() => {
                    let problem = String::from("it is empty");
                    self.unread.push(Unread { secrets: vec![secret], problem });
                }
                Some(_) => continue,
            }
            self.given.set(secret, old.clone());
        }
    }
}

impl Places {
    fn given(&self) -> Result<(Given, Vec<Unread>), ConfigError> {
        let (given, unread) = self.origin.read_what_can_be()?;
        let unread = unread.into_iter().map(|unread| {
            let file = format!("{}_file", unread.secret.name());
            Unread { secrets: vec![unread.secret], problem: format!("{file}: {}", chain(&unread.problem)) }
        });
        Ok((given, unread.collect()))
    }

    fn kept(&self) -> [Kept; 2] {
        let (key, pepper) =
            (DataDirectory::kept_operator_key(&self.directory), DataDirectory::kept_pepper(&self.directory));
        [
            (Secret::OperatorKey, key.map_err(|error| chain(&error))),
            (Secret::OperatorPepper, pepper.map_err(|error| chain(&error))),
        ]
    }
}

/// What the source has. Which source it is is no secret, and so it is the one of the start.
async fn found(given: &Given, in_use: &Given) -> Result<Found, SettingsError> {
    let Some(source) = source(&in_use.infisical, given.secret(Secret::InfisicalClient))? else {
        return Ok(Found::new());
    };
    let wanted: Vec<_> = given.wanted().into_iter().map(Secret::variable).collect();
    Ok(source.read(&wanted).await?)
}

/// An error with all that caused it.
pub(super) fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}
