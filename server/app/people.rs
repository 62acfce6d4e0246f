//! The rooms of people and their accounts, as the settings have them.

use std::sync::Arc;

use crate::api::auth::session::People;
use crate::app::rooms::Rooms;
use crate::app::{Secrets, StartError};
use crate::config::AccountsConfig;
use crate::identity::accounts::{Accounts, Beside};
use crate::identity::codes::Codes;
use crate::identity::departures::{self, Departures};
use crate::identity::hasher::Hasher;
use crate::identity::lending::Lender;
use crate::identity::lockout::Lockout;
use crate::identity::login::{Doorway, Logins};
use crate::identity::second_factor::SecondFactors;
use crate::identity::sessions::{Ground, Lifetimes, Sessions};
use crate::mail::outbox::Outbox;
use crate::store::Documents;
use crate::store::records::Records;
use crate::tasks::Tasks;
use crate::time::Clock;

/// What they stand on beside the other rooms.
pub(super) struct Base<'a> {
    pub(super) documents: &'a Arc<dyn Documents>,
    pub(super) secrets: &'a Secrets,
    pub(super) outbox: &'a Arc<Outbox>,
    pub(super) lockout: &'a Arc<Lockout>,
    pub(super) clock: &'a Arc<dyn Clock>,
}

/// The rooms of people.
pub(super) struct Opened {
    pub(super) people: People,
    pub(super) accounts: Arc<Accounts>,
    pub(super) departures: Arc<Departures>,
}

/// Builds them, and does behind the answers what people ask for.
pub(super) fn open(
    config: &AccountsConfig,
    rooms: &Rooms,
    base: &Base<'_>,
    tasks: &Tasks,
) -> Result<Opened, StartError> {
    // One for all, so that its bound is one.
    let hasher = Hasher::new(config.cost(), config.hashes_at_once())?;
    let codes = Arc::new(Codes::new(base.documents, &base.secrets.pepper, Arc::clone(base.clock)));
    let accounts = accounts(config, rooms, base, hasher.clone(), &codes);
    tasks.spawn(Arc::clone(&accounts).run(tasks.stopping()));
    let ground = Ground {
        tokens: rooms.tokens.clone(),
        roles: Arc::clone(&rooms.roles),
        keyring: Arc::clone(&rooms.keyring),
        outbox: Arc::clone(base.outbox),
        clock: Arc::clone(base.clock),
    };
    let lifetimes = Lifetimes {
        refresh_token_days: config.refresh_token_days.get(),
        session_days_max: config.session_days_max.get(),
    };
    let sessions = Arc::new(Sessions::new(base.documents, &base.secrets.pepper, ground, lifetimes));
    let ground = departures::Ground {
        members: Arc::clone(&rooms.members),
        sessions: Arc::clone(&sessions),
        codes,
        outbox: Arc::clone(base.outbox),
        clock: Arc::clone(base.clock),
    };
    let departures = Arc::new(Departures::new(base.documents, ground));
    let doorway = Doorway {
        hasher,
        sessions: Arc::clone(&sessions),
        outbox: Arc::clone(base.outbox),
        second_factors: SecondFactors::new(&base.secrets.pepper),
        lockout: Arc::clone(base.lockout),
        clock: Arc::clone(base.clock),
    };
    let people = People {
        logins: Arc::new(Logins::new(base.documents, doorway)),
        sessions,
        lockout: Arc::clone(base.lockout),
        lender: Arc::new(Lender::new(rooms.tokens.clone())),
        members: Arc::new(Records::new(Arc::clone(base.documents))),
    };
    Ok(Opened { people, accounts, departures })
}

fn accounts(
    config: &AccountsConfig,
    rooms: &Rooms,
    base: &Base<'_>,
    hasher: Hasher,
    codes: &Arc<Codes>,
) -> Arc<Accounts> {
    let beside = Beside {
        outbox: Arc::clone(base.outbox),
        catalogue: Arc::clone(&rooms.catalogue),
        tenants: Arc::clone(&rooms.tenants),
        members: Arc::clone(&rooms.members),
        roles: Arc::clone(&rooms.roles),
        hasher,
        sign_up: config.sign_up,
    };
    let (secret, clock) = (&base.secrets.pepper, Arc::clone(base.clock));
    Arc::new(Accounts::new(base.documents, secret, Arc::clone(codes), beside, clock))
}
