//! What whoever runs the server decides: one struct for each concern, read once at start. Secrets alone are
//! read again when the server is told to.
//!
//! A setting has a section and a name. In the file it stands as `name` under `[section]`; in the environment as
//! `TOLLGATE_SECTION_NAME`, which wins over the file. The flags of `tollgate serve` win over both. A secret that neither
//! gives may come from a source of secrets, under the name of its variable.

mod accounts;
mod bounded;
mod data;
mod given;
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
mod secret;
pub mod secret_file;
mod sentry;
mod server;
mod tls;
mod traces;

use std::error::Error;
use std::path::{Path, PathBuf};

use config::{Map, Value};
use serde::de::DeserializeOwned;

use crate::config::secret_file::SecretFileError;

pub use crate::config::accounts::{AccountsConfig, Party, SessionDays, TokenSeconds};
pub use crate::config::bounded::{Bounded, Unit};
pub use crate::config::data::DataConfig;
pub use crate::config::given::{Given, Origin, Unread};
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
pub use crate::config::retention::{RetentionConfig, RetentionDays};
pub use crate::config::secret::Secret;
pub use crate::config::sentry::SentryConfig;
pub use crate::config::server::{Reflection, ServerConfig};
pub use crate::config::tls::TlsConfig;
pub use crate::config::traces::{Ratio, RatioOutOfRange, TracesConfig};

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
        Origin::new(file.map(Path::to_owned), environment).read()?.config()
    }

    fn of(mut sections: Sections) -> Result<Self, ConfigError> {
        Ok(Self {
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
    #[error("in the settings `{}`: both `{name}` and `{name}_file` are given", secret.section(), name = secret.name())]
    Twice {
        /// The secret.
        secret: Secret,
    },
    /// A file with a secret cannot be used.
    #[error("in the settings `{}`: `{}_file` cannot be used", secret.section(), secret.name())]
    SecretFile {
        /// The secret.
        secret: Secret,
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

/// The lines after the first quote the file, which may hold a secret.
fn first_line(error: &dyn Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
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
    use secrecy::ExposeSecret as _;

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
        let mut given = Origin::new(Some(path), environment).read().unwrap();
        assert!(given.secret(Secret::InfisicalClient).is_some() && !format!("{given:?}").contains("s3cret"));
        let wanted = [
            "TOLLGATE_OPERATOR_KEY",
            "TOLLGATE_OPERATOR_PEPPER",
            "TOLLGATE_MAIL_PASSWORD",
            "TOLLGATE_SENTRY_DSN",
            "TOLLGATE_MONGODB_URI",
        ];
        assert_eq!(wanted.as_slice(), given.wanted().into_iter().map(Secret::variable).collect::<Vec<_>>());
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
