//! The first step of a round: rows, amendments and refusals, each once (rule H).

use std::collections::HashSet;
use std::sync::Arc;

use crate::failpoint::{self, Mutant};
use crate::gate::call::EventKey;
use crate::ledger::admission::end_key;
use crate::ledger::event::{self, KeyKind};
use crate::ledger::events::{Amended, Amendment, InsertedRow, Placed, RefusalRow, Row, RowKind};
use crate::ledger::fold::round::{Item, Round, Tally};
use crate::ledger::fold::{Fold, FoldError};
use crate::ledger::record::{Body, Record};
use crate::ledger::reservation_id;
use crate::ledger::stamp::Stamp;
use crate::ledger::standing::{Standing, decode};
use crate::store::StoreError;
use crate::time::Timestamp;

impl Fold {
    /// Keeps what the round brings, and finds out what of it counts.
    pub(super) async fn write_rows(&mut self, round: &mut Round) -> Result<(), FoldError> {
        let (places, rows): (Vec<_>, Vec<_>) = pick(&round.items, row).unzip();
        let inserted = self.parts.events.insert(rows).await?;
        let mut seen = HashSet::new();
        for (place, inserted) in places.into_iter().zip(inserted) {
            let item = &mut round.items[place];
            let twice = failpoint::is(Mutant::SameIdTwiceInABatch)
                && !seen.insert((item.stamp.position, item.record.key()));
            if !twice && !counts(inserted.placed) && item.charged() {
                // It was charged twice and counts once: the counters are too high by its charge (rule M).
                self.parts.cuts.suspect(&item.tenant);
            }
            if counts(inserted.placed) && item.is_degraded() {
                // It was decided while the counters were away, and they do not have it (rule M).
                self.parts.cuts.suspect(&item.tenant);
            }
            settle_row(item, &inserted, twice)?;
        }

        let (places, amendments): (Vec<_>, Vec<_>) = pick(&round.items, amendment).unzip();
        let amended = self.parts.events.amend(amendments).await?;
        for (place, amended) in places.into_iter().zip(amended) {
            settle_amendment(&mut round.items[place], &amended)?;
        }
        self.look_for_ends(round).await?;

        let (places, refusals): (Vec<_>, Vec<_>) = pick(&round.items, refusal).unzip();
        self.parts.events.refuse(refusals).await?;
        for place in places {
            round.items[place].tallies.push(Tally::Refused);
        }
        Ok(())
    }
}

impl Fold {
    /// Finds out which extensions come after the end of their reservation: from another slot, or said again after it. An account
    /// forgets a reservation that has ended, and would hold for ever what they bring.
    async fn look_for_ends(&self, round: &mut Round) -> Result<(), FoldError> {
        for item in round.items.iter_mut().filter(|item| item.posted) {
            let Some(Body::Extension(extension)) = &item.record.body else { continue };
            let key = end_key(&item.tenant, &extension.reservation);
            let end = self.parts.events.amendment(key).await?.map(|end| end.stamp);
            let comes_later = |end: Stamp| end.position.slot == item.stamp.position.slot && end > item.stamp;
            item.is_over = end.is_some_and(|end| !comes_later(end));
        }
        Ok(())
    }
}

impl Item {
    /// Whether it was decided without the counters.
    fn is_degraded(&self) -> bool {
        matches!(&self.record.body, Some(Body::Usage(usage)) if usage.degraded)
    }

    /// Whether the counters were charged for it.
    const fn charged(&self) -> bool {
        self.record.number > 0
    }
}

/// The items that `make` makes something of, with their places.
fn pick<'a, T>(
    items: &'a [Item],
    make: impl Fn(&Item) -> Option<T> + 'a,
) -> impl Iterator<Item = (usize, T)> + 'a {
    items.iter().enumerate().filter_map(move |(place, item)| Some((place, make(item)?)))
}

fn row(item: &Item) -> Option<Row> {
    let (kind, occurred_at_micros) = match item.record.body.as_ref()? {
        Body::Usage(usage) => (RowKind::Usage, usage.event.occurred_at_micros),
        Body::Grant(_) | Body::Breakage(_) | Body::Extension(_) => (RowKind::Posting, None),
        Body::Refusal(_) | Body::Completion(_) | Body::End(_) => return None,
    };
    if kind == RowKind::Usage && failpoint::is(Mutant::DropOneInThousand) {
        return None;
    }
    Some(Row {
        key: item.record.key(),
        payload: item.record.payload(),
        stamp: item.stamp,
        tenant: Arc::clone(&item.tenant),
        kind,
        at: item.record.at(),
        occurred_at: Timestamp::from_micros(occurred_at_micros.unwrap_or(item.record.at_micros)),
        body: item.body.clone(),
    })
}

fn amendment(item: &Item) -> Option<Amendment> {
    let target = target(&item.tenant, &item.record)?;
    Some(Amendment {
        key: item.record.key(),
        payload: item.record.payload(),
        stamp: item.stamp,
        target,
        body: item.body.clone(),
    })
}

/// The event that a record changes.
fn target(tenant: &str, record: &Record) -> Option<EventKey> {
    match record.body.as_ref()? {
        Body::Completion(completion) => Some(event::key(tenant, KeyKind::Event, &completion.event_id)),
        Body::End(end) => reservation_id::event(&end.reservation),
        Body::Usage(_) | Body::Refusal(_) | Body::Extension(_) | Body::Grant(_) | Body::Breakage(_) => None,
    }
}

fn refusal(item: &Item) -> Option<RefusalRow> {
    let Some(Body::Refusal(refusal)) = &item.record.body else { return None };
    let micros = refusal.event.occurred_at_micros.unwrap_or(item.record.at_micros);
    Some(RefusalRow {
        stamp: item.stamp,
        tenant: Arc::clone(&item.tenant),
        occurred_at: Timestamp::from_micros(micros),
        body: item.body.clone(),
    })
}

/// What an inserted row changes: itself, and the amendments that had waited for it.
fn settle_row(item: &mut Item, inserted: &InsertedRow, twice: bool) -> Result<(), StoreError> {
    item.posted = counts(inserted.placed) || twice;
    if !item.posted {
        return Ok(());
    }
    if matches!(item.record.body, Some(Body::Usage(_))) {
        item.tallies.push(Tally::Event);
    }
    if inserted.early.is_empty() {
        return Ok(());
    }
    let Some(mut standing) = Standing::of(item.record.clone()) else { return Ok(()) };
    for early in &inserted.early {
        let before = standing.clone();
        let early = decode(&early.body, &item.tenant)?;
        item.is_over |= matches!(early.body, Some(Body::End(_)));
        standing.amend(&early);
        let after = Box::new(standing.clone());
        item.tallies.push(Tally::Amended { before: Box::new(before), after });
    }
    Ok(())
}

/// What an amendment changes: its event, if that came first.
fn settle_amendment(item: &mut Item, amended: &Amended) -> Result<(), StoreError> {
    item.posted = counts(amended.placed);
    let Some(target) = amended.target.as_ref().filter(|_| item.posted) else { return Ok(()) };
    let before = Standing::read(target)?;
    let mut after = before.clone();
    after.amend(&item.record);
    item.tallies.push(Tally::Amended { before: Box::new(before), after: Box::new(after) });
    Ok(())
}

/// Rule H: what is new counts, and our own replay too.
fn counts(placed: Placed) -> bool {
    match placed {
        Placed::Fresh | Placed::Replay => true,
        Placed::Duplicate | Placed::Conflict => failpoint::is(Mutant::CountDuplicate),
    }
}
