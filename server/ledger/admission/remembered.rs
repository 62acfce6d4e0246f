//! Answers to retries that the counters have forgotten, and the ledger has not (rules H, Q, T).

use std::sync::Arc;

use super::reservation::{Ending, Over, end_key, ended_as, sum};
use super::{Admission, AdmissionError, Admitted, ExtendOrder, Extension, Subject, Tracked};
use crate::gate::call::{EventKey, PayloadHash};
use crate::gate::counters::EndDecision;
use crate::gate::decision::{Burn, Decision};
use crate::ledger::queue::Kept;
use crate::ledger::record::{Body, GrantBurn};
use crate::ledger::standing::decode;
use crate::time::Timestamp;

impl Admission {
    /// The answer to a call that comes again when it is too old to be decided: the ledger has it, if it was decided in its
    /// time.
    pub(super) async fn decided_before(
        &self,
        subject: Subject<'_>,
        event_id: &str,
        key: EventKey,
        payload: PayloadHash,
    ) -> Result<Option<Admitted>, AdmissionError> {
        self.loader.settled().await?;
        let Some(known) = self.events.get(&[key]).await?.into_iter().next().flatten() else {
            return Ok(None);
        };
        let record = decode(&known.row.body, subject.tenant)?;
        let Some(Body::Usage(usage)) = &record.body else { return Ok(None) };
        if known.row.payload != payload {
            return Err(AdmissionError::Conflict(event_id.to_owned()));
        }
        let period = subject.policy.period.containing(record.at());
        let decision = Decision {
            epoch: record.counter_epoch,
            number: record.number,
            burns: gate_burns(&usage.burns),
            overage_micros: usage.overage_micros,
            expires_at: usage.hold.as_ref().map(|hold| Timestamp::from_micros(hold.expires_at_micros)),
            ..Decision::allowed(record.at(), usage.price_micros, period)
        };
        let event_id = event_id.to_owned();
        let tracked = Tracked { decision, event_id, replayed: true, kept: Kept::Committed };
        Ok(Some(Admitted { tracked, commit: None }))
    }

    /// The answer to an extension that the ledger has. Marks of extensions are not read back after a restart: without this a
    /// retry would hold its credits a second time, and the ledger would not know.
    pub(super) async fn extended_before(
        &self,
        subject: Subject<'_>,
        order: &ExtendOrder,
        key: EventKey,
        payload: PayloadHash,
    ) -> Result<Option<Extension>, AdmissionError> {
        let Some(known) = self.events.get(&[key]).await?.into_iter().next().flatten() else {
            return Ok(None);
        };
        let record = decode(&known.row.body, subject.tenant)?;
        let Some(Body::Extension(extension)) = &record.body else { return Ok(None) };
        if known.row.payload != payload {
            return Err(AdmissionError::RequestConflict(order.request_id.clone()));
        }
        self.loader.settled().await?;
        let account = self.loader.account(subject.tenant).await?;
        let (held_micros, expires_at_micros) = account.hold(&order.reservation).map_or_else(
            || (0, extension.expires_at_micros),
            |hold| (sum(&gate_burns(&hold.burns)), hold.expires_at_micros),
        );
        let burns = gate_burns(&extension.burns);
        let expires_at = Timestamp::from_micros(expires_at_micros);
        let (price_micros, period) = (sum(&burns), subject.policy.period.containing(record.at()));
        let decision = Decision {
            epoch: record.counter_epoch,
            number: record.number,
            burns,
            balance_micros: Some(account.balance_micros()),
            expires_at: Some(expires_at),
            ..Decision::allowed(record.at(), price_micros, period)
        };
        Ok(Some(Extension { decision, held_micros, expires_at, replayed: true, kept: Kept::Committed }))
    }

    /// The counters have forgotten the reservation: the ledger knows how it ended, if it ever was.
    pub(super) async fn ended_before(
        &self,
        subject: Subject<'_>,
        ending: Ending,
    ) -> Result<Over, AdmissionError> {
        self.loader.settled().await?;
        let key = end_key(subject.tenant, &ending.reservation);
        let Some(amendment) = self.events.amendment(key).await? else {
            return Err(AdmissionError::ReservationUnknown(ending.reservation));
        };
        let record = decode(&amendment.body, subject.tenant)?;
        let Some(Body::End(end)) = &record.body else {
            return Err(AdmissionError::ReservationUnknown(ending.reservation));
        };
        if amendment.payload != ending.payload {
            return Err(ended_as(end.kind(), ending.reservation));
        }
        let balance_micros = self.loader.account(subject.tenant).await?.balance_micros();
        let decision = EndDecision {
            at: record.at(),
            epoch: record.counter_epoch,
            number: record.number,
            period: subject.policy.period.containing(record.at()),
            paid: gate_burns(&end.paid),
            released: gate_burns(&end.released),
            excess: gate_burns(&end.excess),
            overage_micros: end.overage_micros,
            balance_micros,
        };
        Ok(Over { end: decision, replayed: true, kept: Kept::Committed })
    }
}

fn gate_burns(burns: &[GrantBurn]) -> Vec<Burn> {
    burns.iter().map(|burn| Burn { grant: Arc::from(burn.grant.as_str()), micros: burn.micros }).collect()
}
