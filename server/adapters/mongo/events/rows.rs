//! Rows, each once by its key: what is new is inserted in bulk, and what is there says what it is.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, doc};

use crate::adapters::mongo::convert::{ID, signed, wide};
use crate::adapters::mongo::events::kept::{AMENDMENTS, COUNT, EARLY, Kept, STAMP, judge, row_fields};
use crate::adapters::mongo::events::{ATTEMPTS_MAX, MongoEvents, PAUSE, contended, parts};
use crate::adapters::mongo::failure::{duplicates, failed};
use crate::gate::call::{EventKey, PayloadHash};
use crate::ledger::events::{Amendment, InsertedRow, Placed, Row};
use crate::ledger::stamp::Stamp;
use crate::store::StoreError;

/// What stands under a key.
struct Standing {
    origin: (PayloadHash, Stamp),
    early: Vec<Amendment>,
    /// Whether it was put there by this call.
    is_fresh: bool,
}

impl MongoEvents {
    /// Keeps rows. May be made again, and by several at once: a row's key is taken once, and who comes second finds it with
    /// its stamp.
    pub(super) async fn insert_rows(&self, rows: &[Row]) -> Result<Vec<InsertedRow>, StoreError> {
        let mut keys = HashSet::with_capacity(rows.len());
        let firsts: Vec<&Row> = rows.iter().filter(|row| keys.insert(row.key)).collect();
        let mut standing = HashMap::with_capacity(firsts.len());
        let mut taken = Vec::new();
        for part in parts(&firsts, |row| row.body.len()) {
            let places = self.insert_new(part).await?;
            for (place, row) in part.iter().enumerate() {
                if places.contains(&place) {
                    taken.push(*row);
                } else {
                    let fresh =
                        Standing { origin: (row.payload, row.stamp), early: Vec::new(), is_fresh: true };
                    standing.insert(row.key, fresh);
                }
            }
        }
        self.settle(taken, &mut standing).await?;

        let answer = |row: &Row| {
            let standing = standing.get_mut(&row.key).ok_or_else(|| contended(row.key))?;
            // Only the first of a key is new.
            let placed = if std::mem::take(&mut standing.is_fresh) {
                Placed::Fresh
            } else {
                judge(standing.origin, row.payload, row.stamp)
            };
            let counts = matches!(placed, Placed::Fresh | Placed::Replay);
            Ok(InsertedRow { placed, early: if counts { standing.early.clone() } else { Vec::new() } })
        };
        rows.iter().map(answer).collect()
    }

    /// Inserts rows; answers the places of those whose key is taken.
    async fn insert_new(&self, rows: &[&Row]) -> Result<HashSet<usize>, StoreError> {
        let mut documents = Vec::with_capacity(rows.len());
        for row in rows {
            let mut document = doc! { ID: wide(row.key.0) };
            document.extend(row_fields(row)?);
            document.extend(doc! { AMENDMENTS: Bson::Array(Vec::new()), COUNT: 0_i64, EARLY: 0_i64 });
            documents.push(document);
        }
        let inserted = self.store.run(self.rows.insert_many(documents).ordered(false)).await;
        Ok(duplicates(inserted.map(drop))?.into_iter().collect())
    }

    /// Finds out what stands under the keys that were taken. Where only amendments do, which had waited, the row is put to
    /// them.
    async fn settle(
        &self,
        mut taken: Vec<&Row>,
        standing: &mut HashMap<EventKey, Standing>,
    ) -> Result<(), StoreError> {
        for attempt in 0..ATTEMPTS_MAX {
            let Some(first) = taken.first() else { return Ok(()) };
            if attempt + 1 == ATTEMPTS_MAX {
                return Err(contended(first.key));
            }
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let keys: Vec<_> = taken.iter().map(|row| row.key).collect();
            let found = self.find(&keys).await?;
            let mut open = Vec::new();
            for row in taken {
                let here = match found.get(&row.key) {
                    // Taken by what no majority has yet.
                    None => None,
                    Some(kept) => match &kept.row {
                        Some((there, _)) => Some(Standing {
                            origin: (there.payload, there.stamp),
                            early: kept.early().to_vec(),
                            is_fresh: false,
                        }),
                        None => self.join(row, kept).await?,
                    },
                };
                match here {
                    Some(here) => drop(standing.insert(row.key, here)),
                    None => open.push(row),
                }
            }
            taken = open;
        }
        Ok(())
    }

    /// Puts a row to the amendments that had waited for it, as they were read; `None`: there are others by now, or the row is.
    async fn join(&self, row: &Row, waiting: &Kept) -> Result<Option<Standing>, StoreError> {
        let count = signed(u64::try_from(waiting.amendments.len()).unwrap_or(u64::MAX))?;
        let as_read = doc! { ID: wide(row.key.0), STAMP: { "$exists": false }, COUNT: count };
        let mut fields = row_fields(row)?;
        fields.insert(EARLY, count);
        let join = self.rows.update_one(as_read, doc! { "$set": fields });
        let joined = self.store.run(join).await.map_err(failed)?;
        Ok((joined.matched_count == 1).then(|| Standing {
            origin: (row.payload, row.stamp),
            early: waiting.amendments.clone(),
            is_fresh: true,
        }))
    }
}
