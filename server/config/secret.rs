//! The settings that are secrets. Each may stand in a file of its own, which `NAME_file` names.

use std::fmt;

use crate::config::given::variable;

/// A setting that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The operator's credential.
    OperatorKey,
    /// What the hashes of credentials are mixed with.
    OperatorPepper,
    /// Our password at the broker.
    MqttPassword,
    /// Our password at the mail server.
    MailPassword,
    /// Where errors are sent.
    SentryDsn,
    /// The address of the store, with our credentials there.
    MongodbUri,
    /// The address of the counters, with our credentials there.
    RedisUrl,
    /// The secret of our identity at Infisical.
    InfisicalClient,
}

impl Secret {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OperatorKey,
        Self::OperatorPepper,
        Self::MqttPassword,
        Self::MailPassword,
        Self::SentryDsn,
        Self::MongodbUri,
        Self::RedisUrl,
        Self::InfisicalClient,
    ];

    /// Its section.
    #[must_use]
    pub const fn section(self) -> &'static str {
        self.place().0
    }

    /// Its name there.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.place().1
    }

    /// Its variable, which is also its name in a source of secrets.
    #[must_use]
    pub fn variable(self) -> String {
        variable(self.section(), self.name())
    }

    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::OperatorKey => ("operator", "key"),
            Self::OperatorPepper => ("operator", "pepper"),
            Self::MqttPassword => ("mqtt", "password"),
            Self::MailPassword => ("mail", "password"),
            Self::SentryDsn => ("sentry", "dsn"),
            Self::MongodbUri => ("mongodb", "uri"),
            Self::RedisUrl => ("redis", "url"),
            Self::InfisicalClient => ("infisical", "client_secret"),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section(), self.name())
    }
}
