//! Amendments: each once in its row's document, in the order in which they came.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, Document, doc};
use prost::Message as _;

use crate::adapters::mongo::convert::{ID, wide};
use crate::adapters::mongo::events::kept::{
    AMENDMENTS, AT, COUNT, Kept, amendment_fields, amendment_keys, judge,
};
use crate::adapters::mongo::events::{ATTEMPTS_MAX, MongoEvents, PAUSE, contended, parts};
use crate::adapters::mongo::failure::{duplicate_statements, duplicates};
use crate::gate::call::EventKey;
use crate::ledger::events::{Amended, Amendment, Placed};
use crate::ledger::record::Record;
use crate::store::StoreError;

impl MongoEvents {
    /// Keeps amendments. May be made again, and by several at once: each is pushed only where its key is not, and what came of
    /// it is read from the document, where its place never changes.
    pub(super) async fn amend_rows(&self, amendments: &[Amendment]) -> Result<Vec<Amended>, StoreError> {
        self.point(amendments).await?;
        let targets: HashSet<_> = amendments.iter().map(|amendment| amendment.target).collect();
        let targets: Vec<_> = targets.into_iter().collect();
        let mut known = self.find(&targets).await?;
        let mut pushed = HashSet::new();
        for attempt in 0..ATTEMPTS_MAX {
            let missing: Vec<_> =
                amendments.iter().filter(|amendment| !is_in(&known, amendment)).cloned().collect();
            if missing.is_empty() {
                return Ok(answers(amendments, &known, pushed));
            }
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            self.await_rows(&missing, &known).await?;
            self.push(&missing).await?;
            pushed.extend(missing.iter().map(|amendment| amendment.key));
            let targets: HashSet<_> = missing.iter().map(|amendment| amendment.target).collect();
            known.extend(self.find(&targets.into_iter().collect::<Vec<_>>()).await?);
        }
        Err(amendments.first().map_or_else(|| contended(EventKey(0)), |first| contended(first.target)))
    }

    /// Makes the documents in which amendments wait for their rows.
    async fn await_rows(
        &self,
        amendments: &[Amendment],
        known: &HashMap<EventKey, Kept>,
    ) -> Result<(), StoreError> {
        let mut made = HashSet::new();
        let mut documents = Vec::new();
        for amendment in amendments {
            if known.contains_key(&amendment.target) || !made.insert(amendment.target) {
                continue;
            }
            let mut document = doc! {
                ID: wide(amendment.target.0),
                AMENDMENTS: Bson::Array(Vec::new()),
                COUNT: 0_i64,
            };
            // For retention; the row says its own.
            if let Ok(record) = Record::decode(amendment.body.clone()) {
                document.insert(AT, record.at_micros);
            }
            documents.push(document);
        }
        for part in parts(&documents, |_| 1) {
            let inserted = self.store.run(self.rows.insert_many(part).ordered(false)).await;
            // Where the row or another amendment was faster, the document is there.
            duplicates(inserted.map(drop))?;
        }
        Ok(())
    }

    /// Pushes each amendment where it is not, in their order.
    async fn push(&self, amendments: &[Amendment]) -> Result<(), StoreError> {
        for part in parts(amendments, |amendment| amendment.body.len()) {
            let mut statements = Vec::with_capacity(part.len());
            for amendment in part {
                // FerretDB takes `$ne` over several for one of them.
                let there = doc! { amendment_keys(): wide(amendment.key.0) };
                let wanted = doc! { ID: wide(amendment.target.0), "$nor": [there] };
                let pushed: Document = doc! { AMENDMENTS: amendment_fields(amendment)? };
                statements.push(doc! {
                    "q": wanted,
                    "u": { "$push": pushed, "$inc": { COUNT: 1_i64 } },
                });
            }
            let command = doc! {
                "update": self.rows.name(),
                "updates": statements,
                "ordered": true,
                "writeConcern": self.store.write_concern(),
            };
            duplicate_statements(&self.store.command(command).await?)?;
        }
        Ok(())
    }
}

fn is_in(known: &HashMap<EventKey, Kept>, amendment: &Amendment) -> bool {
    known.get(&amendment.target).is_some_and(|kept| kept.place(amendment.key).is_some())
}

/// What became of each, by the documents that have them all.
fn answers(
    amendments: &[Amendment],
    known: &HashMap<EventKey, Kept>,
    mut pushed: HashSet<EventKey>,
) -> Vec<Amended> {
    let answer = |amendment: &Amendment| {
        let kept = known.get(&amendment.target)?;
        let place = kept.place(amendment.key)?;
        let there = &kept.amendments[place];
        let placed = match judge((there.payload, there.stamp), amendment.payload, amendment.stamp) {
            // Only the first of a key is new.
            Placed::Replay if pushed.remove(&amendment.key) => Placed::Fresh,
            placed => placed,
        };
        let counts = matches!(placed, Placed::Fresh | Placed::Replay);
        let is_early = place < kept.early().len();
        let target = if counts && !is_early { kept.amended_before(place) } else { None };
        Some(Amended { placed, target })
    };
    amendments.iter().filter_map(answer).collect()
}
