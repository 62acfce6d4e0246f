//! `WatchUsage`: a snapshot, then absolute updates, as the fold goes on (rule J).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tollgate_client::v1;
use tollgate_client::v1::watch_usage_response::Payload;

use super::{Door, DoorError, timestamp, verdict};
use crate::api::layers::auth::credential;
use crate::api::page::List;
use crate::api::query;
use crate::api::serve::peer;
use crate::gate::decision::LimitKind;
use crate::identity::caller::Caller;
use crate::identity::directory::TenantEntry;
use crate::identity::keyring::CredentialError;
use crate::identity::permission::Permission;
use crate::ledger::account::Account;
use crate::ledger::admission::AdmissionError;
use crate::ledger::queue::QueueError;
use crate::ledger::stamp::Positions;
use crate::live::feed::Subscriber;

/// Between two updates of one stream.
const UPDATE: Duration = Duration::from_millis(500);
/// After this long without an update a sign of life is sent.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Between two looks whether a watcher still may. What other servers change is heard before; both take at most 5 seconds.
const LOOK: Duration = Duration::from_millis(500);

/// What let a watcher in. A stream outlives the call that opened it, so it is shown again and again.
#[derive(Debug)]
pub(super) struct Pass {
    credential: SecretString,
    peer: Option<IpAddr>,
}

/// One stream.
#[derive(Debug)]
struct Watching {
    door: Door,
    pass: Pass,
    tenant: Arc<TenantEntry>,
    updates: Subscriber,
    positions: Positions,
    sent_at: Instant,
    looked_at: Instant,
}

impl Pass {
    /// That of a call which was let in.
    pub(super) fn of<T>(call: &tonic::Request<T>) -> Result<Self, CredentialError> {
        let credential = SecretString::from(credential(call.metadata().as_ref())?);
        Ok(Self { credential, peer: peer(call.extensions()) })
    }

    /// The caller, if it would still be let in.
    async fn caller(&self, door: &Door) -> Result<Arc<Caller>, DoorError> {
        let caller = door.resolver.caller(self.credential.expose_secret()).await?.at(self.peer);
        caller.require(Permission::UsageRead)?;
        caller.require_network()?;
        Ok(caller)
    }
}

impl Door {
    /// Watches a tenant, from a snapshot on, for as long as `pass` is good.
    pub(super) async fn watch(
        &self,
        caller: &Caller,
        pass: Pass,
        request: v1::WatchUsageRequest,
    ) -> Result<impl Stream<Item = Result<v1::WatchUsageResponse, DoorError>> + use<>, DoorError> {
        let tenant = self.resolver.tenant(caller, &request.tenant_id).await?;
        if !request.resume_token.is_empty() {
            let seen = self.open_token(&tenant.id, &request.resume_token)?;
            // What the client has seen was wholly folded, so a restart has it too.
            self.ledger.reach(&seen.slots).await?;
        }
        // Subscribed before the snapshot is read: nothing that is folded in between is missed.
        let mut updates = self.feed.subscribe(&tenant.id);
        self.ledger.fresh().await?;
        let positions = self.ledger.folded();
        let kept = self.ledger.accounts.get(&tenant.id).await?;
        updates.has_seen(kept.revision);
        let (door, now) = (self.clone(), Instant::now());
        let watching = Watching { door, pass, tenant, updates, positions, sent_at: now, looked_at: now };
        let state = watching.state(&kept.account);
        let first = watching.response(Payload::Snapshot(state));
        let rest = futures_util::stream::unfold(Some(watching), |watching| async move {
            let mut watching = watching?;
            match watching.next().await {
                Ok(response) => Some((Ok(response), Some(watching))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(futures_util::StreamExt::chain(futures_util::stream::iter([Ok(first)]), rest))
    }

    fn open_token(&self, tenant: &str, token: &str) -> Result<Positions, DoorError> {
        let positions = self.pages.open(watch(tenant), token).ok().flatten().ok_or(DoorError::ResumeToken)?;
        Positions::decode(positions.as_slice()).map_err(|_| DoorError::ResumeToken)
    }
}

/// Resume tokens are page tokens: the pages of a stream.
const fn watch(tenant: &str) -> List<'_> {
    List { method: "WatchUsage", tenant, filter: b"" }
}

impl Watching {
    /// The next update or sign of life. Its end is an error that a client comes back from, with its token.
    async fn next(&mut self) -> Result<v1::WatchUsageResponse, DoorError> {
        let ended = self.door.feed.ended();
        loop {
            let look = self.looked_at + LOOK;
            tokio::select! {
                payload = self.payload() => {
                    self.sent_at = Instant::now();
                    return Ok(self.response(payload));
                }
                () = tokio::time::sleep_until(look) => self.look().await?,
                () = ended.cancelled() => return Err(AdmissionError::from(QueueError::ShuttingDown).into()),
            }
        }
    }

    /// Looks whether the watcher still may, and what the tenant's plan is now.
    async fn look(&mut self) -> Result<(), DoorError> {
        let caller = self.pass.caller(&self.door).await?;
        self.tenant = self.door.resolver.tenant(&caller, &self.tenant.id).await?;
        self.looked_at = Instant::now();
        Ok(())
    }

    async fn payload(&mut self) -> Payload {
        tokio::time::sleep_until(self.sent_at + UPDATE).await;
        let newer = tokio::time::timeout_at(self.sent_at + HEARTBEAT, self.updates.next()).await;
        let Ok(Some(folded)) = newer else { return Payload::Heartbeat(v1::Heartbeat {}) };
        self.positions = folded.positions;
        Payload::Update(self.state(&folded.account))
    }

    fn state(&self, account: &Account) -> v1::UsageState {
        v1::UsageState {
            tenant_id: self.tenant.id.as_ref().to_owned(),
            totals: Some(query::totals(&account.totals)),
            wallet: Some(v1::WalletState {
                balance_micros: account.balance_micros(),
                held_micros: account.held_micros(),
                overage_micros: account.overage(),
            }),
            quotas: self.quotas(account),
        }
    }

    /// The quotas of the plan, with what the ledger has counted in the current period.
    fn quotas(&self, account: &Account) -> Vec<v1::LimitState> {
        let policy = &self.tenant.policy;
        let period = policy.period.containing(self.door.ledger.now());
        let quotas = policy.quotas.iter().map(|quota| {
            let used = account.quota_used(quota.key, period.start);
            crate::gate::decision::LimitState {
                name: Arc::clone(&quota.name),
                kind: LimitKind::Quota,
                unit: Arc::clone(&quota.unit),
                limit: quota.limit,
                remaining: quota.limit.map(|limit| limit.saturating_sub(used).max(0)),
                window: period.end.since(period.start),
                reset_at: period.end,
            }
        });
        quotas.map(|state| verdict::limit(&state)).collect()
    }

    fn response(&self, payload: Payload) -> v1::WatchUsageResponse {
        let token = self.door.pages.seal(watch(&self.tenant.id), &self.positions.encode_to_vec());
        v1::WatchUsageResponse {
            payload: Some(payload),
            resume_token: token,
            as_of: Some(timestamp(self.door.ledger.as_of())),
        }
    }
}
