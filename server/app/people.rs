//! The rooms of people who log in, as the settings have them.

use std::sync::Arc;

use crate::api::auth::session::People;
use crate::app::Secrets;
use crate::app::rooms::Rooms;
use crate::config::AccountsConfig;
use crate::identity::lending::Lender;
use crate::identity::lockout::Lockout;
use crate::identity::login::{Doorway, Logins};
use crate::identity::second_factor::SecondFactors;
use crate::identity::sessions::{Ground, Lifetimes, Sessions};
use crate::mail::outbox::Outbox;
use crate::store::Documents;
use crate::store::records::Records;
use crate::time::Clock;

/// Builds them beside the other rooms.
pub(super) fn open(
    accounts: &AccountsConfig,
    documents: &Arc<dyn Documents>,
    secrets: &Secrets,
    rooms: &Rooms,
    outbox: &Arc<Outbox>,
    lockout: &Arc<Lockout>,
    clock: &Arc<dyn Clock>,
) -> People {
    let ground = Ground {
        tokens: rooms.tokens.clone(),
        roles: Arc::clone(&rooms.roles),
        keyring: Arc::clone(&rooms.keyring),
        outbox: Arc::clone(outbox),
        clock: Arc::clone(clock),
    };
    let lifetimes = Lifetimes {
        refresh_token_days: accounts.refresh_token_days.get(),
        session_days_max: accounts.session_days_max.get(),
    };
    let sessions = Arc::new(Sessions::new(documents, &secrets.pepper, ground, lifetimes));
    let doorway = Doorway {
        hasher: rooms.hasher.clone(),
        sessions: Arc::clone(&sessions),
        outbox: Arc::clone(outbox),
        second_factors: SecondFactors::new(&secrets.pepper),
        lockout: Arc::clone(lockout),
        clock: Arc::clone(clock),
    };
    People {
        logins: Arc::new(Logins::new(documents, doorway)),
        sessions,
        lender: Arc::new(Lender::new(rooms.tokens.clone())),
        members: Arc::new(Records::new(Arc::clone(documents))),
    }
}
