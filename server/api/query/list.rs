//! Pages of a tenant's events, or of its refusals.

use prost::Message as _;
use tollgate_client::v1;

use crate::api::page::{List, PageTokenInvalid};
use crate::api::query::event::{counted, refused};
use crate::api::query::request::{is_fresh, moment};
use crate::api::track::{Door, DoorError};
use crate::fault::Invalid;
use crate::identity::caller::Caller;
use crate::ledger::events::{EventSearch, Events, ListPlace, ListedRefusal, ListedRow};
use crate::ledger::standing::{Standing, decode};
use crate::store::{Order, StoreError};
use crate::time::Timestamp;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

impl Door {
    /// Lists events, or refusals.
    pub async fn list_events(
        &self,
        caller: &Caller,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, DoorError> {
        let tenant = self.resolver.tenant(caller, &request.tenant_id).await?;
        let limit = page_size(request.page_size)?;
        let selection = selection(request.selection)?;
        let filter = filter(&request);
        let list = List { method: "ListEvents", tenant: &tenant.id, filter: &filter };
        let after = match self.pages.open(list, &request.page_token)? {
            Some(position) => Some(place(&position).ok_or(PageTokenInvalid)?),
            None => None,
        };
        let search = EventSearch {
            tenant: &tenant.id,
            start: moment("start", request.start)?.unwrap_or(Timestamp::EPOCH),
            end: moment("end", request.end)?.unwrap_or(Timestamp::MAX),
            after,
            // One more tells whether there is another page.
            limit: limit.saturating_add(1),
            order: Order::Ascending,
        };
        if is_fresh(request.freshness)? {
            self.ledger.fresh().await?;
        }
        let events = self.ledger.events.as_ref();
        let mut entries = match selection {
            Selection::Usage => usage(events, search).await?,
            Selection::Refusals => refusals(events, search).await?,
        };
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| has_more).map(|(place, _)| *place);
        Ok(v1::ListEventsResponse {
            events: entries.into_iter().map(|(_, event)| event).collect(),
            next_page_token: last.map(|last| self.pages.seal(list, &position(last))).unwrap_or_default(),
        })
    }
}

/// Which events are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Usage,
    Refusals,
}

type Entry = (ListPlace, v1::LedgerEvent);

async fn usage(events: &dyn Events, search: EventSearch<'_>) -> Result<Vec<Entry>, StoreError> {
    let rows = events.list(search).await?;
    let entry = |row: &ListedRow| {
        let event = counted(Standing::read(&row.row)?).ok_or_else(|| not_an_event(search.tenant))?;
        Ok((row.place, event))
    };
    rows.iter().map(entry).collect()
}

async fn refusals(events: &dyn Events, search: EventSearch<'_>) -> Result<Vec<Entry>, StoreError> {
    let rows = events.list_refusals(search).await?;
    let entry = |row: &ListedRefusal| {
        let record = decode(&row.refusal.body, search.tenant)?;
        let event = refused(record).ok_or_else(|| not_an_event(search.tenant))?;
        Ok((row.place, event))
    };
    rows.iter().map(entry).collect()
}

fn not_an_event(tenant: &str) -> StoreError {
    StoreError::corrupt(format!("a listed row of tenant `{tenant}`"), "it is no event")
}

pub(super) fn page_size(size: i32) -> Result<usize, Invalid> {
    match usize::try_from(size) {
        Ok(0) => Ok(PAGE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_MAX)),
        Err(_) => Err(Invalid::field("page_size", format!("{size} is below zero"))),
    }
}

pub(super) fn selection(number: i32) -> Result<Selection, Invalid> {
    match v1::EventSelection::try_from(number) {
        Ok(v1::EventSelection::Unspecified | v1::EventSelection::Usage) => Ok(Selection::Usage),
        Ok(v1::EventSelection::Refusals) => Ok(Selection::Refusals),
        Err(_) => Err(Invalid::field("selection", format!("{number} is no selection"))),
    }
}

/// What a list is of: all that may not change between its pages. The tenant is named apart.
fn filter(request: &v1::ListEventsRequest) -> Vec<u8> {
    let v1::ListEventsRequest { start, end, selection, .. } = *request;
    v1::ListEventsRequest { start, end, selection, ..v1::ListEventsRequest::default() }.encode_to_vec()
}

pub(super) fn position(place: ListPlace) -> Vec<u8> {
    [&place.occurred_at.micros().to_be_bytes()[..], &place.arrival.to_be_bytes()].concat()
}

pub(super) fn place(position: &[u8]) -> Option<ListPlace> {
    let (occurred_at, arrival) = position.split_first_chunk()?;
    Some(ListPlace {
        occurred_at: Timestamp::from_micros(i64::from_be_bytes(*occurred_at)),
        arrival: u128::from_be_bytes(arrival.try_into().ok()?),
    })
}
