//! The rooms of people who log in, as the settings have them.

use std::sync::Arc;

use crate::api::auth::session::People;
use crate::app::rooms::Rooms;
use crate::app::{Secrets, StartError};
use crate::config::AccountsConfig;
use crate::identity::hasher::{Cost, Hasher};
use crate::identity::lending::Lender;
use crate::identity::login::Logins;
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
    clock: &Arc<dyn Clock>,
) -> Result<People, StartError> {
    let cost = Cost {
        memory_kib: accounts.argon2_memory_kib,
        passes: accounts.argon2_passes,
        lanes: accounts.argon2_lanes,
    };
    let hasher = Hasher::new(cost, accounts.hashes_at_once())?;
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
    let (outbox, clock) = (Arc::clone(outbox), Arc::clone(clock));
    Ok(People {
        logins: Arc::new(Logins::new(documents, hasher, Arc::clone(&sessions), outbox, clock)),
        sessions,
        lender: Arc::new(Lender::new(rooms.tokens.clone())),
        members: Arc::new(Records::new(Arc::clone(documents))),
    })
}
