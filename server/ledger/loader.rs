//! Rule K: a tenant's counters are loaded from the ledger at first use; and rule S: a period's allowance is granted by whoever
//! needs it first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;

use crate::fault::{Fault, Reason};
use crate::gate::call::PayloadHash;
use crate::gate::counters::{Counters, CountersError};
use crate::gate::decide::allowance_id;
use crate::gate::decision::{Burn, CounterId};
use crate::gate::period::Period;
use crate::gate::policy::{LimitKey, Policy};
use crate::gate::state::{Counter, Grant, Mark, Reservation, SlidingLog, State};
use crate::ledger::account::{Account, GrantAccount, HoldAccount, WindowAccount};
use crate::ledger::accounts::Accounts;
use crate::ledger::cuts::Cuts;
use crate::ledger::entry::{Change, Head};
use crate::ledger::event::{self, KeyKind};
use crate::ledger::events::{AmendedRow, EventSearch, Events};
use crate::ledger::journal::JournalError;
use crate::ledger::progress::{Late, Progress};
use crate::ledger::queue::{Queue, QueueError};
use crate::ledger::record::{Body, Charge, ChargeKind, GrantPosted, Mode};
use crate::ledger::slots::Slots;
use crate::ledger::standing::decode;
use crate::store::{Order, StoreError};
use crate::time::{HOUR, MINUTE, Timestamp};

/// How many of a tenant's newest events are read back for marks and logs.
const EVENTS_MAX: usize = 100_000;
/// Events that are read back at once.
const PAGE: usize = 5_000;
/// How often counters are told of a grant that are lost in between.
const TELLS_MAX: u32 = 4;
/// The allowance burns before grants that were given on top, whose priority is 100 by default.
const ALLOWANCE_PRIORITY: u32 = 50;

/// The entries of sliding windows, as they are found.
type Logs = HashMap<CounterId, Vec<(Timestamp, i64)>>;

/// Loads counters and posts grants.
#[derive(Debug)]
pub struct Loader {
    parts: LoaderParts,
    /// One loader or granter a tenant at a time: a grant that is posted during a load is never missed.
    busy: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
}

/// How a grant went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granting {
    /// It is new.
    Posted,
    /// It was posted before.
    Known,
    /// Another grant was posted under its id.
    Conflict,
}

/// What the loader stands on.
#[derive(Clone, Debug)]
pub struct LoaderParts {
    /// The counters.
    pub counters: Arc<dyn Counters>,
    /// The queue before the journal.
    pub queue: Arc<Queue>,
    /// All writers of the journals.
    pub slots: Arc<Slots>,
    /// The folds' progress.
    pub progress: Arc<Progress>,
    /// The accounts.
    pub accounts: Accounts,
    /// The rows of the ledger.
    pub events: Arc<dyn Events>,
    /// Tenants whose counters may be off.
    pub cuts: Arc<Cuts>,
}

/// A tenant's counters cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The ledger did not catch up.
    #[error(transparent)]
    Late(#[from] Late),
    /// The ledger cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journals cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The counters cannot answer.
    #[error(transparent)]
    Counters(#[from] CountersError),
    /// A grant could not be made durable.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// They were lost again and again.
    #[error("the tenant's counters were lost again while they were loaded")]
    Unsettled,
    /// A batch was forgotten before it was read again.
    #[error("a batch of the journal was forgotten before the counters were compared with it")]
    Forgotten,
}

impl Fault for LoadError {
    fn reason(&self) -> Reason {
        match self {
            Self::Late(error) => error.reason(),
            Self::Store(error) => error.reason(),
            Self::Counters(error) => error.reason(),
            Self::Queue(error) => error.reason(),
            Self::Journal(_) | Self::Unsettled | Self::Forgotten => Reason::StoreUnavailable,
        }
    }
}

impl Loader {
    /// A loader over its parts.
    #[must_use]
    pub fn new(parts: LoaderParts) -> Self {
        Self { parts, busy: Mutex::default() }
    }

    /// Installs the tenant's counters if nothing is installed.
    pub async fn load(&self, tenant: &Arc<str>) -> Result<(), LoadError> {
        let alone = self.alone(tenant);
        let _guard = alone.lock().await;
        self.install(tenant).await
    }

    /// The same for whoever is alone with the tenant.
    async fn install(&self, tenant: &Arc<str>) -> Result<(), LoadError> {
        if self.parts.counters.read(tenant).await?.is_some() {
            return Ok(());
        }
        self.settled().await?;
        let account = self.parts.accounts.get(tenant).await?.account;
        let now = self.parts.counters.now();
        let mut state = state_of(&account);
        state.epoch = epoch(&account, now);
        self.read_back(tenant, now, &mut state).await?;
        self.parts.counters.install(tenant, state).await?;
        if self.parts.slots.journal().is_shared() && account.counter_epoch > 0 {
            // Counters that were lost had decided what may still be on its way, and others may have told them something in
            // vain since the account was read.
            self.parts.cuts.suspect(tenant);
        }
        Ok(())
    }

    /// Posts the allowance of the period that begins at `period_start`, and adds it to the counters.
    pub async fn allow(
        &self,
        tenant: &Arc<str>,
        policy: &Policy,
        period_start: Timestamp,
        period_end: Timestamp,
    ) -> Result<(), LoadError> {
        let posted = GrantPosted {
            id: allowance_id(&policy.subscription, period_start),
            micros: policy.allowance_micros,
            priority: ALLOWANCE_PRIORITY,
            expires_at_micros: Some(period_end.micros()),
            name: format!("{} {}", policy.plan.slug, policy.plan.version),
        };
        // Whoever posted it first has posted the same, or what the plan promised then: the wallet has it.
        let _known = self.grant(tenant, posted).await?;
        Ok(())
    }

    /// Posts a grant: to the journal, to the wallet, and then to the counters, by its id (rule S). Posting it again changes
    /// nothing.
    pub async fn grant(&self, tenant: &Arc<str>, posted: GrantPosted) -> Result<Granting, LoadError> {
        let alone = self.alone(tenant);
        let _guard = alone.lock().await;
        self.settled().await?;
        let key = event::key(tenant, KeyKind::Grant, &posted.id);
        let payload = event::payload(KeyKind::Grant as u8, &posted.encode_to_vec());
        let known = self.parts.events.get(&[key]).await?.into_iter().next().flatten();
        if known.as_ref().is_some_and(|known| known.row.payload != payload) {
            self.tell(tenant, &posted.id).await?;
            return Ok(Granting::Conflict);
        }
        // Once it is on its way the wallet will have it, and the counters are told of it by nobody else.
        let asking = self.parts.queue.asking(tenant);
        if known.is_none() {
            let head = Head { tenant, key, payload };
            let record = head.record(self.parts.counters.now(), Change::NONE, Body::Grant(posted.clone()));
            self.parts.queue.place()?.commit(record, None).wait().await?;
            self.settled().await?;
        }
        asking.answered(self.tell(tenant, &posted.id).await)?;
        Ok(if known.is_some() { Granting::Known } else { Granting::Posted })
    }

    /// Tells the counters of a grant that the wallet has, as it stands there: by its id, so that they may know it already.
    pub(crate) async fn tell(&self, tenant: &Arc<str>, id: &str) -> Result<(), LoadError> {
        for _ in 0..TELLS_MAX {
            let account = self.parts.accounts.get(tenant).await?.account;
            let Some(kept) = account.grant(id).filter(|kept| !kept.closed) else { return Ok(()) };
            if self.parts.counters.grant(tenant, grant(kept)).await?
                || !self.parts.slots.journal().is_shared()
            {
                // Where nothing is installed, the load that comes next finds it in the wallet.
                return Ok(());
            }
            // Another process may be about to install what it has read before this grant.
            self.install(tenant).await?;
        }
        Err(LoadError::Unsettled)
    }

    /// Waits until the ledger has all that was acknowledged before.
    pub async fn settled(&self) -> Result<(), LoadError> {
        let heads = self.parts.slots.heads().await?;
        Ok(self.parts.progress.reach(&heads).await?)
    }

    /// The tenant's account as the ledger has it now.
    pub async fn account(&self, tenant: &Arc<str>) -> Result<Account, StoreError> {
        Ok(self.parts.accounts.get(tenant).await?.account)
    }

    /// The lock of one tenant. Locks that nobody holds are forgotten.
    pub(crate) fn alone(&self, tenant: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(busy.entry(Arc::clone(tenant)).or_default())
    }

    /// Adds the logs of sliding windows and the marks of the last hour, from the events themselves.
    async fn read_back(&self, tenant: &str, now: Timestamp, state: &mut State) -> Result<(), LoadError> {
        let since = now.minus(HOUR);
        let mut search = EventSearch {
            tenant,
            // A decided call may have been made five minutes from its decision, either way (rule R).
            start: since.minus(5 * MINUTE),
            end: Timestamp::MAX,
            after: None,
            limit: PAGE,
            order: Order::Descending,
        };
        let mut logs = Logs::new();
        let mut read = 0_usize;
        while read < EVENTS_MAX {
            let page = self.parts.events.list(search).await?;
            for listed in &page {
                remember(&listed.row, since, state, &mut logs)?;
            }
            read = read.saturating_add(page.len());
            search.after = page.last().map(|listed| listed.place);
            if page.len() < PAGE {
                break;
            }
        }
        for (id, mut entries) in logs {
            entries.sort_unstable();
            let units = entries.iter().map(|(_, units)| *units).fold(0, i64::saturating_add);
            state
                .counters
                .insert(&id, Counter::Sliding(Box::new(SlidingLog { entries: entries.into(), units })));
        }
        state.marks.sort_unstable_by_key(|mark| mark.at);
        Ok(())
    }
}

/// An epoch above all that the ledger has seen, and above those whose decisions are still on their way (rule N).
fn epoch(account: &Account, now: Timestamp) -> u64 {
    account.counter_epoch.saturating_add(1).max(now.micros().unsigned_abs())
}

/// What the account says of the counters.
fn state_of(account: &Account) -> State {
    let period = (account.period_start_micros > 0).then(|| Period {
        start: Timestamp::from_micros(account.period_start_micros),
        end: Timestamp::from_micros(account.period_end_micros),
    });
    let mut state = State { period, overage_micros: account.period_overage_micros, ..State::default() };
    for window in &account.windows {
        if let Some(counter) = counter(window) {
            state.counters.insert(&counter_id(window), counter);
        }
    }
    // One whose own record is still on its way serves nobody yet: the counters are told of it when it is there.
    let posted = account.grants.iter().filter(|grant| grant.micros > 0);
    let open = posted.filter(|grant| !grant.closed || grant.held_micros > 0);
    state.grants.extend(open.map(grant));
    state.grants.sort_unstable_by(|one, other| {
        let order = |grant: &Grant| (grant.priority, grant.expires_at.unwrap_or(Timestamp::MAX));
        order(one).cmp(&order(other)).then_with(|| one.id.cmp(&other.id))
    });
    let holds = account.holds.iter().filter(|hold| hold.lives());
    state.reservations.extend(holds.map(|hold| (Arc::from(hold.reservation.as_str()), reservation(hold))));
    state
}

fn grant(kept: &GrantAccount) -> Grant {
    Grant {
        id: Arc::from(kept.id.as_str()),
        priority: u8::try_from(kept.priority).unwrap_or(u8::MAX),
        expires_at: kept.expires_at_micros.map(Timestamp::from_micros),
        remaining_micros: kept.remaining_micros,
    }
}

fn counter_id(window: &WindowAccount) -> CounterId {
    CounterId { limit: window.limit(), member: Arc::from(window.member.as_str()) }
}

fn counter(window: &WindowAccount) -> Option<Counter> {
    let mark = Timestamp::from_micros(window.mark_micros);
    match window.kind() {
        ChargeKind::Sliding => None,
        ChargeKind::Bucket => Some(Counter::Bucket { at: mark, units: window.used, parts: 0 }),
        ChargeKind::Fixed => Some(Counter::Fixed { start: mark, used: window.used }),
        ChargeKind::Quota => Some(Counter::Quota { period_start: mark, used: window.used }),
    }
}

/// A living reservation, as the counters have it.
pub(super) fn reservation(hold: &HoldAccount) -> Reservation {
    let held = hold.burns.iter();
    Reservation {
        held: held.map(|burn| Burn { grant: Arc::from(burn.grant.as_str()), micros: burn.micros }).collect(),
        opened_at: Timestamp::from_micros(hold.opened_at_micros),
        expires_at: Timestamp::from_micros(hold.expires_at_micros),
        excess_allowed: hold.excess_allowed,
        ended: None,
    }
}

/// Adds one event's mark and its entries in sliding logs.
fn remember(
    row: &AmendedRow,
    since: Timestamp,
    state: &mut State,
    logs: &mut Logs,
) -> Result<(), StoreError> {
    if row.row.at < since {
        return Ok(());
    }
    let record = decode(&row.row.body, &row.row.tenant)?;
    let Some(Body::Usage(usage)) = &record.body else { return Ok(()) };
    if usage.mode() == Mode::Import {
        return Ok(());
    }
    for charge in usage.charges.iter().filter(|charge| charge.kind() == ChargeKind::Sliding) {
        let log = logs.entry(sliding_id(charge)).or_default();
        log.push((Timestamp::from_micros(charge.mark_micros), charge.units));
    }
    state.marks.push(Mark {
        event: row.row.key,
        payload: row.row.payload,
        at: row.row.at,
        price_micros: usage.price_micros,
        outcome: outcome(row)?,
    });
    Ok(())
}

fn sliding_id(charge: &Charge) -> CounterId {
    CounterId { limit: LimitKey(charge.limit_key), member: Arc::from(charge.member.as_str()) }
}

/// The content of the event's outcome, if it was completed.
fn outcome(row: &AmendedRow) -> Result<Option<PayloadHash>, StoreError> {
    for amendment in &row.amendments {
        let record = decode(&amendment.body, &row.row.tenant)?;
        if matches!(record.body, Some(Body::Completion(_))) {
            return Ok(Some(amendment.payload));
        }
    }
    Ok(None)
}
