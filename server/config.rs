//! What whoever runs the server decides: one struct for each concern, read once at start.
//!
//! A setting has a section and a name. In the file it stands as `name` under `[section]`; in the environment as
//! `TOLLGATE_SECTION_NAME`, which wins over the file. The flags of `tollgate serve` win over both. A secret that neither
//! gives may come from a source of secrets, under the name of its variable.

mod accounts;
mod data;
mod http;
mod infisical;
mod limits;
mod log;
mod mail;
mod mongodb;
mod mqtt;
mod operator;
mod plans;
mod redis;
mod retention;
pub mod secret_file;
mod sentry;
mod server;
mod tls;
mod traces;

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;

use crate::config::secret_file::SecretFileError;
use crate::secrets::Found;

pub use crate::config::accounts::{AccountsConfig, Party, Seconds};
pub use crate::config::data::DataConfig;
pub use crate::config::http::{HttpConfig, ResetFormat};
pub use crate::config::infisical::InfisicalConfig;
pub use crate::config::limits::LimitsConfig;
pub use crate::config::log::{LogConfig, LogFormat};
pub use crate::config::mail::{MailConfig, MailUrl, StartTls};
pub use crate::config::mongodb::MongoConfig;
pub use crate::config::mqtt::{BrokerUrl, Ingest, MqttConfig};
pub use crate::config::operator::OperatorConfig;
pub use crate::config::plans::PlansConfig;
pub use crate::config::redis::RedisConfig;
pub use crate::config::retention::{Days, RetentionConfig};
pub use crate::config::sentry::SentryConfig;
pub use crate::config::server::{Reflection, ServerConfig};
pub use crate::config::tls::TlsConfig;
pub use crate::config::traces::{Ratio, RatioOutOfRange, TracesConfig};

/// What the name of every variable begins with.
const PREFIX: &str = "TOLLGATE_";

/// The sections of the file, in the order of the fields of [`Config`], and the one that is needed before them.
const SECTIONS: [&str; 17] = [
    "server",
    "tls",
    "data",
    "operator",
    "accounts",
    "plans",
    "retention",
    "http",
    "limits",
    "mqtt",
    "log",
    "sentry",
    "traces",
    "mongodb",
    "redis",
    "mail",
    INFISICAL,
];

/// The section of the source of secrets.
const INFISICAL: &str = "infisical";

/// The settings that are secrets, by section. Each may stand in a file of its own, which `NAME_file` names.
const SECRETS: [(&str, &str); 8] = [
    ("operator", "key"),
    ("operator", "pepper"),
    ("mqtt", "password"),
    ("mail", "password"),
    ("sentry", "dsn"),
    ("mongodb", "uri"),
    ("redis", "url"),
    (INFISICAL, "client_secret"),
];

/// Variables of our clients, which may stand in the same environment.
const CLIENT_VARIABLES: [&str; 6] = [
    "TOLLGATE_ENDPOINT",
    "TOLLGATE_API_KEY",
    "TOLLGATE_TENANT",
    "TOLLGATE_CA_FILE",
    "TOLLGATE_CERTIFICATE_FILE",
    "TOLLGATE_KEY_FILE",
];

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where the server listens, and how it ends.
    pub server: ServerConfig,
    /// How the port proves who it is.
    pub tls: TlsConfig,
    /// Where it keeps what it knows.
    pub data: DataConfig,
    /// Who may administer it.
    pub operator: OperatorConfig,
    /// People who log in.
    pub accounts: AccountsConfig,
    /// What it promises at first.
    pub plans: PlansConfig,
    /// How long it keeps events.
    pub retention: RetentionConfig,
    /// How its HTTP answers look.
    pub http: HttpConfig,
    /// How much one client may ask of it.
    pub limits: LimitsConfig,
    /// The broker that is told what happens.
    pub mqtt: MqttConfig,
    /// What it says about itself.
    pub log: LogConfig,
    /// Who else hears of its errors.
    pub sentry: SentryConfig,
    /// Who sees the way that a call takes.
    pub traces: TracesConfig,
    /// The store of many machines.
    pub mongodb: MongoConfig,
    /// Where several servers keep their counters.
    pub redis: RedisConfig,
    /// Who takes the letters to people.
    pub mail: MailConfig,
}

impl Config {
    /// Reads the file, if there is one, and the environment. A setting that does not exist is an error, by its name.
    /// Nobody else is asked for secrets.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Given::read(file, environment)?.config()
    }
}

/// What the file and the environment give, before a source of secrets has added to it.
#[derive(Clone)]
pub struct Given {
    /// Which source that is.
    pub infisical: InfisicalConfig,
    sections: Sections,
}

impl Given {
    /// Reads the file, if there is one, and the environment. What is no section or no variable is an error, by its name.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut sections = match file {
            Some(path) => file_sections(path)?,
            None => Map::new(),
        };
        if let Some(unknown) = sections.keys().find(|name| !SECTIONS.contains(&name.as_str())) {
            return Err(ConfigError::UnknownSection { name: unknown.clone() });
        }
        add_environment(&mut sections, environment)?;
        read_secret_files(&mut sections)?;
        Ok(Self { infisical: section(&mut sections, INFISICAL)?, sections })
    }

    /// The variables of the secrets that are not given.
    #[must_use]
    pub fn wanted(&self) -> Vec<String> {
        let secrets =
            SECRETS.iter().filter(|(section, name)| *section != INFISICAL && !self.has(section, name));
        secrets.map(|(section, name)| variable(section, name)).collect()
    }

    /// Adds secrets by their variables. What is given stays.
    pub fn add(&mut self, found: &Found) {
        for (section, name) in SECRETS {
            let Some(secret) = found.get(&variable(section, name)) else { continue };
            let table =
                self.sections.entry(section.to_owned()).or_insert_with(|| Value::from(Sections::new()));
            // A section that is no table is refused as such.
            if let ValueKind::Table(settings) = &mut table.kind {
                settings.entry(name.to_owned()).or_insert_with(|| Value::from(secret.expose_secret()));
            }
        }
    }

    /// All settings. One that does not exist is an error, by its name.
    pub fn config(self) -> Result<Config, ConfigError> {
        let mut sections = self.sections;
        Ok(Config {
            server: section(&mut sections, "server")?,
            tls: section(&mut sections, "tls")?,
            data: section(&mut sections, "data")?,
            operator: section(&mut sections, "operator")?,
            accounts: section(&mut sections, "accounts")?,
            plans: section(&mut sections, "plans")?,
            retention: section(&mut sections, "retention")?,
            http: section(&mut sections, "http")?,
            limits: section(&mut sections, "limits")?,
            mqtt: section(&mut sections, "mqtt")?,
            log: section(&mut sections, "log")?,
            sentry: section(&mut sections, "sentry")?,
            traces: section(&mut sections, "traces")?,
            mongodb: section(&mut sections, "mongodb")?,
            redis: section(&mut sections, "redis")?,
            mail: section(&mut sections, "mail")?,
        })
    }

    fn has(&self, section: &str, name: &str) -> bool {
        let table = self.sections.get(section).map(|table| &table.kind);
        matches!(table, Some(ValueKind::Table(settings)) if settings.contains_key(name))
    }
}

/// What is given has secrets in it.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("infisical", &self.infisical).finish_non_exhaustive()
    }
}

/// Why the settings cannot be used. No variant says a value of `[operator]`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing, or may not be read.
    #[error("the settings file `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the settings file `{}` is not well formed: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        problem: String,
    },
    /// There is no such section.
    #[error("unknown section `{name}` in the settings; there are {}", SECTIONS.join(", "))]
    UnknownSection {
        /// The section.
        name: String,
    },
    /// There is no such variable.
    #[error("unknown variable `{name}`: the settings are TOLLGATE_SECTION_NAME, with a section of {}", SECTIONS.join(", "))]
    UnknownVariable {
        /// The variable.
        name: String,
    },
    /// A secret is given twice, and nobody knows which one is meant.
    #[error("in the settings `{section}`: both `{name}` and `{name}_file` are given")]
    Twice {
        /// The section.
        section: &'static str,
        /// The setting.
        name: &'static str,
    },
    /// A file with a secret cannot be used.
    #[error("in the settings `{section}`: `{name}_file` cannot be used")]
    SecretFile {
        /// The section.
        section: &'static str,
        /// The setting.
        name: &'static str,
        /// Why not.
        #[source]
        source: SecretFileError,
    },
    /// A setting does not exist, or has a value that it cannot have.
    #[error("in the settings `{section}`: {problem}")]
    Invalid {
        /// The section.
        section: &'static str,
        /// What is wrong.
        problem: String,
    },
}

type Sections = Map<String, Value>;

fn variable(section: &str, name: &str) -> String {
    format!("{PREFIX}{section}_{name}").to_ascii_uppercase()
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

/// The lines after the first quote the file, which may hold a secret.
fn first_line(error: &dyn Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn add_environment(
    sections: &mut Sections,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
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
            return Err(ConfigError::UnknownVariable { name: variable });
        };
        let table = sections.entry(section.to_owned()).or_insert_with(|| Value::from(Sections::new()));
        let ValueKind::Table(settings) = &mut table.kind else {
            return Err(ConfigError::UnknownSection { name: section.to_owned() });
        };
        settings.insert(name.to_owned(), Value::from(value));
    }
    Ok(())
}

/// Puts each secret that stands in a file of its own in the place of the file's name.
fn read_secret_files(sections: &mut Sections) -> Result<(), ConfigError> {
    for (section, name) in SECRETS {
        let Some(Value { kind: ValueKind::Table(settings), .. }) = sections.get_mut(section) else {
            continue;
        };
        let Some(path) = settings.remove(&format!("{name}_file")) else { continue };
        if settings.contains_key(name) {
            return Err(ConfigError::Twice { section, name });
        }
        let invalid = |problem| ConfigError::Invalid { section, problem };
        let path = path.into_string().map_err(|error| invalid(first_line(&error)))?;
        let secret = secret_file::read(Path::new(&path)).map_err(|source| ConfigError::SecretFile {
            section,
            name,
            source,
        })?;
        settings.insert(name.to_owned(), Value::from(secret.expose_secret()));
    }
    Ok(())
}

fn section<T: DeserializeOwned + Default>(
    sections: &mut Sections,
    name: &'static str,
) -> Result<T, ConfigError> {
    let Some(table) = sections.remove(name) else { return Ok(T::default()) };
    table.try_deserialize().map_err(|error: config::ConfigError| ConfigError::Invalid {
        section: name,
        problem: first_line(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::FailPolicy;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tollgate.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(Some(&path), environment)
    }

    #[track_caller]
    fn refused(file: &str, environment: &[(&str, &str)], expected: &str) {
        let message = read(file, environment).unwrap_err().to_string();
        assert!(message.contains(expected), "`{message}` does not say `{expected}`");
    }

    #[test]
    fn without_a_file_everything_has_a_default() {
        let config = Config::read(None, []).unwrap();
        assert_eq!("127.0.0.1:7180", config.server.listen.to_string());
        assert_eq!(Path::new("data"), config.data.directory);
        assert_eq!("standard", config.plans.presets);
        assert_eq!(90, config.retention.days.get());
        assert_eq!(128, config.limits.concurrent_streams.get());
    }

    #[test]
    fn environment_wins_over_the_file() {
        let file =
            "[server]\nlisten = \"127.0.0.1:1\"\nreflection = \"off\"\n[limits]\nmessage_bytes_in = 1000";
        let environment = [
            ("TOLLGATE_SERVER_LISTEN", "127.0.0.1:2"),
            ("TOLLGATE_LIMITS_CONCURRENT_STREAMS", "7"),
            ("TOLLGATE_LOG_FORMAT", "json"),
            ("TOLLGATE_API_KEY", "of another program"),
            ("HOME", "/"),
        ];
        let config = read(file, &environment).unwrap();
        assert_eq!("127.0.0.1:2", config.server.listen.to_string());
        assert_eq!(Reflection::Off, config.server.reflection);
        assert_eq!(1000, config.limits.message_bytes_in.get());
        assert_eq!(7, config.limits.concurrent_streams.get());
        assert_eq!(LogFormat::Json, config.log.format);
    }

    #[test]
    fn what_is_not_a_setting_is_refused_by_its_name() {
        refused("[server]\nlsten = \"x\"", &[], "lsten");
        refused("[sever]\nlisten = \"x\"", &[], "`sever`");
        refused("listen = \"127.0.0.1:1\"", &[], "`listen`");
        refused("server = 3", &[], "server");
        refused("", &[("TOLLGATE_SERVER_LSTEN", "x")], "lsten");
        refused("", &[("TOLLGATE_SEVER_LISTEN", "x")], "`TOLLGATE_SEVER_LISTEN`");
        refused("", &[("TOLLGATE_LISTEN", "x")], "`TOLLGATE_LISTEN`");
    }

    #[test]
    fn what_a_setting_cannot_be_is_refused() {
        refused("[server]\nlisten = \"here\"", &[], "`server`");
        refused("[server]\nreflection = \"maybe\"", &[], "maybe");
        refused("[limits]\nconcurrent_streams = 0", &[], "`limits`");
        refused("[limits]\nconcurrent_streams = -1", &[], "`limits`");
        refused("[http]\nreset_format = \"words\"", &[], "words");
        refused("[retention]\ndays = 66", &[], "66 days");
        refused("", &[("TOLLGATE_RETENTION_DAYS", "36501")], "36501 days");
        refused("[accounts]\nissuer = \"\"", &[], "1 to 200");
        refused("", &[("TOLLGATE_ACCOUNTS_AUDIENCE", "our api")], "our api");
        refused("", &[("TOLLGATE_ACCOUNTS_ACCESS_TOKEN_SECONDS", "3601")], "3601 seconds");
        refused("[accounts]\naccess_token_seconds = 59", &[], "59 seconds");
        refused("[accounts]\nrefresh_token_days = 0", &[], "0 days");
        refused("", &[("TOLLGATE_ACCOUNTS_SESSION_DAYS_MAX", "3651")], "3651 days");
        refused("[traces]\nsample_ratio = 1.5", &[], "1.5 is not between 0 and 1");
        refused("", &[("TOLLGATE_TRACES_SAMPLE_RATIO", "-0.1")], "-0.1 is not between 0 and 1");
    }

    #[test]
    fn the_address_of_redis_is_never_said() {
        let config =
            read("[redis]\nurl = \"redis://:s3cret@127.0.0.1\"\nlimits_fail = \"open\"", &[]).unwrap();
        assert_eq!(FailPolicy::Open, config.redis.limits_fail);
        assert_eq!((FailPolicy::Closed, 50), (config.redis.credits_fail, config.redis.timeout_ms.get()));
        assert!(!format!("{config:?}").contains("s3cret"));
        refused("[redis]\nlimits_fail = \"shut\"", &[], "shut");
    }

    #[test]
    fn password_of_the_mail_server_is_never_said() {
        let file =
            "[mail]\nurl = \"smtp://mail.example.com\"\nusername = \"tollgate\"\npassword = \"s3cret\"";
        let config = read(file, &[("TOLLGATE_MAIL_FROM", "no-reply@example.com")]).unwrap();
        assert_eq!("no-reply@example.com", config.mail.from.as_ref().unwrap().as_str());
        assert!(!format!("{config:?}").contains("s3cret"));
        refused("[mail]\nurl = \"smtp://me:s3cret@mail.example.com\"", &[], "`url` must be");
        refused("[mail]\nfrom = \"a@example.com, b@example.com\"", &[], "`from` is not one address");
        refused("[mail]\nfrom = \"Tollgate <a@example.com>\"", &[], "`from` is not one address");
        refused("[mail]\nlink_base = \"app.example.com\"", &[], "`link_base` must be");
        refused("[mail]\nstarttls = \"maybe\"", &[], "maybe");
        refused("[mail]\ntimeout_seconds = 121", &[], "`timeout_seconds` is 121");
        refused("", &[("TOLLGATE_MAIL_LETTERS_PER_MINUTE", "0")], "`letters_per_minute` is 0");
    }

    #[test]
    fn secret_may_stand_in_a_file_that_others_cannot_read() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("url");
        std::fs::write(&path, "redis://:s3cret@127.0.0.1\n").unwrap();
        let named = path.to_str().unwrap();
        let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o600);
        let config = read("", &[("TOLLGATE_REDIS_URL_FILE", named)]).unwrap();
        assert_eq!(config.redis.url.unwrap().expose_secret(), "redis://:s3cret@127.0.0.1");
        refused("[redis]\nurl = \"redis://127.0.0.1\"", &[("TOLLGATE_REDIS_URL_FILE", named)], "url_file");
        refused("", &[("TOLLGATE_REDIS_URL_FILE", "/nowhere")], "url_file");
        refused("[redis]\ntimeout_ms_file = \"x\"", &[], "timeout_ms_file");
        set_mode(0o640);
        let error = read("", &[("TOLLGATE_REDIS_URL_FILE", named)]).unwrap_err();
        assert!(format!("{error:?}").contains("Exposed") && !format!("{error:?}").contains("s3cret"));
    }

    #[test]
    fn the_operators_key_is_never_said() {
        let secret = "a-key-of-more-than-thirty-two-characters";
        let config = read(&format!("[operator]\nkey = {secret:?}"), &[]).unwrap();
        assert!(!format!("{config:?}").contains(secret));
        for broken in [format!("[operator]\nkey = \"{secret}"), format!("[operator]\nkey = {secret}\n")] {
            let error = read(&broken, &[]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
    }

    #[test]
    fn a_source_of_secrets_gives_what_nobody_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tollgate.toml");
        let file = "[redis]\nurl = \"redis://of-the-file\"\n[infisical]\nurl = \"https://a.test\"\nclient_secret = \"s3cret\"";
        std::fs::write(&path, file).unwrap();
        let environment = [("TOLLGATE_MQTT_PASSWORD", "of the environment")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut given = Given::read(Some(&path), environment).unwrap();
        assert!(given.infisical.client_secret.is_some() && !format!("{given:?}").contains("s3cret"));
        let wanted = [
            "TOLLGATE_OPERATOR_KEY",
            "TOLLGATE_OPERATOR_PEPPER",
            "TOLLGATE_MAIL_PASSWORD",
            "TOLLGATE_SENTRY_DSN",
            "TOLLGATE_MONGODB_URI",
        ];
        assert_eq!(wanted.as_slice(), given.wanted());
        let all =
            wanted.iter().chain(&["TOLLGATE_REDIS_URL", "TOLLGATE_MQTT_PASSWORD", "TOLLGATE_SERVER_LISTEN"]);
        given.add(&all.map(|name| ((*name).to_owned(), "of the source".into())).collect());
        let config = given.config().unwrap();
        let said = |secret: Option<secrecy::SecretString>| secret.unwrap().expose_secret().to_owned();
        assert_eq!("redis://of-the-file", said(config.redis.url));
        assert_eq!("of the environment", said(config.mqtt.password));
        assert_eq!("of the source", said(config.mail.password));
        assert_eq!("of the source", said(config.operator.key));
        assert_eq!("127.0.0.1:7180", config.server.listen.to_string());
    }

    #[test]
    fn errors_go_nowhere_until_somebody_says_where() {
        let secret = format!("https://{}@sentry.example.com/42", "4711cafe");
        let config = read("", &[("TOLLGATE_SENTRY_DSN", secret.as_str())]).unwrap();
        assert!(config.sentry.dsn().is_some() && !format!("{config:?}").contains("4711cafe"));
        assert!(read("[sentry]\ndsn = \"\"", &[]).unwrap().sentry.dsn().is_none());
        assert!(read("", &[]).unwrap().sentry.dsn().is_none());
        assert!(read("", &[]).unwrap().traces.endpoint.is_empty());
    }
}
