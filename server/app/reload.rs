//! A SIGHUP: secrets and certificates are read again, and the log says by name what became of each.
//!
//! Nothing of this ends the server. What cannot be read or used leaves in use what was good before.

mod again;

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::adapters::redis;
use crate::api::tls::{Certificates, Look};
use crate::app::Renewable;
use crate::app::reload::again::{Again, Places, chain};
use crate::config::{Config, Given, Origin, Secret};
use crate::data_directory::key_problem;
use crate::secrets::current::{Current, same};

/// The files of `[tls]`, as the log names them.
const CERTIFICATES: &str = "tls.certificate_file";

/// Every SIGHUP from when it is made. The system ends the program at one that comes before.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Begins to listen. A process has one listener.
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }
}

/// Reads again what may change while the server runs.
#[derive(Debug)]
pub struct Reload {
    places: Places,
    in_use: Given,
    renewable: Renewable,
    certificates: Option<Certificates>,
}

/// What becomes of a secret.
enum Fate {
    /// It is not set.
    Unset,
    /// It is as it was.
    Unchanged,
    /// The new one is used.
    Renewed,
    /// The old one is used until a restart.
    Restart(&'static str),
    /// The new one cannot be used.
    Refused(String),
}

/// What the log says of all that went well.
#[derive(Debug, Default)]
struct Summary {
    renewed: Vec<String>,
    unchanged: Vec<String>,
}

impl Reload {
    /// From where settings are given, with those that the server has begun with.
    #[must_use]
    pub fn new(
        origin: Origin,
        mut given: Given,
        directory: PathBuf,
        renewable: Renewable,
        certificates: Option<Certificates>,
    ) -> Self {
        for (secret, value) in &renewable.own {
            given.set(*secret, value.clone());
        }
        Self { places: Places { origin, directory }, in_use: given, renewable, certificates }
    }

    /// Reads again at each signal, until `stopping`. Those that come meanwhile are one.
    pub async fn run(mut self, mut hangups: Hangups, stopping: CancellationToken) {
        let reading = async {
            while hangups.0.recv().await.is_some() {
                self.read_again().await;
            }
        };
        stopping.run_until_cancelled(reading).await;
    }

    async fn read_again(&mut self) {
        let mut summary = Summary::default();
        self.look_at_certificates(&mut summary).await;
        match Again::read(&self.places, &self.in_use).await {
            Ok(again) => self.take_over(&again, &mut summary),
            Err(error) => {
                let chain = chain(&*error);
                error!(
                    error = chain,
                    "the settings cannot be read again, all secrets stay as they were: {chain}"
                );
            }
        }
        let (renewed, unchanged) = (names(&summary.renewed), names(&summary.unchanged));
        info!("read again at a SIGHUP; renewed: {renewed}; unchanged: {unchanged}");
    }

    async fn look_at_certificates(&self, summary: &mut Summary) {
        let Some(certificates) = &self.certificates else { return };
        match certificates.look().await {
            Look::Renewed => summary.renewed.push(CERTIFICATES.to_owned()),
            Look::Unchanged => summary.unchanged.push(CERTIFICATES.to_owned()),
            Look::Unused => {
                warn!("`{CERTIFICATES}` cannot be used, and the old one stays");
            }
        }
    }

    fn take_over(&mut self, again: &Again, summary: &mut Summary) {
        for unread in &again.unread {
            let problem = &unread.problem;
            // Of a source it is not known what it would have given.
            let no_names = unread.secrets.is_empty();
            let secrets = if no_names { String::from("secrets") } else { names(&unread.secrets) };
            error!(problem, "{secrets} cannot be read again, and what was read before stays: {problem}");
        }
        // What a restart would say of it.
        let config = match again.given.config() {
            Ok(config) => config,
            Err(error) => {
                error!(%error, "the settings cannot be used, all secrets stay as they were: {error}");
                return;
            }
        };
        for secret in Secret::ALL {
            self.tell(secret, self.fate(secret, again, &config), again, summary);
        }
        self.take_names(again, &config, summary);
        let changed = self.in_use.changed(&again.given);
        if !changed.is_empty() {
            warn!("{} changed and needs a restart: only secrets are read again", names(&changed));
        }
    }

    fn tell(&mut self, secret: Secret, fate: Fate, again: &Again, summary: &mut Summary) {
        match fate {
            Fate::Unset => {}
            Fate::Unchanged => summary.unchanged.push(secret.to_string()),
            Fate::Renewed => {
                summary.renewed.push(secret.to_string());
                if let Some(value) = again.given.secret(secret) {
                    self.in_use.set(secret, value.clone());
                }
            }
            Fate::Restart(reason) => {
                warn!("`{secret}` has changed and needs a restart: {reason}; the old one stays");
            }
            Fate::Refused(reason) => {
                error!(reason, "`{secret}` has changed and is not used: {reason}; the old one stays");
            }
        }
    }

    fn fate(&self, secret: Secret, again: &Again, config: &Config) -> Fate {
        match (self.in_use.secret(secret), again.given.secret(secret)) {
            _ if again.is_unread(secret) => Fate::Unset,
            (_, None) => Fate::Unset,
            (None, Some(_)) => Fate::Restart("it was not set at the start"),
            (Some(_), Some(_)) if again.gone.contains(&secret) => Fate::Restart("it is not set any more"),
            (Some(old), Some(new)) if same(old, new) => Fate::Unchanged,
            (Some(old), Some(new)) => self.renew(secret, old, new, config),
        }
    }

    fn renew(&self, secret: Secret, old: &SecretString, new: &SecretString, config: &Config) -> Fate {
        let logins = &self.renewable.logins;
        match secret {
            Secret::OperatorKey => match key_problem(new.expose_secret()) {
                Some(problem) => Fate::Refused(format!("it {problem}")),
                None => {
                    self.renewable.keyring.set_operator_key(new);
                    Fate::Renewed
                }
            },
            Secret::OperatorPepper if old.expose_secret().eq_ignore_ascii_case(new.expose_secret()) => {
                Fate::Unchanged
            }
            Secret::OperatorPepper => Fate::Refused(String::from(
                "the store was made with the old one, and no API key, session or signing key is good with another",
            )),
            Secret::MailPassword => set(logins.mail.as_ref(), config.mail.login()),
            Secret::MqttPassword => set(logins.mqtt.as_ref(), config.mqtt.login()),
            Secret::RedisUrl => match redis::same_place(old, new) {
                Ok(true) => set(logins.redis.as_ref(), Some(new.clone())),
                Ok(false) => Fate::Restart("it leads to another server or database"),
                Err(error) => Fate::Refused(error.to_string()),
            },
            Secret::MongodbUri => Fate::Restart("connections to MongoDB are made with the one of the start"),
            Secret::SentryDsn => Fate::Restart("errors are sent with the one of the start"),
            // It was asked with already.
            Secret::InfisicalClient => Fate::Renewed,
        }
    }

    /// Takes the names that belong to passwords: they are no secrets, and go with them.
    fn take_names(&mut self, again: &Again, config: &Config, summary: &mut Summary) {
        let logins = self.renewable.logins.clone();
        let changed = self.in_use.changed(&again.given);
        for (section, current, login) in
            [("mail", logins.mail, config.mail.login()), ("mqtt", logins.mqtt, config.mqtt.login())]
        {
            let name = format!("{section}.username");
            if changed.contains(&name) && matches!(set(current.as_ref(), login), Fate::Renewed) {
                self.in_use.adopt(section, "username", &again.given);
                summary.renewed.push(name);
            }
        }
    }
}

/// Uses a new value, where there were an old and a new one.
fn set<T: Clone>(current: Option<&Current<T>>, value: Option<T>) -> Fate {
    let (Some(current), Some(value)) = (current, value) else {
        return Fate::Restart("nothing was known to log in with at the start, or is now");
    };
    current.set(value);
    Fate::Renewed
}

/// Settings by their names. Between quotes of this kind, what follows one of a password is not taken for a password.
fn names(names: &[impl Display]) -> String {
    if names.is_empty() {
        return String::from("nothing");
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
