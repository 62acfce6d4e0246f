//! What the file and the environment give, with its secrets apart from the rest, so that these can be read again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::secret::Secret;
use crate::config::secret_file::{self, SecretFileError};
use crate::config::{
    Config, ConfigError, INFISICAL, InfisicalConfig, SECTIONS, Sections, first_line, section,
};
use crate::secrets::Found;

/// What the name of every variable begins with.
const PREFIX: &str = "TOLLGATE_";

/// Variables of our clients, which may stand in the same environment.
const CLIENT_VARIABLES: [&str; 6] = [
    "TOLLGATE_ENDPOINT",
    "TOLLGATE_API_KEY",
    "TOLLGATE_TENANT",
    "TOLLGATE_CA_FILE",
    "TOLLGATE_CERTIFICATE_FILE",
    "TOLLGATE_KEY_FILE",
];

/// Where settings are given: in a file and in the environment, which for a process is always the one of its start.
#[derive(Clone)]
pub struct Origin {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

/// What is given.
#[derive(Clone)]
pub struct Given {
    /// The source of secrets.
    pub infisical: InfisicalConfig,
    sections: Sections,
    secrets: BTreeMap<String, SecretString>,
}

/// A secret whose file cannot be used.
#[derive(Debug)]
pub struct Unread {
    /// The secret.
    pub secret: Secret,
    /// Why not.
    pub problem: SecretFileError,
}

impl Origin {
    /// Of that file, if there is one, and what concerns us of that environment.
    pub fn new(file: Option<PathBuf>, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = environment.into_iter().filter(|(variable, _)| variable.starts_with(PREFIX));
        Self { file, environment: ours.collect() }
    }

    /// Reads what is given. What is no section or no variable is an error, by its name.
    pub fn read(&self) -> Result<Given, ConfigError> {
        let (given, unread) = self.read_what_can_be()?;
        match unread.into_iter().next() {
            Some(Unread { secret, problem }) => Err(ConfigError::SecretFile { secret, source: problem }),
            None => Ok(given),
        }
    }

    /// The same, without the secrets whose files cannot be used.
    pub fn read_what_can_be(&self) -> Result<(Given, Vec<Unread>), ConfigError> {
        let mut sections = match &self.file {
            Some(path) => file_sections(path)?,
            None => Sections::new(),
        };
        if let Some(unknown) = sections.keys().find(|name| !SECTIONS.contains(&name.as_str())) {
            return Err(ConfigError::UnknownSection { name: unknown.clone() });
        }
        add_environment(&mut sections, &self.environment)?;
        let (secrets, unread) = take_secrets(&mut sections)?;
        let infisical = section(&mut sections.clone(), INFISICAL)?;
        Ok((Given { infisical, sections, secrets }, unread))
    }
}

/// The environment has secrets in it.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Given {
    /// A secret, if it is given.
    #[must_use]
    pub fn secret(&self, secret: Secret) -> Option<&SecretString> {
        self.secrets.get(&secret.variable())
    }

    /// Gives a secret, or another value of it.
    pub fn set(&mut self, secret: Secret, value: SecretString) {
        self.secrets.insert(secret.variable(), value);
    }

    /// The secrets that are not given, and that a source of secrets may give.
    #[must_use]
    pub fn wanted(&self) -> Vec<Secret> {
        let secrets = Secret::ALL.into_iter().filter(|secret| secret.section() != INFISICAL);
        secrets.filter(|secret| self.secret(*secret).is_none()).collect()
    }

    /// Adds secrets by their variables. What is given stays.
    pub fn add(&mut self, found: &Found) {
        for secret in self.wanted() {
            if let Some(value) = found.get(&secret.variable()) {
                self.set(secret, value.clone());
            }
        }
    }

    /// Takes a setting that is no secret from `other`, by its name there.
    pub fn adopt(&mut self, section: &str, name: &str, other: &Self) {
        let theirs = other.flat().get(&format!("{section}.{name}")).map(|value| (*value).clone());
        if let (Some(settings), Some(theirs)) = (table(&mut self.sections, section), theirs) {
            settings.insert(name.to_owned(), theirs);
        }
    }

    /// The settings that are no secrets and are not the same in `other`, as `section.name`.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.flat(), other.flat());
        let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
        names.filter(|name| ours.get(*name) != theirs.get(*name)).cloned().collect()
    }

    /// All settings. One that does not exist is an error, by its name.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut sections = self.sections.clone();
        for secret in Secret::ALL.into_iter().filter(|secret| secret.section() != INFISICAL) {
            let Some(value) = self.secret(secret) else { continue };
            if let Some(settings) = table(&mut sections, secret.section()) {
                settings.insert(secret.name().to_owned(), Value::from(value.expose_secret()));
            }
        }
        Config::of(sections)
    }

    fn flat(&self) -> BTreeMap<String, &Value> {
        let mut flat = BTreeMap::new();
        for (section, table) in &self.sections {
            if let ValueKind::Table(settings) = &table.kind {
                flat.extend(settings.iter().map(|(name, value)| (format!("{section}.{name}"), value)));
            }
        }
        flat
    }
}

/// What is given has secrets in it.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("infisical", &self.infisical).finish_non_exhaustive()
    }
}

/// The variable of a setting.
pub(super) fn variable(section: &str, name: &str) -> String {
    format!("{PREFIX}{section}_{name}").to_ascii_uppercase()
}

/// A section, which is made where it is missing. `None`: what has its name is none, and is refused as such later.
fn table<'a>(sections: &'a mut Sections, name: &str) -> Option<&'a mut Sections> {
    let section = sections.entry(name.to_owned()).or_insert_with(|| Value::from(Sections::new()));
    match &mut section.kind {
        ValueKind::Table(settings) => Some(settings),
        _ => None,
    }
}

fn file_sections(path: &Path) -> Result<Sections, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let malformed = |problem| ConfigError::Malformed { path: path.to_owned(), problem };
    config::Config::builder()
        .add_source(config::File::from_str(&text, config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize::<Sections>)
        .map_err(|error| malformed(first_line(&error)))
}

fn add_environment(sections: &mut Sections, environment: &[(String, String)]) -> Result<(), ConfigError> {
    for (variable, value) in environment {
        let Some(path) = variable.strip_prefix(PREFIX) else { continue };
        #[cfg(feature = "faults")]
        if variable == crate::failpoint::VARIABLE {
            continue;
        }
        if CLIENT_VARIABLES.contains(&variable.as_str()) {
            continue;
        }
        let path = path.to_ascii_lowercase();
        let place = path.split_once('_').filter(|(section, _)| SECTIONS.contains(section));
        let Some((section, name)) = place else {
            return Err(ConfigError::UnknownVariable { name: variable.clone() });
        };
        let Some(settings) = table(sections, section) else {
            return Err(ConfigError::UnknownSection { name: section.to_owned() });
        };
        settings.insert(name.to_owned(), Value::from(value.as_str()));
    }
    Ok(())
}

type Secrets = BTreeMap<String, SecretString>;

/// Takes all secrets out of the sections, each from where it stands or from a file of its own.
fn take_secrets(sections: &mut Sections) -> Result<(Secrets, Vec<Unread>), ConfigError> {
    let (mut secrets, mut unread) = (Secrets::new(), Vec::new());
    for secret in Secret::ALL {
        let Some(Value { kind: ValueKind::Table(settings), .. }) = sections.get_mut(secret.section()) else {
            continue;
        };
        let text = |value: Value| {
            let invalid = |problem| ConfigError::Invalid { section: secret.section(), problem };
            value.into_string().map_err(|error| invalid(first_line(&error)))
        };
        let (own, file) =
            (settings.remove(secret.name()), settings.remove(&format!("{}_file", secret.name())));
        let value = match (own, file) {
            (Some(_), Some(_)) => return Err(ConfigError::Twice { secret }),
            (Some(value), None) => SecretString::from(text(value)?),
            (None, Some(path)) => match secret_file::read(Path::new(&text(path)?)) {
                Ok(value) => value,
                Err(problem) => {
                    unread.push(Unread { secret, problem });
                    continue;
                }
            },
            (None, None) => continue,
        };
        secrets.insert(secret.variable(), value);
    }
    Ok((secrets, unread))
}
